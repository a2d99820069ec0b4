//! `freshet init`: a configuration to begin with.

mod file;
mod netrc;
mod questions;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use freshet_core::Secret;
use freshet_sources::platform::{ApiError, HEROKU_URL};
use freshet_web::{Trouble, web_address};
use serde_json::json;

use crate::cli::{Global, InitArgs};
use crate::config::{DEFAULT_FILE, examine_text};
use crate::drain_secret;
use crate::exit::{Exit, Failure};
use crate::heroku_api::{self, api_for_a_person};
use crate::output::{Paint, Printer, shell_word};

use file::Answers;

/// Time for the list of apps. Without it the questions are asked all the same.
const LIST_WITHIN: Duration = Duration::from_secs(15);

/// Where the drain secret is.
enum DrainSecret {
    /// In the environment already.
    Set,
    /// Made now, and shown once.
    Made(Secret),
    /// In a file, of which it was said that it was there before.
    File { path: PathBuf, existed: bool },
}

/// Runs the verb.
///
/// # Errors
/// The file is there already, a value is not fit for it, or it cannot be written.
pub(crate) async fn run(global: &Global, args: &InitArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let path = global.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    if path.exists() && !args.force {
        let message = format!("{} is there already; look at it with `freshet check`, or replace it with --force", path.display());
        return Err(Failure::error(Exit::Failed, message));
    }
    let mut answers = Answers {
        apps: args.app.clone(),
        lake: global.lake.clone(),
        listen: args.listen.clone(),
        public_url: args.public_url.clone(),
        api_url: args.api_url.clone(),
        secret_file: args.write_secret.clone(),
    };
    if io::stdin().is_terminal() && io::stderr().is_terminal() && !args.yes {
        // The token goes there, so the address must be one that may have it.
        let api_url = web_address(args.api_url.as_deref().unwrap_or(HEROKU_URL))
            .map_err(|why| Failure::error(Exit::BadConfig, format!("--api-url {why}")))?;
        let seen = visible_apps(&printer, &api_url).await;
        questions::ask(&mut io::stdin().lock(), &mut io::stderr(), &seen, &mut answers)?;
    }
    let text = file::text(&answers);
    let (_, problems) = examine_text(&text);
    if !problems.is_empty() {
        let list: Vec<String> = problems.iter().map(|problem| format!("  {}", problem.message)).collect();
        return Err(Failure::error(Exit::BadConfig, format!("nothing was written, because:\n{}", list.join("\n"))));
    }
    let secret = secret_at_hand(args.write_secret.as_deref())?;
    write(&path, &text, args.force).with_context(|| format!("{} cannot be written", path.display()))?;
    tell(printer, &path, &answers, &secret)?;
    Ok(Exit::Ok)
}

/// The names of the apps that a token at hand can see; none without one.
async fn visible_apps(printer: &Printer, url: &str) -> Vec<String> {
    let Some(token) = environment("HEROKU_API_KEY").or_else(|| netrc::token(url)) else {
        printer.note("No Heroku token at hand (HEROKU_API_KEY, or `heroku login`), so your apps are not listed.");
        return Vec::new();
    };
    let slow = || ApiError::Unreachable { path: "/apps".to_owned(), trouble: Trouble::Slow { within: LIST_WITHIN } };
    let listed = match api_for_a_person(url, Some(token.into())) {
        Ok(api) => tokio::time::timeout(LIST_WITHIN, heroku_api::visible_apps(&api)).await.unwrap_or_else(|_| Err(slow())),
        Err(error) => Err(error),
    };
    match listed {
        Ok(apps) => apps.names.into_iter().collect(),
        Err(error) => {
            printer.note(&format!("Your apps cannot be listed: {}", error.reason()));
            Vec::new()
        }
    }
}

/// A secret that is there already stays, for drains use it.
fn secret_at_hand(file: Option<&Path>) -> anyhow::Result<DrainSecret> {
    let Some(path) = file else {
        let is_set = environment("FRESHET_DRAIN_SECRET").is_some();
        return Ok(if is_set { DrainSecret::Set } else { DrainSecret::Made(drain_secret::random()) });
    };
    let existed = drain_secret::keep_in(path)?;
    Ok(DrainSecret::File { path: path.to_owned(), existed })
}

/// Writes the file whole or not at all, and never in place of one that was not to be replaced.
fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let place = if replace { Path::new(&staged) } else { path };
    let mut file = OpenOptions::new().write(true).create_new(true).open(place)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = if replace { written.and_then(|()| std::fs::rename(place, path)) } else { written };
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(place);
    })
}

/// What was written, and what comes next.
fn tell(printer: Printer, path: &Path, answers: &Answers, secret: &DrainSecret) -> anyhow::Result<()> {
    let steps = steps(path, answers, secret);
    if !printer.is_text() {
        let commands: Vec<&str> = steps.iter().map(|(_, command)| command.as_str()).collect();
        return printer.json(&json!({ "file": path.display().to_string(), "next": commands }));
    }
    printer.line(&printer.painted(Paint::Green, &format!("Wrote {}.", path.display())))?;
    if let DrainSecret::File { path, existed } = secret {
        let file = path.display();
        printer.line(&match existed {
            true => format!("The drain secret that is in {file} stays."),
            false => format!("A new drain secret is in {file}; only you can read it."),
        })?;
    }
    printer.line("\nNext:\n")?;
    for (why, command) in &steps {
        if let Some(why) = why {
            printer.line(&printer.painted(Paint::Dim, &format!("  # {why}")))?;
        }
        printer.line(&format!("  {command}"))?;
    }
    Ok(())
}

/// The commands to go on with, each with its reason unless that of the one before holds for it too.
fn steps(path: &Path, answers: &Answers, secret: &DrainSecret) -> Vec<(Option<&'static str>, String)> {
    let mut steps = Vec::new();
    if let DrainSecret::Made(secret) = secret {
        let why = "the password of your log drains, shown this once; keep it where the daemon finds it";
        steps.push((Some(why), format!("export FRESHET_DRAIN_SECRET={}", secret.reveal())));
    }
    if environment("HEROKU_API_KEY").is_none() {
        let make = "export HEROKU_API_KEY=$(heroku authorizations:create --short --description freshet --scope read-protected)";
        steps.push((Some("a token that may read, for what needs the Platform API"), make.to_owned()));
    }
    let config = if path == Path::new(DEFAULT_FILE) { String::new() } else { format!(" --config {}", shell_word(&path.to_string_lossy())) };
    steps.push((Some("is everything in place?"), format!("freshet check{config}")));
    steps.push((Some("receive"), format!("freshet run{config}")));
    let place = answers.public_url.as_deref().map_or("YOUR-HOST", |url| url.split_once("://").map_or(url, |(_, place)| place));
    let password = match secret {
        DrainSecret::File { path, .. } => format!("$(cat {})", shell_word(&path.to_string_lossy())),
        DrainSecret::Made(_) | DrainSecret::Set => "$FRESHET_DRAIN_SECRET".to_owned(),
    };
    let mut apps: Vec<&str> = answers.apps.iter().map(String::as_str).filter(|app| !app.contains('*')).collect();
    if apps.is_empty() {
        apps.push("APP");
    }
    for (index, app) in apps.iter().enumerate() {
        let why = (index == 0).then_some("tell Heroku, once per app");
        let drain = format!("https://freshet:{password}@{}/drain/{app}", place.trim_end_matches('/'));
        steps.push((why, format!("heroku drains:add \"{drain}\" --app {app}")));
    }
    steps
}

/// A variable that is set to something.
fn environment(name: &str) -> Option<Secret> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new)
}
