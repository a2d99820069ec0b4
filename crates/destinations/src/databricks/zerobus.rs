//! Managed tables whose log lines come by Zerobus, Databricks' service for streams: seconds after they were received, without a warehouse
//! that is awake, and **at least once**.
//!
//! ```text
//! rows ─▶ JSON ─▶ POST …/tables/NAME/insert ─▶ durable there ─▶ in the table some seconds later
//! ```
//!
//! The service knows no position and no key by which rows that come again are seen. So what is kept of how far a table has come is kept in
//! memory, for this process; a new one begins where the spool says, and rows of the last moments before it come twice. So do those whose
//! answer was lost. Each row has its load's id in [`LOAD_ID`], and those of log tables `frame_id` and `frame_index`, by which a query sees
//! the same row again.
//!
//! All else goes by the warehouse, exactly once, as [`Managed`] has it: Freshet's own tables (their rows are few), objects, and rows that
//! JSON or a request cannot carry.

mod inlet;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use freshet_core::{
    CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Mirror, Package, Position, ShardId, Span, TableDef, TableKind,
};
use tokio::sync::Mutex as TaskMutex;
use tokio::task::spawn_blocking;

use self::inlet::Inlet;
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
        let (carried, aside) = split(&package.batches, self.options.row_bytes_max).map_err(|error| unfit(table, &error))?;
        if !aside.is_empty() {
            progress.quiet_after = None;
            self.set_aside(package, aside).await?;
        }
        let sent = progress.begun.as_ref().filter(|(begun, _)| *begun == load_id).map_or(0, |(_, rows)| *rows);
        let (mut writer, mut bytes) = (RowWriter::new(carried, &load_id, sent), 0);
        let request_bytes = self.options.request_bytes;
        loop {
            let written = spawn_blocking(move || {
                let body = writer.next(request_bytes);
                (writer, body)
            });
            let (back, body) = written.await.map_err(|lost| unfit(table, &lost))?;
            writer = back;
            let Some(body) = body.map_err(|error| unfit(table, &error))? else { break };
            bytes += body.len();
            self.inlet.insert(&self.managed, table.name, Bytes::from(body)).await?;
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

    /// Brings rows that Zerobus cannot carry into the table by the warehouse, once for each package.
    async fn set_aside(&self, package: &Package, batches: Vec<RecordBatch>) -> Result<(), DestinationError> {
        let shard = ShardId::new(&format!("zerobus/{}", package.load_id));
        let (table, load_id) = (package.table, package.load_id);
        let aside = Package { table, load_id, spans: vec![Span { shard, from: 0, to: 1 }], batches, ts_range: package.ts_range };
        self.managed.commit(&aside).await.map(drop)
    }
}

/// Whether the rows of `table` go by Zerobus.
fn is_streamed(table: &TableDef) -> bool {
    table.kind == TableKind::Log
}

fn unfit(table: &TableDef, error: &dyn std::fmt::Display) -> DestinationError {
    DestinationError::Refused { problem: format!("rows of table {} cannot be written as JSON: {error}", table.name) }
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
        slot.lock().await.quiet_after = None;
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
