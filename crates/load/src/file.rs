//! Loading the chunks of an import.
//!
//! A file is its own spool: it can be read again. What a table has of it is remembered per chunk (see
//! [`FilePosition`]), in the commit that added the rows, so an import that was killed or repeated adds what is missing
//! and no more.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use freshet_core::{Clock, Committed, Format, Micros, Payload, ShardId, SourceKind, Span, TableDef};
use freshet_tables::{Counts, Delivery, PositionOf, Rows, TableRows};
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::Xxh3;

use crate::commit::{CommitError, Committer};
use crate::cut::{PackageLimits, package};
use crate::file_position::FilePosition;
use crate::machine::{Machine, TokioMachine, work_on};

/// Files that agree up to a chunk and in the first record of it, but not in the rest, are told apart by a number. More
/// of them than this is taken for a bug.
const LOOKALIKES_MAX: usize = 10_000;

/// One chunk of a file, ending at the end of a record.
#[derive(Clone, Debug)]
pub struct FileChunk {
    /// The bytes, decompressed; at most 128 MiB.
    pub bytes: Bytes,
    /// Hash of all bytes of the file before this chunk.
    pub hash_before: u128,
    /// Length of the chunk's first record.
    pub first_record: usize,
    /// How the bytes are laid out.
    pub format: Format,
    /// The Heroku app's name, if the user gave one.
    pub app: Option<String>,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkReport {
    /// Its bytes and messages.
    pub counts: Counts,
    /// Rows it adds, over all tables.
    pub rows: u64,
    /// Bytes of it that every table had already.
    pub known_bytes: u64,
}

/// Takes chunks and commits them in packages.
pub struct FileLoader {
    committer: Option<Committer>,
    clock: Arc<dyn Clock>,
    machine: Arc<dyn Machine>,
    limits: PackageLimits,
    /// Tables that take no rows, because what would go there is there already under another name.
    closed: Vec<&'static TableDef>,
    open: Open,
    committing: Option<JoinHandle<Result<Vec<Commit>, CommitError>>>,
    /// Hashes of the chunks that the destination may not know of yet.
    on_the_way: HashSet<u128>,
    /// What was added so far, by index in [`Rows::tables`].
    totals: Vec<TableTotals>,
}

type Commit = (&'static TableDef, Committed);

/// What an import added to one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableTotals {
    /// Rows, committed or still to be.
    pub rows: u64,
    /// Files committed.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
}

/// The package under construction.
#[derive(Default)]
struct Open {
    rows: Rows,
    /// The spans that each table has rows of, by index in [`Rows::tables`].
    spans: Vec<Vec<Span>>,
}

impl FileLoader {
    /// A loader; without a committer it parses and counts and writes nothing.
    #[must_use]
    pub fn new(committer: Option<Committer>, clock: Arc<dyn Clock>, limits: PackageLimits) -> Self {
        let tables = Rows::tables().len();
        let machine = committer.as_ref().map(|committer| Arc::clone(committer.machine()));
        Self {
            committer,
            clock,
            machine: machine.unwrap_or_else(|| Arc::new(TokioMachine::new())),
            limits,
            closed: Vec::new(),
            open: Open::default(),
            committing: None,
            on_the_way: HashSet::new(),
            totals: vec![TableTotals::default(); tables],
        }
    }

    /// From here on, no rows go to `table`.
    pub fn close_table(&mut self, table: &'static TableDef) {
        self.closed.push(table);
    }

    /// What was added so far, by table; tables without rows are left out.
    pub fn totals(&self) -> impl Iterator<Item = (&'static TableDef, TableTotals)> {
        Rows::tables().iter().copied().zip(self.totals.iter().copied()).filter(|(_, totals)| totals.rows > 0)
    }

    /// Takes a chunk. Commits happen in the background; an error of an earlier one is returned here.
    ///
    /// # Errors
    /// A commit failed for good.
    pub async fn add(&mut self, chunk: FileChunk) -> Result<ChunkReport, CommitError> {
        let hash = shard_hash(&chunk);
        if !self.on_the_way.insert(hash) {
            // The same content twice in one import: the destination must hear of the first before it is asked.
            self.finish().await?;
            self.on_the_way = HashSet::from([hash]);
        }
        let found = self.find(hash, &chunk).await?;
        let now = self.clock.now();
        let rows = std::mem::take(&mut self.open.rows);
        let parsed = work_on(self.machine.as_ref(), move || parse(rows, chunk, found, now)).await;
        let parsed = parsed.map_err(|lost| CommitError::Lost(lost.to_string()))?;
        self.open.rows = parsed.rows;
        self.open.spans.resize_with(Rows::tables().len(), Vec::new);
        let mut report = parsed.report;
        for ((table_spans, added), (span, total)) in
            self.open.spans.iter_mut().zip(&parsed.added).zip(parsed.spans.into_iter().zip(&mut self.totals))
        {
            if *added > 0 {
                table_spans.push(span);
                total.rows += added;
                report.rows += added;
            }
        }
        if self.limits.reached(self.open.rows.bytes(), self.open.rows.len()) {
            self.cut().await?;
        }
        Ok(report)
    }

    /// Commits what is left and waits for it.
    ///
    /// # Errors
    /// A commit failed for good.
    pub async fn finish(&mut self) -> Result<(), CommitError> {
        self.cut().await?;
        self.committed().await
    }

    /// Gives the open package to the committer. One package at a time is on its way, so that memory stays bounded.
    async fn cut(&mut self) -> Result<(), CommitError> {
        self.committed().await?;
        let mut spans = std::mem::take(&mut self.open.spans);
        let rows = self.open.rows.finish();
        let Some(committer) = self.committer.clone() else { return Ok(()) };
        let spans_of = |table: &TableRows| Rows::tables().iter().position(|known| known.name == table.table.name);
        let mut packages = Vec::with_capacity(rows.len());
        for rows in rows {
            let spans = spans_of(&rows).and_then(|index| spans.get_mut(index)).map(std::mem::take).unwrap_or_default();
            packages.push(package(rows, spans));
        }
        if !packages.is_empty() {
            self.committing = Some(tokio::spawn(async move { committer.commit(packages).await }));
        }
        Ok(())
    }

    async fn committed(&mut self) -> Result<(), CommitError> {
        let Some(task) = self.committing.take() else { return Ok(()) };
        for (table, commit) in task.await.map_err(|lost| CommitError::Lost(lost.to_string()))?? {
            let index = Rows::tables().iter().position(|known| known.name == table.name);
            if let Some(total) = index.and_then(|index| self.totals.get_mut(index)) {
                total.files += commit.files.unsigned_abs();
                total.bytes += commit.bytes.unsigned_abs();
            }
        }
        Ok(())
    }

    /// Finds out what each table has of this chunk, under the name that this very content has.
    async fn find(&self, hash: u128, chunk: &FileChunk) -> Result<Found, CommitError> {
        let tables = Rows::tables();
        let Some(committer) = &self.committer else { return Ok(Found::new(hash, 0, vec![None; tables.len()], &self.closed)) };
        for lookalike in 0..LOOKALIKES_MAX {
            let shard = shard(hash, lookalike);
            let mut known = Vec::with_capacity(tables.len());
            for table in tables {
                known.push(committer.checkpoint(table, &shard).await?.map(FilePosition::unpack));
            }
            // One table that has other content under this name is enough: skipping to its length would lose rows.
            if known.iter().flatten().all(|position| position.matches(hash, &chunk.bytes)) {
                return Ok(Found::new(hash, lookalike, known, &self.closed));
            }
        }
        Err(CommitError::Lost(format!("more than {LOOKALIKES_MAX} files begin like this one")))
    }
}

/// What the tables have of a chunk.
struct Found {
    hash: u128,
    lookalike: usize,
    known: Vec<Option<FilePosition>>,
    closed: Vec<bool>,
}

impl Found {
    fn new(hash: u128, lookalike: usize, known: Vec<Option<FilePosition>>, closed: &[&'static TableDef]) -> Self {
        let closed = Rows::tables().iter().map(|table| closed.iter().any(|closed| closed.name == table.name)).collect();
        Self { hash, lookalike, known, closed }
    }
}

struct Parsed {
    rows: Rows,
    report: ChunkReport,
    /// Rows added and the span they stand for, by index in [`Rows::tables`].
    added: Vec<u64>,
    spans: Vec<Span>,
}

fn parse(mut rows: Rows, chunk: FileChunk, found: Found, received_at: Micros) -> Parsed {
    let to = FilePosition::after(found.hash, &chunk.bytes).pack();
    let shard = shard(found.hash, found.lookalike);
    let before = rows.lengths();
    for ((table, known), closed) in Rows::tables().iter().zip(&found.known).zip(&found.closed) {
        let length = known.map_or(0, |position| position.length as u64);
        rows.skip_to(table, if *closed { u64::MAX } else { length });
    }
    let mut resumed_at: Vec<usize> = found.known.iter().flatten().map(|position| position.length).collect();
    resumed_at.sort_unstable();
    resumed_at.dedup();
    let frame_id = match found.lookalike {
        0 => format!("file-{:032x}", found.hash),
        number => format!("file-{:032x}-{number}", found.hash),
    };
    let known_bytes = known_bytes(&found.known, chunk.bytes.len());
    let payload = Payload {
        source: SourceKind::File,
        format: chunk.format,
        app: chunk.app,
        drain_token: None,
        frame_id: None,
        msg_count: None,
        received_at,
        body: chunk.bytes,
    };
    let delivery = Delivery { payload: &payload, frame_id: &frame_id, position: PositionOf::MessageEnd, resumed_at: &resumed_at };
    let counts = rows.add(&delivery);
    let added = rows.lengths().iter().zip(before).map(|(after, before)| (after - before) as u64).collect();
    let from = |known: &Option<FilePosition>| known.map_or(0, FilePosition::pack);
    let spans = found.known.iter().map(|known| Span { shard: shard.clone(), from: from(known), to }).collect();
    Parsed { rows, report: ChunkReport { counts, rows: 0, known_bytes }, added, spans }
}

/// What the table that has most of the chunk has. A message is always in `logs` or in `_rejects`.
fn known_bytes(known: &[Option<FilePosition>], length: usize) -> u64 {
    known.iter().flatten().map(|position| position.length.min(length)).max().unwrap_or(0) as u64
}

/// What a chunk is known by: everything before it, and its first record. A file that grows keeps both.
fn shard_hash(chunk: &FileChunk) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&chunk.hash_before.to_le_bytes());
    hash.update(chunk.bytes.get(..chunk.first_record).unwrap_or(&chunk.bytes));
    hash.digest128()
}

fn shard(hash: u128, lookalike: usize) -> ShardId {
    match lookalike {
        0 => ShardId::new(&format!("freshet/file/{hash:032x}")),
        number => ShardId::new(&format!("freshet/file/{hash:032x}-{number}")),
    }
}
