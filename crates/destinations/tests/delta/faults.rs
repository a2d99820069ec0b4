//! A store that lies: every package lands once all the same.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use freshet_core::{CommitOutcome, Destination, DestinationError};
use freshet_destinations::delta::{CompactionOptions, DurableStore, Lake, LakeOptions, VacuumOptions};
use tempfile::TempDir;

use crate::conformance::rows::{EVENTS, KEYS, keys_of, package};
use crate::conformance::{checkpoint, commit};
use crate::faulty::{Fault, FaultyStore, Request};
use crate::{lint, read};

struct Shaky {
    lake: Lake,
    store: Arc<FaultyStore>,
    _directory: TempDir,
}

fn shaky(kind: ErrorKind) -> Shaky {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(DurableStore::new(directory.path())), kind));
    let lake = Lake::with_store(directory.path(), Arc::clone(&store) as _, LakeOptions::default()).unwrap();
    Shaky { lake, store, _directory: directory }
}

fn is_entry(path: &object_store::path::Path) -> bool {
    path.as_ref().contains("_delta_log") && path.as_ref().ends_with(".json")
}

async fn keys(lake: &Lake) -> Vec<i64> {
    let mut keys: Vec<i64> = read(lake, &KEYS).await.iter().flat_map(keys_of).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_found() {
    let shaky = shaky(ErrorKind::TimedOut);
    shaky.lake.prepare(&KEYS).await.unwrap();
    shaky.store.plan(|request, path| if request == Request::Put && is_entry(path) { Fault::After } else { Fault::None });
    let committed = commit(&shaky.lake, &package(&KEYS, 0..3, &[("a", 0, 5)])).await;
    assert_eq!((committed.rows, committed.version), (3, 1));
    assert_eq!(keys(&shaky.lake).await, [0, 1, 2]);
}

#[tokio::test]
async fn an_entry_that_never_arrived_can_be_committed_again() {
    let shaky = shaky(ErrorKind::TimedOut);
    shaky.lake.prepare(&KEYS).await.unwrap();
    let package = package(&KEYS, 0..3, &[("a", 0, 5)]);
    for what in ["entry", "file"] {
        shaky.store.plan(move |request, path| match request {
            Request::Put if is_entry(path) == (what == "entry") => Fault::Before,
            _ => Fault::None,
        });
        let error = shaky.lake.commit(&package).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(error.to_string().contains("_keys"), "{error}");
    }
    shaky.store.plan(|_, _| Fault::None);
    assert_eq!(checkpoint(&shaky.lake, &KEYS, "a").await, None);
    commit(&shaky.lake, &package).await;
    assert_eq!(keys(&shaky.lake).await, [0, 1, 2]);
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_and_then_the_store_is_gone() {
    let shaky = shaky(ErrorKind::TimedOut);
    shaky.lake.prepare(&KEYS).await.unwrap();
    let mut landed = false;
    shaky.store.plan(move |request, path| match request {
        Request::Put if is_entry(path) => {
            landed = true;
            Fault::After
        }
        Request::Get if landed => Fault::Before,
        _ => Fault::None,
    });
    let package = package(&KEYS, 0..3, &[("a", 0, 5)]);
    assert!(shaky.lake.commit(&package).await.unwrap_err().is_transient());
    shaky.store.plan(|_, _| Fault::None);
    assert_eq!(shaky.lake.commit(&package).await.unwrap(), CommitOutcome::AlreadyThere);
    assert_eq!(keys(&shaky.lake).await, [0, 1, 2]);
}

#[tokio::test]
async fn errors_say_what_to_do_and_leave_nothing_visible() {
    for (kind, transient, says) in [(ErrorKind::StorageFull, true, "no space left"), (ErrorKind::PermissionDenied, false, "write access")] {
        let shaky = shaky(kind);
        shaky.store.plan(|request, _| if request == Request::Put { Fault::Before } else { Fault::None });
        let check = |error: DestinationError| {
            assert_eq!(error.is_transient(), transient, "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        };
        check(shaky.lake.prepare(&KEYS).await.unwrap_err());
        assert_eq!(shaky.lake.tables().await.unwrap(), Vec::<String>::new());
        shaky.store.plan(|_, _| Fault::None);
        shaky.lake.prepare(&KEYS).await.unwrap();
        shaky.store.plan(|request, _| if request == Request::Put { Fault::Before } else { Fault::None });
        check(shaky.lake.commit(&package(&KEYS, 0..3, &[("a", 0, 5)])).await.unwrap_err());
        assert_eq!(keys(&shaky.lake).await, Vec::<i64>::new());
        assert_eq!(checkpoint(&shaky.lake, &KEYS, "a").await, None);
    }
}

#[tokio::test]
async fn a_checkpoint_that_fails_harms_nothing() {
    let shaky = shaky(ErrorKind::TimedOut);
    let lake = Lake::with_store(
        shaky.lake.place().local().unwrap(),
        Arc::clone(&shaky.store) as _,
        LakeOptions { checkpoint_every: 2, ..LakeOptions::default() },
    )
    .unwrap();
    lake.prepare(&KEYS).await.unwrap();
    for at in 0..4 {
        commit(&lake, &package(&KEYS, [at], &[("a", at.unsigned_abs(), at.unsigned_abs() + 1)])).await;
    }
    for fault in [Fault::Before, Fault::After] {
        shaky.store.plan(move |request, path| match request {
            Request::Put if !is_entry(path) => fault,
            _ => Fault::None,
        });
        assert!(lake.maintain_log("_keys").await.is_err());
        shaky.store.plan(|_, _| Fault::None);
        assert_eq!(checkpoint(&lake, &KEYS, "a").await, Some(4));
        assert_eq!(keys(&lake).await, [0, 1, 2, 3]);
    }
}

/// A reproducible stream of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_lose_and_double_nothing() {
    for seed in [3, 1_000_003, 0xDEAD_BEEF] {
        many_commits_under_faults(seed).await;
    }
}

async fn many_commits_under_faults(seed: u64) {
    const COMMITS: i64 = 40;
    let shaky = shaky(ErrorKind::TimedOut);
    let options = LakeOptions { checkpoint_every: 7, reopen_every: 5, ..LakeOptions::default() };
    let lake = Lake::with_store(shaky.lake.place().local().unwrap(), Arc::clone(&shaky.store) as _, options).unwrap();
    lake.prepare(&EVENTS).await.unwrap();
    let mut dice = Dice(seed);
    shaky.store.plan(move |request, _| match (request, dice.roll(1000)) {
        (Request::Put, 0..80) => Fault::Before,
        (Request::Put, 80..160) => Fault::After,
        // Opening a table reads its whole log.
        (Request::Get | Request::Delete, 0..4) => Fault::Before,
        _ => Fault::None,
    });
    let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
    let at_once = VacuumOptions { retention: Duration::ZERO, full: true, force: true, dry_run: false };
    let mut errors = 0;
    for at in 0..COMMITS {
        let package = package(&EVENTS, at * 10..at * 10 + 10, &[("a", at.unsigned_abs(), at.unsigned_abs() + 1)]);
        let mut tries = 0;
        while let Err(error) = lake.commit(&package).await {
            assert!(error.is_transient(), "seed {seed}: {error:?}");
            errors += 1;
            tries += 1;
            assert!(tries < 100, "seed {seed}: {error:?}");
        }
        // Maintenance may fail; it must not do harm.
        match at % 8 {
            3 => errors += i32::from(lake.compact("events", &everything).await.is_err()),
            5 => errors += i32::from(lake.maintain_log("events").await.is_err()),
            7 => errors += i32::from(lake.vacuum("events", &at_once).await.is_err()),
            _ => {}
        }
    }
    assert!(errors > 5, "seed {seed}: only {errors} errors, nothing was tested");
    shaky.store.plan(|_, _| Fault::None);
    let mut keys: Vec<i64> = read(&lake, &EVENTS).await.iter().flat_map(keys_of).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..COMMITS * 10).collect::<Vec<_>>(), "seed {seed}");
    assert_eq!(checkpoint(&lake, &EVENTS, "a").await, Some(COMMITS.unsigned_abs()), "seed {seed}");
    let fresh = Lake::open(lake.place().local().unwrap().to_str().unwrap(), LakeOptions::default()).unwrap();
    assert_eq!(checkpoint(&fresh, &EVENTS, "a").await, Some(COMMITS.unsigned_abs()), "seed {seed}");
    lint::log_is_sound(lake.place().local().unwrap().join("events").as_path());
}
