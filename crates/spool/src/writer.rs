//! Who runs the log, and the commands it takes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use freshet_core::{Clock, Micros, Position};
use tokio::sync::oneshot;

use crate::SpoolError;
use crate::limits::Limits;
use crate::log::{Append, Log};

/// Payloads in one write at most.
const BATCH_COUNT_MAX: usize = 4096;

/// Everything that can be asked of the log.
pub(crate) enum Command {
    /// Store a payload.
    Append(Append),
    /// See [`Log::consume`].
    Consume(Position, oneshot::Sender<Result<(), SpoolError>>),
    /// See [`Log::raise`].
    Raise(Position, oneshot::Sender<Result<(), SpoolError>>),
    /// Store what was sent before this, and end.
    Close,
}

/// The half of a spool that writes. The spool answers nobody until it is run: by [`Writer::run`] on a thread of its own, or
/// turn by turn by a test that decides when a disk takes how long.
///
/// Payloads that arrive while a sync is under way share the next one; nothing ever waits for company.
pub struct Writer {
    log: Log,
    clock: Arc<dyn Clock>,
    limits: Limits,
    commands: Receiver<Command>,
    /// When a disk that is full or failing was last tried.
    tried: Micros,
}

/// What a turn of the writer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It did something, and there may be more to do.
    Worked,
    /// There was nothing to do. If there still is not after this time, a disk that is full or failing is to be tried:
    /// [`Writer::retry`].
    Idle(Option<Duration>),
    /// The spool was closed. Dropping the writer tells everybody.
    Ended,
}

impl Writer {
    pub(crate) fn new(log: Log, clock: Arc<dyn Clock>, limits: Limits, commands: Receiver<Command>) -> Self {
        let tried = clock.now();
        Self { log, clock, limits, commands, tried }
    }

    /// Runs the log until it is told to close or nobody can send any more.
    pub fn run(mut self) {
        loop {
            let limit = match self.turn() {
                Turn::Worked => continue,
                Turn::Ended => return,
                Turn::Idle(limit) => limit,
            };
            let received = match limit {
                None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(limit) => self.commands.recv_timeout(limit),
            };
            let turn = match received {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => self.retry(),
                Err(RecvTimeoutError::Disconnected) => self.end(),
            };
            if turn == Turn::Ended {
                return;
            }
        }
    }

    /// Does what waits, up to one write, and waits for nothing. A disk that is due to be tried goes first: commands that keep
    /// coming must not put it off.
    pub fn turn(&mut self) -> Turn {
        let retry_in = self.retry_in();
        if retry_in == Some(Duration::ZERO) {
            return self.retry();
        }
        match self.commands.try_recv() {
            Ok(command) => self.obey(command),
            Err(TryRecvError::Disconnected) => self.end(),
            Err(TryRecvError::Empty) => Turn::Idle(retry_in),
        }
    }

    /// Tries whether a disk that is full or failing is well again.
    pub fn retry(&mut self) -> Turn {
        self.log.tick();
        self.tried = self.clock.now();
        Turn::Worked
    }

    /// When the disk is to be tried again. `None` while it is well.
    fn retry_in(&mut self) -> Option<Duration> {
        if self.log.is_open() {
            return None;
        }
        let now = self.clock.now();
        // A clock that was set back must not put the next try off.
        self.tried = self.tried.min(now);
        let waited = now.0.saturating_sub(self.tried.0);
        let left = u64::try_from(self.limits.retry_micros.saturating_sub(waited)).unwrap_or(0);
        Some(Duration::from_micros(left))
    }

    /// Carries out `command`, and those behind it that it shares a write with.
    fn obey(&mut self, command: Command) -> Turn {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Append(append) => {
                    let (batch, other) = self.gather(append);
                    self.log.append(batch);
                    next = other;
                }
                // Whoever asked may have given up waiting; it is done all the same.
                Command::Consume(position, answer) => drop(answer.send(self.log.consume(position))),
                Command::Raise(position, answer) => drop(answer.send(self.log.raise(position))),
                Command::Close => return self.end(),
            }
        }
        Turn::Worked
    }

    fn end(&mut self) -> Turn {
        self.log.close();
        Turn::Ended
    }

    /// Everything that waits to be stored, up to one batch, and the command that came between.
    fn gather(&self, first: Append) -> (Vec<Append>, Option<Command>) {
        let mut bytes = first.payload.len();
        let mut batch = vec![first];
        while batch.len() < BATCH_COUNT_MAX && bytes < self.limits.batch_bytes {
            match self.commands.try_recv() {
                Ok(Command::Append(append)) => {
                    bytes += append.payload.len();
                    batch.push(append);
                }
                Ok(other) => return (batch, Some(other)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        (batch, None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::faulty_disk::FaultyDisk;
    use crate::simulation::SteppedClock;
    use crate::window::NO_KEY;
    use crate::{Spool, SpoolOptions, State};

    #[test]
    fn commands_that_keep_coming_do_not_put_off_the_next_try_of_a_bad_disk() {
        let (disk, clock) = (FaultyDisk::new(1), SteppedClock::default());
        let options = SpoolOptions { retry_every: Duration::from_secs(1), ..SpoolOptions::default() };
        let (spool, mut writer, _) = Spool::on(Arc::new(disk.clone()), &options, Arc::new(clock.clone()), 1).unwrap();
        let (answer, _answered) = oneshot::channel();
        let payload = Bytes::from_static(b"payload");
        let checksum = crc32fast::hash(&payload);
        let append = Append { payload, checksum, key: NO_KEY, received_at: Micros(0), answer, _permit: None };
        assert!(spool.commands.send(Command::Append(append)).is_ok());
        disk.fail_syncs(1);
        assert_eq!(writer.turn(), Turn::Worked);
        assert_eq!(spool.stats().state, State::Failing);
        disk.heal();
        for _ in 0..5 {
            let (answer, _answered) = oneshot::channel();
            assert!(spool.commands.send(Command::Consume(0, answer)).is_ok());
        }
        // Set back, it still has its second to wait.
        clock.advance(-86_400_000_000);
        assert_eq!(writer.turn(), Turn::Worked);
        assert_eq!(spool.stats().state, State::Failing);
        clock.advance(1_000_000);
        for _ in 0..2 {
            assert_eq!(writer.turn(), Turn::Worked);
        }
        assert_eq!(spool.stats().state, State::Open);
    }
}
