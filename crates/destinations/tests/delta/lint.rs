//! The log against the rules of the Delta protocol, read as plain JSON.

use std::collections::HashSet;
use std::path::Path;

use freshet_core::Destination;
use serde_json::Value;

use crate::TestLake;
use crate::conformance::commit;
use crate::conformance::rows::{EVENTS, WIDER_EVENTS, package};

/// The actions of every entry, oldest first.
pub fn entries(table: &Path) -> Vec<Vec<Value>> {
    let mut files: Vec<_> = std::fs::read_dir(table.join("_delta_log")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let parse = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    files.iter().map(parse).collect()
}

fn all<'a>(entry: &'a [Value], action: &'a str) -> impl Iterator<Item = &'a Value> {
    entry.iter().filter_map(move |line| line.get(action))
}

pub fn log_is_sound(table: &Path) {
    let mut active: HashSet<String> = HashSet::new();
    for (version, entry) in entries(table).iter().enumerate() {
        assert_eq!(all(entry, "commitInfo").count(), 1, "version {version}");
        assert!(entry[0].get("commitInfo").is_some(), "version {version}: commitInfo is not first");
        for line in entry {
            assert_eq!(line.as_object().unwrap().len(), 1, "version {version}: {line}");
        }
        assert_eq!(all(entry, "protocol").count(), usize::from(version == 0), "version {version}");
        assert!(all(entry, "metaData").count() <= 1, "version {version}");
        let ids: Vec<&str> = all(entry, "txn").map(|txn| txn["appId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), ids.iter().collect::<HashSet<_>>().len(), "version {version}: an application id twice");
        // Whoever merges objects, or takes rows away or brings them back, has read the table, and its rows are others.
        let operation = &all(entry, "commitInfo").next().unwrap()["operation"];
        let is_merge = ["MERGE", "DELETE", "RESTORE"].iter().any(|other| operation == other);
        if operation == "DELETE" || operation == "RESTORE" {
            assert_eq!(all(entry, "txn").count(), 0, "version {version} moves a checkpoint");
        }
        for remove in all(entry, "remove") {
            let path = remove["path"].as_str().unwrap();
            assert!(active.remove(path), "version {version} removes {path}, which was not there");
            assert_eq!(remove["dataChange"], is_merge);
            assert!(remove["deletionTimestamp"].is_i64() && remove["partitionValues"].is_object(), "{remove}");
        }
        for add in all(entry, "add") {
            assert!(active.insert(add["path"].as_str().unwrap().to_owned()), "version {version} adds a file twice: {add}");
            add_is_sound(table, add);
        }
        let blind = &all(entry, "commitInfo").next().unwrap()["isBlindAppend"];
        if all(entry, "add").count() > 0 {
            assert_eq!(*blind, Value::Bool(!is_merge && all(entry, "remove").count() == 0), "version {version}");
        }
    }
    for path in &active {
        assert!(table.join(path).exists(), "{path} is missing");
    }
}

fn add_is_sound(table: &Path, add: &Value) {
    let path = add["path"].as_str().unwrap();
    assert!(!path.starts_with('/') && !path.contains(':') && !path.contains(".."), "{path} is not relative");
    let date = add["partitionValues"]["date"].as_str();
    if let Some(date) = date {
        assert!(path.starts_with(&format!("date={date}/")), "{path} is not under {date}");
        assert_eq!(date.len(), 10, "{date}");
    }
    let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert!(statistics["numRecords"].as_u64().unwrap() > 0, "{}: {statistics}", table.display());
    for key in ["minValues", "maxValues", "nullCount"] {
        for column in statistics[key].as_object().unwrap().keys() {
            assert!(!WITHOUT_STATISTICS.contains(&column.as_str()), "{key} of {column}");
        }
    }
    for column in statistics["minValues"].as_object().unwrap().keys() {
        assert!(statistics["nullCount"].get(column).is_some(), "{column} has a minimum and no null count");
    }
}

const WITHOUT_STATISTICS: [&str; 8] = ["date", "message", "frame_id", "raw", "names", "extra", "samples", "text"];

#[tokio::test]
async fn what_we_write_keeps_the_protocol() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commit(&test.lake, &package(&EVENTS, 0..50, &[("a", 0, 1), ("b", 0, 1)])).await;
    test.lake.prepare(&WIDER_EVENTS).await.unwrap();
    commit(&test.lake, &package(&WIDER_EVENTS, 100..120, &[("a", 1, 2)])).await;
    let table = test.root().join("events");
    log_is_sound(&table);

    let log = entries(&table);
    let protocol = all(&log[0], "protocol").next().unwrap();
    assert_eq!((&protocol["minReaderVersion"], &protocol["minWriterVersion"]), (&1.into(), &2.into()));
    assert!(protocol.get("readerFeatures").is_none() && protocol.get("writerFeatures").is_none());

    let (before, after) = (all(&log[0], "metaData").next().unwrap(), all(&log[2], "metaData").next().unwrap());
    assert_eq!(before["id"], after["id"], "the table became another one");
    assert_eq!(before["partitionColumns"], serde_json::json!(["date"]));
    assert_eq!(before["description"], "one row per key");
    let mut properties: Vec<&str> = before["configuration"].as_object().unwrap().keys().map(String::as_str).collect();
    properties.sort_unstable();
    let whitelist = [
        "delta.checkpointInterval",
        "delta.dataSkippingStatsColumns",
        "delta.deletedFileRetentionDuration",
        "delta.isolationLevel",
        "delta.logRetentionDuration",
    ];
    assert_eq!(properties, whitelist);
    assert_eq!(before["configuration"]["delta.dataSkippingStatsColumns"], "ts,key,app,status,share,tls");
    assert_eq!(after["configuration"]["delta.dataSkippingStatsColumns"], "ts,key,app,status,share,tls,later,much_later");
    let schema: Value = serde_json::from_str(after["schemaString"].as_str().unwrap()).unwrap();
    for field in schema["fields"].as_array().unwrap() {
        assert_eq!(field["nullable"], true, "{field}");
        assert_eq!(field["metadata"]["comment"], "a column, with \"quotes\" and ümlauts");
        assert_ne!(field["type"], "timestamp_ntz");
    }

    let statistics: Value = serde_json::from_str(all(&log[1], "add").next().unwrap()["stats"].as_str().unwrap()).unwrap();
    for column in ["ts", "key", "app", "status", "share", "tls"] {
        assert!(statistics["nullCount"].get(column).is_some(), "no statistics of {column}: {statistics}");
    }
    let info = all(&log[1], "commitInfo").next().unwrap();
    assert_eq!((&info["operation"], &info["isBlindAppend"]), (&"STREAMING UPDATE".into(), &true.into()));
    assert_eq!(info["freshet"]["rows"], 50);
}
