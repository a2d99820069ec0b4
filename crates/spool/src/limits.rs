//! How much the spool may hold, on disk and in memory.

use std::time::Duration;

use crate::segment::PAYLOAD_BYTES_MAX;
use crate::window::ENTRIES_MIN;

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Bytes that all segments may take together (`spool.max_bytes`); at least [`MAX_BYTES_MIN`]. When little of it is left
    /// the listener closes, and senders wait. Sidecars come on top: 24 bytes per frame of the dedupe window.
    pub max_bytes: u64,
    /// Bytes after which a new segment begins; at most a quarter of `max_bytes`. Room comes back a segment at a time.
    pub segment_bytes: u64,
    /// How long a frame is known for one that was stored. Logplex retries within milliseconds; a stalled proxy may take
    /// longer. At most four million frames are remembered, whatever their age.
    pub dedupe_window: Duration,
    /// How many frames are known for ones that were stored however long ago that was: for a sender that had to wait longer than
    /// the window with the frame it was at, and for clocks that jump. At most 500,000. A start of the process may forget those that
    /// more than 4,096 starts or segments lie behind.
    pub dedupe_frames_min: usize,
    /// How often a full or failing disk is tried again.
    pub retry_every: Duration,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024 * 1024,
            segment_bytes: 64 * 1024 * 1024,
            dedupe_window: Duration::from_hours(2),
            dedupe_frames_min: ENTRIES_MIN,
            retry_every: Duration::from_secs(1),
        }
    }
}

/// A smaller [`SpoolOptions::max_bytes`] counts as this.
pub const MAX_BYTES_MIN: u64 = 64 * 1024;

/// A shorter [`SpoolOptions::retry_every`] counts as this: between two tries there is time for other work.
const RETRY_MICROS_MIN: i64 = 1_000;

/// The most that is kept free for requests that are under way when the listener closes.
const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most that goes into one write and one sync, unless a single payload is larger.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The options and what follows from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) dedupe_window_micros: i64,
    pub(crate) dedupe_frames_min: usize,
    pub(crate) retry_micros: i64,
    /// With less room than this the spool is full; with twice as much it is open again.
    pub(crate) reserve_bytes: u64,
    /// The longest payload. Any such payload fits into a spool that has just opened, so none waits for ever.
    pub(crate) payload_bytes: usize,
    /// The longest batch.
    pub(crate) batch_bytes: usize,
    /// What payloads may hold in memory while they wait for their write. They fit into half of the reserve: the other half
    /// is for bodies that are still arriving.
    pub(crate) queue_bytes: u32,
}

impl Limits {
    pub(crate) fn new(options: &SpoolOptions) -> Self {
        let max_bytes = options.max_bytes.max(MAX_BYTES_MIN);
        let reserve_bytes = (max_bytes / 8).min(RESERVE_BYTES_MAX);
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let as_size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            max_bytes,
            segment_bytes: options.segment_bytes.min(max_bytes / 4),
            dedupe_window_micros: micros(options.dedupe_window),
            dedupe_frames_min: options.dedupe_frames_min,
            retry_micros: micros(options.retry_every).max(RETRY_MICROS_MIN),
            reserve_bytes,
            // A quarter is twice the reserve of a small spool; what the spool adds to a payload is far below a 32nd.
            payload_bytes: as_size(max_bytes / 4 - max_bytes / 32).min(PAYLOAD_BYTES_MAX),
            batch_bytes: as_size(max_bytes / 16).min(BATCH_BYTES_MAX),
            queue_bytes: u32::try_from(reserve_bytes / 2).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_any_allowed_size_fits_once_the_spool_has_opened() {
        for max_bytes in [0, 1 << 20, 100 << 20, 1 << 30, 1 << 45, u64::MAX] {
            let limits = Limits::new(&SpoolOptions { max_bytes, ..SpoolOptions::default() });
            let record = limits.payload_bytes as u64 + crate::segment::HEAD_BYTES as u64 + crate::segment::HEADER_BYTES;
            assert!(record <= limits.reserve_bytes * 2, "{limits:?}");
            // Else a spool with one segment, all of it consumed but in use, would never open.
            assert!(limits.segment_bytes + limits.reserve_bytes * 2 <= limits.max_bytes, "{limits:?}");
            assert!(limits.queue_bytes > 0 && limits.batch_bytes > 0, "{limits:?}");
        }
    }
}
