//! Log lines that go to a Databricks workspace by Zerobus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chance;
use crate::daemon::Daemon;
use crate::databricks::{Bench, found};
use crate::freshet::sample;
use crate::http;
use crate::keys::keys_in;
use crate::senders::{Habits, Senders};

/// A workspace that is logged in to as Zerobus wants it.
fn bench(more: &str) -> Option<Bench> {
    let bench = Bench::new("")?;
    let url = bench.rig.url();
    let principal = "client_id = \"client-of-the-test\"\nclient_secret = \"secret-of-the-test\"\nauth_type = \"oauth-m2m\"";
    let zerobus = format!("mode = \"zerobus\"\nzerobus_endpoint = \"{url}\"\nworkspace_id = \"1234567890123456\"\n{principal}\n{more}");
    let config = std::fs::read_to_string(bench.place.path("freshet.toml")).unwrap();
    bench.place.file("freshet.toml", format!("{config}{zerobus}\n"));
    bench.rig.tell("settings", &json!({ "zerobus_ms": [50, 300], "zerobus_denies": "token" }).to_string());
    Some(bench)
}

/// How often each key stands in `logs`, and every row of a frame.
fn keys(bench: &Bench) -> BTreeMap<u64, BTreeSet<Vec<Option<String>>>> {
    let mut keys: BTreeMap<u64, BTreeSet<_>> = BTreeMap::new();
    for row in bench.rows("SELECT message, frame_id, frame_index FROM SCHEMA.`logs`") {
        for key in keys_in(row[0].as_deref().unwrap_or_default().as_bytes()) {
            keys.entry(key).or_default().insert(row[1..].to_vec());
        }
    }
    keys
}

fn state(bench: &Bench) -> Value {
    serde_json::from_slice(&bench.rig.told("state")).unwrap()
}

fn quiet(bench: &Bench) {
    while state(bench)["busy"] != 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lines_are_there_within_seconds_and_the_warehouse_sleeps() {
    let Some(bench) = bench("") else { return };
    let daemon = Daemon::start(&bench.place);
    http::Frame::of("first", &http::message(b"line 0")).deliver(daemon.address);
    daemon.wait("the first line", || bench.value("SELECT count(*) AS n FROM SCHEMA.`logs`") == "1");
    let statements =
        || state(&bench)["executed"].as_array().unwrap().iter().filter(|each| !each.to_string().contains("count(*) AS n")).count();
    let before = statements();
    let began = Instant::now();
    for line in 1..=5 {
        http::Frame::of(&format!("frame-{line}"), &http::message(format!("line {line}").as_bytes())).deliver(daemon.address);
        std::thread::sleep(Duration::from_millis(700));
    }
    daemon.wait("all lines", || bench.value("SELECT count(*) AS n FROM SCHEMA.`logs`") == "6");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(statements(), before, "{}", state(&bench)["executed"]);
    daemon.stop();
    assert_eq!(bench.value("SELECT count(*) AS n FROM SCHEMA.`logs` WHERE `_load_id` LIKE 'zerobus/%'"), "6");

    // Files go by the warehouse, once.
    let first = bench.place.import(&[&sample("shop.log")]);
    let again = bench.place.import(&[&sample("shop.log")]);
    assert_eq!(again["files"][0]["known_bytes"], first["files"][0]["bytes"], "{again}");
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_lost_answers() {
    let Some(bench) = bench("[load]\nmax_age = \"300ms\"") else { return };
    let kills = if chance::full() { 30 } else { 4 };
    let mut random = chance::random("run by Zerobus, kill -9");
    let mut daemon = Daemon::start(&bench.place);
    let address = daemon.address;
    let senders = Senders::start(address, Habits::beside_a_store(&mut random));
    // Of each kind that goes by the warehouse.
    let deliver = |number: u64| {
        for (kind, body) in [("garbage", &b"no frame at all"[..]), ("bytes", &http::message(format!("bytes {number} \u{fe}\r").as_bytes()))]
        {
            http::Frame::of(&format!("{kind}-{number}"), body).deliver(address);
        }
    };
    deliver(0);
    for kill in 1..=kills {
        let faults =
            json!({ "seed": random.below(1_000_000), "throttled": 0.02, "unavailable": 0.03, "cut_before": 0.03, "cut_after": 0.05 });
        bench.rig.tell("faults", &faults.to_string());
        std::thread::sleep(Duration::from_millis(500 + random.below(4_000)));
        daemon.kill();
        daemon = Daemon::start_at(&bench.place, address);
        deliver(kill);
    }
    let sent = senders.stop();
    bench.rig.tell("faults", "{}");
    daemon.stop();
    quiet(&bench);
    assert!(!sent.acknowledged.is_empty(), "a test that expects nothing proves nothing");
    let found = keys(&bench);
    let lost: Vec<_> = sent.acknowledged.iter().filter(|key| !found.contains_key(key)).take(10).collect();
    let strange: Vec<_> = found.keys().filter(|key| !sent.all.contains(key)).take(10).collect();
    assert!(lost.is_empty() && strange.is_empty(), "lost {lost:?}, strange {strange:?}");
    // What is there more than once is known by its frame and its place in it.
    let unknown: Vec<_> = found.iter().filter(|(_, rows)| rows.len() > 1).take(10).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let rows = bench.value("SELECT count(*) AS n FROM SCHEMA.`logs`");
    let unique = bench.value("SELECT count(*) AS n FROM (SELECT DISTINCT frame_id, frame_index FROM SCHEMA.`logs`) AS l");
    eprintln!("{} keys sent, {} acknowledged, {rows} rows of {unique} messages", sent.all.len(), sent.acknowledged.len());
    // What the warehouse brings is there too, and of Freshet's own tables once.
    let of = |text: &str| (0..=kills).map(|number| format!("{text}-{number}")).collect::<BTreeSet<_>>();
    let raw = bench.rows("SELECT DISTINCT frame_id FROM SCHEMA.`logs` WHERE message_raw IS NOT NULL AND frame_id LIKE 'bytes-%'");
    assert_eq!(raw.into_iter().flatten().flatten().collect::<BTreeSet<_>>(), of("bytes"));
    let rejects: Vec<_> =
        bench.rows("SELECT frame_id FROM SCHEMA.`_rejects` WHERE frame_id LIKE 'garbage-%'").into_iter().flatten().flatten().collect();
    assert_eq!((rejects.iter().cloned().collect::<BTreeSet<_>>(), rejects.len()), (of("garbage"), of("garbage").len()));
    let loads = bench.rows("SELECT table_name, load_id FROM SCHEMA.`_loads`");
    assert_eq!((loads.iter().collect::<BTreeSet<_>>().len(), loads.is_empty()), (loads.len(), false), "{loads:?}");
}

#[test]
fn check_tries_it() {
    let Some(bench) = bench("") else { return };
    let (_, document) = bench.check(|_| ());
    assert_eq!(
        found(&document, "zerobus"),
        format!("good: {} answers; whether it takes rows shows when tables are there | ", bench.rig.url())
    );
    Daemon::start(&bench.place).stop();
    let (_, document) = bench.check(|_| ());
    let denied = found(&document, "zerobus");
    let grant = format!("GRANT SELECT, MODIFY ON TABLE `main`.`{}`.`logs` TO `client-of-the-test`;", bench.schema);
    assert!(denied.starts_with("failed: cannot get a token for Zerobus") && denied.contains(&grant), "{denied}");
    bench.rig.tell("settings", &json!({ "zerobus_denies": null }).to_string());
    let (_, document) = bench.check(|_| ());
    assert!(found(&document, "zerobus").contains("answers; a token for logs is given out"), "{document}");
}
