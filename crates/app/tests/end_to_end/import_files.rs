//! `freshet import`: which bytes become rows, however they are packed, named, cut or repeated.

use std::io::Write as _;
use std::path::Path;

use crate::freshet::{Place, reported_rows, sample, sum};
use crate::keys::{assert_each_once, keyed_lines, keys_in};

const LOG_TABLES: [&str; 12] = [
    "api_events",
    "app_events",
    "dyno_events",
    "dyno_metrics",
    "logs",
    "metric_samples",
    "pgbouncer_metrics",
    "platform_errors",
    "postgres_logs",
    "postgres_metrics",
    "redis_metrics",
    "router_requests",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn the_samples_fill_every_table_and_a_second_import_adds_nothing() {
    let place = Place::new();
    let samples = ["shop.log", "shop.frames", "archive.jsonl.gz"].map(sample);
    let report = place.import(&[&samples[0]]);
    let rows = place.data_rows();
    assert_eq!(reported_rows(&report), rows, "the report says what the tables hold");
    for table in LOG_TABLES.iter().chain(&["_rejects", "_loss"]) {
        assert!(rows.contains_key(*table), "{table} is empty: {rows:?}");
    }
    assert_eq!(sum(&report, "messages"), rows["logs"]);
    assert_eq!(sum(&report, "rejects"), rows["_rejects"]);

    let all: Vec<&Path> = samples.iter().map(AsRef::as_ref).collect();
    let more = place.import(&all);
    let formats: Vec<_> = more["files"].as_array().unwrap().iter().map(|file| file["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["cli", "frames", "json-lines"]);
    let known: Vec<_> = more["files"].as_array().unwrap().iter().map(|file| file["known_bytes"].as_i64().unwrap()).collect();
    assert_eq!(known, [sum(&report, "bytes"), 0, 0]);
    let rows = place.data_rows();
    assert_eq!(
        rows["logs"],
        sum(&report, "messages") + more["files"][1]["messages"].as_i64().unwrap() + more["files"][2]["messages"].as_i64().unwrap()
    );

    let again = place.import(&all);
    assert_eq!(again["tables"].as_array().unwrap().len(), 0, "{again}");
    assert_eq!(sum(&again, "known_bytes"), sum(&again, "bytes"));
    assert_eq!(place.data_rows(), rows);
}

#[test]
fn the_same_bytes_are_known_under_any_name_and_packing() {
    let place = Place::new();
    let lines = keyed_lines(11, 1, 3_000);
    let first = place.file("app.log", &lines);
    place.import(&[&first]);
    let rows = place.rows_by_table();
    let copies = [
        place.file("elsewhere/copy of app.log", &lines),
        place.file("app.log.gz", gzip(&lines)),
        // A file that was packed in two parts is one file.
        place.file("parts.gz", [gzip(&lines[..1000]), gzip(&lines[1000..])].concat()),
        place.file("app.log.zst", zstd::encode_all(&lines[..], 1).unwrap()),
        place.file("without.suffix", zstd::encode_all(&lines[..], 19).unwrap()),
    ];
    let copies: Vec<&Path> = copies.iter().map(AsRef::as_ref).collect();
    let report = place.import(&copies);
    assert_eq!(sum(&report, "known_bytes"), 5 * lines.len() as i64, "{report}");
    assert_eq!(place.rows_by_table(), rows, "not even a commit was made");
    assert_eq!(place.run_with_input("import - -q", &[], &lines).code, Some(0));
    assert_eq!(place.rows_by_table(), rows);
    assert_each_once(&place, keys_in(&lines));
}

#[test]
fn the_same_file_twice_in_one_import_is_added_once() {
    let place = Place::new();
    let lines = keyed_lines(12, 1, 500);
    let (one, other) = (place.file("one.log", &lines), place.file("other.log", &lines));
    place.import(&[&one, &other, &one]);
    assert_each_once(&place, keys_in(&lines));
}

#[test]
fn a_file_that_has_grown_adds_its_new_lines() {
    let place = Place::new();
    let lines = keyed_lines(13, 1, 2_000);
    let ends: Vec<usize> = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let mut before = 0;
    for end in [ends[0], ends[1], ends[999], ends[1500], lines.len()] {
        let file = place.file("app.log", &lines[..end]);
        let report = place.import(&[&file]);
        assert_eq!(sum(&report, "known_bytes"), before as i64, "{report}");
        assert_each_once(&place, keys_in(&lines[..end]));
        before = end;
    }
    // Rotated away: the rest in a file that does not begin like the old one is new content, and so it should be.
    let rotated = [keyed_lines(14, 1_000_000, 50), lines.clone()].concat();
    let file = place.file("other.log", keyed_lines(14, 1_000_000, 50));
    place.import(&[&file]);
    assert_each_once(&place, keys_in(&rotated));
}

#[test]
fn a_file_cut_in_mid_line_loses_and_doubles_no_byte() {
    let lines = keyed_lines(15, 1, 400);
    let middle = lines.len() / 2;
    for cut in [middle, middle + 37, middle + 74, lines.len() - 1] {
        let place = Place::new();
        place.import(&[&place.file("app.log", &lines[..cut])]);
        let report = place.import(&[&place.file("app.log", &lines)]);
        assert_eq!(sum(&report, "known_bytes"), cut as i64, "{report}");
        let keys = crate::keys::keys_in_lake(&place);
        let doubled: Vec<_> = keys.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "cut at {cut}: {doubled:?}");
        // The line that was cut is in two pieces: its beginning is a row, and its end a reject that says so, or nothing
        // when only the newline was missing.
        let rejected: Vec<u8> = rejected_bytes(&place, "continues_imported");
        let line_start = lines[..cut].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let line_end = cut + lines[cut..].iter().position(|byte| *byte == b'\n').unwrap();
        let rest = &lines[cut..line_end];
        assert_eq!(String::from_utf8_lossy(rejected.trim_ascii_end()), String::from_utf8_lossy(rest), "cut at {cut}");
        let lost: Vec<_> =
            keys_in(&[&lines[..line_start], &lines[line_end..]].concat()).into_iter().filter(|key| !keys.contains_key(key)).collect();
        assert!(lost.is_empty(), "cut at {cut}: {lost:?}");
    }
}

/// The bytes of all rejects with this reason.
fn rejected_bytes(place: &Place, reason: &str) -> Vec<u8> {
    let ended = place.ok(&format!("rejects show --reason {reason} --output json"), &[]);
    let text = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    ended.stdout.lines().map(text).collect::<String>().into_bytes()
}

#[test]
fn folders_files_and_standard_input_mix() {
    let place = Place::new();
    let parts: Vec<Vec<u8>> = (0..4).map(|part| keyed_lines(20 + part, part * 10_000, 300)).collect();
    place.file("logs/2026/a.log", &parts[0]);
    place.file("logs/b.log.gz", gzip(&parts[1]));
    place.file("logs/.hidden", b"not for us");
    place.file("logs/empty.log", b"");
    let other = place.file("c.log", &parts[2]);
    let ended = place.run_with_input("import logs - --app shop", &[&other], &parts[3]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("of 5 files in"), "{ended:#?}");
    assert_each_once(&place, keys_in(&parts.concat()));
    assert_eq!(place.number("SELECT count(*) FROM logs WHERE app IS NULL OR app <> 'shop'"), 0);
}

#[test]
fn colours_of_the_terminal_are_taken_out_and_kept_raw() {
    let place = Place::new();
    let line = "\u{1b}[36m2026-11-20T10:00:00.000001+00:00 app[web.1]:\u{1b}[0m \u{1b}[1mpaid\u{1b}[0m order\n";
    place.import(&[&place.file("app.log", line)]);
    let rows = place.query("SELECT source, dyno, message, CAST(ts AS STRING) AS ts FROM logs");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0]["source"].as_str(), rows[0]["dyno"].as_str()), (Some("app"), Some("web.1")));
    assert_eq!(rows[0]["message"], "paid order");
    let raw = place.number("SELECT count(*) FROM logs WHERE message_raw IS NOT NULL");
    assert_eq!(raw, 1, "the bytes as they came are kept beside the text");
}

#[test]
fn every_byte_is_in_a_row_or_a_reject() {
    let place = Place::new();
    let mut junk = freshet_bench::random::Random::new(7);
    let noise: Vec<u8> = (0..20_000).map(|_| if junk.chance(30) { b'\n' } else { junk.bits() as u8 }).collect();
    let mixed = [keyed_lines(30, 1, 200), noise, b"\n".to_vec(), keyed_lines(31, 10_000, 200)].concat();
    let report = place.import(&[&place.file("mixed.log", &mixed)]);
    let kept = place.number("SELECT sum(octet_length(encode(bytes, 'hex')) / 2) FROM _rejects");
    assert_eq!(kept, sum(&report, "reject_bytes"));
    assert!(kept > 5_000, "{report}");
    assert_each_once(&place, keys_in(&mixed));
}
