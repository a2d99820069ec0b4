//! The daemon in numbers, and the file by which `freshet status` learns them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freshet_core::{Clock, Micros};
use freshet_load::{LoaderSnapshot, LoaderStats};
use freshet_sources::drain::{DrainSnapshot, DrainStats};
use freshet_spool::{Spool, SpoolStats};
use serde_json::{Value, json};

/// How often the file is written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// A file older than this is of a daemon that is gone, in seconds.
const STALE_SECONDS: f64 = 20.0;

/// Where the numbers come from.
#[derive(Clone)]
pub(crate) struct Live {
    /// The receiver's.
    pub(crate) drain: Arc<DrainStats>,
    /// The spool's.
    pub(crate) spool: Arc<Spool>,
    /// The loader's.
    pub(crate) loader: Arc<LoaderStats>,
    /// Bytes that the spool may hold.
    pub(crate) spool_bytes_max: u64,
    /// Now.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The numbers at one moment.
pub(crate) struct Snapshot {
    pub(crate) drain: DrainSnapshot,
    pub(crate) spool: SpoolStats,
    pub(crate) loader: LoaderSnapshot,
}

impl Live {
    /// The numbers now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { drain: self.drain.snapshot(), spool: self.spool.stats(), loader: self.loader.snapshot() }
    }

    /// Keeps the report in `data_dir` fresh until dropped.
    pub(crate) async fn report(self, data_dir: PathBuf) {
        let mut before = (self.clock.now(), self.snapshot().loader.counts.messages);
        let mut ticks = tokio::time::interval(WRITE_EVERY);
        loop {
            ticks.tick().await;
            let (now, snapshot) = (self.clock.now(), self.snapshot());
            let seconds = now.seconds_since(before.0);
            let messages = snapshot.loader.counts.messages;
            let rate = if seconds > 0.0 { (messages - before.1) as f64 / seconds } else { 0.0 };
            before = (now, messages);
            let report = self.as_json(&snapshot, now, rate);
            // The report is for people's eyes: a disk too full for it is told of elsewhere.
            let written = tokio::task::spawn_blocking({
                let data_dir = data_dir.clone();
                move || write(&data_dir, &report)
            });
            let _ = written.await;
        }
    }

    fn as_json(&self, snapshot: &Snapshot, now: Micros, rate: f64) -> Value {
        let Snapshot { drain, spool, loader } = snapshot;
        json!({
            "pid": std::process::id(), "written_at_us": now.0, "messages_per_second": rate,
            "spool_state": spool.state.as_str(), "spool_bytes": spool.used_bytes, "spool_bytes_max": self.spool_bytes_max,
            "waiting_bytes": spool.durable_end.saturating_sub(spool.consumed),
            "oldest_waiting_at_us": spool.oldest_unconsumed_at.map(|time| time.0),
            "frames_stored": drain.stored, "frames_repeated": drain.repeated, "connections": drain.connections_open,
            "messages": loader.counts.messages, "rejects": loader.counts.rejects,
            "failures_in_a_row": loader.failures_in_a_row, "committed_at_us": loader.committed_at.map(|time| time.0),
        })
    }
}

/// What a running daemon said of itself.
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// The report in `data_dir`, if a daemon is alive that writes it.
    #[must_use]
    pub(crate) fn read(data_dir: &Path, now: Micros) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(file(data_dir)).ok()?).ok()?;
        let written = Micros(value["written_at_us"].as_i64()?);
        (now.seconds_since(written) < STALE_SECONDS).then_some(Self(value))
    }

    /// Takes the report away: the daemon is stopping.
    pub(crate) fn remove(data_dir: &Path) {
        // It is stale in a moment anyway.
        let _ = std::fs::remove_file(file(data_dir));
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("status.json")
}

fn write(data_dir: &Path, report: &Value) -> std::io::Result<()> {
    let staged = data_dir.join("status.json.new");
    std::fs::write(&staged, report.to_string())?;
    std::fs::rename(staged, file(data_dir))
}
