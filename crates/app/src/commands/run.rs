//! `freshet run`: the daemon.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use freshet_spool::SpoolStats;
use tracing::{info, warn};

use crate::cli::{Global, RunArgs};
use crate::config::{Settings, format_bytes};
use crate::daemon::Pipeline;
use crate::exit::{Exit, Failure};
use crate::lake::{self, Address};
use crate::output::Printer;
use crate::signals::Signals;

/// Runs the verb until a signal ends it.
///
/// # Errors
/// Something it needs is not to be had: the port, the data directory, the lake, the secret.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &RunArgs) -> anyhow::Result<Exit> {
    let place = lake::address(global, settings)?;
    // Before anybody can know that it runs, or a signal would end it on the spot.
    let mut signals = Signals::new()?;
    let mut daemon = Pipeline::start(settings, listen_address(settings, args.listen.as_deref())?, &place, &global.data_dir).await?;
    banner(Printer::new(global), settings, daemon.address(), &place, &daemon.live().spool.stats(), &global.data_dir);
    let failed = tokio::select! {
        ended = daemon.failed() => Some(ended),
        name = signals.next() => {
            info!(signal = name, within_s = settings.stop_within.as_secs(), "stopping: no more connections, then the rest goes to the tables");
            None
        }
    };
    tokio::select! {
        _ = daemon.stop(settings) => {}
        name = signals.next() => warn!(signal = name, "stopped at once, the rest stays in the spool for the next start"),
    }
    match failed {
        Some(ended) => ended.context("the receiver ended without an answer")?.map(|()| Exit::Ok).map_err(Into::into),
        None => Ok(Exit::Ok),
    }
}

/// The address from the flag or the file, with the port of `$PORT` where that is set, as it is on Heroku.
///
/// # Errors
/// The flag is no address, or `$PORT` no port.
pub(super) fn listen_address(settings: &Settings, flag: Option<&str>) -> anyhow::Result<SocketAddr> {
    if let Some(listen) = flag {
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

/// Says what is where, and what to tell Heroku.
fn banner(printer: Printer, settings: &Settings, listen: SocketAddr, place: &Address, spool: &SpoolStats, data_dir: &Path) {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let host = std::env::var("HEROKU_APP_DEFAULT_DOMAIN_NAME").unwrap_or_else(|_| "YOUR-HOST".to_owned());
    let front = if settings.tls.is_some() { "" } else { "   (plain HTTP: put a TLS front before it, or set tls_certificate and tls_key)" };
    printer.note(&format!(
        "freshet {version} receives log drains\n\n  \
           listening  {scheme}://{listen}{front}\n  \
           tables     {place}\n  \
           spool      {spool_dir}, {waiting} waiting, at most {max}\n  \
           metrics    {scheme}://{listen}/metrics\n\n\
         tell Heroku, once per app (SECRET is the drain secret):\n\n  \
           heroku drains:add \"https://freshet:SECRET@{host}/drain/APP\" --app APP\n\n\
         Ctrl-C stops it; what was received is loaded first.\n",
        version = env!("CARGO_PKG_VERSION"),
        spool_dir = data_dir.join("spool").display(),
        waiting = format_bytes(spool.durable_end.saturating_sub(spool.consumed)),
        max = format_bytes(settings.spool_bytes_max),
    ));
}
