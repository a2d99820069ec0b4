//! Managed tables whose log lines come by Zerobus, Databricks' service for streams: seconds after they were received, without a warehouse
//! that is awake, and **at least once**.
//!
//! ```text
//! rows ─▶ JSON ─▶ POST …/tables/NAME/insert ─▶ durable there ─▶ in the table some seconds later
//! ```
//!
//! The service knows no position and no key by which rows that come again are seen. So what is kept of how far a table has come is kept in
//! memory, for this process; a new one begins where the spool says, and rows of the last moments before it come twice. So do those whose
//! answer was lost. Rows have `frame_id` and `frame_index`, by which a query sees the same row again.
//!
//! Freshet's own tables, whose rows are few, and objects come by the warehouse, exactly once, as [`Managed`] has it. Rows of log tables that
//! JSON or a request cannot carry come by the warehouse too, but at least once like all of their table: an INSERT that replaces nothing
//! never collides with what Zerobus commits.

mod inlet;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use async_trait::async_trait;
use bytes::Bytes;
use freshet_core::{
    CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Mirror, Package, Position, ShardId, TableDef, TableKind,
};
use tokio::sync::Mutex as TaskMutex;
use tokio::task::spawn_blocking;

use self::inlet::{Inlet, Unsent};
use self::rows::{RowWriter, split};
use super::{LOAD_ID, Managed, WorkspaceError};
use crate::spans::{Spans, Standing};

/// Where Zerobus is, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZerobusOptions {
    /// Its address for the workspace: `https://1234567890123456.zerobus.eu-west-1.cloud.databricks.com`.
    pub endpoint: String,
    /// The workspace's number, with which the address usually begins.
    pub workspace_id: String,
    /// Bytes of the rows of one request, which ends with the row that reaches them. Databricks takes 10 MiB. Default 4 MiB.
    pub request_bytes: usize,
    /// Bytes of the texts of a row that goes by Zerobus. As JSON they may be six times as many. Default 512 KiB.
    pub row_bytes_max: usize,
}

impl ZerobusOptions {
    /// Zerobus at `endpoint`, for the workspace of this number, with the default limits.
    #[must_use]
    pub fn new(endpoint: &str, workspace_id: &str) -> Self {
        let (endpoint, workspace_id) = (endpoint.to_owned(), workspace_id.to_owned());
        Self { endpoint, workspace_id, request_bytes: 4 << 20, row_bytes_max: 512 << 10 }
    }
}

/// Managed tables whose log lines come by Zerobus.
pub struct Zerobus {
    managed: Managed,
    inlet: Inlet,
    options: ZerobusOptions,
    slots: Mutex<HashMap<&'static str, Slot>>,
}

type Slot = Arc<TaskMutex<Progress>>;

/// What this process knows of one table. It asks the warehouse for nothing that it can know, so that it may sleep.
#[derive(Default)]
struct Progress {
    /// How far the table is: brought by us, or as the ledger has it. Forgotten whenever the warehouse writes to the table for us, for then
    /// somebody else may have been faster.
    positions: HashMap<ShardId, Option<Position>>,
    /// Packages that went by Zerobus.
    commits: i64,
    /// Of a package that is not in as a whole: its load id, and how many of its rows are.
    begun: Option<(String, usize)>,
    /// The load after which there was none when that was asked last, and nothing was written since by the warehouse for us.
    quiet_after: Option<Option<i64>>,
}

impl Zerobus {
    /// The tables of `managed`, with log lines by Zerobus. No request is made.
    ///
    /// # Errors
    /// The workspace is logged in to in a way that Zerobus does not take, or the address is none.
    pub fn new(managed: Managed, options: &ZerobusOptions) -> Result<Self, WorkspaceError> {
        let inlet = Inlet::new(managed.workspace().clone(), options)?;
        Ok(Self { managed, inlet, options: options.clone(), slots: Mutex::default() })
    }

    /// Tries whether Zerobus answers at all.
    ///
    /// # Errors
    /// It does not.
    pub async fn reach(&self) -> Result<(), WorkspaceError> {
        self.inlet.reach().await
    }

    /// Gets the token for a table, by the rights that there are.
    ///
    /// # Errors
    /// There is none for us, or none to be had.
    pub async fn log_in(&self, table: &str) -> Result<(), WorkspaceError> {
        self.inlet.log_in(&self.managed.name(table)).await
    }

    fn slot(&self, table: &'static TableDef) -> Slot {
        Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(table.name).or_default())
    }

    /// Sends the rows of a package that no request has brought yet.
    async fn send(&self, package: &Package, progress: &mut Progress) -> Result<CommitOutcome, DestinationError> {
        let table = package.table;
        let load_id = format!("zerobus/{}", package.load_id);
        let (batches, row_bytes_max) = (package.batches.clone(), self.options.row_bytes_max);
        let (carried, aside) = off_thread(table, move || split(&batches, row_bytes_max)).await?;
        let sent = match &progress.begun {
            Some((begun, rows)) if *begun == load_id => *rows,
            _ => {
                self.managed.append(table, &load_id, package.load_id, &aside).await?;
                progress.begun = Some((load_id.clone(), 0));
                0
            }
        };
        let (mut writer, mut bytes) = (RowWriter::new(carried, &load_id, sent), 0);
        let request_bytes = self.options.request_bytes;
        loop {
            let (back, body) = off_thread(table, move || writer.next(request_bytes).map(|body| (writer, body))).await?;
            writer = back;
            let Some(body) = body else { break };
            bytes += body.len();
            match self.inlet.insert(&self.managed, table, Bytes::from(body)).await {
                Ok(()) => {}
                Err(Unsent::Rows(why)) => {
                    // Whatever it is that Zerobus does not like about them: the warehouse takes files.
                    tracing::warn!(table = table.name, why, "Zerobus refuses rows, the warehouse brings them instead");
                    self.managed.append(table, &load_id, package.load_id, &writer.latest()).await?;
                }
                Err(Unsent::For(error)) => return Err(error),
            }
            progress.begun = Some((load_id.clone(), writer.written()));
        }
        progress.begun = None;
        progress.commits += 1;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(CommitOutcome::Committed(Committed {
            load_id,
            rows: signed(package.rows()),
            files: 0,
            bytes: signed(bytes),
            ts_range: package.ts_range,
            committed_at: self.managed.now(),
            version: progress.commits,
        }))
    }
}

/// Does what takes a while on a thread of its own.
async fn off_thread<T: Send + 'static>(
    table: &TableDef,
    work: impl FnOnce() -> Result<T, ArrowError> + Send + 'static,
) -> Result<T, DestinationError> {
    let unfit = |error: &dyn std::fmt::Display| DestinationError::Refused {
        problem: format!("rows of table {} cannot be written as JSON: {error}", table.name),
    };
    spawn_blocking(work).await.map_err(|lost| unfit(&lost))?.map_err(|error| unfit(&error))
}

/// Whether the rows of `table` go by Zerobus.
fn is_streamed(table: &TableDef) -> bool {
    table.kind == TableKind::Log
}

#[async_trait]
impl Destination for Zerobus {
    async fn prepare(&self, table: &'static TableDef) -> Result<(), DestinationError> {
        self.managed.prepare(table).await
    }

    async fn checkpoint(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, DestinationError> {
        let slot = self.slot(table);
        let mut progress = slot.lock().await;
        let unknown: Vec<ShardId> = shards.iter().filter(|shard| !progress.positions.contains_key(shard)).cloned().collect();
        if !unknown.is_empty() {
            let positions = self.managed.checkpoint(table, &unknown).await?;
            progress.positions.extend(unknown.into_iter().zip(positions));
        }
        Ok(shards.iter().map(|shard| progress.position(shard)).collect())
    }

    async fn commit(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        let slot = self.slot(package.table);
        let mut progress = slot.lock().await;
        if !is_streamed(package.table) {
            (progress.positions, progress.quiet_after) = (HashMap::new(), None);
            return self.managed.commit(package).await;
        }
        match Spans::of(package)?.judge(|shard| progress.position(shard)) {
            Standing::Beyond => return Ok(CommitOutcome::AlreadyThere),
            Standing::Within => return Ok(CommitOutcome::Overtaken),
            Standing::Before => {}
        }
        let outcome = self.send(package, &mut progress).await?;
        for span in &package.spans {
            let reached = progress.positions.entry(span.shard.clone()).or_default();
            *reached = (*reached).max(Some(span.to));
        }
        Ok(outcome)
    }

    async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        let slot = self.slot(merge.table);
        let mut progress = slot.lock().await;
        progress.quiet_after = None;
        self.managed.merge(merge).await
    }

    /// What came by the warehouse; what came by Zerobus are no loads.
    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, DestinationError> {
        let slot = self.slot(table);
        let mut progress = slot.lock().await;
        if progress.quiet_after == Some(after) {
            return Ok(Vec::new());
        }
        let history = self.managed.history(table, after).await?;
        progress.quiet_after = history.is_empty().then_some(after);
        Ok(history)
    }
}

impl Progress {
    fn position(&self, shard: &ShardId) -> Option<Position> {
        self.positions.get(shard).copied().flatten()
    }
}

#[async_trait]
impl Mirror for Zerobus {
    async fn objects(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError> {
        self.managed.objects(table, columns).await
    }

    async fn standing(&self, table: &str) -> Result<Option<(String, u64)>, DestinationError> {
        self.managed.standing(table).await
    }

    async fn bookmarks(&self, table: &'static TableDef, prefix: &str) -> Result<BTreeMap<String, Position>, DestinationError> {
        self.managed.bookmarks(table, prefix).await
    }

    async fn set_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError> {
        self.managed.set_bookmarks(table, bookmarks).await
    }
}
