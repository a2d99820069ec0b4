//! Licences, bans and sources are always checked; known vulnerabilities only where their database can be had.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::run;
use crate::report::Outcome;

/// What needs nothing from outside.
pub(crate) const RULES: [&str; 5] = ["--log-level=error", "check", "licenses", "bans", "sources"];

/// Longer than this, and the database counts as out of reach.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks the advisories with a fresh database, else with the cached one, else says that they were not checked.
pub(crate) fn advisories(root: &Path, cargo_deny: &Path) -> Outcome {
    let fetch = Command::new(cargo_deny)
        .args(["--log-level=off", "fetch", "db"])
        .current_dir(root)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let fresh = match fetch {
        Ok(child) => finishes_well(child),
        Err(error) => return Outcome::Failed(format!("{} cannot be run: {error}; run scripts/setup", cargo_deny.display())),
    };
    if !fresh && !cached() {
        let why = "advisories and yanked crates were NOT checked: the RustSec database cannot be reached from here and no copy is cached";
        return Outcome::Skipped(why.to_owned());
    }
    let reach: &[&str] = if fresh { &[] } else { &["--offline"] };
    let finished = run(Command::new(cargo_deny).args(reach).args(["--log-level=error", "check", "advisories"]).current_dir(root));
    match (finished.success, fresh) {
        (true, true) => Outcome::Well(String::new()),
        (true, false) => Outcome::Well("with the cached database: a fresh one cannot be reached from here".to_owned()),
        (false, _) => Outcome::Failed(finished.output),
    }
}

fn finishes_well(mut child: Child) -> bool {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if started.elapsed() < FETCH_TIMEOUT => thread::sleep(Duration::from_millis(50)),
            _ => break,
        }
    }
    // A process that is gone by now needs no signal.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Whether an earlier run left a database that holds something.
fn cached() -> bool {
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let Some(databases) = home.and_then(|home| home.join("advisory-dbs").read_dir().ok()) else { return false };
    databases.flatten().any(|database| database.path().join("crates").is_dir())
}
