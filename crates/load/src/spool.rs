//! Following the spool: rows are cut into packages by size and age, one package commits while the next is filled, and
//! what every table has is given back to the spool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_core::{Clock, Committed, Complete, Format, Merge, MergeMode, Micros, Payload, Position, ShardId, SourceKind, Span, TableDef};
use freshet_spool::{Entry, Spool, SpoolError, SpoolReader};
use freshet_tables::platform::{EventRows, EventsError};
use freshet_tables::{Counts, Delivery, PositionOf, Rows, TableRows};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, error, warn};
use xxhash_rust::xxh3::Xxh3;

use crate::commit::{CommitError, Committer};
use crate::cut::{PackageLimits, load_id, package};
use crate::machine::{Lost, Machine, work_on};
use crate::stats::LoaderStats;

/// Bytes of payloads that are parsed in one go. Nothing else of the loader happens meanwhile.
const BATCH_BYTES: usize = 4 << 20;

/// Wait before another try when the spool's disk or the parser's thread failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Moves the spool's payloads into tables until the spool is closed and empty.
pub struct SpoolLoader {
    spool: Arc<Spool>,
    committer: Committer,
    limits: PackageLimits,
    clock: Arc<dyn Clock>,
    stats: Arc<LoaderStats>,
    machine: Arc<dyn Machine>,
    shard: ShardId,
}

/// Why the loader cannot begin, or has to begin anew.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The destination failed for good, or somebody else moved its checkpoints.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The spool's disk failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A thread ended without an answer, which only a bug can cause.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// What webhooks told cannot be made rows, which only a bug can cause. It stays in the spool.
    #[error(transparent)]
    Events(#[from] EventsError),
}

/// The rows that wait for their commit, and what they were made from.
struct Open {
    reader: SpoolReader,
    rows: Rows,
    counts: Counts,
    /// Where the last cut was made.
    from: Position,
    /// The last position read.
    to: Position,
    /// The last position that the spool was told is safe.
    consumed: Position,
    /// When the oldest of the rows was read, as uptime of the machine.
    since: Option<Duration>,
}

/// A package of every table that is being committed.
struct InFlight {
    to: Position,
    started: Duration,
    task: JoinHandle<Result<Vec<(&'static TableDef, Committed)>, CommitError>>,
}

impl SpoolLoader {
    /// A loader of everything in `spool`. The committer should try for ever: meanwhile the spool fills, and then senders wait.
    #[must_use]
    pub fn new(spool: Arc<Spool>, committer: Committer, limits: PackageLimits, clock: Arc<dyn Clock>) -> Self {
        let (shard, stats, machine) = (spool.shard(), Arc::clone(committer.stats()), Arc::clone(committer.machine()));
        Self { spool, committer, limits, clock, stats, machine, shard }
    }

    /// Its counters, and its committer's.
    #[must_use]
    pub fn stats(&self) -> &Arc<LoaderStats> {
        &self.stats
    }

    /// Asks the destination how far it has come, and makes the spool continue behind that. To be called before anything is
    /// received: a spool that was restored from an old copy would else hand out positions that are taken already.
    ///
    /// # Errors
    /// The destination or the spool's disk failed for good.
    pub async fn begin(&self) -> Result<(), BeginError> {
        self.committer.prepare(&freshet_tables::TABLES).await?;
        let last = self.checkpoints().await?.into_iter().max().unwrap_or(0);
        self.spool.raise(last).await?;
        Ok(())
    }

    /// Runs until `ending` is set and everything in the spool is in its tables. To stop earlier, drop the future: what is
    /// not committed is read again on the next start.
    pub async fn run(&self, mut ending: watch::Receiver<bool>) {
        while let Err(interrupted) = self.follow(&mut ending).await {
            // Whatever happened, the destination knows what it has; nothing in memory is needed.
            warn!(cause = %interrupted, "loader begins anew");
            self.machine.sleep(RETRY_WAIT).await;
        }
    }

    /// The last position of this spool in each table, by index in [`Rows::tables`].
    async fn checkpoints(&self) -> Result<Vec<Position>, CommitError> {
        let mut positions = Vec::with_capacity(Rows::tables().len());
        for table in Rows::tables() {
            positions.push(self.committer.checkpoint(table, &self.shard).await?.unwrap_or(0));
        }
        Ok(positions)
    }

    async fn follow(&self, ending: &mut watch::Receiver<bool>) -> Result<(), BeginError> {
        let mut checkpoints = self.checkpoints().await?;
        let mut rows = Rows::default();
        for (table, position) in Rows::tables().iter().zip(&checkpoints) {
            rows.skip_to(table, *position);
        }
        let reader = self.spool.reader();
        let to = reader.position();
        let mut open = Open { reader, rows, counts: Counts::default(), from: to, to, consumed: to, since: None };
        let mut in_flight: Option<InFlight> = None;
        loop {
            let is_ending = *ending.borrow();
            let drained = is_ending && open.reader.position() >= self.spool.stats().durable_end;
            let full = self.limits.reached(open.rows.bytes(), open.rows.len());
            let old = open.since.is_some_and(|since| self.machine.uptime().saturating_sub(since) >= self.age_max());
            // What the tables had already makes no rows, and no package will tell that it is safe: a full spool would stay full.
            let known = open.rows.is_empty() && open.to > open.consumed;
            if in_flight.is_none() && (full || old || drained || known) {
                in_flight = self.cut(&mut open, &mut checkpoints)?;
                if in_flight.is_none() {
                    self.spool.consumed(open.to).await?;
                    open.consumed = open.to;
                    if drained {
                        return Ok(());
                    }
                }
            }
            let left = open.since.map(|since| (since + self.age_max()).saturating_sub(self.machine.uptime()));
            // In this order, and not by chance, so that a run can be replayed. Nobody starves: what has become due
            // meanwhile is seen at the top of the loop.
            tokio::select! {
                biased;
                done = finished(&mut in_flight), if in_flight.is_some() => {
                    open.consumed = self.committed(done??, in_flight.take()).await?.unwrap_or(open.consumed);
                }
                more = open.reader.readable(), if !full && !drained => match more {
                    true => open = self.read(open).await?,
                    // The spool was closed before its time; nobody can be told what is consumed.
                    false => return Err(SpoolError::Stopped.into()),
                },
                () = set(ending), if !is_ending => {}
                () = self.machine.sleep(left.unwrap_or_default()), if left.is_some() && in_flight.is_none() => {}
            }
        }
    }

    fn age_max(&self) -> Duration {
        Duration::from_micros(self.limits.age_max_us.unsigned_abs())
    }

    /// Reads and parses what is there, off the async threads.
    async fn read(&self, mut open: Open) -> Result<Open, BeginError> {
        let (received_at, uptime) = (self.clock.now(), self.machine.uptime());
        let parsed = work_on(self.machine.as_ref(), move || {
            let rows_before = open.rows.len();
            let read = open.reader.read_batch(BATCH_BYTES);
            if let Ok(entries) = &read {
                for entry in entries {
                    open.add(entry, received_at);
                }
            }
            if open.since.is_none() && open.rows.len() > rows_before {
                open.since = Some(uptime);
            }
            (open, read.map(drop))
        });
        let (mut open, read) = parsed.await?;
        if let Err(spool) = read {
            error!(cause = %spool, "spool cannot be read, trying again");
            self.machine.sleep(RETRY_WAIT).await;
        }
        self.stats.parsed(std::mem::take(&mut open.counts));
        Ok(open)
    }

    /// Takes the open rows as packages and begins to commit them. `None` when there are no rows.
    ///
    /// Events of webhooks have a key, and their table no checkpoint: `freshet sync` writes to it too. They are safe all the same. The
    /// spool is told of a span only after its packages are committed *and* its events are merged, so a crash at any moment leaves
    /// the events in the spool. They are read and merged again then, and an event that the table has already changes nothing.
    fn cut(&self, open: &mut Open, checkpoints: &mut [Position]) -> Result<Option<InFlight>, EventsError> {
        open.since = None;
        let from = std::mem::replace(&mut open.from, open.to);
        let events = open.rows.finish_events(self.clock.now())?;
        let mut packages = Vec::new();
        for rows in open.rows.finish() {
            let from = take_checkpoint(&rows, checkpoints, open.to);
            packages.push(package(rows, vec![Span { shard: self.shard.clone(), from, to: open.to }]));
        }
        if packages.is_empty() && events.is_none() {
            return Ok(None);
        }
        debug!(tables = packages.len(), events = events.is_some(), to = open.to, "package cut");
        let merge = events.map(|events| self.merge(events, from, open.to));
        let committer = self.committer.clone();
        let task = tokio::spawn(async move {
            let mut done = committer.commit(packages).await?;
            if let Some(merge) = merge {
                done.extend(committer.merge(&merge).await?);
            }
            Ok(done)
        });
        Ok(Some(InFlight { to: open.to, started: self.machine.uptime(), task }))
    }

    /// What brings `events` into their table. One that is there already stays as it is: what the API said of it counts for more.
    fn merge(&self, events: EventRows, from: Position, to: Position) -> Merge {
        let span = Span { shard: self.shard.clone(), from, to };
        Merge {
            table: events.table,
            mode: MergeMode::IfNew,
            load_id: load_id(events.table, &[span]),
            key: events.key,
            batches: vec![events.batch],
            complete: Complete::No,
            at: self.clock.now(),
            bookmarks: Vec::new(),
        }
    }

    /// Tells the spool what is safe now, and returns how far that is.
    async fn committed(
        &self,
        commits: Vec<(&'static TableDef, Committed)>,
        in_flight: Option<InFlight>,
    ) -> Result<Option<Position>, BeginError> {
        let Some(in_flight) = in_flight else { return Ok(None) };
        let rows = commits.iter().map(|(table, commit)| (table.name, commit.rows.unsigned_abs()));
        self.stats.committed(rows, self.machine.uptime().saturating_sub(in_flight.started), self.clock.now());
        self.spool.consumed(in_flight.to).await?;
        Ok(Some(in_flight.to))
    }
}

/// Waits for `flag`. A sender that is gone means the same.
async fn set(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// The commit's end. Waits for ever when there is none, which the caller rules out.
async fn finished(in_flight: &mut Option<InFlight>) -> Result<Result<Vec<(&'static TableDef, Committed)>, CommitError>, Lost> {
    match in_flight {
        Some(in_flight) => (&mut in_flight.task).await.map_err(|_| Lost),
        None => std::future::pending().await,
    }
}

/// Where the table's last package ended, which is where this one begins; from now on that is `to`.
fn take_checkpoint(rows: &TableRows, checkpoints: &mut [Position], to: Position) -> Position {
    let index = Rows::tables().iter().position(|table| table.name == rows.table.name);
    index.and_then(|index| checkpoints.get_mut(index)).map_or(0, |checkpoint| std::mem::replace(checkpoint, to))
}

impl Open {
    fn add(&mut self, entry: &Entry, now: Micros) {
        self.to = entry.position();
        let notice;
        let payload = match entry {
            Entry::Payload { payload, .. } => payload,
            Entry::Gap(gap) => {
                error!(bytes = gap.bytes(), "spool is damaged, what was there is lost");
                notice = damage(gap.bytes(), now);
                &notice
            }
        };
        let frame_id = payload.frame_id.clone().unwrap_or_else(|| content_id(payload, self.to));
        let position = PositionOf::Delivery(self.to);
        self.counts += self.rows.add(&Delivery { payload, frame_id: &frame_id, position, resumed_at: &[] });
    }
}

/// The name of a delivery that came without one. The prefix marks it: a repetition of it cannot be recognised.
fn content_id(payload: &Payload, position: Position) -> String {
    let mut hash = Xxh3::new();
    hash.update(&position.to_le_bytes());
    hash.update(&payload.received_at.0.to_le_bytes());
    hash.update(&payload.body);
    format!("body-{:032x}", hash.digest128())
}

fn damage(bytes: u64, now: Micros) -> Payload {
    Payload {
        source: SourceKind::Freshet,
        format: Format::Notice,
        app: None,
        drain_token: None,
        frame_id: None,
        msg_count: None,
        received_at: now,
        body: Bytes::from(format!("spool_damaged: {bytes} bytes of the spool could not be read back")),
    }
}
