//! What loads cost, what they leave behind, and what tables look like to people.

use std::sync::Arc;

use freshet_core::{Clock, Destination, DestinationError, Micros, SystemClock};
use freshet_destinations::databricks::{LEDGER, Managed, ManagedOptions};

use super::{TestTables, workspace};
use crate::conformance::rows::{EVENTS, KEYS, package};
use crate::conformance::{assert_rows, checkpoint, commit};
use crate::rigs::Rig;

/// The first words of the statements since the simulator last forgot them.
fn statements(test: &TestTables) -> Vec<String> {
    let state = test.state();
    let texts = state["executed"].as_array().unwrap().iter().map(|each| each["text"].as_str().unwrap());
    texts.map(|text| text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_two_statements_and_one_without_rows_is_one() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    test.tables.prepare(&EVENTS).await.unwrap();
    commit(&test.tables, &package(&EVENTS, 0..40, &[("a", 0, 1)])).await;
    for at in 1..5 {
        rig.tell("forget", "{}");
        let keys = i64::try_from(at).unwrap() * 100..i64::try_from(at).unwrap() * 100 + 10;
        commit(&test.tables, &package(&EVENTS, keys, &[("a", at, at + 1)])).await;
        assert_eq!(statements(&test), ["MERGE INTO", "INSERT INTO"]);
        let requests = test.state()["requests"].clone();
        let count: u64 = requests.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        // A look at the table, two statements, two files put, its own deleted, and of the folder before: listed, its mark and itself deleted.
        assert!(count <= 9, "{requests}");
    }
    rig.tell("forget", "{}");
    commit(&test.tables, &package(&EVENTS, [], &[("a", 5, 6)])).await;
    assert_eq!(statements(&test), ["MERGE INTO"]);
    rig.tell("forget", "{}");
    test.tables.prepare(&EVENTS).await.unwrap();
    assert_eq!(statements(&test), [""; 0], "what is there is prepared without waking the warehouse");
    // Another process: what is newest, and what all comes to.
    let other = test.other();
    assert_eq!(checkpoint(&other, &EVENTS, "a").await, Some(6));
    assert_eq!(statements(&test), ["SELECT `version`,", "SELECT p.`shard`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_tell_people_what_they_are() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    test.tables.prepare(&EVENTS).await.unwrap();
    let table = test.table("events");
    assert_eq!((table["comment"].as_str(), table["clustering"].as_str()), (Some("one row per key"), Some("AUTO")));
    assert_eq!(table["tags"]["freshet"], "log");
    let columns = table["columns"].as_array().unwrap();
    assert_eq!(columns[0]["comment"], "a column, with \"quotes\" and ümlauts");
    assert_eq!(columns.last().unwrap()["name"], "_load_id");
    assert_eq!(test.table(LEDGER)["partitioned_by"][0], "table_name");
    // A workspace that cannot choose columns to cluster by gets a table without.
    rig.tell("settings", r#"{"cluster_by_auto": false}"#);
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&EVENTS, 0..3, &[("a", 0, 1)])).await;
    assert!(test.table("events")["clustering"].is_null());
    assert_rows(&test, &EVENTS, 0..3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_may_lose_is_refused() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..3, &[("a", 0, 1)])).await;
    test.sql(&format!("DROP TABLE SCHEMA.`{LEDGER}`")).await;
    let error = test.other().prepare(&KEYS).await.unwrap_err();
    assert!(matches!(&error, DestinationError::Refused { problem } if problem.contains("UNDROP TABLE")), "{error:?}");
    // No catalog, and nobody makes one.
    let nowhere = Managed::new(workspace(&rig), ManagedOptions::new("nowhere", "s"));
    let error = nowhere.prepare(&KEYS).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("nowhere"), "{error:?}");
}

/// A clock so many hours ahead of the right one.
struct Ahead(i64);

impl Clock for Ahead {
    fn now(&self) -> Micros {
        Micros(SystemClock.now().0 + self.0 * 3600 * 1_000_000)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_nobody_names_are_swept_after_a_day() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..3, &[("a", 0, 1)])).await;
    let (workspace, folder) = (workspace(&rig), format!("/Volumes/main/{}/freshet/_keys", test.schema));
    workspace.put_file(&format!("{folder}/left-behind/part-00000.parquet"), bytes::Bytes::from_static(b"x")).await.unwrap();
    let hours = |hours: i64| {
        Managed::new(super::workspace(&rig), ManagedOptions { clock: Arc::new(Ahead(hours)), ..ManagedOptions::new("main", &test.schema) })
    };
    let aged = |hours: u32| rig.tell("age", &format!(r#"{{"path": "{folder}/left-behind/part-00000.parquet", "hours": {hours}}}"#));
    let folders = async || workspace.list_folder(&folder).await.unwrap().unwrap().len();
    // A clock that is days ahead makes nothing old.
    commit(&hours(72), &package(&KEYS, 3..4, &[("a", 1, 2)])).await;
    assert_eq!(folders().await, 2);
    aged(23);
    commit(&test.other(), &package(&KEYS, 4..5, &[("a", 2, 3)])).await;
    assert_eq!(folders().await, 2);
    aged(25);
    commit(&test.other(), &package(&KEYS, 5..6, &[("a", 3, 4)])).await;
    assert_eq!(folders().await, 1, "that of the newest load");
    // A clock that is behind by more than what claims may be late by is told of, and nothing is written.
    let error = hours(-13).commit(&package(&KEYS, 6..7, &[("a", 4, 5)])).await.unwrap_err();
    assert!(matches!(&error, DestinationError::Refused { problem } if problem.contains("clock")), "{error:?}");
    assert_rows(&test, &KEYS, 0..6).await;
}
