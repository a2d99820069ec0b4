//! Lines into the lake, each once: through a spool of their own, as drains go through the daemon's.
//!
//! A line's content id is its frame id. The spool remembers those for longer than Heroku keeps lines, so that what a later session, or a
//! later process, brings again is known; and the loader commits what is in the spool exactly once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_core::{Clock, Format, Inbox as _, InboxError, Payload, Receipt, SourceKind, SystemClock};
use freshet_sources::session::SessionLine;
use freshet_spool::Spool;
use futures::future::try_join_all;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::config::Settings;
use crate::daemon::{loader, open_spool};
use crate::lake::{self, Address};

/// How long a line is remembered. Heroku keeps the last 1,500 for a week.
const REMEMBERED: Duration = Duration::from_secs(8 * 24 * 3600);

/// Takes lines.
pub(super) struct Store {
    app: String,
    spool: Arc<Spool>,
    clock: Arc<dyn Clock>,
    end: watch::Sender<bool>,
    loading: JoinHandle<()>,
    counts: Mutex<StoreCounts>,
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreCounts {
    /// New ones.
    pub(super) stored: u64,
    /// Those that an earlier process, or session, had stored.
    pub(super) repeated: u64,
}

impl Store {
    /// Opens the spool for `app` below `data_dir` and begins to load what is in it.
    ///
    /// # Errors
    /// Another process follows this app with this data directory, or the disk or the lake refuses.
    pub(super) async fn open(settings: &Settings, place: &Address, data_dir: &Path, app: &str) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut settings = settings.clone();
        settings.dedupe_window = settings.dedupe_window.max(REMEMBERED);
        let tables = lake::open(place)?;
        let spool = Arc::new(open_spool(&data_dir.join("tail").join(app), &settings, &clock)?);
        let loader = loader(&settings, &tables, &spool, &clock, place).await?;
        let (end, ending) = watch::channel(false);
        let loading = tokio::spawn(async move { loader.run(ending).await });
        Ok(Self { app: app.to_owned(), spool, clock, end, loading, counts: Mutex::default() })
    }

    /// Returns when `lines` are on disk. A full spool, or a disk that fails, is waited for: meanwhile Heroku holds the lines back.
    ///
    /// # Errors
    /// The spool is closed.
    pub(super) async fn lines(&self, lines: Vec<SessionLine>) -> anyhow::Result<()> {
        let received_at = self.clock.now();
        let payloads = lines.into_iter().map(|line| {
            let mut body = line.text;
            body.push(b'\n');
            Payload {
                source: SourceKind::Session,
                format: Format::Cli,
                app: Some(self.app.clone()),
                drain_token: None,
                frame_id: Some(line.content_id),
                msg_count: None,
                received_at,
                body: Bytes::from(body),
            }
        });
        let receipts = try_join_all(payloads.map(|payload| self.accept(payload))).await?;
        let mut counts = self.counts.lock().await;
        for receipt in receipts {
            match receipt {
                Receipt::Stored => counts.stored += 1,
                Receipt::Repeated => counts.repeated += 1,
            }
        }
        Ok(())
    }

    async fn accept(&self, payload: Payload) -> Result<Receipt, InboxError> {
        loop {
            match self.spool.accept(payload.clone()).await {
                Err(error @ (InboxError::Full | InboxError::Disk(_))) => {
                    warn!(%error, "a line has to wait");
                    self.spool.opened().await;
                }
                ended => return ended,
            }
        }
    }

    /// Commits what there is, within `patience`; what was stored, or nothing when that was not enough. The rest stays in the spool for the next start.
    pub(super) async fn finish(self, patience: Duration) -> Option<StoreCounts> {
        let drain = async {
            let _ = self.end.send(true);
            // A loader that panicked has said so; what it did not load stays in the spool.
            let _ = self.loading.await;
            self.spool.close().await;
        };
        tokio::time::timeout(patience, drain).await.ok()?;
        Some(self.counts.into_inner())
    }
}
