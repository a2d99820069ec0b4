//! `freshet run`: the daemon.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use freshet_core::{Clock, Inbox, Source as _, SystemClock};
use freshet_destinations::delta::{CompactionOptions, Lake};
use freshet_load::{Committer, PackageLimits, Retry, SpoolLoader, tell_of_closures};
use freshet_sources::drain::{DrainLimits, DrainOptions, DrainReceiver, DrainStats, TlsFiles};
use freshet_spool::{Spool, SpoolError, SpoolOptions};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::cli::{Global, RunArgs};
use crate::config::{Settings, format_bytes};
use crate::daemon::{Live, Report, maintain, pages};
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::Printer;
use crate::signals::Signals;

/// Runs the verb until a signal ends it.
///
/// # Errors
/// Something it needs is not to be had: the port, the data directory, the lake, the secret.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &RunArgs) -> anyhow::Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Everything that can be wrong with the settings is found before anything is made on disk.
    let drain = drain_options(settings, listen_address(settings, args)?)?;
    let place = lake::place(global, settings);
    let lake = lake::open(&place)?;
    let spool = Arc::new(open_spool(&global.data_dir, settings, &clock)?);
    let loader = loader(settings, &lake, &spool, &clock, &place).await?;
    let live = Live {
        drain: Arc::new(DrainStats::default()),
        spool: Arc::clone(&spool),
        loader: Arc::clone(loader.stats()),
        spool_bytes_max: settings.spool_bytes_max,
        clock: Arc::clone(&clock),
    };
    let receiver = DrainReceiver::bind(drain, Arc::clone(&clock), Arc::clone(&live.drain), pages(live.clone()))?;
    banner(Printer::new(global), settings, receiver.local_addr(), &place, &spool, &global.data_dir);

    let mut signals = Signals::new()?;
    let (stop, stopped) = watch::channel(false);
    let receiving = tokio::spawn({
        let inbox: Arc<dyn Inbox> = Arc::clone(&spool) as _;
        async move { receiver.run(inbox, Box::pin(when_set(stopped))).await }
    });
    let (end, ending) = watch::channel(false);
    let loading = tokio::spawn(async move { loader.run(ending).await });
    let helpers = [
        tokio::spawn(maintain(lake, compaction(settings), settings.maintain_every)),
        tokio::spawn(tell_of_closures(Arc::clone(&spool), Arc::clone(&clock))),
        tokio::spawn(live.report(global.data_dir.clone())),
    ];
    let mut receiving = receiving;
    let failed = tokio::select! {
        ended = &mut receiving => Some(ended),
        name = signals.next() => {
            info!(signal = name, within_s = settings.stop_within.as_secs(), "stopping: no more connections, then the rest goes to the tables");
            None
        }
    };
    for helper in &helpers {
        helper.abort();
    }
    // In flow order: senders first, so that nothing new arrives behind what is being loaded.
    let _ = stop.send(true);
    let drain = async {
        if failed.is_none() {
            let _ = receiving.await;
        }
        let _ = end.send(true);
        let loaded = loading.await;
        spool.close().await;
        loaded
    };
    tokio::select! {
        ended = tokio::time::timeout(settings.stop_within, drain) => match ended {
            Ok(_) => info!("stopped, everything received is in its tables"),
            Err(_) => warn!("stopped at the deadline, the rest stays in the spool for the next start"),
        },
        name = signals.next() => warn!(signal = name, "stopped at once, the rest stays in the spool for the next start"),
    }
    Report::remove(&global.data_dir);
    match failed {
        Some(ended) => ended.context("the receiver ended without an answer")?.map(|()| Exit::Ok).map_err(Into::into),
        None => Ok(Exit::Ok),
    }
}

/// The address from the flag or the file, with the port of `$PORT` where that is set, as it is on Heroku.
fn listen_address(settings: &Settings, args: &RunArgs) -> anyhow::Result<SocketAddr> {
    if let Some(listen) = &args.listen {
        return listen.parse().map_err(|_| {
            Failure::error(Exit::BadConfig, format!("--listen wants an address and a port such as 0.0.0.0:8080, not {listen:?}"))
        });
    }
    let mut listen = settings.listen;
    if let Ok(port) = std::env::var("PORT") {
        listen.set_port(port.parse().map_err(|_| Failure::error(Exit::BadConfig, format!("$PORT is {port:?}, which is no port")))?);
    }
    Ok(listen)
}

fn drain_options(settings: &Settings, listen: SocketAddr) -> anyhow::Result<DrainOptions> {
    Ok(DrainOptions {
        listen,
        secrets: settings.drain_secrets()?,
        tls: settings.tls.as_ref().map(|tls| TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }),
        limits: DrainLimits {
            connections_max: settings.connections_max,
            body_bytes_max: u32::try_from(settings.body_bytes_max).unwrap_or(u32::MAX),
            ..DrainLimits::default()
        },
    })
}

fn open_spool(data_dir: &Path, settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Spool> {
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

/// The loader, after the lake has shown that it can be written.
async fn loader(
    settings: &Settings,
    lake: &Arc<Lake>,
    spool: &Arc<Spool>,
    clock: &Arc<dyn Clock>,
    place: &str,
) -> anyhow::Result<SpoolLoader> {
    let limits = PackageLimits {
        bytes_max: settings.load_bytes_max,
        rows_max: settings.load_rows_max,
        age_max_us: i64::try_from(settings.load_age_max.as_micros()).unwrap_or(i64::MAX),
    };
    let destination: Arc<dyn freshet_core::Destination> = Arc::clone(lake) as _;
    let with = |retry| {
        SpoolLoader::new(Arc::clone(spool), Committer::new(Arc::clone(&destination), Arc::clone(clock), retry), limits, Arc::clone(clock))
    };
    with(Retry::SOON).begin().await.with_context(|| format!("the lake {place} cannot be used"))?;
    Ok(with(Retry::FOR_EVER))
}

fn compaction(settings: &Settings) -> CompactionOptions {
    CompactionOptions {
        closed_files_min: settings.maintain_files_min,
        target_bytes: settings.maintain_bytes_target,
        small_bytes: settings.maintain_bytes_target / 2,
        ..CompactionOptions::default()
    }
}

async fn when_set(mut flag: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = flag.wait_for(|set| *set).await;
}

/// Says what is where, and what to tell Heroku.
fn banner(printer: Printer, settings: &Settings, listen: SocketAddr, place: &str, spool: &Spool, data_dir: &Path) {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let stats = spool.stats();
    let host = std::env::var("HEROKU_APP_DEFAULT_DOMAIN_NAME").unwrap_or_else(|_| "YOUR-HOST".to_owned());
    let front = if settings.tls.is_some() { "" } else { "   (plain HTTP: put a TLS front before it, or set tls_certificate and tls_key)" };
    printer.note(&format!(
        "freshet {version} receives log drains\n\n  \
           listening  {scheme}://{listen}{front}\n  \
           lake       {place}\n  \
           spool      {spool_dir}, {waiting} waiting, at most {max}\n  \
           metrics    {scheme}://{listen}/metrics\n\n\
         tell Heroku, once per app (SECRET is the drain secret):\n\n  \
           heroku drains:add \"https://freshet:SECRET@{host}/drain/APP\" --app APP\n\n\
         Ctrl-C stops it; what was received is loaded first.\n",
        version = env!("CARGO_PKG_VERSION"),
        spool_dir = data_dir.join("spool").display(),
        waiting = format_bytes(stats.durable_end.saturating_sub(stats.consumed)),
        max = format_bytes(settings.spool_bytes_max),
    ));
}
