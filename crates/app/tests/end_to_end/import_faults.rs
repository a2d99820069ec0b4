//! `freshet import` when something is wrong: what it says, how it exits, and that nothing is half there.

use std::os::unix::fs::PermissionsExt as _;

use crate::freshet::{Ended, Place, sample};
use crate::keys::{keyed_lines, keys_in};

/// The command failed with `code` and said `words`, on standard error and nowhere else.
fn assert_failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    assert!(words.iter().all(|word| ended.stderr.contains(word)), "{words:?} in {ended:#?}");
    assert_eq!(ended.stdout, "", "{ended:#?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
}

#[test]
fn a_file_that_is_not_there_stops_the_import_before_it_begins() {
    let place = Place::new();
    let there = sample("shop.log");
    let ended = place.run("import nowhere.log neither.log", &[&there]);
    assert_failed(&ended, 1, &["nowhere.log does not exist", "neither.log does not exist"]);
    assert!(!place.lake().exists(), "nothing was written");
    place.file("empty/.hidden", "");
    assert_failed(&place.run("import empty", &[]), 1, &["empty holds no files"]);
    assert_failed(&place.run("import - -", &[]), 1, &["given twice"]);
}

#[test]
fn a_file_that_may_not_be_read_is_said_so() {
    let place = Place::new();
    let file = place.file("secret.log", "2026-11-20T10:00:00.000001+00:00 app[web.1]: hello\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        eprintln!("skipped: this user may read every file");
        return;
    }
    assert_failed(&place.run("import secret.log", &[]), 77, &["secret.log cannot be read"]);
    assert!(!place.lake().exists());
}

#[test]
fn a_target_that_cannot_be_written_is_said_so() {
    let place = Place::new();
    place.file("a-file", "not a folder");
    let log = sample("shop.log");
    let to = |target: &str| place.run(&format!("import --to {target}"), &[&log]);
    assert_failed(&to("a-file/lake"), 1, &["a-file/lake"]);
    assert_failed(&to("a-file"), 1, &["a-file"]);
    assert_failed(&to("/proc/freshet/lake"), 1, &["/proc/freshet/lake"]);
    assert_failed(&to("ftp://host/lake"), 78, &["s3://"]);
}

#[test]
fn a_file_in_no_known_format_is_kept_and_the_exit_code_tells() {
    let place = Place::new();
    let file = place.file("users.csv", "id,name\n1,ada\n2,grace\n");
    let ended = place.run("import", &[&file]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stdout.contains("rejects"), "{ended:#?}");
    assert_eq!(place.number("SELECT sum(octet_length(encode(bytes, 'hex')) / 2) FROM _rejects"), 22, "all of it is there");
    let tolerant = place.run("import --rejects-max 100", &[&place.file("more.csv", "id,name\n3,alan\n")]);
    assert_eq!(tolerant.code, Some(0), "{tolerant:#?}");
}

#[test]
fn a_damaged_archive_gives_what_is_readable_and_the_rest_later() {
    let place = Place::new();
    let lines = keyed_lines(40, 1, 5_000);
    let packed = zstd::encode_all(&lines[..], 1).unwrap();
    let good = place.file("good.log", keyed_lines(41, 100_000, 100));
    let broken = place.file("app.log.zst", &packed[..packed.len() / 2]);
    let ended = place.run("import", &[&broken, &good]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("damaged or cut short"), "{ended:#?}");
    place.import(&[&place.file("app.log.zst", &packed)]);
    // The line where the archive broke was a row already; all others are there once.
    let found = crate::keys::keys_in_lake(&place);
    let expected = keys_in(&[lines, keyed_lines(41, 100_000, 100)].concat());
    let lost: Vec<_> = expected.iter().filter(|key| !found.contains_key(key)).collect();
    assert!(lost.len() <= 1, "{lost:?}");
    assert!(found.values().all(|times| *times == 1), "{found:?}");
    assert!(found.len() <= expected.len() + 1);
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let log = sample("shop.log");
    let ended = place.ok("import --dry-run", &[&log]);
    assert!(ended.stdout.contains("nothing was written"), "{ended:#?}");
    let report = place.json("import --dry-run", &[&log]);
    assert_eq!(report["dry_run"], true);
    assert!(!place.lake().exists(), "not even the folder");
    // What it foretells is what comes.
    let real = place.import(&[&log]);
    assert_eq!(crate::freshet::reported_rows(&real), crate::freshet::reported_rows(&report));
}

#[test]
fn silence_is_silence() {
    let place = Place::new();
    let log = sample("shop.log");
    let ended = place.ok("import -q", &[&log]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let ended = place.ok("import --output json", &[&log]);
    assert_eq!(ended.stderr, "", "a program that reads the document is told nothing else");
}
