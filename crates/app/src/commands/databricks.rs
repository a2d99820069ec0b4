//! `freshet databricks`: what Databricks users need beside the tables.

mod assets;
mod bundle;
mod folder;

use crate::cli::{DatabricksVerb, Global};
use crate::exit::Exit;

/// Runs the verb.
///
/// # Errors
/// A flag makes no sense, files that people have changed are in the way, or a file cannot be written.
pub(crate) fn run(global: &Global, verb: &DatabricksVerb) -> anyhow::Result<Exit> {
    match verb {
        DatabricksVerb::Assets(args) => assets::run(global, args),
    }
}
