//! Several writers on one lake, as tasks and as processes would be.

use std::sync::Arc;

use freshet_core::{CommitOutcome, Destination};
use freshet_destinations::delta::{CompactionOptions, DurableStore, Lake, LakeOptions};
use futures::future::join_all;

use crate::TestLake;
use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, keys_of, package};
use crate::conformance::{Subject, assert_rows, checkpoint, commit};
use crate::faulty::{Fault, FaultyStore, Request};
use crate::lint::{entries, log_is_sound};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_tasks_and_another_lake_append_at_once() {
    let test = TestLake::fresh();
    eight_writers(&test, &|| test.other()).await;
    log_is_sound(&test.root().join("_keys"));
}

/// Eight tasks of two processes append to one table; `other` is the lake as another process opens it.
pub async fn eight_writers(subject: &dyn Subject, other: &dyn Fn() -> Lake) {
    const WRITERS: i64 = 8;
    const COMMITS: i64 = 6;
    let (ours, theirs) = (Arc::new(other()), Arc::new(other()));
    let tasks = (0..WRITERS).map(|writer| {
        let lake = Arc::clone(if writer % 2 == 0 { &ours } else { &theirs });
        tokio::spawn(async move {
            lake.prepare(&KEYS).await.unwrap();
            let shard = format!("writer/{writer}");
            for at in 0..COMMITS {
                let from = at.unsigned_abs();
                let keys = (0..5).map(|key| (writer * COMMITS + at) * 5 + key);
                let package = package(&KEYS, keys, &[(shard.as_str(), from, from + 1)]);
                while let Err(error) = lake.commit(&package).await {
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_rows(subject, &KEYS, 0..WRITERS * COMMITS * 5).await;
    let destination = subject.destination();
    for writer in 0..WRITERS {
        assert_eq!(checkpoint(destination, &KEYS, &format!("writer/{writer}")).await, Some(COMMITS.unsigned_abs()));
    }
    assert_eq!(destination.history(&KEYS, None).await.unwrap().len(), usize::try_from(WRITERS * COMMITS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_one_shard_do_not_double_it() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    let lakes = [test.other(), test.other(), test.other()];
    for round in 0..6_u64 {
        let key = i64::try_from(round).unwrap();
        let package = package(&KEYS, [key], &[("spool", round, round + 1)]);
        let outcomes = join_all(lakes.iter().map(|lake| lake.commit(&package))).await;
        let landed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CommitOutcome::Committed(_)))).count();
        assert_eq!(landed, 1, "{outcomes:?}");
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Ok(CommitOutcome::Committed(_) | CommitOutcome::AlreadyThere))),
            "{outcomes:?}"
        );
    }
    assert_rows(&test, &KEYS, 0..6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_created_and_widened_once() {
    let test = TestLake::fresh();
    let lakes: Vec<_> = (0..4).map(|_| test.other()).collect();
    let prepared = join_all(lakes.iter().map(|lake| lake.prepare(&EVENTS))).await;
    assert!(prepared.iter().all(Result::is_ok), "{prepared:?}");
    let prepared = join_all(lakes.iter().map(|lake| lake.prepare(&WIDER_EVENTS))).await;
    assert!(prepared.iter().all(Result::is_ok), "{prepared:?}");
    let log = entries(&test.root().join("events"));
    assert_eq!(log.len(), 2, "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_appears_while_others_write() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    let (old, new) = (test.other(), test.other());
    let write = async {
        for at in 0..10_i64 {
            let package = package(&EVENTS, at * 5..at * 5 + 5, &[("old", at.unsigned_abs(), at.unsigned_abs() + 1)]);
            while let Err(error) = old.commit(&package).await {
                assert!(error.is_transient(), "{error:?}");
            }
        }
    };
    let widen = async { new.prepare(&WIDER_EVENTS).await.unwrap() };
    futures::join!(write, widen);
    assert_rows(&test, &EVENTS, 0..50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_races_with_writers_and_with_itself() {
    let test = TestLake::fresh();
    writers_and_mergers(&test, &|| test.other()).await;
    log_is_sound(&test.root().join("events"));
}

/// Three processes append to one table while two others merge its files.
pub async fn writers_and_mergers(subject: &dyn Subject, other: &dyn Fn() -> Lake) {
    const WRITERS: i64 = 3;
    const COMMITS: i64 = 10;
    subject.destination().prepare(&EVENTS).await.unwrap();
    let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
    let writers = (0..WRITERS).map(|writer| {
        let lake = other();
        async move {
            let shard = format!("writer/{writer}");
            for at in 0..COMMITS {
                let keys = (0..4).map(|key| (writer * COMMITS + at) * 4 + key);
                let package = package(&EVENTS, keys, &[(shard.as_str(), at.unsigned_abs(), at.unsigned_abs() + 1)]);
                while let Err(error) = lake.commit(&package).await {
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        }
    });
    let mergers = (0..2).map(|_| {
        let (lake, options) = (other(), everything.clone());
        async move {
            for _ in 0..4 {
                // Losing every race is allowed, doing harm is not.
                let _ = lake.compact_unleased("events", &options).await;
            }
        }
    });
    futures::join!(join_all(writers), join_all(mergers));
    other().compact("events", &everything).await.unwrap();
    let keys: Vec<i64> = subject.read(&EVENTS).await.iter().flat_map(keys_of).collect();
    assert_eq!(keys.len(), usize::try_from(WRITERS * COMMITS * 4).unwrap(), "rows were lost or doubled");
    assert_rows(subject, &EVENTS, 0..WRITERS * COMMITS * 4).await;
}

/// A lake over the files of `test` in which `before_entry` happens just before the next entry of a log is written, when
/// everything has been read and decided.
fn interrupted(test: &TestLake, before_entry: impl Future<Output = ()> + Send + 'static) -> Lake {
    let store = Arc::new(FaultyStore::new(Arc::new(DurableStore::new(test.root())), std::io::ErrorKind::TimedOut));
    let mut before_entry = Some(before_entry);
    store.plan(move |request, path| {
        if request == Request::Put
            && path.as_ref().ends_with(".json")
            && let Some(act) = before_entry.take()
        {
            let elsewhere = move || tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(act);
            std::thread::spawn(elsewhere).join().unwrap();
        }
        Fault::None
    });
    Lake::with_store(test.root(), store, LakeOptions::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_of_files_that_another_has_just_merged_is_given_up() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    for at in 0..4_u64 {
        let keys = (0..5).map(|key| i64::try_from(at).unwrap() * 5 + key);
        commit(&test.lake, &package(&KEYS, keys, &[("a", at, at + 1)])).await;
    }
    let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
    let (other, options) = (test.other(), everything.clone());
    let lake = interrupted(&test, async move {
        assert_eq!(other.compact_unleased("_keys", &options).await.unwrap().files_before, 4);
    });
    let merged = lake.compact_unleased("_keys", &everything).await.unwrap();
    assert_eq!((merged.files_before, merged.given_up), (0, 1));
    assert_rows(&test, &KEYS, 0..20).await;
    log_is_sound(&test.root().join("_keys"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_another_has_just_committed_is_there() {
    for (spans, outcome) in [((0, 5), CommitOutcome::AlreadyThere), ((0, 3), CommitOutcome::Overtaken)] {
        let test = TestLake::fresh();
        test.lake.prepare(&KEYS).await.unwrap();
        let other = test.other();
        let theirs = package(&KEYS, 0..4, &[("a", spans.0, spans.1)]);
        let lake = interrupted(&test, async move {
            commit(&other, &theirs).await;
        });
        assert_eq!(lake.commit(&package(&KEYS, 0..4, &[("a", 0, 5)])).await.unwrap(), outcome);
        assert_rows(&test, &KEYS, 0..4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_and_a_widening_between_reading_and_writing_do_not_stop_a_commit() {
    for widen in [false, true] {
        let test = TestLake::fresh();
        test.lake.prepare(&EVENTS).await.unwrap();
        commit(&test.lake, &package(&EVENTS, 0..3, &[("a", 0, 1)])).await;
        commit(&test.lake, &package(&EVENTS, 3..6, &[("a", 1, 2)])).await;
        let other = test.other();
        let lake = interrupted(&test, async move {
            if widen {
                other.prepare(&WIDER_EVENTS).await.unwrap();
            } else {
                let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
                assert_eq!(other.compact_unleased("events", &everything).await.unwrap().files_before, 6);
            }
        });
        let committed = commit(&lake, &package(&EVENTS, 6..9, &[("a", 2, 3)])).await;
        assert!(committed.version >= 4, "{committed:?}");
        assert_rows(&test, &EVENTS, 0..9).await;
    }
}
