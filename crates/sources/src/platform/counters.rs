//! What a run has asked and waited.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of one run; whoever holds an [`Api`](super::Api) that counts here adds to them.
#[derive(Debug, Default)]
pub struct ApiCounters {
    requests: AtomicU64,
    not_modified: AtomicU64,
    retries: AtomicU64,
    rate_limited: AtomicU64,
    waited_ns: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiCounts {
    /// Requests that were sent, each try counted.
    pub requests: u64,
    /// Answers of 304: nothing had changed.
    pub not_modified: u64,
    /// Tries after the first, for whatever reason.
    pub retries: u64,
    /// Answers of 429.
    pub rate_limited: u64,
    /// Time in which requests were held back for the rate limit.
    pub waited: Duration,
    /// Bytes of bodies that were received.
    pub bytes: u64,
    /// Questions that ended in an error.
    pub errors: u64,
}

impl ApiCounters {
    /// The counts of now.
    #[must_use]
    pub fn snapshot(&self) -> ApiCounts {
        ApiCounts {
            requests: self.requests.load(Relaxed),
            not_modified: self.not_modified.load(Relaxed),
            retries: self.retries.load(Relaxed),
            rate_limited: self.rate_limited.load(Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Relaxed)),
            bytes: self.bytes.load(Relaxed),
            errors: self.errors.load(Relaxed),
        }
    }

    pub(super) fn sent(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self, status: u16, body_bytes: usize) {
        self.bytes.fetch_add(body_bytes as u64, Relaxed);
        match status {
            304 => self.not_modified.fetch_add(1, Relaxed),
            429 => self.rate_limited.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.waited_ns.fetch_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Relaxed);
    }
}
