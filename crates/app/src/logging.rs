//! The log: standard error, fixed phrases with fields, text for people and JSON for `--output json`.

use std::fs::File;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::{Global, Output};

/// Starts the log. `RUST_LOG` wins over `-v` and `-q`. A daemon tells what it does; other verbs print their result.
///
/// With a `file` it goes there: a picture on the terminal must not be written over.
pub(crate) fn start(global: &Global, daemon: bool, file: Option<File>) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) if daemon => "warn,freshet=info",
        (false, 0) => "warn",
        (false, 1) => "info,freshet=debug",
        (false, _) => "debug",
    };
    // Delta-rs logs as an error what it also returns, such as a commit that came second: we say what became of it.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{},deltalake_core=off", own_crates(level))));
    let plain = global.is_plain() || file.is_some() || !io::stderr().is_terminal();
    let writer = match file {
        Some(file) => BoxMakeWriter::new(file),
        None => BoxMakeWriter::new(io::stderr),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A log that was started before, as in a test, stays as it is.
    let _ = match global.output {
        Output::Json => log.json().flatten_event(true).try_init(),
        Output::Text | Output::Csv => log.with_ansi(!plain).with_target(false).try_init(),
    };
}

/// `freshet=LEVEL` stands for all of our crates.
fn own_crates(level: &str) -> String {
    let crates =
        ["freshet", "freshet_sources", "freshet_spool", "freshet_load", "freshet_destinations", "freshet_query", "freshet_fake_heroku"];
    match level.split_once(",freshet=") {
        Some((others, ours)) => crates.iter().fold(others.to_owned(), |filter, name| format!("{filter},{name}={ours}")),
        None => level.to_owned(),
    }
}
