//! `freshet drains`: the log drains that apps have, and those that they should have.

mod change;
mod deliveries;
mod found;
mod heroku;
mod probe;
mod report;
mod verify;

use std::path::Path;

use anyhow::Context as _;
use freshet_core::Secret;
use freshet_sources::platform::{Api, ApiOptions};
use freshet_web::web_address;

use crate::cli::{DrainsChangeArgs, DrainsVerb, Global};
use crate::config::{self, Settings};
use crate::drain_secret;
use crate::exit::{Exit, Failure};
use crate::heroku_api::token;
use crate::output::Printer;

use change::{Change, Rotation};
use found::Ours;
use heroku::Target;
use probe::{Probed, probe};
use report::{AppReport, Report};

/// Runs the verb.
///
/// # Errors
/// The token, the address or the secret is not there, or the list of apps is not. What fails for an app is in the report.
pub(crate) async fn run(global: &Global, settings: &Settings, verb: &DrainsVerb) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    match verb {
        DrainsVerb::List(args) => {
            let ours = Ours { url: public_url(settings, args.url.as_deref())?, secrets: secrets(settings)? };
            let api = api(global, settings, "read-protected")?;
            let apps = apps(printer, settings, &api, &args.apps).await?;
            let apps = heroku::each(&apps, async |app| AppReport::of(app, heroku::drains(&api, &ours, app).await)).await;
            Report { apps, dry_run: false }.print_drains(printer)
        }
        DrainsVerb::Verify { what, silent_after } => {
            let silent_after = time("--silent-after", silent_after)?;
            let ours = Ours { url: Some(needed_url(settings, what.url.as_deref())?), secrets: secrets(settings)? };
            if ours.secrets.is_empty() {
                printer.note("no drain secret is at hand, so those of the drains are not compared");
            }
            let api = api(global, settings, "read-protected")?;
            let apps = apps(printer, settings, &api, &what.apps).await?;
            let deliveries = deliveries::ask(global, settings, silent_after).await;
            if let Err(why) = &deliveries {
                printer.note(&format!("when drains delivered last is not known: {why}"));
            }
            let deliveries = deliveries.ok();
            let apps = heroku::each(&apps, async |app| {
                let report = AppReport::of(app, heroku::drains(&api, &ours, app).await);
                verify::judge(report, deliveries.as_ref())
            });
            Report { apps: apps.await, dry_run: false }.print_drains(printer)
        }
        DrainsVerb::Add { what, write_secret, unprobed } => {
            let url = needed_url(settings, what.url.as_deref())?;
            let api = api(global, settings, "write-protected")?;
            let secrets = match write_secret.as_deref().filter(|_| !settings.has_drain_secret()) {
                Some(path) => new_secret(printer, path, what.dry_run)?,
                None => settings.drain_secrets().map_err(|error| without_secret(error, settings))?,
            };
            let target = target(&url, &secrets)?;
            if !unprobed
                && !what.dry_run
                && let Probed::Unreachable(trouble) = probe(&url, &target.secret).await?
            {
                printer.note(&format!("{url} cannot be reached from here ({trouble}), so the secret was not tried"));
            }
            change(printer, settings, what, &api, &Ours { url: Some(url), secrets }, Change::Add(target)).await
        }
        DrainsVerb::Rotate { what, overlap, remove_first, unprobed } => {
            let overlap = time("--overlap", overlap)?;
            let url = needed_url(settings, what.url.as_deref())?;
            let api = api(global, settings, "write-protected")?;
            let secrets = settings.drain_secrets()?;
            let target = target(&url, &secrets)?;
            if !unprobed
                && !what.dry_run
                && let Probed::Unreachable(trouble) = probe(&url, &target.secret).await?
            {
                let message = format!(
                    "nothing was changed: {url} cannot be reached from here ({trouble}), so nobody knows whether it takes the new secret\n  --unprobed rotates all the same"
                );
                return Err(Failure::error(Exit::Failed, message));
            }
            let rotation = Rotation { target, overlap: (!remove_first).then_some(overlap) };
            change(printer, settings, what, &api, &Ours { url: Some(url), secrets }, Change::Rotate(rotation)).await
        }
        DrainsVerb::Remove { what } => {
            let ours = Ours { url: Some(needed_url(settings, what.url.as_deref())?), secrets: secrets(settings)? };
            let api = api(global, settings, "write-protected")?;
            change(printer, settings, what, &api, &ours, Change::Remove).await
        }
    }
}

async fn change(
    printer: Printer,
    settings: &Settings,
    what: &DrainsChangeArgs,
    api: &Api,
    ours: &Ours,
    change: Change,
) -> anyhow::Result<Exit> {
    let apps = apps(printer, settings, api, &what.apps).await?;
    let apps = heroku::each(&apps, async |app| change.of(api, ours, app, what.dry_run).await).await;
    Report { apps, dry_run: what.dry_run }.print_changes(printer)
}

async fn apps(printer: Printer, settings: &Settings, api: &Api, named: &[String]) -> anyhow::Result<Vec<String>> {
    let wanted = if named.is_empty() { &settings.heroku.apps } else { named };
    let (apps, unread) = heroku::apps(api, wanted).await?;
    if let Some(unread) = unread {
        printer.note(&unread);
    }
    Ok(apps)
}

fn api(global: &Global, settings: &Settings, scope: &str) -> anyhow::Result<Api> {
    Ok(Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token(settings, &global.data_dir, scope)?)))?)
}

/// The secrets at hand; none when none is configured.
fn secrets(settings: &Settings) -> anyhow::Result<Vec<Secret>> {
    if settings.has_drain_secret() { settings.drain_secrets() } else { Ok(Vec::new()) }
}

fn target(url: &str, secrets: &[Secret]) -> anyhow::Result<Target> {
    let secret = secrets.first().cloned().context("there is no drain secret")?;
    Ok(Target { url: url.to_owned(), secret })
}

/// Makes a secret in the file at `path`, or takes the one that an earlier run has made there.
fn new_secret(printer: Printer, path: &Path, dry_run: bool) -> anyhow::Result<Vec<Secret>> {
    if dry_run && !path.exists() {
        printer.note(&format!("a drain secret would be made in {}", path.display()));
        return Ok(vec![drain_secret::random()]);
    }
    let existed = !dry_run && drain_secret::keep_in(path)?;
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let secret = drain_secret::usable(&text).ok_or_else(|| {
        Failure::error(
            Exit::BadConfig,
            format!("{} holds no drain secret: letters, digits, `-`, `_`, `.` and `~`, in one line", path.display()),
        )
    })?;
    let which = if existed { "the drain secret that is in" } else { "a new drain secret is in" };
    printer.note(&format!(
        "{which} {file}; let `freshet run` know it, under [receive] in freshet.toml:\n  drain_secret = \"file:{file}\"",
        file = path.display()
    ));
    Ok(vec![secret])
}

/// Adds how to have one made.
fn without_secret(error: anyhow::Error, settings: &Settings) -> anyhow::Error {
    if settings.has_drain_secret() {
        return error;
    }
    Failure::error(Exit::BadConfig, format!("{error}\n  or let this verb make one:  freshet drains add … --write-secret drain-secret"))
}

/// The address by which Heroku reaches us: the flag's, else the configuration's.
fn public_url(settings: &Settings, flag: Option<&str>) -> anyhow::Result<Option<String>> {
    match flag {
        Some(url) => web_address(url).map(Some).map_err(|why| Failure::error(Exit::BadConfig, format!("--url {why}"))),
        None => Ok(settings.public_url.clone()),
    }
}

fn needed_url(settings: &Settings, flag: Option<&str>) -> anyhow::Result<String> {
    let message = "where is this Freshet for Heroku? Set `public_url` under [receive] in freshet.toml, or give --url https://HOST";
    public_url(settings, flag)?.ok_or_else(|| Failure::error(Exit::BadConfig, message))
}

fn time(flag: &str, text: &str) -> anyhow::Result<std::time::Duration> {
    config::duration(text).ok_or_else(|| Failure::error(Exit::Failed, format!("{flag} wants a time such as 5s or 1d, not {text:?}")))
}
