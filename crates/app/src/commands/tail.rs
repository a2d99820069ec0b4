//! `freshet tail`: an app's log session, on the terminal or into the lake.

mod show;
mod store;

use std::time::Duration;

use freshet_sources::platform::{Api, ApiOptions};
use freshet_sources::session::{Follower, HISTORY_LINES_MAX, SessionError, SessionLine, SessionOptions};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::cli::{Global, Output, TailArgs};
use crate::config::{self, Settings};
use crate::exit::{Exit, Failure};
use crate::heroku_api::{is_app, token};
use crate::lake::Address;
use crate::output::{Printer, counted};
use crate::signals::Signals;

use show::Show;
use store::Store;

/// Lines of the past that are shown without being asked for, as the Heroku CLI does.
const LINES_SHOWN: u32 = 100;

/// As good as for ever.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs the verb until a signal, `--for` or an error ends it.
///
/// # Errors
/// The app cannot be read, or the lake or the data directory not written.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &TailArgs) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let ends_after = args.ends_after.as_deref().map(time_of).transpose()?;
    let printer = Printer::new(global);
    if printer.output == Output::Csv && args.to.is_none() {
        return Err(Failure::error(Exit::Failed, "lines have no CSV form; leave --output out, or take --output json"));
    }
    if !is_app(&args.app) {
        return Err(Failure::error(Exit::Failed, format!("{:?} is no app's name", args.app)));
    }
    let api = Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token(settings, &global.data_dir, "write")?)))?;
    let options = SessionOptions {
        source: args.source.clone(),
        dyno: args.dyno.clone(),
        lines: args.lines.unwrap_or(if args.to.is_some() { HISTORY_LINES_MAX } else { LINES_SHOWN }),
        ..SessionOptions::new(&args.app)
    };
    let mut follower = tokio::select! {
        follower = Follower::begin(&api, options) => follower.map_err(in_words)?,
        _ = signals.next() => return Ok(Exit::Ok),
    };
    // Connecting does not count: 30 seconds of the log were asked for.
    let end = Instant::now() + ends_after.unwrap_or(A_YEAR);
    let Some(to) = &args.to else {
        let mut show = Show::new(printer, follower.app());
        return follow(&mut follower, end, &mut signals, async |lines| show.lines(&lines)).await.map(|()| Exit::Ok);
    };
    let place = Address::named(to, settings)?;
    let store = Store::open(settings, &place, &global.data_dir, follower.app()).await?;
    printer.note(&format!("following {} into {place}; Ctrl-C ends it, and what was received is committed", follower.app()));
    let ended = follow(&mut follower, end, &mut signals, async |lines| store.lines(lines).await).await;
    let stored = tokio::select! {
        stored = store.finish(settings.stop_within) => stored,
        _ = signals.next() => None,
    };
    ended?;
    let Some(stored) = stored else {
        let message = "stopped before everything was committed; the rest is on disk, and the same command brings it in";
        return Err(Failure::error(Exit::TryAgain, message));
    };
    let counts = follower.counts();
    if printer.is_text() {
        printer.note(&format!(
            "{} stored, {} known already, {}",
            counted(stored.stored, "line"),
            stored.repeated + counts.repeated,
            counted(counts.sessions, "log session")
        ));
    } else {
        printer.json(&json!({ "app": follower.app(), "lake": place.to_string(), "stored": stored.stored,
            "known": stored.repeated + counts.repeated, "sessions": counts.sessions }))?;
    }
    Ok(Exit::Ok)
}

/// How long lines may still be taken after a signal.
const TAKE_WITHIN: Duration = Duration::from_secs(2);

/// Hands lines to `take` until `end`, a signal or an error.
async fn follow(
    follower: &mut Follower,
    end: Instant,
    signals: &mut Signals,
    mut take: impl AsyncFnMut(Vec<SessionLine>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        let lines = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            () = sleep_until(end) => return Ok(()),
            lines = follower.next() => lines.map_err(in_words)?,
        };
        // Who cannot take them may take long; lines that were not taken come again.
        let mut taking = std::pin::pin!(take(lines));
        tokio::select! {
            taken = &mut taking => taken?,
            _ = signals.next() => {
                // What is being stored is stored, and counted.
                return tokio::time::timeout(TAKE_WITHIN, taking).await.unwrap_or(Ok(()));
            }
        }
    }
}

fn in_words(error: SessionError) -> anyhow::Error {
    match error {
        SessionError::Api(error) => crate::heroku_api::failure(error),
        error => anyhow::Error::new(error),
    }
}

fn time_of(text: &str) -> anyhow::Result<Duration> {
    config::duration(text).ok_or_else(|| Failure::error(Exit::Failed, format!("--for wants a time such as 30s or 5m, not {text:?}")))
}
