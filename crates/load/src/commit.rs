//! Committing packages, again and again if need be.

use std::sync::Arc;
use std::time::Duration;

use freshet_core::{Clock, CommitOutcome, Committed, Destination, DestinationError, Merge, Package, Position, ShardId, TableDef};
use freshet_tables::LOADS;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::loads;
use crate::machine::{Machine, TokioMachine};
use crate::stats::LoaderStats;

/// How often a commit is tried, and how long the waits between tries are.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries before giving up; `None` tries for ever.
    pub tries_max: Option<u32>,
    /// The first wait; each further one is twice as long.
    pub wait_first: Duration,
    /// The longest wait.
    pub wait_max: Duration,
}

impl Retry {
    /// For a person who waits at the terminal: about ten seconds.
    pub const SOON: Self = Self { tries_max: Some(6), wait_first: Duration::from_millis(300), wait_max: Duration::from_secs(5) };
    /// For a daemon whose spool goes on taking in data.
    pub const FOR_EVER: Self = Self { tries_max: None, wait_first: Duration::from_millis(500), wait_max: Duration::from_secs(30) };

    /// The wait after try number `tried`, spread over half its length so that tables do not come back all at once.
    fn wait(&self, tried: u32, spread: u64) -> Duration {
        let full = self.wait_first.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(self.wait_max);
        full / 2 + full.mul_f64((spread % 1024) as f64 / 2048.0)
    }
}

/// Why packages are not all committed. What is missing can be cut again from its source.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else is loading the same bytes.
    #[error("another process is loading the same bytes into table {table}")]
    Overtaken {
        /// The table.
        table: &'static str,
    },
    /// The destination failed.
    #[error("table {table} could not be written")]
    Destination {
        /// The table.
        table: &'static str,
        /// What it said.
        #[source]
        source: DestinationError,
    },
    /// A task ended without an answer, which only a bug can cause.
    #[error("a commit ended without an answer: {0}")]
    Lost(String),
}

/// Commits packages of several tables at once and keeps `_loads` complete.
#[derive(Clone)]
pub struct Committer {
    destination: Arc<dyn Destination>,
    clock: Arc<dyn Clock>,
    retry: Retry,
    stats: Arc<LoaderStats>,
    machine: Arc<dyn Machine>,
}

impl Committer {
    /// A committer that tries as `retry` says.
    #[must_use]
    pub fn new(destination: Arc<dyn Destination>, clock: Arc<dyn Clock>, retry: Retry) -> Self {
        Self { destination, clock, retry, stats: Arc::default(), machine: Arc::new(TokioMachine::new()) }
    }

    /// The same on another machine than tokio's. Loaders run on the machine of their committer.
    #[must_use]
    pub fn on(self, machine: Arc<dyn Machine>) -> Self {
        Self { machine, ..self }
    }

    /// What it runs on.
    pub(crate) fn machine(&self) -> &Arc<dyn Machine> {
        &self.machine
    }

    /// Counters of all that is committed through this committer and its clones.
    #[must_use]
    pub fn stats(&self) -> &Arc<LoaderStats> {
        &self.stats
    }

    /// The destination.
    #[must_use]
    pub fn destination(&self) -> &Arc<dyn Destination> {
        &self.destination
    }

    /// Makes every table exist, so that a query on one without rows is empty and not an error, and `_loads` complete: a crash
    /// may have come between a commit and its row there.
    ///
    /// # Errors
    /// A table cannot be made or written, or has another shape.
    pub async fn prepare(&self, tables: &[&'static TableDef]) -> Result<(), CommitError> {
        self.on_all(tables.iter().copied(), |committer, table| async move { committer.prepare_table(table).await }).await?;
        let loaded: Vec<_> = tables.iter().copied().filter(|table| table.name != LOADS.name).collect();
        loads::record(self, &loaded).await
    }

    /// The last position of `shard` in `table`.
    pub(crate) async fn checkpoint(&self, table: &'static TableDef, shard: &ShardId) -> Result<Option<Position>, CommitError> {
        Ok(self.checkpoints(table, std::slice::from_ref(shard)).await?.into_iter().next().flatten())
    }

    /// The last position of each of `shards` in `table`.
    pub(crate) async fn checkpoints(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, CommitError> {
        let mut tried = 0;
        loop {
            match self.destination.checkpoint(table, shards).await {
                Ok(positions) => return Ok(positions),
                Err(error) => self.wait_or_fail(table, error, &mut tried).await?,
            }
        }
    }

    /// The commits to `table` with a version above `after`.
    pub(crate) async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, CommitError> {
        let mut tried = 0;
        loop {
            match self.destination.history(table, after).await {
                Ok(commits) => return Ok(commits),
                Err(error) => self.wait_or_fail(table, error, &mut tried).await?,
            }
        }
    }

    async fn prepare_table(&self, table: &'static TableDef) -> Result<(), CommitError> {
        let mut tried = 0;
        loop {
            match self.destination.prepare(table).await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_or_fail(table, error, &mut tried).await?,
            }
        }
    }

    /// Commits all packages, tables side by side, then writes their rows of `_loads`. When it returns without an error,
    /// every row of every package is in its table, once.
    ///
    /// # Errors
    /// See [`CommitError`]. Some packages may be committed; trying the same ones again is harmless.
    pub async fn commit(&self, packages: Vec<Package>) -> Result<Vec<(&'static TableDef, Committed)>, CommitError> {
        let tables: Vec<_> = packages.iter().map(|package| package.table).collect();
        let done = self.on_all(packages.into_iter(), |committer, package| async move { committer.commit_package(&package).await }).await?;
        loads::record(self, &tables).await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// Merges objects into their table, then writes the row of `_loads`. `None` when the table had all of them. When it returns
    /// without an error, each object is in its table, once.
    ///
    /// # Errors
    /// See [`CommitError`]. The objects may be there; merging the same ones again is harmless.
    pub async fn merge(&self, merge: &Merge) -> Result<Option<(&'static TableDef, Committed)>, CommitError> {
        let table = merge.table;
        let mut tried = 0;
        let merged = loop {
            match self.destination.merge(merge).await {
                Ok(merged) => break merged,
                Err(error) => self.wait_or_fail(table, error, &mut tried).await?,
            }
        };
        self.stats.tried(false);
        let Some(committed) = merged.committed else { return Ok(None) };
        info!(table = table.name, load_id = %merge.load_id, rows = committed.rows, version = committed.version, "objects merged");
        loads::record(self, &[table]).await?;
        Ok(Some((table, committed)))
    }

    /// Commits one package. `None` when it was there already.
    pub(crate) async fn commit_package(&self, package: &Package) -> Result<Option<(&'static TableDef, Committed)>, CommitError> {
        let table = package.table;
        let mut tried = 0;
        loop {
            match self.destination.commit(package).await {
                Ok(CommitOutcome::Committed(committed)) => {
                    self.stats.tried(false);
                    info!(table = table.name, load_id = %package.load_id, rows = committed.rows, version = committed.version, "package committed");
                    return Ok(Some((table, committed)));
                }
                Ok(CommitOutcome::AlreadyThere) => return Ok(None),
                Ok(CommitOutcome::Overtaken) => return Err(CommitError::Overtaken { table: table.name }),
                Err(error) => self.wait_or_fail(table, error, &mut tried).await?,
            }
        }
    }

    /// Waits before another try, or returns the error when there should be none.
    async fn wait_or_fail(&self, table: &'static TableDef, error: DestinationError, tried: &mut u32) -> Result<(), CommitError> {
        *tried += 1;
        self.stats.tried(true);
        let for_ever = self.retry.tries_max.is_none();
        if self.retry.tries_max.is_some_and(|most| *tried >= most) || !(error.is_transient() || for_ever) {
            return Err(CommitError::Destination { table: table.name, source: error });
        }
        let wait = self.retry.wait(*tried, self.clock.now().0.unsigned_abs());
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        warn!(table = table.name, tried, wait_ms = wait.as_millis() as u64, %error, cause, "destination failed, trying again");
        self.machine.sleep(wait).await;
        Ok(())
    }

    /// Runs `work` on every item at the same time and waits for all, so that no commit is left running behind an error.
    async fn on_all<I, T, F>(&self, items: impl Iterator<Item = I>, work: impl Fn(Self, I) -> F) -> Result<Vec<T>, CommitError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CommitError>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for item in items {
            tasks.spawn(work(self.clone(), item));
        }
        let mut done = Vec::with_capacity(tasks.len());
        let mut failed = None;
        while let Some(ended) = tasks.join_next().await {
            match ended.unwrap_or_else(|lost| Err(CommitError::Lost(lost.to_string()))) {
                Ok(value) => done.push(value),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }
}
