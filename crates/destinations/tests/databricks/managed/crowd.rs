//! Several processes at once.

use std::sync::Arc;

use freshet_core::{CommitOutcome, Destination};
use futures::future::join_all;

use super::{FAULTS, TestTables};
use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, package};
use crate::conformance::{Subject, assert_rows, checkpoint};
use crate::rigs::Rig;

/// Eight tasks of four processes load into one table.
async fn eight_writers(test: &TestTables) {
    const WRITERS: i64 = 8;
    const COMMITS: i64 = 4;
    let processes: Vec<_> = (0..4).map(|_| Arc::new(test.other())).collect();
    let tasks = (0..WRITERS).map(|writer| {
        let tables = Arc::clone(&processes[usize::try_from(writer % 4).unwrap()]);
        tokio::spawn(async move {
            tables.prepare(&KEYS).await.unwrap();
            let shard = format!("writer/{writer}");
            for at in 0..COMMITS {
                let from = at.unsigned_abs();
                let keys = (0..5).map(|key| (writer * COMMITS + at) * 5 + key);
                let package = package(&KEYS, keys, &[(shard.as_str(), from, from + 1)]);
                while let Err(error) = tables.commit(&package).await {
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_rows(test, &KEYS, 0..WRITERS * COMMITS * 5).await;
    for writer in 0..WRITERS {
        assert_eq!(checkpoint(test.destination(), &KEYS, &format!("writer/{writer}")).await, Some(COMMITS.unsigned_abs()));
    }
    let history = test.destination().history(&KEYS, None).await.unwrap();
    let versions: Vec<i64> = history.iter().map(|committed| committed.version).collect();
    assert_eq!(versions, (1..=WRITERS * COMMITS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_lose_and_double_nothing() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"statement_ms": [5, 40]}"#);
    eight_writers(&TestTables::fresh(&rig)).await;
    rig.tell("faults", &format!(r#"{{"seed": 3, {FAULTS}}}"#));
    eight_writers(&TestTables::fresh(&rig)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_one_shard_do_not_double_it() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"statement_ms": [0, 30]}"#);
    let test = TestTables::fresh(&rig);
    let processes = [test.other(), test.other(), test.other()];
    for round in 0..6_u64 {
        let key = i64::try_from(round).unwrap();
        let package = package(&KEYS, [key], &[("spool", round, round + 1)]);
        let outcomes = join_all(processes.iter().map(|tables| tables.commit(&package))).await;
        let landed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CommitOutcome::Committed(_)))).count();
        let there = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CommitOutcome::AlreadyThere))).count();
        assert_eq!((landed, there), (1, 2), "{outcomes:?}");
    }
    assert_rows(&test, &KEYS, 0..6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_and_widened_by_many_at_once() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"statement_ms": [0, 30]}"#);
    let test = TestTables::fresh(&rig);
    let processes: Vec<_> = (0..4).map(|_| test.other()).collect();
    for table in [&EVENTS, &WIDER_EVENTS] {
        let prepared = join_all(processes.iter().map(|tables| tables.prepare(table))).await;
        assert!(prepared.iter().all(Result::is_ok), "{prepared:?}");
    }
    // Its own 15 columns and that of the load, in one order for all.
    assert_eq!(test.table("events")["columns"].as_array().unwrap().len(), 16);
    let write = async |tables: &dyn Destination, shard: &str, keys: std::ops::Range<i64>| {
        for key in keys {
            let at = key.rem_euclid(10).unsigned_abs();
            let package = package(if shard == "old" { &EVENTS } else { &WIDER_EVENTS }, [key], &[(shard, at, at + 1)]);
            while let Err(error) = tables.commit(&package).await {
                assert!(error.is_transient(), "{error:?}");
            }
        }
    };
    futures::join!(write(&processes[0], "old", 0..5), write(&processes[1], "new", 10..15));
    assert_rows(&test, &EVENTS, (0..5).chain(10..15)).await;
}
