//! The daemon, put together: receiver, spool, loader and their helpers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use freshet_core::{Clock, Destination, Inbox, Source as _, SourceError, SystemClock};
use freshet_destinations::delta::CompactionOptions;
use freshet_load::{Committer, PackageLimits, Retry, SpoolLoader, tell_of_closures};
use freshet_sources::drain::{DrainLimits, DrainOptions, DrainReceiver, DrainStats, TlsFiles};
use freshet_sources::platform::{Api, ApiOptions};
use freshet_spool::{Spool, SpoolError, SpoolOptions};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tracing::{info, warn};

use super::maintenance::{Upkeep, maintain};
use super::pages::pages;
use super::schedule::{ASK_WAREHOUSE_EVERY, NAP_MAX, Schedule};
use super::{Live, Report};
use crate::config::{NoToken, Settings};
use crate::due::Due;
use crate::exit::{Exit, Failure};
use crate::lake::{self, Address, Opened};

/// A running daemon.
pub(crate) struct Pipeline {
    live: Live,
    address: SocketAddr,
    data_dir: PathBuf,
    stop: watch::Sender<bool>,
    end: watch::Sender<bool>,
    receiving: JoinHandle<Result<(), SourceError>>,
    loading: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
}

/// How a daemon stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Everything received is in its tables.
    Drained,
    /// The deadline came first; the rest is in the spool.
    AtDeadline,
}

impl Pipeline {
    /// Starts a daemon that listens on `listen` and writes to the lake at `place`.
    ///
    /// # Errors
    /// Something it needs is not to be had: the port, the data directory, the lake, the secret.
    pub(crate) async fn start(settings: &Settings, listen: SocketAddr, place: &Address, data_dir: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Everything that can be wrong with the settings is found before anything is made on disk.
        let due = Due::default();
        let drain = drain_options(settings, listen, &due)?;
        let tables = lake::open_for_streams(place)?;
        let spool = Arc::new(open_spool(data_dir, settings, &clock)?);
        let loader = loader(settings, &tables, &spool, &clock, place).await?;
        let live = Live {
            drain: Arc::new(DrainStats::default()),
            spool: Arc::clone(&spool),
            loader: Arc::clone(loader.stats()),
            spool_bytes_max: settings.spool_bytes_max,
            clock: Arc::clone(&clock),
        };
        let receiver = DrainReceiver::bind(drain, Arc::clone(&clock), Arc::clone(&live.drain), pages(live.clone()))?;
        let address = receiver.local_addr();
        let (stop, stopped) = watch::channel(false);
        let inbox: Arc<dyn Inbox> = Arc::clone(&spool) as _;
        let receiving = tokio::spawn(async move { receiver.run(inbox, Box::pin(when_set(stopped))).await });
        let (end, ending) = watch::channel(false);
        let loading = tokio::spawn(async move { loader.run(ending).await });
        let mut helpers =
            vec![tokio::spawn(tell_of_closures(spool, Arc::clone(&clock))), tokio::spawn(live.clone().report(data_dir.to_owned()))];
        // Others look after their tables themselves.
        helpers.extend(tables.lake().map(|lake| tokio::spawn(maintain(Arc::clone(lake), upkeep(settings), clock))));
        helpers.extend(schedule(settings, &tables, data_dir, due)?.map(|schedule| tokio::spawn(schedule.run())));
        Ok(Self { live, address, data_dir: data_dir.to_owned(), stop, end, receiving, loading, helpers })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It in numbers.
    #[must_use]
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// Waits until the receiver ends by itself, which it does only when it cannot go on.
    pub(crate) async fn failed(&mut self) -> Result<Result<(), SourceError>, JoinError> {
        (&mut self.receiving).await
    }

    /// Stops in flow order: senders first, so that nothing new arrives behind what is being loaded; then the rest is loaded.
    /// Dropping the future stops at once, safely.
    pub(crate) async fn stop(self, settings: &Settings) -> Stopped {
        for helper in &self.helpers {
            helper.abort();
        }
        let _ = self.stop.send(true);
        let drain = async {
            // A receiver that failed has been waited for already.
            if !self.receiving.is_finished() {
                let _ = self.receiving.await;
            }
            let _ = self.end.send(true);
            // A loader that panicked has said so; what it did not load stays in the spool.
            let _ = self.loading.await;
            self.live.spool.close().await;
        };
        let _gone = Gone(&self.data_dir);
        match tokio::time::timeout(settings.stop_within, drain).await {
            Ok(()) => {
                info!("stopped, everything received is in its tables");
                Stopped::Drained
            }
            Err(_) => {
                warn!("stopped at the deadline, the rest stays in the spool for the next start");
                Stopped::AtDeadline
            }
        }
    }
}

/// Takes the daemon's report away when it stops, also when it is not waited for.
struct Gone<'a>(&'a Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        Report::remove(self.0);
    }
}

fn drain_options(settings: &Settings, listen: SocketAddr, due: &Due) -> anyhow::Result<DrainOptions> {
    let due = due.clone();
    Ok(DrainOptions {
        listen,
        secrets: settings.drain_secrets()?,
        webhook_secrets: settings.webhook_secrets()?,
        told: Some(Arc::new(move |resource| due.tell(resource))),
        tls: settings.tls.as_ref().map(|tls| TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }),
        limits: DrainLimits {
            connections_max: settings.connections_max,
            body_bytes_max: u32::try_from(settings.body_bytes_max).unwrap_or(u32::MAX),
            ..DrainLimits::default()
        },
    })
}

/// The spool below `data_dir`, made where there is none.
///
/// # Errors
/// Another process has it, or the disk refuses.
pub(crate) fn open_spool(data_dir: &Path, settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Spool> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("the data directory {} cannot be made", data_dir.display()))?;
    let options = SpoolOptions {
        max_bytes: settings.spool_bytes_max,
        segment_bytes: settings.segment_bytes,
        dedupe_window: settings.dedupe_window,
        ..SpoolOptions::default()
    };
    let opened = Spool::open(&data_dir.join("spool"), &options, Arc::clone(clock), uuid::Uuid::new_v4().as_u128());
    let (spool, recovery) = opened.map_err(|error| match error {
        SpoolError::Locked { .. } => Failure::error(Exit::TryAgain, error.to_string()),
        error => anyhow::Error::new(error),
    })?;
    if recovery.records > 0 || recovery.torn_bytes > 0 {
        info!(segments = recovery.segments, records = recovery.records, torn_bytes = recovery.torn_bytes, "spool recovered");
    }
    Ok(spool)
}

/// The loader of `spool` into `tables`, which are at `place`, after these have shown that they can be written.
///
/// # Errors
/// It cannot.
pub(crate) async fn loader(
    settings: &Settings,
    tables: &Opened,
    spool: &Arc<Spool>,
    clock: &Arc<dyn Clock>,
    place: &Address,
) -> anyhow::Result<SpoolLoader> {
    let age_max = settings.load_age_max.unwrap_or_else(|| tables.load_age_max());
    let limits = PackageLimits {
        bytes_max: settings.load_bytes_max,
        rows_max: settings.load_rows_max,
        age_max_us: i64::try_from(age_max.as_micros()).unwrap_or(i64::MAX),
    };
    let destination: Arc<dyn Destination> = tables.mirror();
    let with = |retry| {
        SpoolLoader::new(Arc::clone(spool), Committer::new(Arc::clone(&destination), Arc::clone(clock), retry), limits, Arc::clone(clock))
    };
    with(Retry::SOON).begin().await.with_context(|| format!("{place} cannot be used"))?;
    Ok(with(Retry::FOR_EVER))
}

/// What keeps the objects of the Platform API current, if that is wanted and there is a token.
fn schedule(settings: &Settings, tables: &Opened, data_dir: &Path, hints: Due) -> anyhow::Result<Option<Schedule>> {
    if settings.schedule.is_off() {
        return Ok(None);
    }
    let token = match settings.heroku.token(data_dir) {
        Ok(token) => token,
        // Receiving logs needs none.
        Err(NoToken::Mistaken(why)) => {
            warn!(why, "objects of the platform api are not read, there is no usable token");
            return Ok(None);
        }
        Err(NoToken::Missing(why)) => {
            info!(why, "objects of the platform api are not read, there is no token");
            return Ok(None);
        }
    };
    let api = Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token)))?;
    let lateness = (uuid::Uuid::new_v4().as_u128() % 1_000) as f64 / 1_000.0;
    let ask_every = if tables.lake().is_some() { NAP_MAX } else { ASK_WAREHOUSE_EVERY };
    let tables = tables.mirror();
    let (data_dir, apps, settings) = (data_dir.to_owned(), settings.heroku.apps.clone(), settings.schedule.clone());
    Ok(Some(Schedule { api, tables, data_dir, apps, settings, hints, lateness, ask_every }))
}

fn upkeep(settings: &Settings) -> Upkeep {
    let compaction = CompactionOptions {
        closed_files_min: settings.maintain_files_min,
        target_bytes: settings.maintain_bytes_target,
        small_bytes: settings.maintain_bytes_target / 2,
        ..CompactionOptions::default()
    };
    Upkeep { compaction, every: settings.maintain_every, window: settings.maintain_window.clone(), retention: settings.retention.clone() }
}

async fn when_set(mut flag: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = flag.wait_for(|set| *set).await;
}
