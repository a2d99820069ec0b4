//! The durable queue on disk between "received" and "loaded".
//!
//! A payload is *accepted* when it has been synced to a segment file, *read* in order by the loader, and *consumed* when the
//! loader says that its rows are safe elsewhere; then whole segments are deleted. Positions only ever grow, and survive
//! restarts, so that a destination's checkpoint names the same payload for ever. The spool knows nothing of what is in a
//! payload but its envelope and the id by which Logplex repeats a frame.
//!
//! ```text
//! spool/lock                        who is using the directory
//! spool/install-id                  what the shard is called
//! spool/consumed                    how far the log is consumed
//! spool/00000000000000000000.seg    payloads; the number is the position of the first byte
//! spool/00000000000000000000.seen   the frame ids in a finished segment, kept for the dedupe window
//! ```
//!
//! One thread (`writer.rs`) owns all files and runs the log (`log.rs`); everybody else sends it commands or reads what it
//! published (`ledger.rs`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod disk;
mod error;
pub mod faulty_disk;
mod ledger;
mod limits;
mod log;
mod mark;
mod probe;
mod reader;
mod recovery;
mod seen;
mod segment;
#[cfg(test)]
mod simulation;
mod walk;
mod window;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use freshet_core::{Clock, Inbox, InboxError, Payload, Position, Receipt, ShardId};
use tokio::sync::{Semaphore, oneshot};

pub use disk::{AppendFile, Disk, ReadFile};
pub use error::SpoolError;
pub use ledger::{SpoolStats, State};
pub use limits::{MAX_BYTES_MIN, SpoolOptions};
pub use probe::{DiskProbe, probe};
pub use reader::{Entry, SpoolReader};
pub use recovery::{GAPS_MAX, Recovery};
pub use walk::Gap;
pub use writer::{Turn, Writer};

use disk::RealDisk;
use ledger::Shared;
use limits::Limits;
use log::{Append, Log};
use segment::Identity;
use writer::Command;

/// The spool of one installation. [`Spool::close`] it before the process ends; a spool that was killed is fine too, its next
/// start merely has more to read.
pub struct Spool {
    disk: Arc<dyn Disk>,
    identity: Identity,
    shared: Arc<Shared>,
    limits: Limits,
    commands: Sender<Command>,
    /// Bytes that payloads may still take in memory before they are written.
    queue: Arc<Semaphore>,
    is_stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// Opens the spool in `directory`, making it where there is none, and reads everything in it once. Up to a segment is
    /// written again if the last process was killed.
    ///
    /// `new_install_id` is chance: it names a new spool and is ignored by an existing one. A disk without room for more
    /// payloads does not keep the spool from being read: it starts as [`State::Failing`] or [`State::Full`]. Only after a kill
    /// it needs room for the segment it writes again.
    ///
    /// # Errors
    /// See [`SpoolError`]: another process has it, or its files cannot be read or are not this installation's.
    pub fn open(
        directory: &Path,
        options: &SpoolOptions,
        clock: Arc<dyn Clock>,
        new_install_id: u128,
    ) -> Result<(Self, Recovery), SpoolError> {
        let (spool, writer, recovery) = Self::on(Arc::new(RealDisk::open(directory)?), options, clock, new_install_id)?;
        let thread = thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.run())
            .map_err(SpoolError::disk("start", "the thread for files"))?;
        *spool.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((spool, recovery))
    }

    /// Like [`Spool::open`], on any disk, and without a thread: the caller runs the [`Writer`].
    ///
    /// # Errors
    /// See [`Spool::open`].
    pub fn on(
        disk: Arc<dyn Disk>,
        options: &SpoolOptions,
        clock: Arc<dyn Clock>,
        new_install_id: u128,
    ) -> Result<(Self, Writer, Recovery), SpoolError> {
        let limits = Limits::new(options);
        let (log, recovery) = Log::open(Arc::clone(&disk), Arc::clone(&clock), limits, new_install_id)?;
        let (commands, received) = mpsc::channel();
        let (identity, shared) = (log.identity(), Arc::clone(log.shared()));
        let writer = Writer::new(log, clock, limits, received);
        let spool = Self {
            disk,
            identity,
            shared,
            limits,
            commands,
            queue: Arc::new(Semaphore::new(limits.queue_bytes as usize)),
            is_stopped: AtomicBool::new(false),
            thread: Mutex::new(None),
        };
        Ok((spool, writer, recovery))
    }

    /// What the destinations know this spool's positions by: `freshet/<install id>/spool`.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        ShardId::new(&format!("freshet/{:032x}/spool", self.identity.id))
    }

    /// A reader that starts behind the consumed mark.
    #[must_use]
    pub fn reader(&self) -> SpoolReader {
        SpoolReader::new(Arc::clone(&self.disk), self.identity, Arc::clone(&self.shared))
    }

    /// Says that everything up to `position` is safe in every table: it will not be read again, and may be deleted. An
    /// earlier position than before changes nothing.
    ///
    /// # Errors
    /// The disk refused, or the spool is closed. Nothing is lost by that: call it again with this or a later position.
    pub async fn consumed(&self, position: Position) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Consume(position, answer)).await
    }

    /// Makes sure that every payload accepted from now on gets a position beyond `position`.
    ///
    /// To be called on start, before anything is accepted, with the destination's checkpoint of this shard. It matters when
    /// the spool's directory was restored from an old copy: its new payloads would else be taken for old ones and skipped.
    ///
    /// # Errors
    /// The disk refused, or the spool is closed.
    pub async fn raise(&self, position: Position) -> Result<(), SpoolError> {
        self.ask(|answer| Command::Raise(position, answer)).await
    }

    /// The spool in numbers.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        self.shared.stats()
    }

    /// Takes nothing more, stores what is waiting, and finishes the files. Readers may read on to the end.
    pub async fn close(&self) {
        self.is_stopped.store(true, Ordering::Release);
        // When the thread is gone there is nothing left to close.
        let _ = self.commands.send(Command::Close);
        let mut tail = self.shared.tail.subscribe();
        let _ = tail.wait_for(|tail| tail.closed).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("spool thread panicked");
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), SpoolError>>) -> Command) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).map_err(|_| SpoolError::Stopped)?;
        answered.await.unwrap_or(Err(SpoolError::Stopped))
    }
}

/// What a waiting payload counts for at least, so that small ones are bounded in number.
const QUEUE_BYTES_EACH: usize = 512;

#[async_trait]
impl Inbox for Spool {
    /// Dropping the future does not call the payload back: it may be stored, and a repeat of it then counts as one.
    async fn accept(&self, payload: Payload) -> Result<Receipt, InboxError> {
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(InboxError::Stopped);
        }
        let (key, received_at) = (window::key(&payload), payload.received_at);
        let encoded = payload.encode();
        if encoded.len() > self.limits.payload_bytes {
            let (bytes, max) = (encoded.len(), self.limits.payload_bytes);
            return Err(InboxError::Disk(format!(
                "a payload of {bytes} bytes is longer than the {max} a record may have; raise spool.max_bytes"
            )));
        }
        let weight = u32::try_from(encoded.len().max(QUEUE_BYTES_EACH)).unwrap_or(u32::MAX).min(self.limits.queue_bytes);
        let permit = Arc::clone(&self.queue).acquire_many_owned(weight).await.map_err(|_| InboxError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let checksum = crc32fast::hash(&encoded);
        let append = Append { payload: encoded, checksum, key, received_at, answer, _permit: Some(permit) };
        self.commands.send(Command::Append(append)).map_err(|_| InboxError::Stopped)?;
        answered.await.unwrap_or(Err(InboxError::Stopped))
    }

    async fn opened(&self) {
        // The sender lives as long as `self`.
        let _ = self.shared.state.subscribe().wait_for(|state| *state == State::Open).await;
    }

    async fn closed(&self) {
        let _ = self.shared.state.subscribe().wait_for(|state| *state != State::Open).await;
    }
}
