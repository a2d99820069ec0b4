//! Everybody at once: loading, merging, expiring, erasing, restoring and vacuuming in one table, each through a lake of its own, while
//! a reader opens version after version. Afterwards every version is held against what its entry says of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deltalake_core::DeltaTable;
use freshet_core::{CommitOutcome, Destination, Micros};
use freshet_destinations::delta::{CompactionOptions, ExpireOptions, Lake, LakeOptions, RestoreOptions, VacuumOptions};
use futures::future::join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::TestLake;
use crate::conformance::checkpoint;
use crate::conformance::rows::{EVENTS, keys_of, package};
use crate::lint::{entries, log_is_sound};
use crate::removal::{FIRST_DAY, Rest, SetClock};

const WRITERS: i64 = 2;
const COMMITS: i64 = 14;
const KEYS_EACH: i64 = 6;

/// Chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    async fn rest(&mut self) {
        tokio::time::sleep(Duration::from_micros(self.below(30_000))).await;
    }
}

/// The keys in the version that `table` holds; nothing when a file is gone.
async fn keys_in(table: &DeltaTable) -> Option<Vec<i64>> {
    let mut keys = Vec::new();
    for file in table.snapshot().unwrap().log_data().iter() {
        let bytes = match table.object_store().get(&Path::parse(file.path().as_ref()).unwrap()).await {
            Ok(found) => found.bytes().await.ok()?,
            Err(object_store::Error::NotFound { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        let before = keys.len();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            keys.extend(keys_of(&batch.unwrap()));
        }
        assert_eq!(file.num_records(), Some(keys.len() - before));
    }
    Some(keys)
}

fn set_of(keys: Vec<i64>, what: &str) -> BTreeSet<i64> {
    let count = keys.len();
    let set: BTreeSet<i64> = keys.into_iter().collect();
    assert_eq!(set.len(), count, "{what}: a row is there twice");
    set
}

/// By load id, the keys of each package.
type Loads = Arc<Mutex<HashMap<String, Vec<i64>>>>;

async fn write(lake: Lake, writer: i64, loads: Loads, mut chance: Chance) {
    let shard = format!("writer/{writer}");
    for at in 0..COMMITS {
        let first = (writer * COMMITS + at) * KEYS_EACH;
        let package = package(&EVENTS, first..first + KEYS_EACH, &[(shard.as_str(), at.unsigned_abs(), at.unsigned_abs() + 1)]);
        loads.lock().unwrap().insert(package.load_id.to_string(), (first..first + KEYS_EACH).collect());
        loop {
            match lake.commit(&package).await {
                Ok(CommitOutcome::Overtaken) => panic!("nobody else moves this checkpoint"),
                Ok(_) => break,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
        chance.rest().await;
        chance.rest().await;
        chance.rest().await;
    }
}

async fn upkeep(lake: Lake, work: usize, vacuums: bool, over: Arc<AtomicBool>, mut chance: Chance) {
    let day = Duration::from_secs(24 * 3600);
    while !over.load(Ordering::Relaxed) {
        // Losing every race is allowed, and so is another's lease; doing harm is not.
        match work {
            0 => drop(lake.compact_unleased("events", &CompactionOptions { all: true, ..CompactionOptions::default() }).await),
            1 => drop(lake.erase_unleased("events", &Rest::new(7, i64::try_from(chance.below(7)).unwrap()), false).await),
            2 => drop(lake.expire("events", &ExpireOptions { older_than: day, time_column: None, dry_run: false }).await),
            3 => {
                let newest = lake.versions("events", 1).await.unwrap().unwrap()[0].version;
                let version = newest - chance.below(newest.min(3) + 1);
                drop(lake.restore("events", &RestoreOptions { version, undo_erase: true, dry_run: false }).await);
            }
            4 => drop(lake.maintain_log("events").await),
            _ if vacuums => {
                drop(lake.vacuum("events", &VacuumOptions { retention: Duration::ZERO, full: false, ..VacuumOptions::default() }).await);
            }
            _ => return,
        }
        chance.rest().await;
        chance.rest().await;
    }
}

/// Opens version after version: each is complete, and has no row twice.
async fn look(lake: Lake, over: Arc<AtomicBool>) -> u32 {
    let mut read = 0;
    while !over.load(Ordering::Relaxed) {
        let table = lake.load("events").await.unwrap().unwrap();
        // A vacuum without retention may be faster than a reader.
        if let Some(keys) = keys_in(&table).await {
            set_of(keys, "while others write");
            read += 1;
        }
        tokio::task::yield_now().await;
    }
    read
}

async fn storm(seed: u64, vacuums: bool) {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    let loads = Loads::default();
    let over = Arc::new(AtomicBool::new(false));
    let open = || {
        // Rows of the first of three days are old.
        let clock = Arc::new(SetClock(AtomicI64::new(FIRST_DAY + 2 * Micros::PER_DAY)));
        let options = LakeOptions { clock, checkpoint_every: 8, ..LakeOptions::default() };
        Lake::open(test.root().to_str().unwrap(), options).unwrap()
    };
    let workers = (0..6).map(|work| tokio::spawn(upkeep(open(), work, vacuums, Arc::clone(&over), Chance(seed * 100 + work as u64))));
    let workers: Vec<_> = workers.collect();
    let reader = tokio::spawn(look(open(), Arc::clone(&over)));
    let writers =
        (0..WRITERS).map(|writer| tokio::spawn(write(open(), writer, Arc::clone(&loads), Chance(seed * 100 + 50 + writer.unsigned_abs()))));
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    assert!(reader.await.unwrap() > 0, "nobody read anything");
    for writer in 0..WRITERS {
        assert_eq!(checkpoint(&test.other(), &EVENTS, &format!("writer/{writer}")).await, Some(COMMITS.unsigned_abs()), "seed {seed}");
    }
    log_is_sound(&test.root().join("events"));
    let last = test.lake.load("events").await.unwrap().unwrap();
    let now = set_of(keys_in(&last).await.expect("a file of the newest version is gone"), "at the end");
    assert!(now.iter().all(|key| (0..WRITERS * COMMITS * KEYS_EACH).contains(key)));
    if !vacuums {
        let loads = loads.lock().unwrap().clone();
        every_version_is_what_its_entry_says(&test, &loads, seed).await;
    }
}

async fn every_version_is_what_its_entry_says(test: &TestLake, loads: &HashMap<String, Vec<i64>>, seed: u64) {
    let mut sets: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (version, entry) in (0..).zip(entries(&test.root().join("events"))) {
        let table = test.lake.load_at("events", version).await.unwrap();
        let what = format!("seed {seed}, version {version}");
        let found = set_of(keys_in(&table).await.unwrap(), &what);
        let before = version.checked_sub(1).map(|before| sets[&before].clone()).unwrap_or_default();
        let info = entry.iter().find_map(|line| line.get("commitInfo")).unwrap();
        let (operation, facts) = (info["operation"].as_str().unwrap(), &info["freshet"]);
        let gone: BTreeSet<i64> = before.difference(&found).copied().collect();
        let count = |name: &str| facts[name].as_u64().and_then(|count| usize::try_from(count).ok());
        let expected: BTreeSet<i64> = match operation {
            "STREAMING UPDATE" => before.union(&loads[facts["load_id"].as_str().unwrap()].iter().copied().collect()).copied().collect(),
            "DELETE" if facts["erased_rows"].is_u64() => {
                let rest = gone.first().unwrap().rem_euclid(7);
                assert_eq!(count("erased_rows"), Some(gone.len()), "{what}");
                before.iter().filter(|key| key.rem_euclid(7) != rest).copied().collect()
            }
            "DELETE" => {
                assert_eq!(count("expired_rows"), Some(gone.len()), "{what}");
                // Rows of the old day that came since the pass began wait for the next one.
                assert!(gone.iter().all(|key| key.rem_euclid(3) == 0), "{what}: {gone:?}");
                before.difference(&gone).copied().collect()
            }
            "RESTORE" => sets[&facts["restored_version"].as_u64().unwrap()].clone(),
            // Merges of files, and the table's making.
            _ => before.clone(),
        };
        assert_eq!(found, expected, "{what}: {operation}");
        *seen.entry(operation.to_owned()).or_default() += 1;
        sets.insert(version, found);
    }
    eprintln!("seed {seed}: {seen:?}");
    assert_eq!(seen["STREAMING UPDATE"], u32::try_from(WRITERS * COMMITS).unwrap(), "each package landed once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_holds_while_everybody_works() {
    for seed in 0..seeds() {
        storm(seed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_doubled_or_missing_while_files_are_deleted_at_once() {
    for seed in 100..100 + seeds() {
        storm(seed, true).await;
    }
}

fn seeds() -> u64 {
    if std::env::var("FRESHET_FULL").is_ok_and(|full| full == "1") { 40 } else { 3 }
}
