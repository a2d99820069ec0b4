//! The thread that runs the log, and the commands it takes.

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

/// Runs the log until it is told to close or nobody can send any more.
///
/// Payloads that arrive while a sync is under way share the next one; nothing ever waits for company.
pub(crate) fn run(mut log: Log, clock: &Arc<dyn Clock>, limits: &Limits, commands: &Receiver<Command>) {
    let mut ticked = clock.now();
    loop {
        let mut next = match receive(&log, clock.now(), ticked, limits, commands) {
            Received::Command(command) => Some(command),
            Received::Nothing => {
                log.tick();
                ticked = clock.now();
                continue;
            }
            Received::Hangup => break,
        };
        while let Some(command) = next.take() {
            match command {
                Command::Append(append) => {
                    let (batch, other) = gather(append, limits, commands);
                    log.append(batch);
                    next = other;
                }
                // Whoever asked may have given up waiting; it is done all the same.
                Command::Consume(position, answer) => drop(answer.send(log.consume(position))),
                Command::Raise(position, answer) => drop(answer.send(log.raise(position))),
                Command::Close => return log.close(),
            }
        }
    }
    log.close();
}

enum Received {
    Command(Command),
    /// It is time to try a failing or full disk again.
    Nothing,
    /// All senders are gone.
    Hangup,
}

fn receive(log: &Log, now: Micros, ticked: Micros, limits: &Limits, commands: &Receiver<Command>) -> Received {
    if log.is_open() {
        return commands.recv().map_or(Received::Hangup, Received::Command);
    }
    // A clock that was set back must not put the next try off.
    let waited = now.0.saturating_sub(ticked.0).max(0);
    let left = u64::try_from(limits.retry_micros.saturating_sub(waited)).unwrap_or(0);
    if left == 0 {
        return Received::Nothing;
    }
    match commands.recv_timeout(Duration::from_micros(left)) {
        Ok(command) => Received::Command(command),
        Err(RecvTimeoutError::Timeout) => Received::Nothing,
        Err(RecvTimeoutError::Disconnected) => Received::Hangup,
    }
}

/// Everything that waits to be stored, up to one batch, and the command that came between.
fn gather(first: Append, limits: &Limits, commands: &Receiver<Command>) -> (Vec<Append>, Option<Command>) {
    let mut bytes = first.payload.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_COUNT_MAX && bytes < limits.batch_bytes {
        match commands.try_recv() {
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
