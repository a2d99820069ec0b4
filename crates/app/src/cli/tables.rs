//! The flags of `freshet tables`.

use clap::{Args, Subcommand};

/// Verbs of `tables`.
#[derive(Debug, Subcommand)]
pub(crate) enum TablesVerb {
    /// Rows, files, bytes and last commit of each table
    List,
    /// Columns of one table and what they mean
    Describe {
        /// The table
        table: String,
    },
    /// What happened to a table, the latest first: who did what when, with how many rows
    History {
        /// The table
        table: String,
        /// Versions shown at most
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
    },
    /// Merge small files
    Optimize(MaintainArgs),
    /// Delete files that no version of a table needs any more
    Vacuum {
        /// What to look after, and whether to do it.
        #[command(flatten)]
        what: MaintainArgs,
        /// Files that left the table longer ago than this are deleted
        #[arg(long, value_name = "TIME", default_value = "7d")]
        retention: String,
        /// Take a retention below an hour: only when nothing else uses the lake
        #[arg(long)]
        force: bool,
    },
    /// Take rows out of tables that are older than the retention
    ///
    /// Tables in folders by date lose whole days, and no file is read. The bytes are gone when vacuum has deleted the files.
    Expire {
        /// What to look after, and whether to do it.
        #[command(flatten)]
        what: MaintainArgs,
        /// Rows older than this go, such as 90d; without it, what [retention] says of each table
        #[arg(long, value_name = "TIME")]
        older_than: Option<String>,
    },
    /// Take rows out of tables because of what is in them
    ///
    /// Without a table, all tables that have the columns. Only files with such rows are written anew. Rows that are still in the spool
    /// arrive later: run it again when they have.
    Erase(EraseArgs),
    /// Make the rows of an earlier version those of the newest
    ///
    /// Rows that were loaded since go, and do not come again by themselves: how far drains and files are loaded is left as it is.
    Restore(RestoreArgs),
}

/// Flags of the maintenance verbs.
#[derive(Args, Debug)]
pub(crate) struct MaintainArgs {
    /// The tables; all of them without a name
    pub(crate) tables: Vec<String>,
    /// Show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Flags of `tables erase`.
#[derive(Args, Debug)]
pub(crate) struct EraseArgs {
    /// What to look after, and whether to do it.
    #[command(flatten)]
    pub(crate) what: MaintainArgs,
    /// Which rows, in SQL: a condition over the columns of one row, such as "fwd LIKE '203.0.113.%'"
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) condition: String,
    /// Delete the replaced files at once. Older versions of these tables can then not be read or restored any more
    #[arg(long)]
    pub(crate) vacuum: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Flags of `tables restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The table
    pub(crate) table: String,
    /// The version whose rows are wanted; freshet tables history shows them
    #[arg(long, value_name = "NUMBER", required_unless_present = "as_of", conflicts_with = "as_of")]
    pub(crate) version: Option<u64>,
    /// The newest version at this time, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<jiff::Timestamp>,
    /// Let rows come back that were erased since
    #[arg(long)]
    pub(crate) undo_erase: bool,
    /// Show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
