//! The second level: a real lake on disk, reached through a store that fails.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{ArrayRef, Date32Array, RecordBatch, new_null_array};
use arrow_cast::parse::Parser;
use async_trait::async_trait;
use freshet_core::{CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Package, Position, ShardId, TableDef};
use freshet_destinations::delta::{CompactionOptions, DurableStore, Lake, LakeOptions, VacuumOptions};
use freshet_spool::faulty_disk::Dice;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::Fault;
use crate::check::Tables;
use crate::destination::Ground;
use crate::fault::Tally;
use crate::plan::{Plan, dice};
use crate::story::Story;
use crate::time::{Due, Timeline};

/// A directory in memory, where there is one: the lake syncs each file, and thousands of syncs take their time.
const MEMORY: &str = "/dev/shm";

/// The lake. Every process opens it anew.
pub(crate) struct LakeDestination {
    timeline: Timeline,
    story: Story,
    tally: Tally,
    store: Arc<FaultyStore>,
    lake: Mutex<Arc<Lake>>,
    outage: Mutex<(bool, bool)>,
    directory: TempDir,
}

/// Counts the requests that real threads are at.
#[derive(Default)]
struct Busy {
    requests: AtomicU64,
    changed: Arc<Notify>,
}

struct BusyGuard<'a>(&'a Busy);

impl Busy {
    fn begin(&self) -> BusyGuard<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        BusyGuard(self)
    }
}

impl Drop for BusyGuard<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

impl LakeDestination {
    pub(crate) fn new(
        plan: &Plan,
        timeline: Timeline,
        story: Story,
        tally: Tally,
        dead: Arc<AtomicBool>,
    ) -> std::result::Result<Self, String> {
        let place = FsPath::new(MEMORY);
        let directory = if place.is_dir() { tempfile::tempdir_in(place) } else { tempfile::tempdir() };
        let directory = directory.map_err(|error| error.to_string())?;
        let root = directory.path().canonicalize().map_err(|error| error.to_string())?;
        let store = Arc::new(FaultyStore {
            inner: Arc::new(DurableStore::new(&root)),
            plan: plan.clone(),
            tally: tally.clone(),
            story: story.clone(),
            dead,
            busy: Arc::default(),
            state: Mutex::new(StoreState { dice: dice(plan.seed, "store"), is_storm: true }),
        });
        let lake = Mutex::new(open(&root, &store)?);
        Ok(Self { timeline, story, tally, store, lake, outage: Mutex::default(), directory })
    }

    fn lake(&self) -> Arc<Lake> {
        Arc::clone(&self.lake.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The way to the lake, and whether anybody answers there.
    async fn arrive(&self, doing: &str, table: &'static TableDef) -> std::result::Result<Arc<Lake>, DestinationError> {
        self.timeline.wait(10_000).await;
        let (outage, refused) = *self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if refused {
            self.tally.struck(Fault::Refused);
            return Err(DestinationError::Refused { problem: format!("{doing} {}: not permitted", table.name) });
        }
        if outage {
            self.tally.struck(Fault::Outage);
            let doing = format!("{doing} table {}", table.name);
            return Err(DestinationError::Transient { doing, cause: "nobody answers".into() });
        }
        Ok(self.lake())
    }
}

fn open(root: &FsPath, store: &Arc<FaultyStore>) -> std::result::Result<Arc<Lake>, String> {
    // Small numbers, so that a short run sees checkpoints and reopened tables.
    let options = LakeOptions { checkpoint_every: 7, reopen_every: 5, ..LakeOptions::default() };
    let lake = Lake::with_store(root, Arc::clone(store) as Arc<dyn ObjectStore>, options);
    lake.map(Arc::new).map_err(|error| error.to_string())
}

#[async_trait]
impl Destination for LakeDestination {
    async fn prepare(&self, table: &'static TableDef) -> std::result::Result<(), DestinationError> {
        let lake = self.arrive("prepare", table).await?;
        let _busy = self.store.busy.begin();
        lake.prepare(table).await
    }

    async fn checkpoint(
        &self,
        table: &'static TableDef,
        shards: &[ShardId],
    ) -> std::result::Result<Vec<Option<Position>>, DestinationError> {
        let lake = self.arrive("read the checkpoint of", table).await?;
        let _busy = self.store.busy.begin();
        lake.checkpoint(table, shards).await
    }

    async fn commit(&self, package: &Package) -> std::result::Result<CommitOutcome, DestinationError> {
        let lake = self.arrive("commit to", package.table).await?;
        let _busy = self.store.busy.begin();
        let outcome = lake.commit(package).await;
        self.story.tell(|| {
            let span = package.spans.first().map(|span| format!("{}..{}", span.from, span.to)).unwrap_or_default();
            format!("commit to {} of {} rows from {span}: {outcome:?}", package.table.name, package.rows())
        });
        outcome
    }

    async fn merge(&self, merge: &Merge) -> std::result::Result<Merged, DestinationError> {
        let lake = self.arrive("merge objects into", merge.table).await?;
        let _busy = self.store.busy.begin();
        lake.merge(merge).await
    }

    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> std::result::Result<Vec<Committed>, DestinationError> {
        let lake = self.arrive("read the history of", table).await?;
        let _busy = self.store.busy.begin();
        lake.history(table, after).await
    }
}

impl Ground for LakeDestination {
    fn begin_life(&self) {
        // Whatever the last process was at, it is dead.
        self.store.busy.requests.store(0, Ordering::Relaxed);
        match open(self.directory.path(), &self.store) {
            Ok(lake) => *self.lake.lock().unwrap_or_else(PoisonError::into_inner) = lake,
            Err(problem) => self.story.accuse(format!("the lake cannot be opened: {problem}")),
        }
    }

    fn set(&self, fault: Fault, on: bool) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::Outage => outage.0 = on,
            Fault::Refused => outage.1 = on,
            _ => {}
        }
    }

    fn calm(&self) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = (false, false);
        self.store.state().is_storm = false;
    }

    fn first_late(&self) -> Option<Due> {
        None
    }

    fn land_late(&self) {}

    fn has_frame(&self, _: &str) -> Option<bool> {
        None
    }

    fn pending(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.store.busy.changed))
    }

    fn is_busy(&self) -> bool {
        self.store.busy.requests.load(Ordering::Relaxed) > 0
    }

    fn maintain(&self) -> BoxFuture<'static, ()> {
        let (lake, store, story) = (self.lake(), Arc::clone(&self.store), self.story.clone());
        Box::pin(async move {
            let _busy = store.busy.begin();
            let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
            let Ok(tables) = lake.tables().await else { return };
            for table in tables {
                // It may fail, and it must do no harm.
                let merged = lake.compact(&table, &everything).await;
                let _ = lake.maintain_log(&table).await;
                let _ = lake.vacuum(&table, &VacuumOptions::default()).await;
                story.tell(|| format!("maintained {table}: {merged:?}"));
            }
        })
    }

    fn tables(&self) -> std::result::Result<Tables, String> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
        runtime.block_on(read(self.directory.path()))
    }
}

/// What another process finds, after a vacuum that keeps nothing but what the newest versions need.
async fn read(directory: &FsPath) -> std::result::Result<Tables, String> {
    let place = directory.to_str().ok_or("the directory's name is not UTF-8")?;
    let lake = Lake::open(place, LakeOptions::default()).map_err(|error| error.to_string())?;
    let mut tables = BTreeMap::new();
    for table in freshet_tables::TABLES {
        let at_once = VacuumOptions { retention: std::time::Duration::ZERO, full: true, force: true, dry_run: false };
        lake.vacuum(table.name, &at_once).await.map_err(|error| error.to_string())?;
        let Some(loaded) = lake.load(table.name).await.map_err(|error| error.to_string())? else { continue };
        let snapshot = loaded.snapshot().map_err(|error| error.to_string())?;
        let mut batches = Vec::new();
        for file in snapshot.log_data().iter() {
            let path = directory.join(table.name).join(file.path().as_ref());
            let date = file.partition_values_map().remove("date").flatten();
            batches.extend(read_file(table, &path, date.as_deref())?);
        }
        let history = lake.history(table, None).await.map_err(|error| error.to_string())?;
        tables.insert(table.name, (batches, history));
    }
    Ok(tables)
}

fn read_file(table: &TableDef, path: &FsPath, date: Option<&str>) -> std::result::Result<Vec<RecordBatch>, String> {
    let broken = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| broken(&error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    let mut batches = Vec::new();
    for batch in reader.map_err(|error| broken(&error))? {
        let batch = batch.map_err(|error| broken(&error))?;
        let schema = table.arrow_schema();
        let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
            match (batch.column_by_name(field.name()), date) {
                (Some(column), _) => arrow_cast::cast(column, field.data_type()).unwrap_or_else(|_| Arc::clone(column)),
                (None, Some(date)) if field.name() == "date" => {
                    let days = arrow_array::types::Date32Type::parse(date).unwrap_or_default();
                    Arc::new(Date32Array::from_value(days, batch.num_rows()))
                }
                (None, _) => new_null_array(field.data_type(), batch.num_rows()),
            }
        };
        let columns = schema.fields().iter().map(column).collect();
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| broken(&error))?);
    }
    Ok(batches)
}

/// A store that fails before it does what it was asked to, or after, or takes the process along.
struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Plan,
    tally: Tally,
    story: Story,
    dead: Arc<AtomicBool>,
    busy: Arc<Busy>,
    state: Mutex<StoreState>,
}

struct StoreState {
    dice: Dice,
    is_storm: bool,
}

/// When a request fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Never,
    Before,
    After,
}

impl FaultyStore {
    fn state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the next request ends. A dead process reaches nothing; its threads get errors, since they may hold up other
    /// threads for ever when they get no answer. Otherwise one in `rarity` of the usual number of faults.
    fn draw(&self, rarity: u64) -> (Moment, Option<Fault>) {
        if self.dead.load(Ordering::Relaxed) {
            return (Moment::Before, None);
        }
        let mut state = self.state();
        let (kind, is_before) = (state.dice.below(500 * rarity), state.dice.one_in(2));
        let (fault, moment) = match kind {
            0..30 => (Fault::FailBefore, Moment::Before),
            30..60 => (Fault::FailAfter, Moment::After),
            60..75 => (Fault::KillAtCommit, if is_before { Moment::Before } else { Moment::After }),
            _ => return (Moment::Never, None),
        };
        if !state.is_storm || !self.plan.has(fault) {
            return (Moment::Never, None);
        }
        (moment, Some(fault))
    }

    /// The end of a request that fails.
    fn fail(&self, fault: Option<Fault>, location: &Path) -> object_store::Error {
        if fault == Some(Fault::KillAtCommit) {
            if !self.dead.swap(true, Ordering::Relaxed) {
                self.tally.struck(Fault::KillAtCommit);
                self.story.tell(|| format!("killed while it wrote {location}"));
            }
            self.busy.changed.notify_one();
        } else if let Some(fault) = fault {
            self.tally.struck(fault);
        }
        by_plan()
    }

    /// An error once the process is dead.
    fn alive(&self) -> Result<()> {
        if self.dead.load(Ordering::Relaxed) { Err(by_plan()) } else { Ok(()) }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (moment, fault) = self.draw(1);
        if moment == Moment::Before {
            return Err(self.fail(fault, location));
        }
        let put = self.inner.put_opts(location, payload, opts).await;
        if moment == Moment::After { Err(self.fail(fault, location)) } else { put }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.draw(1) {
            (Moment::Never, _) => {}
            (_, fault) => return Err(self.fail(before(fault), location)),
        }
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner: upload, dead: Arc::clone(&self.dead) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // Opening a table reads its whole log.
        match self.draw(20) {
            (Moment::Never, _) => self.inner.get_opts(location, options).await,
            (_, fault) => Err(self.fail(before(fault), location)),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // A vacuum that has begun ends with its process.
        let dead = Arc::clone(&self.dead);
        let alive = locations.map(move |location| if dead.load(Ordering::Relaxed) { Err(by_plan()) } else { location });
        self.inner.delete_stream(alive.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.alive()?;
        self.inner.rename_opts(from, to, options).await
    }
}

/// An upload whose process may die before it is complete.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    dead: Arc<AtomicBool>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(by_plan());
        }
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// A request that has no "after" fails before it has done anything.
fn before(fault: Option<Fault>) -> Option<Fault> {
    if fault == Some(Fault::FailAfter) { Some(Fault::FailBefore) } else { fault }
}

fn by_plan() -> object_store::Error {
    let cause = std::io::Error::new(std::io::ErrorKind::TimedOut, "by plan");
    object_store::Error::Generic { store: "faulty", source: cause.into() }
}
