//! What the writer publishes for everybody else: the segments, how far they may be read, and the numbers people watch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use freshet_core::{Micros, Position};
use tokio::sync::watch;

/// Whether the spool takes payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It does.
    #[default]
    Open,
    /// It, or the disk, holds as much as it may. It opens again when segments have been consumed or the disk has room.
    Full,
    /// The disk refused a write. It opens again when the disk takes one.
    Failing,
    /// The process is stopping.
    Closed,
}

impl State {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Full => "full",
            Self::Failing => "failing",
            Self::Closed => "closed",
        }
    }
}

/// The spool in numbers. Totals count from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpoolStats {
    /// Whether payloads are taken.
    pub state: State,
    /// Bytes in all segments.
    pub used_bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Position of the last durable payload.
    pub durable_end: Position,
    /// Position up to which the log has been consumed.
    pub consumed: Position,
    /// When the oldest payload that has not been consumed arrived; somewhat earlier when very many wait.
    pub oldest_unconsumed_at: Option<Micros>,
    /// Payloads stored.
    pub records_appended_total: u64,
    /// Bytes stored, with what the spool adds.
    pub bytes_appended_total: u64,
    /// Frames that had been stored before.
    pub repeated_total: u64,
    /// Group commits: each is one write and one sync, for all payloads that waited.
    pub syncs_total: u64,
    /// Duration of all group commits together.
    pub sync_seconds_total: f64,
    /// Duration of the latest group commit.
    pub sync_seconds_last: f64,
    /// Duration of the longest group commit.
    pub sync_seconds_max: f64,
    /// Writes, syncs and removals that the disk refused.
    pub disk_errors_total: u64,
    /// Frame ids remembered.
    pub window_entries: usize,
    /// Frame ids forgotten before their time, because there were too many: repeats of those would be stored twice.
    pub window_forgotten_total: u64,
    /// Bytes that the reader found damaged.
    pub corrupt_bytes_total: u64,
}

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Position of its first byte.
    pub(crate) base: Position,
    /// Position where the log durably ended while this was its last segment; at or before `base` when nothing is in it.
    pub(crate) end: Position,
    /// Length of the file, counting also what was tried in vain.
    pub(crate) bytes: u64,
}

/// How far the log may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where the durable log ends.
    pub(crate) end: Position,
    /// Whether that is for good.
    pub(crate) closed: bool,
}

/// The writer's published state.
pub(crate) struct Shared {
    pub(crate) state: watch::Sender<State>,
    pub(crate) tail: watch::Sender<Tail>,
    ledger: Mutex<Ledger>,
}

/// The part of [`Shared`] behind the lock, which is never held over I/O.
pub(crate) struct Ledger {
    /// Oldest first.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) timeline: Timeline,
    /// The totals; the rest is filled in by [`Shared::stats`].
    pub(crate) stats: SpoolStats,
}

impl Shared {
    pub(crate) fn new(segments: VecDeque<Segment>, timeline: Timeline, end: Position, consumed: Position) -> Self {
        let stats = SpoolStats { consumed, ..SpoolStats::default() };
        Self {
            // No state of a running log, so that its first one is told.
            state: watch::Sender::new(State::Closed),
            tail: watch::Sender::new(Tail { end, closed: false }),
            ledger: Mutex::new(Ledger { segments, timeline, stats }),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        let ledger = self.ledger();
        SpoolStats {
            state: *self.state.borrow(),
            used_bytes: ledger.used_bytes(),
            segments: ledger.segments.len(),
            durable_end: self.tail.borrow().end,
            oldest_unconsumed_at: ledger.timeline.oldest(),
            ..ledger.stats
        }
    }

    /// The first segment that holds anything behind `after`.
    pub(crate) fn segment_after(&self, after: Position) -> Option<Segment> {
        self.ledger().segments.iter().find(|segment| segment.end > after).copied()
    }
}

impl Ledger {
    pub(crate) fn used_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// When the payloads that are not consumed arrived, in at most [`SAMPLES_MAX`] samples.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// End of a run of pushes, and the earliest arrival in it.
    samples: VecDeque<(Position, Micros)>,
    /// Pushes in one sample; it doubles whenever there are too many samples.
    stride: u64,
    /// Pushes in the last sample.
    filled: u64,
}

const SAMPLES_MAX: usize = 4096;

impl Default for Timeline {
    fn default() -> Self {
        Self { samples: VecDeque::new(), stride: 1, filled: 0 }
    }
}

impl Timeline {
    /// Adds the payloads up to `end`, of which the first arrived at `at`.
    pub(crate) fn push(&mut self, end: Position, at: Micros) {
        if self.samples.is_empty() {
            *self = Self::default();
        }
        if let Some(last) = self.samples.back_mut()
            && self.filled < self.stride
        {
            *last = (end, last.1.min(at));
            self.filled += 1;
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            let pairs = self.samples.make_contiguous().chunks(2);
            self.samples = pairs.filter_map(|pair| Some((pair.last()?.0, pair.iter().map(|sample| sample.1).min()?))).collect();
            self.stride *= 2;
        }
        self.samples.push_back((end, at));
        self.filled = 1;
    }

    /// Forgets the payloads up to `position`.
    pub(crate) fn consume(&mut self, position: Position) {
        while self.samples.front().is_some_and(|(end, _)| *end <= position) {
            self.samples.pop_front();
        }
    }

    /// When the oldest payload arrived.
    pub(crate) fn oldest(&self) -> Option<Micros> {
        self.samples.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_stays_small_and_never_says_later_than_true() {
        let mut timeline = Timeline::default();
        let last = SAMPLES_MAX as i64 * 5;
        for at in 1..=last {
            timeline.push(at as u64, Micros(at));
            assert!(timeline.samples.len() <= SAMPLES_MAX);
        }
        for consumed in 0..last {
            timeline.consume(consumed as u64);
            let oldest = timeline.oldest().expect("something is left").0;
            assert!(oldest <= consumed + 1 && oldest + 16 > consumed, "{oldest} at {consumed}");
        }
        timeline.consume(last as u64);
        assert_eq!(timeline.oldest(), None);
    }
}
