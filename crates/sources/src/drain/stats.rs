//! What the receiver counts. Counters only grow; the app turns them into metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Upper bounds of the acknowledgement histogram, in seconds. Logplex gives up at 5 s.
pub const ACK_BUCKETS_SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// The receiver's counters.
#[derive(Debug, Default)]
pub struct DrainStats {
    pub(super) stored: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) empty: AtomicU64,
    pub(super) unauthorized: AtomicU64,
    pub(super) misdirected: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) webhooks_stored: AtomicU64,
    pub(super) webhooks_repeated: AtomicU64,
    pub(super) webhooks_refused: AtomicU64,
    pub(super) body_bytes: AtomicU64,
    pub(super) discarded_bytes: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) listener_open: AtomicBool,
    pub(super) listener_closures: AtomicU64,
    /// One per bound and one for what is slower than all of them; not cumulative.
    ack_buckets: [AtomicU64; ACK_BUCKETS_SECONDS.len() + 1],
    ack_micros: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrainSnapshot {
    /// Frames stored and acknowledged.
    pub stored: u64,
    /// Frames acknowledged because they had been stored before.
    pub repeated: u64,
    /// Requests without a body that announced no message: acknowledged, nothing to store.
    pub empty: u64,
    /// Requests answered 401.
    pub unauthorized: u64,
    /// Requests answered 404 or 405.
    pub misdirected: u64,
    /// Frames and webhooks not kept, their connection closed without an answer: the sender left, was too slow, or the inbox failed.
    pub aborted: u64,
    /// Webhook deliveries stored and acknowledged.
    pub webhooks_stored: u64,
    /// Webhook deliveries acknowledged because their event had been stored before.
    pub webhooks_repeated: u64,
    /// Webhook deliveries refused: 401 without the right signature, 404 without a secret to check it by, 413 when too long.
    pub webhooks_refused: u64,
    /// Bytes of the stored bodies, unpacked.
    pub body_bytes: u64,
    /// Bytes thrown away because their body was over the limit.
    pub discarded_bytes: u64,
    /// Connections accepted so far.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Whether new connections are accepted now.
    pub listener_open: bool,
    /// How often the listener closed, for whatever reason.
    pub listener_closures: u64,
    /// Acknowledgements no slower than each of [`ACK_BUCKETS_SECONDS`], cumulative as Prometheus wants them; last, all.
    pub ack_counts: [u64; ACK_BUCKETS_SECONDS.len() + 1],
    /// The sum of all acknowledgement times, in seconds.
    pub ack_seconds: f64,
}

impl DrainStats {
    /// The counters now. They are read one after the other, so they may differ by the requests of that instant.
    #[must_use]
    pub fn snapshot(&self) -> DrainSnapshot {
        let mut ack_counts = self.ack_buckets.each_ref().map(|bucket| bucket.load(Relaxed));
        for index in 1..ack_counts.len() {
            ack_counts[index] += ack_counts[index - 1];
        }
        DrainSnapshot {
            stored: self.stored.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            empty: self.empty.load(Relaxed),
            unauthorized: self.unauthorized.load(Relaxed),
            misdirected: self.misdirected.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            webhooks_stored: self.webhooks_stored.load(Relaxed),
            webhooks_repeated: self.webhooks_repeated.load(Relaxed),
            webhooks_refused: self.webhooks_refused.load(Relaxed),
            body_bytes: self.body_bytes.load(Relaxed),
            discarded_bytes: self.discarded_bytes.load(Relaxed),
            connections: self.connections.load(Relaxed),
            connections_open: self.connections_open.load(Relaxed),
            listener_open: self.listener_open.load(Relaxed),
            listener_closures: self.listener_closures.load(Relaxed),
            ack_counts,
            ack_seconds: self.ack_micros.load(Relaxed) as f64 / 1e6,
        }
    }

    /// Counts an acknowledgement that took `seconds`.
    pub(super) fn acknowledged_after(&self, seconds: f64) {
        let bucket = ACK_BUCKETS_SECONDS.partition_point(|bound| *bound < seconds);
        self.ack_buckets[bucket].fetch_add(1, Relaxed);
        // A clock that was set back makes a negative time; casting to unsigned turns it into 0.
        self.ack_micros.fetch_add((seconds * 1e6) as u64, Relaxed);
    }
}

/// Adds one, and tells the new count.
pub(super) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Relaxed) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_is_cumulative_and_its_bounds_belong_to_it() {
        let stats = DrainStats::default();
        for seconds in [-1.0, 0.0, 0.001, 0.0011, 5.0, 60.0] {
            stats.acknowledged_after(seconds);
        }
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.ack_counts, [3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6]);
        assert!((snapshot.ack_seconds - 65.0021).abs() < 1e-9);
    }
}
