//! Merging small files and deleting old ones.

use std::path::Path;

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

fn rows_of(place: &Place, table: &str) -> i64 {
    place.query(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().unwrap()
}

#[test]
fn rows_are_erased_expire_and_come_back_and_nothing_is_loaded_again() {
    let place = Place::new();
    let (first, second) = (place.file("a.log", keyed_lines(1, 1, 200)), place.file("b.log", keyed_lines(2, 50_000, 200)));
    place.import(&[&first]);
    place.import(&[&second]);
    let all = rows_of(&place, "logs");
    let condition = Path::new("message LIKE '%7%'");
    let foretold = place.json("tables erase logs --dry-run", &[Path::new("--where"), condition]);
    assert!(foretold[0]["rows"].as_i64() > Some(0), "{foretold}");
    assert_eq!(rows_of(&place, "logs"), all, "a dry run changes nothing");
    place.ok("tables erase logs --where", &[condition]);
    let left = rows_of(&place, "logs");
    assert!(left < all && place.query("SELECT count(*) AS n FROM logs WHERE message LIKE '%7%'")[0]["n"] == 0);
    assert_eq!(rows_of(&place, "logs VERSION AS OF 2"), all);
    place.import(&[&first, &second]);
    assert_eq!(rows_of(&place, "logs"), left, "what was erased is not loaded again");

    let hasty = place.run("tables restore logs --version 1 --undo-erase", &[]);
    assert_eq!(hasty.code, Some(2), "{hasty:#?}");
    assert!(hasty.stderr.contains("does not come again by itself"), "{hasty:#?}");
    assert_eq!(place.run("tables restore logs --version 1 --yes", &[]).code, Some(1), "rows that were erased would come back");
    place.ok("tables restore logs --version 3 --yes", &[]);
    assert_eq!(rows_of(&place, "logs"), left);

    place.ok("tables expire --older-than 1d", &[]);
    place.import(&[&first, &second]);
    let history = place.run("tables history logs --output json", &[]);
    let versions: Vec<serde_json::Value> = history.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(versions.iter().any(|version| version["operation"] == "DELETE" && !version.to_string().contains("%7%")), "{versions:?}");
    assert!(versions.iter().any(|version| version["load_id"].is_string() && version["rows"] == 200), "{versions:?}");
}
