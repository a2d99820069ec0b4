//! Merging small files and deleting old ones.

use crate::freshet::Place;
use crate::keys::{assert_each_once, keyed_lines, keys_in};

fn files_of(place: &Place, table: &str) -> i64 {
    place.json(&format!("tables describe {table}"), &[])["files"].as_i64().unwrap()
}

#[test]
fn many_small_commits_become_few_files_with_the_same_rows() {
    let place = Place::new();
    // A package per file.
    place.file("freshet.toml", "[load]\nmax_rows = 1\n");
    let texts: Vec<_> = (0..8).map(|part| keyed_lines(400 + part, part * 10_000, 200)).collect();
    let files: Vec<_> = texts.iter().zip(0..).map(|(text, number)| place.file(&format!("{number}.log"), text)).collect();
    place.import(&files.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    let (rows, before) = (place.data_rows(), files_of(&place, "logs"));
    assert!(before >= 8, "{before}");

    let foretold = place.json("tables optimize logs --dry-run", &[]);
    assert_eq!(files_of(&place, "logs"), before, "a dry run changes nothing: {foretold}");
    let report = place.json("tables optimize", &[]);
    let logs = report.as_array().unwrap().iter().find(|table| table["table"] == "logs").unwrap();
    assert_eq!(logs["files_before"], foretold[0]["files_before"], "{foretold}");
    assert_eq!(files_of(&place, "logs"), 1, "{report}");
    assert_eq!(place.data_rows(), rows);
    assert_each_once(&place, keys_in(&texts.concat()));

    // What was imported is still known, from tables whose logs were rewritten.
    place.import(&files.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    assert_eq!(place.data_rows(), rows);

    let kept = place.json("tables vacuum --dry-run", &[]);
    assert!(kept.as_array().unwrap().iter().all(|table| table["files"] == 0), "all of it is younger than the retention: {kept}");
    let hasty = place.run("tables vacuum logs --retention 0s", &[]);
    assert_eq!(hasty.code, Some(1), "{hasty:#?}");
    assert!(hasty.stderr.contains("could remove files that are being written"), "{hasty:#?}");
    place.ok("tables vacuum", &[]);
    assert_each_once(&place, keys_in(&texts.concat()));
}

#[test]
fn tables_that_are_not_there_are_said_so() {
    let place = Place::new();
    place.import(&[&place.file("a.log", keyed_lines(1, 1, 10))]);
    for line in ["tables optimize log", "tables vacuum log", "tables describe log"] {
        let ended = place.run(line, &[]);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("the lake has no table log\n") && ended.stderr.contains("router_requests"), "{ended:#?}");
    }
    assert_eq!(place.run("tables vacuum --retention soon", &[]).code, Some(1));
}
