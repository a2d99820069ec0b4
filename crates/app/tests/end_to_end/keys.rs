//! Messages that carry keys, and counting what became of them.

use std::collections::{BTreeMap, BTreeSet};

use freshet_bench::generate::{Generator, Options};
use freshet_bench::writer::Form;

use crate::freshet::Place;

/// 2026-11-20T09:00:00Z: the messages of a test are all of one day.
pub(crate) const BEGINNING_US: i64 = 1_795_165_200_000_000;

const MARK: &str = "seq=";

/// About `lines` lines as `heroku logs` prints them, most with a key of their own, `first_key` and up.
pub(crate) fn keyed_lines(seed: u64, first_key: u64, lines: u64) -> Vec<u8> {
    let options = Options { seed, form: Form::Cli, from_us: BEGINNING_US, step_us: 20_000, first_key: Some(first_key) };
    let mut generator = Generator::new(&options);
    while generator.writer().messages() < lines {
        generator.event();
    }
    generator.writer().bytes().to_vec()
}

/// The keys in a text, in order.
pub(crate) fn keys_in(bytes: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices(MARK).filter_map(|(at, _)| text.get(at + 4..at + 16)?.parse().ok()).collect()
}

/// How often each key stands in `logs`.
pub(crate) fn keys_in_lake(place: &Place) -> BTreeMap<u64, u64> {
    let sql = "SELECT substr(message, strpos(message, 'seq=') + 4, 12) AS key, count(*) AS times FROM logs \
               WHERE strpos(message, 'seq=') > 0 GROUP BY 1";
    let row = |line: &str| line.split_once(',').map(|(key, times)| (key.parse().unwrap(), times.parse().unwrap())).unwrap();
    place.ask(sql, "csv").lines().skip(1).map(row).collect()
}

/// Every key of `expected` is in `logs` once, and no other is there.
pub(crate) fn assert_each_once(place: &Place, expected: impl IntoIterator<Item = u64>) {
    let expected: BTreeSet<u64> = expected.into_iter().collect();
    assert_once(place, &expected, &expected);
}

/// Every key of `at_least` is in `logs`, none twice, and none that is not in `at_most`.
pub(crate) fn assert_once(place: &Place, at_least: &BTreeSet<u64>, at_most: &BTreeSet<u64>) {
    assert!(!at_least.is_empty(), "a test that expects nothing proves nothing");
    let found = keys_in_lake(place);
    let lost: Vec<_> = at_least.iter().filter(|key| !found.contains_key(key)).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    let strange: Vec<_> = found.keys().filter(|key| !at_most.contains(key)).collect();
    let few = |count: usize| count.min(10);
    assert!(
        lost.is_empty() && doubled.is_empty() && strange.is_empty(),
        "of {} keys {} are lost ({:?}), {} doubled ({:?}), {} from nowhere ({:?})",
        at_least.len(),
        lost.len(),
        &lost[..few(lost.len())],
        doubled.len(),
        &doubled[..few(doubled.len())],
        strange.len(),
        &strange[..few(strange.len())]
    );
    assert_tables_agree(place);
}

/// Each message is in the typed table that `logs` names for it, once, and nothing else is there.
pub(crate) fn assert_tables_agree(place: &Place) {
    let by_kind = place.query("SELECT kind, count(*) AS messages FROM logs GROUP BY kind");
    let kinds: BTreeMap<&str, i64> = by_kind.iter().map(|row| (row["kind"].as_str().unwrap(), row["messages"].as_i64().unwrap())).collect();
    let failed_requests = place.number("SELECT count(*) FROM router_requests WHERE code IS NOT NULL");
    let of_table = |table: &str| {
        format!(
            "SELECT '{table}' AS name, count(*) AS row_count, count(DISTINCT concat(frame_id, '/', CAST(frame_index AS STRING))) AS messages FROM {table}"
        )
    };
    for row in place.query(&TYPED.map(of_table).join(" UNION ALL ")) {
        let (name, rows, messages) = (row["name"].as_str().unwrap(), row["row_count"].as_i64().unwrap(), row["messages"].as_i64().unwrap());
        // A line of samples makes several rows.
        assert!(rows == messages || name == "metric_samples", "{name} has a message twice: {row}");
        let of_kind = kinds.get(name).copied().unwrap_or_default();
        match name {
            "logs" => {}
            // The router's errors are in both tables.
            "platform_errors" => assert_eq!(messages, of_kind + failed_requests, "{name} and logs disagree: {kinds:?}"),
            _ => assert_eq!(messages, of_kind, "{name} and logs disagree: {kinds:?}"),
        }
    }
}

/// `logs`, and the tables whose rows stand for its messages.
const TYPED: [&str; 12] = [
    "logs",
    "router_requests",
    "dyno_metrics",
    "postgres_metrics",
    "pgbouncer_metrics",
    "redis_metrics",
    "metric_samples",
    "postgres_logs",
    "dyno_events",
    "platform_errors",
    "api_events",
    "app_events",
];
