//! Reading the log in order, never beyond what is durable.

use std::io;
use std::sync::Arc;

use freshet_core::{Payload, Position};
use tokio::sync::watch;
use tracing::error;

use crate::SpoolError;
use crate::disk::Disk;
use crate::ledger::{Segment, Shared, Tail};
use crate::segment::{self, Identity};
use crate::walk::{Gap, Step, Walk};

/// What the log holds at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A payload.
    Payload {
        /// Where it ends: what a destination remembers once it holds the rows.
        position: Position,
        /// The payload; its body shares the memory of the block it was read in.
        payload: Payload,
    },
    /// Payloads that can no longer be read. Reading goes on behind them.
    Gap(Gap),
}

impl Entry {
    /// Where it ends.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Payload { position, .. } => *position,
            Self::Gap(gap) => gap.to,
        }
    }
}

/// A place in the log, moving forward. It starts behind the consumed mark.
pub struct SpoolReader {
    disk: Arc<dyn Disk>,
    identity: Identity,
    shared: Arc<Shared>,
    tail: watch::Receiver<Tail>,
    /// Everything up to here has been read.
    after: Position,
    walk: Option<Walk>,
}

impl SpoolReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, identity: Identity, shared: Arc<Shared>) -> Self {
        let tail = shared.tail.subscribe();
        let after = shared.ledger().stats.consumed;
        Self { disk, identity, shared, tail, after, walk: None }
    }

    /// Continues with the first payload behind `after`, whether that is forward or back. What has been consumed may be gone.
    pub fn seek(&mut self, after: Position) {
        self.after = after;
        self.walk = None;
    }

    /// The position up to which everything has been read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.after
    }

    /// Waits until there is more to read: true, or there never will be: false. Dropping the future loses nothing.
    pub async fn readable(&mut self) -> bool {
        let after = self.after;
        match self.tail.wait_for(|tail| tail.end > after || tail.closed).await {
            Ok(tail) => tail.end > after,
            Err(_) => false,
        }
    }

    /// The next entry, as soon as there is one; `None` when the spool has been closed and all of it read.
    ///
    /// # Errors
    /// See [`SpoolReader::try_next`].
    pub async fn next(&mut self) -> Result<Option<Entry>, SpoolError> {
        loop {
            if let Some(entry) = self.try_next()? {
                return Ok(Some(entry));
            }
            if !self.readable().await {
                return Ok(None);
            }
        }
    }

    /// Everything there is to read now, until the bodies amount to `max_bytes` or more. Empty when there is nothing.
    ///
    /// # Errors
    /// See [`SpoolReader::try_next`]. Entries read before the error are returned first.
    pub fn read_batch(&mut self, max_bytes: usize) -> Result<Vec<Entry>, SpoolError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            match self.try_next() {
                Ok(Some(entry)) => {
                    bytes += match &entry {
                        Entry::Payload { payload, .. } => payload.body.len().max(1),
                        Entry::Gap(_) => 1,
                    };
                    entries.push(entry);
                }
                Ok(None) => break,
                // It did not move the place, so the next call meets it again.
                Err(_) if !entries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// The next entry, if there is one now. Reads the disk in blocks of a megabyte and does not yield meanwhile.
    ///
    /// # Errors
    /// The disk refused, or a payload was written by another version of Freshet. The place does not move: retrying reads
    /// the same entry again.
    pub fn try_next(&mut self) -> Result<Option<Entry>, SpoolError> {
        loop {
            if self.walk.as_ref().is_none_or(Walk::is_done) {
                let Some(segment) = self.shared.segment_after(self.after) else { return Ok(None) };
                if !self.enter(segment)? {
                    continue;
                }
            }
            let Some(walk) = &mut self.walk else { continue };
            let base = walk.base();
            let step = walk.step().map_err(|source| SpoolError::Disk { action: "read", file: segment::file_name(base), source });
            let step = step.inspect_err(|_| self.walk = None)?;
            match step {
                Step::Record(record) if record.position > self.after => {
                    let position = record.position;
                    let payload = Payload::decode(&record.payload).map_err(|source| SpoolError::Envelope { position, source });
                    let payload = payload.inspect_err(|_| self.walk = None)?;
                    self.after = position;
                    return Ok(Some(Entry::Payload { position, payload }));
                }
                Step::Damaged(gap) if gap.to > self.after => {
                    error!(from = gap.from, to = gap.to, "spool segment damaged");
                    self.shared.ledger().stats.corrupt_bytes_total += gap.bytes();
                    self.after = gap.to;
                    return Ok(Some(Entry::Gap(gap)));
                }
                Step::Record(_) | Step::Damaged(_) | Step::End => {}
            }
        }
    }

    /// Goes on in `segment`, up to its durable end. False when it has nothing behind the place, or is gone.
    fn enter(&mut self, segment: Segment) -> Result<bool, SpoolError> {
        if self.walk.as_ref().is_none_or(|walk| walk.base() != segment.base) {
            let name = segment::file_name(segment.base);
            match self.disk.open(&name) {
                Ok(file) => self.walk = Some(Walk::new(file, self.identity, segment.base)),
                // It was consumed and removed between the look and the leap.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.shared.segment_after(self.after) != Some(segment) => {
                    return Ok(false);
                }
                Err(error) => return Err(SpoolError::disk("read", &name)(error)),
            }
        }
        let Some(walk) = &mut self.walk else { return Ok(false) };
        walk.extend(segment.end);
        if walk.is_done() {
            self.after = self.after.max(segment.end);
        }
        Ok(!walk.is_done())
    }
}
