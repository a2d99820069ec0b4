//! The lake: where its tables are, and what we know about each.

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deltalake_core::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{
    Clock, CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Package, Position, ShardId, SystemClock, TableDef,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::{Mutex as TaskMutex, Semaphore};

use super::catalog::Catalog;
use super::describe::shape_of;
use super::failure::failure;
use super::lease::{Lease, Leased};
use super::log::{self, Positions};
use super::place::{Place, StorageOptions};

/// Time after which a table's whole log is listed for newer versions, and not only the next looked for: far below the time for which
/// anybody keeps entries.
const LOOK_FOR_NEXT_WITHIN: Duration = Duration::from_secs(600);

/// How much longer than they have to entries of a log stay on an object store, so that its whole log is listed once in that time.
const LOG_CLEANED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Folders that are looked into at once.
const LOOKS_AHEAD: usize = 16;

/// What a lake is run with.
#[derive(Clone)]
pub struct LakeOptions {
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// What Parquet files name as their maker.
    pub created_by: String,
    /// Log entries after which [`Lake::maintain_log`] writes a checkpoint, and the table is opened anew from it. 20 by default: each look at
    /// the log lists what came since.
    pub checkpoint_every: u64,
    /// Log entries after which a table is opened anew. Delta-rs keeps something of every entry it has followed, so that
    /// commits get slower and memory grows until the table is opened again, which a checkpoint does too. 100 by default.
    pub reopen_every: u64,
    /// Days for which log entries are kept: how far back time travel goes, and how long `_loads` has to read them. 7 by default.
    pub log_retention_days: u16,
    /// Days for which files stay after they were replaced. 7 by default.
    pub deleted_file_retention_days: u16,
    /// How to reach a lake on an object store, beyond what the environment says.
    pub storage: StorageOptions,
    /// Who governs the lake: it hands out the keys to the tables, and is told of them. Nobody by default.
    pub catalog: Option<Arc<dyn Catalog>>,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            created_by: concat!("freshet ", env!("CARGO_PKG_VERSION")).to_owned(),
            checkpoint_every: 20,
            reopen_every: 100,
            log_retention_days: 7,
            deleted_file_retention_days: 7,
            storage: StorageOptions::new(),
            catalog: None,
        }
    }
}

/// A lake of Delta tables in a folder or on an object store.
pub struct Lake {
    place: Place,
    pub(super) options: LakeOptions,
    slots: Mutex<HashMap<String, Slot>>,
    /// As many files are encoded at once as there are processors: more would only take more memory.
    pub(super) encoders: Semaphore,
    opens: AtomicU64,
}

/// One table, with whatever we know about it. Whoever holds the lock is the only one of this process to commit to it.
pub(super) type Slot = Arc<TaskMutex<Option<OpenTable>>>;

/// A table as of some version. Dropped after every error, because then nothing in it can be relied on.
pub(super) struct OpenTable {
    pub(super) table: DeltaTable,
    pub(super) positions: Positions,
    opened_at: u64,
    /// When it was last seen to be the newest version, or became one.
    looked_at: Instant,
}

impl OpenTable {
    pub(super) fn version(&self) -> u64 {
        self.table.version().unwrap_or_default()
    }
}

/// What [`Lake::maintain_log`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogUpkeep {
    /// The version that was checkpointed, if it was time for one.
    pub checkpoint: Option<i64>,
    /// Log files that had outlived their retention.
    pub log_files_removed: u64,
}

impl Lake {
    /// The lake at `location`, a path, which is made when it is not there yet, or a URL; see [`Place::new`].
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when the location is of a kind this destination does not know, or cannot be made.
    pub fn open(location: &str, options: LakeOptions) -> Result<Self, DestinationError> {
        let place = match &options.catalog {
            Some(catalog) => Place::governed(location, &options.storage, Arc::clone(catalog), Arc::clone(&options.clock))?,
            None => Place::new(location, &options.storage)?,
        };
        Ok(Self::at(place, options))
    }

    /// The lake in the existing folder `root`, an absolute path, reached through `store`, which addresses files by absolute path.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when `root` is not absolute.
    pub fn with_store(root: &FsPath, store: Arc<dyn ObjectStore>, options: LakeOptions) -> Result<Self, DestinationError> {
        Ok(Self::at(Place::in_folder(root, store)?, options))
    }

    /// The lake at `place`.
    #[must_use]
    pub fn at(place: Place, options: LakeOptions) -> Self {
        Self {
            place,
            options,
            slots: Mutex::default(),
            encoders: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
            opens: AtomicU64::new(0),
        }
    }

    /// Where the lake is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether anything is in the lake's folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn is_there(&self) -> Result<bool, DestinationError> {
        let listed = self.place.store().list_with_delimiter(Some(self.place.folder())).await;
        let found = listed.map_err(|error| failure(format!("list the lake at {}", self.place), error))?;
        Ok(self.place.local().is_some() || !found.common_prefixes.is_empty() || !found.objects.is_empty())
    }

    /// How often a table was opened and its log read from the last checkpoint, since the lake was opened.
    #[must_use]
    pub fn table_opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// The names of the tables that exist, sorted.
    ///
    /// # Errors
    /// When the lake cannot be listed.
    pub async fn tables(&self) -> Result<Vec<String>, DestinationError> {
        if let Some(catalog) = self.place.catalog() {
            let mut names = catalog.tables().await?;
            names.sort();
            return Ok(names);
        }
        let listed = |error: object_store::Error| failure(format!("list the tables of {}", self.place), error);
        let store = self.place.store();
        let folders = store.list_with_delimiter(Some(self.place.folder())).await.map_err(listed)?.common_prefixes;
        let looked = stream::iter(folders).map(|folder| async move {
            let first = store.list(Some(&folder.clone().join("_delta_log"))).next().await.transpose()?;
            object_store::Result::Ok(first.and_then(|_| folder.filename().map(str::to_owned)))
        });
        let found = looked.buffer_unordered(LOOKS_AHEAD).try_filter_map(|name| std::future::ready(Ok(name)));
        let mut names: Vec<String> = found.try_collect().await.map_err(listed)?;
        names.sort();
        Ok(names)
    }

    /// The newest version of table `name`, for reading; nothing when there is no such table.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when that cannot be the name of a table; else when its log cannot be read.
    pub async fn load(&self, name: &str) -> Result<Option<DeltaTable>, DestinationError> {
        check_name(name)?;
        self.load_table(name).await.map_err(|error| failure(format!("open table {name}"), error))
    }

    /// Writes a checkpoint of the log of `table` when [`LakeOptions::checkpoint_every`] entries came since the last,
    /// reads it back, and removes log files that have outlived their retention. Never on the path of a commit.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the checkpoint does not say what the log says.
    pub async fn maintain_log(&self, table: &str) -> Result<Leased<LogUpkeep>, DestinationError> {
        let Some(_lease) = Lease::acquire(&self.place, table)? else { return Ok(Leased::Held) };
        let upkeep = self.upkeep(table).await.map_err(|error| failure(format!("write a checkpoint of table {table}"), error))?;
        if upkeep.checkpoint.is_some() {
            // What is open was built from the long log; the next use starts from the checkpoint.
            *self.slot(table).lock().await = None;
        }
        Ok(Leased::Done(upkeep))
    }

    async fn upkeep(&self, name: &str) -> DeltaResult<LogUpkeep> {
        let Some(table) = self.load_table(name).await? else { return Ok(LogUpkeep::default()) };
        let (store, version) = (table.object_store(), table.version().unwrap_or_default());
        let last = log::last_checkpoint(store.as_ref(), version).await?;
        if version < last.map_or(0, |checkpoint| checkpoint.version) + self.options.checkpoint_every {
            return Ok(LogUpkeep::default());
        }
        let before = table.snapshot()?.log_data().num_files();
        create_checkpoint(&table, None).await?;
        let written = log::last_checkpoint(store.as_ref(), version).await?.map(|checkpoint| checkpoint.version);
        let mut again = self.place.table(name)?;
        again.load_version(version).await?;
        let after = again.snapshot()?.log_data().num_files();
        if written != Some(version) || before != after {
            return Err(DeltaTableError::Generic(format!(
                "the checkpoint of version {version} lists {after} files, the log {before}; nothing was removed from the log"
            )));
        }
        let removed = if self.has_old_entries(store.as_ref()).await? { cleanup_metadata(&again, None).await? } else { 0 };
        Ok(LogUpkeep { checkpoint: i64::try_from(version).ok(), log_files_removed: u64::try_from(removed).unwrap_or(u64::MAX) })
    }

    /// Whether it is time to list a log for entries that nobody keeps: on an object store each page of that list is a request, so there the
    /// first page, which has the oldest entry, must show one that is overdue.
    async fn has_old_entries(&self, store: &dyn ObjectStore) -> DeltaResult<bool> {
        if self.place.local().is_some() {
            return Ok(true);
        }
        let Some(oldest) = store.list(Some(&Path::from("_delta_log"))).next().await.transpose()? else { return Ok(false) };
        let kept = Duration::from_secs(u64::from(self.options.log_retention_days) * 24 * 3600) + LOG_CLEANED_EVERY;
        let age_ms = (self.options.clock.now().0 / 1000).saturating_sub(oldest.last_modified.timestamp_millis());
        Ok(u64::try_from(age_ms).is_ok_and(|age_ms| Duration::from_millis(age_ms) > kept))
    }

    pub(super) fn slot(&self, name: &str) -> Slot {
        Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default())
    }

    /// Brings `slot` to the newest version and returns it; nothing when the table does not exist. On an error, and
    /// every [`LakeOptions::reopen_every`] versions, what was known is dropped.
    pub(super) async fn refresh<'slot>(
        &self,
        name: &str,
        slot: &'slot mut Option<OpenTable>,
    ) -> Result<Option<&'slot mut OpenTable>, DestinationError> {
        let refreshed = self.refreshed(name, slot.take()).await;
        *slot = refreshed.map_err(|error| failure(format!("read the log of table {name}"), error))?;
        Ok(slot.as_mut())
    }

    async fn refreshed(&self, name: &str, open: Option<OpenTable>) -> DeltaResult<Option<OpenTable>> {
        if let Some(mut open) = open.filter(|open| open.version() < open.opened_at + self.options.reopen_every) {
            let (store, version) = (open.table.object_store(), open.version());
            // Versions have no gaps: where the next is not there, this is the newest, unless it came so long ago that it has been
            // cleaned away. A look at one file is what a store bills least.
            let is_fresh = open.looked_at.elapsed() < LOOK_FOR_NEXT_WITHIN;
            open.looked_at = Instant::now();
            if !is_fresh || log::has_entry(store.as_ref(), version + 1).await? {
                open.table.update_state().await?;
                let version = open.version();
                open.positions.advance(store.as_ref(), version).await?;
            }
            return Ok(Some(open));
        }
        let Some(table) = self.load_table(name).await? else { return Ok(None) };
        self.opens.fetch_add(1, Ordering::Relaxed);
        let opened_at = table.version().unwrap_or_default();
        let positions = Positions::load(table.object_store().as_ref(), opened_at).await?;
        Ok(Some(OpenTable { table, positions, opened_at, looked_at: Instant::now() }))
    }

    /// Tells the catalog of table `name`, where there is one.
    pub(super) async fn publish(&self, name: &str, table: &DeltaTable) -> Result<(), DestinationError> {
        let Some(catalog) = self.place.catalog() else { return Ok(()) };
        let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
        catalog.publish(name, &shape_of(state)).await
    }

    /// Makes every entry of the log durable that we have seen, whoever wrote it. Its writer may have died between making
    /// it visible and making it durable, and whoever asks is about to let go of the payloads.
    pub(super) async fn settle(&self, name: &str) -> Result<(), DestinationError> {
        self.place.settle_log(name).await.map_err(|error| failure(format!("sync the log of table {name}"), error))
    }

    async fn load_table(&self, name: &str) -> DeltaResult<Option<DeltaTable>> {
        let mut table = self.place.table(name)?;
        if !table.verify_deltatable_existence().await? {
            return Ok(None);
        }
        table.load().await?;
        Ok(Some(table))
    }
}

#[async_trait]
impl Destination for Lake {
    async fn prepare(&self, table: &'static TableDef) -> Result<(), DestinationError> {
        let slot = self.slot(table.name);
        let mut slot = slot.lock().await;
        self.prepare_table(table, &mut slot).await
    }

    async fn checkpoint(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, DestinationError> {
        let slot = self.slot(table.name);
        let mut slot = slot.lock().await;
        let Some(open) = self.refresh(table.name, &mut slot).await? else { return Ok(vec![None; shards.len()]) };
        self.settle(table.name).await?;
        Ok(shards.iter().map(|shard| open.positions.of(shard)).collect())
    }

    async fn commit(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        self.commit_package(package).await
    }

    async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        // The lake's own method, which does it.
        self.merge(merge).await
    }

    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, DestinationError> {
        let slot = self.slot(table.name);
        let (store, last) = {
            let mut slot = slot.lock().await;
            let Some(open) = self.refresh(table.name, &mut slot).await? else { return Ok(Vec::new()) };
            (open.table.object_store(), open.version())
        };
        let first = after.and_then(|after| u64::try_from(after).ok()).map_or(0, |after| after.saturating_add(1));
        let found = if first > last { Ok(Vec::new()) } else { log::commits(store.as_ref(), first, last).await };
        found.map_err(|error| failure(format!("read the history of table {}", table.name), error))
    }
}

/// Table names come from the command line too, and a name is a folder: it must not lead out of the lake.
pub(super) fn check_name(name: &str) -> Result<(), DestinationError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Ok(());
    }
    Err(DestinationError::Refused { problem: format!("{name:?} is not the name of a table: letters, digits, _ and - make one") })
}
