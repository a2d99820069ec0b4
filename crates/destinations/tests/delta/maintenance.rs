//! Checkpoints, merging, vacuuming and describing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use freshet_core::{Clock, Destination, Micros, ShardId, SystemClock};
use freshet_destinations::delta::{Compaction, CompactionOptions, Lake, LakeOptions, Leased, LogUpkeep, Vacuum, VacuumOptions};

use crate::TestLake;
use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, package};
use crate::conformance::{assert_rows, checkpoint, commit};
use crate::lint::log_is_sound;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

async fn commits(lake: &Lake, from: u64, to: u64) {
    for at in from..to {
        let key = i64::try_from(at).unwrap();
        commit(lake, &package(&EVENTS, key * 2..key * 2 + 2, &[("a", at, at + 1)])).await;
    }
}

fn done<T>(leased: Leased<T>) -> T {
    match leased {
        Leased::Done(value) => value,
        Leased::Held => panic!("somebody holds the lease"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_commits_stay_flat() {
    let test = TestLake::with_options(LakeOptions { checkpoint_every: 50, reopen_every: 50, ..LakeOptions::default() });
    test.lake.prepare(&KEYS).await.unwrap();
    let mut times = Vec::new();
    for at in 0..300_u64 {
        let begun = Instant::now();
        commit(&test.lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        times.push(begun.elapsed());
        if at % 25 == 24 {
            done(test.lake.maintain_log("_keys").await.unwrap());
        }
    }
    let mean = |times: &[Duration]| times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
    eprintln!("a small commit takes {:?} at first and {:?} after 300", mean(&times[..20]), mean(&times[280..]));
    // Once to see what `prepare` made, once after each checkpoint but the last.
    assert_eq!(test.lake.table_opens(), 6, "opened too rarely grows for ever, too often is slow");
    assert_rows(&test, &KEYS, 0..300).await;
    assert_eq!(checkpoint(&test.other(), &KEYS, "a").await, Some(300));
}

#[tokio::test]
async fn a_table_is_opened_anew_without_checkpoints_too() {
    let test = TestLake::with_options(LakeOptions { reopen_every: 10, ..LakeOptions::default() });
    test.lake.prepare(&EVENTS).await.unwrap();
    let before = test.lake.table_opens();
    commits(&test.lake, 0, 35).await;
    assert_eq!(test.lake.table_opens() - before, 3);
}

#[tokio::test]
async fn checkpoints_hold_what_the_log_held() {
    let test = TestLake::with_options(LakeOptions { checkpoint_every: 10, ..LakeOptions::default() });
    assert_eq!(done(test.lake.maintain_log("events").await.unwrap()), LogUpkeep::default(), "there is no table yet");
    test.lake.prepare(&EVENTS).await.unwrap();
    let shards: Vec<String> = (0..200).map(|at| format!("file/{at}")).collect();
    let spans: Vec<(&str, u64, u64)> = shards.iter().map(|shard| (shard.as_str(), 0, 3)).collect();
    commit(&test.lake, &package(&EVENTS, 1000..1003, &spans)).await;
    commits(&test.lake, 0, 8).await;
    assert_eq!(done(test.lake.maintain_log("events").await.unwrap()), LogUpkeep::default(), "too early");
    commits(&test.lake, 8, 12).await;
    let upkeep = done(test.lake.maintain_log("events").await.unwrap());
    assert_eq!(upkeep, LogUpkeep { checkpoint: Some(13), log_files_removed: 0 });
    assert_eq!(done(test.lake.maintain_log("events").await.unwrap()).checkpoint, None, "nothing new");
    commits(&test.lake, 12, 14).await;

    // From the checkpoint alone: the entries before it are gone.
    let log = test.root().join("events/_delta_log");
    for version in 0..=13 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let fresh = test.other();
    let ids: Vec<ShardId> = shards.iter().map(|shard| ShardId::new(shard)).collect();
    assert_eq!(fresh.checkpoint(&EVENTS, &ids).await.unwrap(), vec![Some(3); 200]);
    assert_eq!(checkpoint(&fresh, &EVENTS, "a").await, Some(14));
    assert_eq!(fresh.history(&EVENTS, None).await.unwrap().len(), 2, "what is left of the log");
    assert_rows(&test, &EVENTS, (0..28).chain(1000..1003)).await;
    let kernel = fresh.load("events").await.unwrap().unwrap();
    for (shard, position) in [("file/7", Some(3)), ("a", Some(14)), ("b", None)] {
        let version = kernel.snapshot().unwrap().transaction_version(kernel.log_store().as_ref(), shard).await.unwrap();
        assert_eq!(version, position, "{shard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_keeps_every_row() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 20).await;
    commit(&test.lake, &package(&EVENTS, 100..120, &[("b", 0, 1)])).await;
    test.lake.prepare(&WIDER_EVENTS).await.unwrap();
    commit(&test.lake, &package(&WIDER_EVENTS, 200..220, &[("b", 1, 2)])).await;
    let before = test.lake.describe("events").await.unwrap().unwrap();

    let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
    let planned = done(test.lake.compact("events", &CompactionOptions { dry_run: true, ..everything.clone() }).await.unwrap());
    assert_eq!(test.lake.describe("events").await.unwrap().unwrap(), before, "a dry run changed something");
    let merged = done(test.lake.compact("events", &everything).await.unwrap());
    assert_eq!((merged.partitions, merged.files_after, merged.rows), (3, 3, 80));
    assert_eq!(merged.files_before, u64::try_from(before.files).unwrap());
    assert_eq!(Compaction { bytes_after: merged.bytes_after, ..planned }, merged);
    let after = test.lake.describe("events").await.unwrap().unwrap();
    assert_eq!((after.files, after.rows, after.ts_range), (3, Some(80), before.ts_range));
    assert_rows(&test, &EVENTS, (0..40).chain(100..120).chain(200..220)).await;
    log_is_sound(&test.root().join("events"));

    assert_eq!(done(test.lake.compact("events", &everything).await.unwrap()), Compaction::default(), "merging does not end");
    assert_eq!(checkpoint(&test.lake, &EVENTS, "a").await, Some(20));
    assert_eq!(test.lake.history(&EVENTS, None).await.unwrap().len(), 22, "a merge is not a load");
    commits(&test.lake, 20, 22).await;
}

#[tokio::test]
async fn only_closed_partitions_are_merged_early() {
    // The rows are of three days; the clock stands in the second.
    let middle = 1_780_000_000_000_000 + Micros::PER_DAY;
    let test = TestLake::with_options(LakeOptions { clock: Arc::new(SetClock(AtomicI64::new(middle))), ..LakeOptions::default() });
    test.lake.prepare(&EVENTS).await.unwrap();
    for at in 0..5_u64 {
        commit(&test.lake, &package(&EVENTS, 0..3, &[("a", at, at + 1)])).await;
    }
    let merged = done(test.lake.compact("events", &CompactionOptions::default()).await.unwrap());
    assert_eq!((merged.partitions, merged.files_before, merged.files_after), (1, 5, 1));
    let soon = CompactionOptions { open_files_min: 5, ..CompactionOptions::default() };
    let merged = done(test.lake.compact("events", &soon).await.unwrap());
    assert_eq!((merged.partitions, merged.files_before, merged.files_after), (2, 10, 2));
}

#[tokio::test]
async fn tables_without_partitions_are_merged() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    for at in 0..6_u64 {
        commit(&test.lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
    }
    let merged = done(test.lake.compact("_keys", &CompactionOptions::default()).await.unwrap());
    assert_eq!(merged, Compaction::default(), "too few files yet");
    let merged = done(test.lake.compact("_keys", &CompactionOptions { all: true, ..CompactionOptions::default() }).await.unwrap());
    assert_eq!((merged.files_before, merged.files_after, merged.rows), (6, 1, 6));
    assert_rows(&test, &KEYS, 0..6).await;
}

#[tokio::test]
async fn a_file_that_lost_rows_is_not_merged() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    for at in 0..3_u64 {
        commit(&test.lake, &package(&KEYS, 0..4, &[("a", at, at + 1)])).await;
    }
    // The log says three rows more than the file has.
    let entry = test.root().join("_keys/_delta_log/00000000000000000002.json");
    let text = fs::read_to_string(&entry).unwrap();
    fs::write(&entry, text.replace("numRecords\\\":4", "numRecords\\\":7")).unwrap();
    let error = test.other().compact("_keys", &CompactionOptions { all: true, ..CompactionOptions::default() }).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("4 rows") && cause.contains('7'), "{error}: {cause}");
    assert_eq!(test.lake.describe("_keys").await.unwrap().unwrap().files, 3);
}

#[tokio::test]
async fn one_leader_at_a_time() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    let directory = test.root().join("_freshet");
    fs::create_dir_all(&directory).unwrap();
    let held = fs::File::create(directory.join("maintenance-_keys.lock")).unwrap();
    held.lock().unwrap();
    assert_eq!(test.lake.compact("_keys", &CompactionOptions::default()).await.unwrap(), Leased::Held);
    assert_eq!(test.lake.vacuum("_keys", &VacuumOptions::default()).await.unwrap(), Leased::Held);
    assert_eq!(test.lake.maintain_log("_keys").await.unwrap(), Leased::Held);
    drop(held);
    assert_eq!(done(test.lake.compact("_keys", &CompactionOptions::default()).await.unwrap()), Compaction::default());
    assert_eq!(test.lake.tables().await.unwrap(), ["_keys"], "our own directory is not a table");
}

#[tokio::test]
async fn vacuum_removes_what_nobody_needs() {
    let clock = Arc::new(SetClock(AtomicI64::new(SystemClock.now().0)));
    let test = TestLake::with_options(LakeOptions { clock: Arc::clone(&clock) as _, ..LakeOptions::default() });
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 10).await;
    done(test.lake.compact("events", &CompactionOptions { all: true, ..CompactionOptions::default() }).await.unwrap());
    let table = test.root().join("events");
    fs::write(table.join("date=2026-05-28").join("part-orphan.parquet"), "never committed").unwrap();
    fs::write(table.join("_delta_log/00000000000000000099.json#12345"), "half").unwrap();

    let dry = VacuumOptions { dry_run: true, ..VacuumOptions::default() };
    assert_eq!(done(test.lake.vacuum("events", &dry).await.unwrap()), Vacuum::default(), "everything is young");
    clock.0.fetch_add(8 * Micros::PER_DAY, Ordering::Relaxed);
    let planned = done(test.lake.vacuum("events", &dry).await.unwrap());
    assert!(planned.files > 10 && planned.bytes > 0 && planned.unfinished_files == 1, "{planned:?}");
    assert!(table.join("_delta_log/00000000000000000099.json#12345").exists(), "a dry run removed a file");
    assert_eq!(done(test.lake.vacuum("events", &VacuumOptions::default()).await.unwrap()), planned);
    assert!(!table.join("date=2026-05-28/part-orphan.parquet").exists());
    assert!(!table.join("_delta_log/00000000000000000099.json#12345").exists());
    assert_rows(&test, &EVENTS, 0..20).await;
    assert_eq!(done(test.lake.vacuum("events", &VacuumOptions::default()).await.unwrap()).unfinished_files, 0);
    commits(&test.lake, 10, 11).await;
}

#[tokio::test]
async fn vacuum_wants_force_for_short_retentions() {
    let test = TestLake::fresh();
    let short = VacuumOptions { retention: Duration::from_secs(60), ..VacuumOptions::default() };
    let error = test.lake.vacuum("events", &short).await.unwrap_err();
    assert!(error.to_string().contains("3600"), "{error}");
    assert_eq!(done(test.lake.vacuum("events", &VacuumOptions { force: true, ..short }).await.unwrap()), Vacuum::default());
}

#[tokio::test]
async fn describes_from_the_log() {
    let test = TestLake::fresh();
    assert_eq!(test.lake.describe("events").await.unwrap(), None);
    test.lake.prepare(&EVENTS).await.unwrap();
    let empty = test.lake.describe("events").await.unwrap().unwrap();
    assert_eq!((empty.version, empty.rows, empty.files, empty.ts_range), (0, Some(0), 0, None));
    assert_eq!(empty.comment.as_deref(), Some("one row per key"));
    assert_eq!(empty.partition_columns, ["date"]);
    let types: Vec<String> = empty.columns.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect();
    let expected: Vec<String> = EVENTS.columns.iter().map(|column| format!("{} {}", column.name, column.column_type.sql())).collect();
    assert_eq!(types, expected);
    assert_eq!(empty.columns[0].comment.as_deref(), Some(EVENTS.columns[0].comment));

    commits(&test.lake, 0, 3).await;
    let full = test.lake.describe("events").await.unwrap().unwrap();
    assert_eq!((full.version, full.rows), (3, Some(6)));
    assert!(full.files >= 3 && full.bytes > 0 && full.committed_at > empty.committed_at, "{full:?}");
    let (first, last) = full.ts_range.unwrap();
    let day = |at: Micros| at.days() - Micros(1_780_000_000_000_000).days();
    assert_eq!((day(first), day(last)), (0, 2));
}
