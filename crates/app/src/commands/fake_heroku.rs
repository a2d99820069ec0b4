//! `freshet fake-heroku`: a Heroku for users' tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use freshet_fake_heroku::{FakeHeroku, FakeOptions, Fault, OAuthOptions, Strike};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::cli::{FakeHerokuArgs, Global};
use crate::exit::{Exit, Failure};
use crate::output::Printer;
use crate::signals::Signals;

/// How much of our time an accelerated story has before it reaches the present.
const STORY_SECONDS: f64 = 3600.0;

/// Runs the verb until a signal ends it.
///
/// # Errors
/// The port is taken, a flag names a fault that there is none of, a drain has no address, or the story would begin in the future.
pub(crate) async fn run(global: &Global, args: &FakeHerokuArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    if args.fault.iter().any(|fault| fault == "list") {
        return list_faults(printer);
    }
    let fake = FakeHeroku::start(options(args)?).await.with_context(|| format!("port {} cannot be listened on", args.port))?;
    let apps = fake.apps();
    for (id, name) in &apps {
        for url in &args.drain {
            fake.add_drain(id, &url.replace("{app}", name)).map_err(|refusal| {
                let wanted = "--drain wants an address that begins with http://, https://, syslog:// or syslog+tls://, each once";
                Failure::error(Exit::Failed, format!("{wanted}, not {url:?}: {refusal}"))
            })?;
        }
    }
    fake.begin();
    if printer.is_text() {
        banner(printer, &fake, &apps, args);
    } else {
        let names: Vec<&str> = apps.iter().map(|(_, name)| name.as_str()).collect();
        printer.json(&json!({ "url": fake.url(), "apps": names }))?;
    }
    Signals::new()?.next().await;
    Ok(Exit::Ok)
}

fn options(args: &FakeHerokuArgs) -> anyhow::Result<FakeOptions> {
    if !(args.speed.is_finite() && args.speed > 0.0 && args.rate.is_finite() && args.rate >= 0.0) {
        return Err(Failure::error(Exit::Failed, "--speed must be more than 0, and --rate 0 or more"));
    }
    let now = Timestamp::now();
    if args.begins_at.is_some_and(|begins_at| begins_at > now) {
        return Err(Failure::error(Exit::Failed, "--begins-at must not lie in the future: the story never overtakes our own time"));
    }
    let ahead = SignedDuration::try_from_secs_f64(STORY_SECONDS * (args.speed - 1.0).max(0.0))?;
    Ok(FakeOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], args.port)),
        seed: args.seed,
        speed: args.speed,
        apps: args.apps,
        releases: args.releases,
        lines_per_second: args.rate,
        begins_at: match args.begins_at {
            Some(begins_at) => begins_at,
            None => now.checked_sub(ahead).context("--speed is beyond what a calendar holds")?,
        },
        // The drains are there before the first line: else its beginning would depend on how fast this machine is.
        is_paused: true,
        token: args.token.clone(),
        oauth: args.oauth_secret.as_deref().map(|secret| OAuthOptions {
            access_within: Some(args.oauth_expires_in).filter(|seconds| *seconds > 0).map(Duration::from_secs),
            rotates: args.oauth_rotate,
            ..OAuthOptions::new(secret, &args.oauth_refresh_token)
        }),
        rate_limit: args.rate_limit,
        two_factor: args.two_factor.clone(),
        maintenance: args.maintenance,
        faults: args.fault.iter().map(|text| fault(text)).collect::<anyhow::Result<BTreeMap<_, _>>>()?,
        record: false,
    })
}

fn fault(text: &str) -> anyhow::Result<(Fault, Strike)> {
    let wrong = || {
        Failure::error(
            Exit::Failed,
            format!("--fault wants NAME=PROBABILITY such as drain-reset=0.05, not {text:?}; --fault list lists the names"),
        )
    };
    let (name, probability) = text.split_once('=').ok_or_else(wrong)?;
    let fault: Fault = name.parse().map_err(|_| wrong())?;
    let probability: f64 = probability.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)?;
    Ok((fault, Strike { probability, times: None }))
}

fn list_faults(printer: Printer) -> anyhow::Result<Exit> {
    for (name, meaning) in Fault::all() {
        printer.line(&format!("{name:<24} {meaning}"))?;
    }
    Ok(Exit::Ok)
}

/// Says what is where, and what to do with it.
fn banner(printer: Printer, fake: &FakeHeroku, apps: &[(String, String)], args: &FakeHerokuArgs) {
    let url = fake.url();
    let names: Vec<&str> = apps.iter().map(|(_, name)| name.as_str()).take(12).collect();
    let more = if apps.len() > names.len() { format!(" and {} more", apps.len() - names.len()) } else { String::new() };
    let token = args.token.as_deref().unwrap_or(if args.oauth_secret.is_some() { "TOKEN" } else { "any" });
    printer.note(&format!(
        "freshet {version} is a Heroku on this machine; it is not the real one\n\n  \
           API        {url}   (token: {token})\n  \
           apps       {apps}{more}\n  \
           control    {url}/_control/status\n\n\
         point the Heroku CLI at it:\n\n  \
           HEROKU_HOST={url} HEROKU_API_KEY={token} heroku logs --tail --app {first}\n\n\
         Ctrl-C stops it, and all it knew is gone.\n",
        version = env!("CARGO_PKG_VERSION"),
        apps = names.join(", "),
        first = names.first().copied().unwrap_or("APP"),
    ));
}
