//! Finding the lake that a verb works on.

use std::path::Path;
use std::sync::Arc;

use freshet_destinations::delta::{Lake, LakeOptions};

use crate::cli::Global;
use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// Where the lake is: the flag, else the configuration.
#[must_use]
pub(crate) fn place(global: &Global, settings: &Settings) -> String {
    local(global.lake.as_deref().unwrap_or(&settings.lake)).to_owned()
}

/// A `file://` URL is a path; anything else is one already.
#[must_use]
pub(crate) fn local(place: &str) -> &str {
    place.strip_prefix("file://").unwrap_or(place)
}

/// Opens the lake to read from it.
///
/// # Errors
/// There is none yet; the message says how to make one.
pub(crate) fn existing(global: &Global, settings: &Settings) -> anyhow::Result<Arc<Lake>> {
    let place = place(global, settings);
    if !Path::new(&place).is_dir() {
        return Err(Failure::error(
            Exit::Failed,
            format!(
                "there is no lake at {place} yet\n  fill it from a log file:   freshet import app.log --app NAME --to {place}\n  or from a log drain:       freshet run --lake {place}"
            ),
        ));
    }
    open(&place)
}

/// Opens the lake to write to it; the folder is made where it is missing.
///
/// # Errors
/// The folder cannot be made or written.
pub(crate) fn open(place: &str) -> anyhow::Result<Arc<Lake>> {
    known(place)?;
    Ok(Arc::new(Lake::open(place, LakeOptions::default())?))
}

/// Whether a lake can be at `place` at all.
///
/// # Errors
/// It is of a kind that this version does not know.
pub(crate) fn known(place: &str) -> anyhow::Result<()> {
    match place.split_once("://") {
        Some((scheme, _)) => {
            Err(Failure::error(Exit::BadConfig, format!("the lake {place} is on {scheme}, but this version writes to local folders only")))
        }
        None => Ok(()),
    }
}
