//! The flags of `freshet databricks`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Verbs of `databricks`.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabricksVerb {
    /// Write a bundle to deploy: schema, volume or external tables, views, a dashboard and alerts
    ///
    /// Nothing is asked of Databricks: `databricks bundle deploy` in the folder does the rest. A file that you have changed is not
    /// overwritten without --force; if there is one, nothing is written, and the exit code is 1.
    Assets(AssetsArgs),
}

/// Flags of `databricks assets`.
#[derive(Args, Debug)]
pub(crate) struct AssetsArgs {
    /// The folder for the bundle, made when it is not there
    #[arg(value_name = "DIR", default_value = "./freshet-databricks")]
    pub(crate) directory: PathBuf,
    /// The Unity Catalog catalog
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) catalog: String,
    /// The schema of the tables
    #[arg(long, value_name = "NAME", default_value = "freshet")]
    pub(crate) schema: String,
    /// The id of the SQL warehouse; without it, each `databricks bundle` command needs --var warehouse_id=ID
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    pub(crate) warehouse: Option<String>,
    /// The lake in your own bucket, such as s3://bucket/lake: its tables become external tables. Without it, Databricks manages them
    #[arg(long, value_name = "URL")]
    pub(crate) location: Option<String>,
    /// Overwrite files that you have changed
    #[arg(long)]
    pub(crate) force: bool,
    /// Show what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
}
