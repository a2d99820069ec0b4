//! What the loader counts, for metrics and for readiness.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_core::Micros;
use freshet_tables::Counts;

/// Counters of a loader and its committer. Totals only grow.
#[derive(Debug, Default)]
pub struct LoaderStats(Mutex<LoaderSnapshot>);

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoaderSnapshot {
    /// Messages and rejects parsed, with their bytes.
    pub counts: Counts,
    /// Rows committed, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Packages committed; one holds rows of several tables.
    pub packages: u64,
    /// Time that packages took from cut to commit, seconds.
    pub commit_seconds: f64,
    /// Time the last one took, seconds.
    pub commit_seconds_last: f64,
    /// When the last one was committed.
    pub committed_at: Option<Micros>,
    /// Tries that failed.
    pub failures: u64,
    /// Tries that failed since the last success of any table.
    pub failures_in_a_row: u64,
}

impl LoaderStats {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> LoaderSnapshot {
        self.lock().clone()
    }

    pub(crate) fn parsed(&self, counts: Counts) {
        self.lock().counts += counts;
    }

    pub(crate) fn committed(&self, rows: impl Iterator<Item = (&'static str, u64)>, took: Duration, now: Micros) {
        let mut stats = self.lock();
        for (table, rows) in rows {
            *stats.rows.entry(table).or_default() += rows;
        }
        stats.packages += 1;
        stats.commit_seconds += took.as_secs_f64();
        stats.commit_seconds_last = took.as_secs_f64();
        stats.committed_at = Some(now);
    }

    pub(crate) fn tried(&self, failed: bool) {
        let mut stats = self.lock();
        stats.failures += u64::from(failed);
        stats.failures_in_a_row = if failed { stats.failures_in_a_row + 1 } else { 0 };
    }

    fn lock(&self) -> MutexGuard<'_, LoaderSnapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
