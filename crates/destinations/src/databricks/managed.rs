//! Managed tables: rows go as Parquet files into a volume, and from there into tables by statements of a SQL warehouse.
//!
//! # Exactly once
//!
//! A statement has no key by which it is known again. It may land although its answer was lost, and even long after the process that
//! sent it has died. So every statement here may run twice, late, or twice at once, and one table, the ledger, says what counts:
//! [`LEDGER`] has one row per load, numbered 1, 2, 3, … within each table.
//!
//! ```text
//! files ─▶ volume ─▶ claim: a row (table, V+1) in the ledger ─▶ INSERT … REPLACE WHERE _load_id ─▶ a mark ─▶ files go
//! ```
//!
//! 1. **Files first.** They lie in a folder that belongs to this one attempt, and never change.
//! 2. **The claim** is a MERGE that adds the row (table, V+1) where there is none. Of all who try, one wins: the ledger is serializable,
//!    and two claims of one table read and write the same partition. The row names the folder and the spans, so whoever reads it can
//!    finish the load. Nothing is ever taken back; it is only carried forward.
//! 3. **The rows** come by `INSERT INTO t REPLACE WHERE _load_id = 'X' SELECT …`, which takes the place of rows with that id: once or five
//!    times, by one process or by two, the same rows. It names each file, so it fails as a whole when one is gone.
//! 4. **The mark**, an empty file in the folder, says that the rows are in. Only then the files are deleted, and with the next load the
//!    rest of the folder.
//!
//! V+2 is claimed only by somebody who knows that V+1 has landed. So only a table's newest load can be open, and all before it are in.
//! A claim counts for a checkpoint only when its rows are in: who finds the newest load open carries it forward first.
//!
//! # What may go wrong, and what then
//!
//! - *Killed before the claim*: a folder that nobody names. It is swept after a day. A claim is void when it is not in the ledger half a
//!   day after its files were begun, so none can ever land on a folder that was swept.
//! - *A claim that lands late*: somebody else has V+1 by then and it does nothing; or nobody has, and it is a claim like any other, with
//!   all its files, made from positions that still hold.
//! - *Killed between claim and rows, or between rows and mark*: the newest load has no mark. If rows with its id are in the table, it has
//!   landed, since they come all together. If there are none, its files are there and it is carried forward. If there are neither, somebody
//!   has meddled, and it says so and stops.
//! - *An INSERT that lands late*: while the files are there, it takes the place of the same rows. When they are gone, it fails. One that
//!   began before and ends after fails as well: it has read what it replaces, and the tables are made so that Delta lets nothing through
//!   when another commit has added rows meanwhile that it would have read: serializable, and without deletion vectors. Should both be there
//!   all the same, whoever carries a load forward counts its rows, and replaces them once more.
//! - *A person has erased rows*: what has its mark is never written again. Only between landing and mark, when a process was killed just
//!   there, and only if *every* row of that load was erased before the next start, they come back.
//! - *The table was dropped*: it has another id when it is made again, and rows of the ledger count only for the table with their id. So
//!   it is empty and knows nothing, as it should.
//!
//! Objects ([`Destination::merge`]) are claimed in the same way, but that claim is a fence: the MERGE that follows does nothing unless it
//! is the newest such claim of its table, so what a dead process left behind cannot undo what came after. Bookmarks are written to the row
//! when the objects are in. A claim that was never finished is simply superseded: the same objects are read and merged again.

mod changes;
mod claim;
mod ledger;
mod load;
mod mirror;
mod objects;
mod prepare;
mod sql;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use freshet_core::{
    Clock, CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Micros, Mirror, Package, Position, ShardId, SystemClock,
    TableDef,
};
use tokio::sync::{Mutex as TaskMutex, Semaphore};
use uuid::Uuid;

use self::ledger::Known;
use super::{Rows, Statement, TableName, Workspace, WorkspaceError};

/// The table that says which loads each table has.
pub const LEDGER: &str = "_freshet_ledger";

/// The column that every table has beside its own.
pub const LOAD_ID: &str = "_load_id";

/// What managed tables are run with.
#[derive(Clone)]
pub struct ManagedOptions {
    /// The catalog, which has to be there.
    pub catalog: String,
    /// The schema in it, made when it is missing.
    pub schema: String,
    /// The volume in the schema through which files go, made when it is missing.
    pub volume: String,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// What Parquet files name as their maker.
    pub created_by: String,
    /// How long another process that is merging objects into a table is waited for, before ours takes its place. It
    /// then begins anew, if it is alive. Default 10 s.
    pub merge_patience: Duration,
}

impl ManagedOptions {
    /// Tables in `catalog`.`schema`, and a volume called `freshet` beside them.
    #[must_use]
    pub fn new(catalog: &str, schema: &str) -> Self {
        Self {
            catalog: catalog.to_owned(),
            schema: schema.to_owned(),
            volume: "freshet".to_owned(),
            clock: Arc::new(SystemClock),
            created_by: concat!("freshet ", env!("CARGO_PKG_VERSION")).to_owned(),
            merge_patience: Duration::from_secs(10),
        }
    }
}

/// Tables that Databricks keeps, filled through a volume and a SQL warehouse.
pub struct Managed {
    workspace: Workspace,
    options: ManagedOptions,
    slots: Mutex<HashMap<&'static str, Slot>>,
    /// Whether schema, volume and ledger were seen to be there.
    ground: TaskMutex<bool>,
    encoders: Semaphore,
    /// Tells our claims from those of other processes.
    instance: Uuid,
}

/// One table, with whatever we know about it. Whoever holds the lock is the only one of this process to write to it. What is known is
/// dropped after every error.
type Slot = Arc<TaskMutex<Option<Known>>>;

impl Managed {
    /// Managed tables in `workspace`. No request is made.
    #[must_use]
    pub fn new(workspace: Workspace, options: ManagedOptions) -> Self {
        Self {
            workspace,
            options,
            slots: Mutex::default(),
            ground: TaskMutex::default(),
            encoders: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
            instance: Uuid::new_v4(),
        }
    }

    /// The workspace they are in.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    fn slot(&self, table: &'static TableDef) -> Slot {
        Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(table.name).or_default())
    }

    /// What time it is.
    pub(super) fn now(&self) -> Micros {
        self.options.clock.now()
    }

    pub(super) fn name(&self, table: &str) -> TableName {
        TableName::new(&self.options.catalog, &self.options.schema, table)
    }

    fn ledger(&self) -> String {
        self.name(LEDGER).quoted()
    }

    /// Runs a statement that concerns `table`.
    pub(super) async fn run(&self, text: String, table: &str) -> Result<Rows, WorkspaceError> {
        self.workspace.run(&Statement::new(text).tagged("freshet_table", table)).await
    }
}

#[async_trait]
impl Destination for Managed {
    async fn prepare(&self, table: &'static TableDef) -> Result<(), DestinationError> {
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        let (table_id, columns) = self.prepare_table(table).await?;
        if let Some(known) = slot.as_mut().filter(|known| known.table_id == table_id) {
            known.columns = columns;
        } else {
            *slot = None;
        }
        Ok(())
    }

    async fn checkpoint(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, DestinationError> {
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        let Some(known) = self.settled(table, &mut slot).await? else { return Ok(vec![None; shards.len()]) };
        Ok(shards.iter().map(|shard| known.position(shard.as_str())).collect())
    }

    async fn commit(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        self.commit_package(package).await
    }

    async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        self.merge_objects(merge).await
    }

    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, DestinationError> {
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        let Some(known) = self.settled(table, &mut slot).await? else { return Ok(Vec::new()) };
        let (table_id, last) = (known.table_id.clone(), known.told_until(self.options.clock.now()));
        self.loads_of(table, &table_id, after, last).await
    }
}

#[async_trait]
impl Mirror for Managed {
    async fn objects(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError> {
        self.rows_of(table, columns).await
    }

    async fn standing(&self, table: &str) -> Result<Option<(String, u64)>, DestinationError> {
        self.form_of(table).await
    }

    async fn bookmarks(&self, table: &'static TableDef, prefix: &str) -> Result<BTreeMap<String, Position>, DestinationError> {
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        Ok(self.settled(table, &mut slot).await?.map(|known| known.positions_below(prefix)).unwrap_or_default())
    }

    async fn set_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError> {
        self.move_bookmarks(table, bookmarks).await
    }
}
