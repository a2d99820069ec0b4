//! Rows that go: by age, by what is in them, and back to an earlier version.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use deltalake_core::DeltaTable;
use freshet_core::{Clock, ColumnDef, ColumnType, CommitOutcome, Destination, Micros, TableDef, TableKind};
use freshet_destinations::delta::{
    CompactionOptions, Erasure, ExpireOptions, Lake, LakeOptions, Leased, RestoreOptions, RowFilter, VacuumOptions,
};

use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, keys_of, package, rows};
use crate::conformance::{assert_rows, checkpoint, commit};
use crate::lint::log_is_sound;
use crate::{TestLake, read};

/// Noon or so of the first day that keys have: key 0's, and every third's.
pub const FIRST_DAY: i64 = 1_780_000_000_000_000;

pub struct SetClock(pub AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// Keys with this rest.
pub struct Rest {
    pub of: i64,
    pub is: i64,
    columns: Vec<String>,
}

impl Rest {
    pub fn new(of: i64, is: i64) -> Self {
        Self { of, is, columns: vec!["key".to_owned()] }
    }
}

impl RowFilter for Rest {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn shape(&self) -> String {
        "key % ? = ?".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "erased"
    }

    fn may_match(&self, table: &DeltaTable) -> Result<Vec<bool>, String> {
        Ok(table.snapshot().unwrap().log_data().iter().map(|_| true).collect())
    }

    fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray, String> {
        let keys = batch.column_by_name("key").unwrap().as_primitive::<Int64Type>();
        Ok(keys.iter().map(|key| key.map(|key| key.rem_euclid(self.of) == self.is)).collect())
    }
}

fn done<T>(leased: Leased<T>) -> T {
    match leased {
        Leased::Done(value) => value,
        Leased::Held => panic!("somebody holds the lease"),
    }
}

async fn commits(lake: &Lake, from: u64, to: u64) {
    for at in from..to {
        let key = i64::try_from(at).unwrap() * 10;
        commit(lake, &package(&EVENTS, key..key + 10, &[("a", at, at + 1)])).await;
    }
}

/// A lake whose clock stands so many days after the first that rows have.
fn lake_on_day(day: i64) -> TestLake {
    let clock = Arc::new(SetClock(AtomicI64::new(FIRST_DAY + day * Micros::PER_DAY)));
    TestLake::with_options(LakeOptions { clock, ..LakeOptions::default() })
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn older_than(older_than: Duration) -> ExpireOptions {
    ExpireOptions { older_than, time_column: None, dry_run: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_days_expire_and_checkpoints_stay() {
    let test = lake_on_day(2);
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 3).await;
    let before = test.lake.describe("events").await.unwrap().unwrap();
    let foretold = done(test.lake.expire("events", &ExpireOptions { dry_run: true, ..older_than(DAY) }).await.unwrap());
    assert_eq!(test.lake.describe("events").await.unwrap().unwrap(), before, "a dry run changed something");
    let expired = done(test.lake.expire("events", &older_than(DAY)).await.unwrap());
    assert_eq!((expired.files, expired.rows, expired.rewritten_files, expired.version), (3, 10, 0, Some(4)));
    assert_eq!(expired.dates.into_iter().collect::<Vec<_>>(), [Micros(FIRST_DAY).days()]);
    assert_eq!((foretold.files, foretold.rows, foretold.bytes, foretold.version), (3, 10, expired.bytes, None));
    let kept = |keys: std::ops::Range<i64>| keys.filter(|key| key % 3 != 0);
    assert_rows(&test, &EVENTS, kept(0..30)).await;
    assert_eq!(checkpoint(&test.other(), &EVENTS, "a").await, Some(3));
    assert_eq!(test.lake.commit(&package(&EVENTS, 0..10, &[("a", 0, 1)])).await.unwrap(), CommitOutcome::AlreadyThere);

    assert_eq!(done(test.lake.expire("events", &older_than(DAY)).await.unwrap()).version, None, "there is nothing more");
    // Late rows of the old day are there until the next pass.
    commits(&test.lake, 3, 4).await;
    assert_rows(&test, &EVENTS, kept(0..30).chain(30..40)).await;
    assert_eq!(done(test.lake.expire("events", &older_than(DAY)).await.unwrap()).rows, 4);
    assert_rows(&test, &EVENTS, kept(0..40)).await;
    assert_eq!(done(test.lake.expire("events", &older_than(DAY * 400)).await.unwrap()).files, 0);
    log_is_sound(&test.root().join("events"));
}

#[tokio::test]
async fn what_cannot_expire_is_refused_with_words() {
    let test = lake_on_day(2);
    test.lake.prepare(&EVENTS).await.unwrap();
    test.lake.prepare(&KEYS).await.unwrap();
    let says = async |table: &str, options: ExpireOptions| test.lake.expire(table, &options).await.unwrap_err().to_string();
    assert!(says("events", older_than(DAY / 2)).await.contains("a day"));
    assert!(says("_keys", older_than(DAY)).await.contains("neither in folders by date"));
    let by = |column: &str| ExpireOptions { time_column: Some(column.to_owned()), ..older_than(DAY) };
    assert!(says("_keys", by("key")).await.contains("no column of times called key"));
    assert!(says("nothing", older_than(DAY)).await.contains("no table nothing"));
}

const fn moments() -> [ColumnDef; 2] {
    [
        ColumnDef { name: "ts", column_type: ColumnType::Timestamp, nullable: true, comment: "c" },
        ColumnDef { name: "key", column_type: ColumnType::Long, nullable: true, comment: "c" },
    ]
}

/// Times without folders.
static MOMENTS: TableDef = TableDef { name: "_moments", comment: "times", kind: TableKind::System, columns: &moments() };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_without_folders_expire_by_a_time() {
    let test = lake_on_day(2);
    test.lake.prepare(&MOMENTS).await.unwrap();
    // A file of the old day alone, one of the new days alone, one with both.
    for (at, keys) in [(0, vec![0, 3, 6]), (1, vec![1, 2, 4]), (2, vec![9, 10, 11])] {
        commit(&test.lake, &package(&MOMENTS, keys, &[("a", at, at + 1)])).await;
    }
    let options = ExpireOptions { time_column: Some("ts".to_owned()), ..older_than(DAY) };
    let expired = done(test.lake.expire("_moments", &options).await.unwrap());
    assert_eq!((expired.files, expired.rows, expired.rewritten_files), (2, 4, 1));
    assert_rows(&test, &MOMENTS, [1, 2, 4, 10, 11]).await;
    assert_eq!(checkpoint(&test.lake, &MOMENTS, "a").await, Some(3));
    assert_eq!(done(test.lake.expire("_moments", &options).await.unwrap()).version, None);
    log_is_sound(&test.root().join("_moments"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_rows_are_gone_and_the_others_are_as_they_were() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 6).await;
    test.lake.prepare(&WIDER_EVENTS).await.unwrap();
    commit(&test.lake, &package(&WIDER_EVENTS, 100..104, &[("b", 0, 1)])).await;
    let filter = Rest::new(10, 3);
    let foretold = test.lake.erase_unleased("events", &filter, true).await.unwrap();
    assert_eq!((foretold.rows, foretold.files, foretold.version), (7, 7, None));
    let erased = done(test.lake.erase("events", &filter, false).await.unwrap());
    assert_eq!((erased.rows, erased.files, erased.bytes), (foretold.rows, foretold.files, foretold.bytes));
    assert_eq!(erased.rewritten_files, foretold.rewritten_files);
    assert!(erased.rewritten_files >= 6 && erased.rewritten_bytes > 0 && erased.committed_at.is_some(), "{erased:?}");
    let keys = || (0..60).chain(100..104).filter(|key| key % 10 != 3);
    assert_rows(&test, &EVENTS, keys()).await;
    // Columns that came later are kept too.
    for batch in read(&test.lake, &WIDER_EVENTS).await.iter().filter(|batch| keys_of(batch).iter().any(|key| *key >= 100)) {
        assert_eq!(*batch, rows(&WIDER_EVENTS, &keys_of(batch)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_one_entry_that_moves_no_checkpoint() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 6).await;
    let erased = done(test.lake.erase("events", &Rest::new(10, 3), false).await.unwrap());
    assert_eq!(erased.version, Some(7));
    assert_eq!(checkpoint(&test.other(), &EVENTS, "a").await, Some(6));
    assert_eq!(test.lake.commit(&package(&EVENTS, 0..10, &[("a", 0, 1)])).await.unwrap(), CommitOutcome::AlreadyThere);
    assert_eq!(test.lake.history(&EVENTS, None).await.unwrap().len(), 6, "an erasure is not a load");
    let again = done(test.lake.erase("events", &Rest::new(10, 3), false).await.unwrap());
    assert_eq!(Erasure { files_read: 0, ..again }, Erasure::default());
    // All rows of a file, and all rows.
    assert_eq!(done(test.lake.erase("events", &Rest::new(1, 0), false).await.unwrap()).rewritten_files, 0);
    assert_rows(&test, &EVENTS, []).await;
    log_is_sound(&test.root().join("events"));
    let told = test.lake.versions("events", 100).await.unwrap().unwrap();
    assert_eq!((told[1].operation.as_str(), told[1].rows, told[1].version), ("DELETE", Some(6), 7));
    assert_eq!((told[2].operation.as_str(), told[2].rows, told[2].engine.as_deref()), ("STREAMING UPDATE", Some(10), Some("freshet")));
    assert!(told[2].load_id.is_some() && told[1].load_id.is_none() && told.len() == 9, "{told:?}");
    assert_eq!(test.lake.versions("events", 2).await.unwrap().unwrap(), told[..2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_moves_rows_and_nothing_else() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 4).await;
    done(test.lake.compact("events", &CompactionOptions { all: true, ..CompactionOptions::default() }).await.unwrap());
    commits(&test.lake, 4, 6).await;
    let to = |version: u64| RestoreOptions { version, ..RestoreOptions::default() };
    let foretold = done(test.lake.restore("events", &RestoreOptions { dry_run: true, ..to(2) }).await.unwrap());
    assert_rows(&test, &EVENTS, 0..60).await;
    let restored = done(test.lake.restore("events", &to(2)).await.unwrap());
    assert_eq!((restored.rows_added, restored.rows_removed, restored.files_added), (Some(20), Some(60), 6));
    assert_eq!(freshet_destinations::delta::Restored { version: None, ..restored.clone() }, foretold);
    assert_rows(&test, &EVENTS, 0..20).await;
    // Rows that went do not come again, and what follows is loaded once.
    assert_eq!(checkpoint(&test.other(), &EVENTS, "a").await, Some(6));
    commits(&test.lake, 6, 7).await;
    assert_rows(&test, &EVENTS, (0..20).chain(60..70)).await;
    // Back to where it was before, and to where it is.
    done(test.lake.restore("events", &to(restored.from)).await.unwrap());
    assert_rows(&test, &EVENTS, 0..60).await;
    let now = test.lake.versions("events", 1).await.unwrap().unwrap()[0].version;
    assert_eq!(done(test.lake.restore("events", &to(now)).await.unwrap()).version, None);
    assert!(test.lake.restore("events", &to(999)).await.unwrap_err().to_string().contains("no version 999"));
    log_is_sound(&test.root().join("events"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_rows_come_back_only_when_that_is_said() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 2).await;
    done(test.lake.erase("events", &Rest::new(10, 3), false).await.unwrap());
    commits(&test.lake, 2, 3).await;
    let options = RestoreOptions { version: 2, ..RestoreOptions::default() };
    let error = test.lake.restore("events", &options).await.unwrap_err();
    assert!(error.to_string().contains("erased in version 3"), "{error}");
    done(test.lake.restore("events", &RestoreOptions { version: 3, ..options.clone() }).await.unwrap());
    assert_rows(&test, &EVENTS, (0..20).filter(|key| key % 10 != 3)).await;
    let restored = done(test.lake.restore("events", &RestoreOptions { undo_erase: true, ..options }).await.unwrap());
    assert_eq!(restored.undone_erasures, [3]);
    assert_rows(&test, &EVENTS, 0..20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vacuumed_files_are_missed_before_anything_changes() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 4).await;
    done(test.lake.erase("events", &Rest::new(10, 3), false).await.unwrap());
    let at_once = VacuumOptions { retention: Duration::ZERO, full: false, ..VacuumOptions::default() };
    let kept = done(test.lake.vacuum("events", &VacuumOptions { full: false, ..VacuumOptions::default() }).await.unwrap());
    assert_eq!(kept.files, 0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let deleted = done(test.lake.vacuum("events", &at_once).await.unwrap());
    assert!(deleted.files >= 4 && deleted.bytes > 0, "{deleted:?}");
    let before = test.lake.versions("events", 1).await.unwrap();
    let error = test.lake.restore("events", &RestoreOptions { version: 4, undo_erase: true, dry_run: false }).await.unwrap_err();
    assert!(error.to_string().contains("deleted by vacuum"), "{error}");
    assert_eq!(test.lake.versions("events", 1).await.unwrap(), before);
    let keys: Vec<i64> = read(&test.lake, &EVENTS).await.iter().flat_map(keys_of).collect();
    assert_eq!(keys.len(), 36);
}

#[tokio::test]
async fn versions_by_time() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    commits(&test.lake, 0, 9).await;
    let told = test.lake.versions("events", 100).await.unwrap().unwrap();
    for version in &told {
        let at = version.at.unwrap();
        let newest_then = told.iter().filter(|other| other.at.unwrap() <= at).map(|other| other.version).max().unwrap();
        assert_eq!(test.lake.version_at("events", at).await.unwrap(), newest_then);
    }
    assert_eq!(test.lake.version_at("events", Micros(i64::MAX)).await.unwrap(), 9);
    assert!(test.lake.version_at("events", Micros(0)).await.unwrap_err().to_string().contains("does not go back"));
    assert_eq!(test.lake.load_at("events", 3).await.unwrap().snapshot().unwrap().version(), 3);
    assert!(test.lake.version_at("nothing", Micros(0)).await.is_err());
}
