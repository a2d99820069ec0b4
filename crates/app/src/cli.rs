//! The command line: verbs and flags, nothing of what they do.

mod databricks;
mod drains;
mod tables;
mod tail;
mod webhooks;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::sync::Months;
pub(crate) use databricks::{AssetsArgs, DatabricksVerb};
pub(crate) use drains::{DrainsChangeArgs, DrainsVerb};
pub(crate) use tables::{EraseArgs, MaintainArgs, RestoreArgs, TablesVerb};
pub(crate) use tail::TailArgs;
pub(crate) use webhooks::{AddWebhooksArgs, WebhookTarget, WebhooksVerb};

/// Everything Heroku says, in typed Delta Lake tables, exactly once.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every verb takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Configuration file; without one, ./freshet.toml is read where it exists
    #[arg(short, long, global = true, value_name = "FILE", env = "FRESHET_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The lake: a folder or a URL (s3://, abfss://, gs://, hdfs://) with one Delta table per subfolder. Default: the configuration's, else ./lake
    #[arg(long, global = true, value_name = "PATH", env = "FRESHET_LAKE")]
    pub(crate) lake: Option<String>,
    /// Where the spool lies
    #[arg(long, global = true, value_name = "DIR", env = "FRESHET_DATA_DIR", default_value = "./freshet-data")]
    pub(crate) data_dir: PathBuf,
    /// How results are printed on standard output
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
    /// More of the log on standard error; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No progress, no summary, no log below errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// No colours; so does the variable `NO_COLOR`
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs: one JSON document, or one JSON object per line for rows
    Json,
    /// Comma-separated values; for rows only
    Csv,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show all of it: a Heroku on this machine, its drains, the tables they fill. No account, no configuration
    Demo(DemoArgs),
    /// Write a configuration, from a few questions or from flags
    Init(InitArgs),
    /// Find what is wrong with the configuration, the token, the disk, the lake and the way from Heroku
    ///
    /// Every problem is reported at once, each with what to do about it. The exit code is 0 when all is well or there are
    /// only warnings, 78 when the configuration is wrong, 77 when something is not permitted (such as by the token), and
    /// 1 when anything else failed.
    Check(CheckArgs),
    /// Bring log files, saved drain bodies or standard input into the lake
    Import(ImportArgs),
    /// Receive HTTPS log drains and keep the lake current until stopped
    Run(RunArgs),
    /// Bring the objects of Heroku's Platform API into the lake, once
    ///
    /// What has changed is written, and nothing else; what is gone is marked. Where Heroku can tell what is new, only that is read,
    /// and all of it once a day. The exit code is 0 when all streams were read, 3 when some were not, 1 when none was, and 75 when
    /// another sync is at work.
    Sync(SyncArgs),
    /// Have Heroku tell at once what happens to apps, look at how that goes, and end it
    #[command(subcommand)]
    Webhooks(WebhooksVerb),
    /// Show, set or forget how far the streams of the Platform API are read
    #[command(subcommand)]
    State(StateVerb),
    /// Show where Heroku's objects are not as the tables know them, and since when
    ///
    /// Three things are compared: the catalogue of streams, what syncs have seen, and the schema that Heroku gives out now. Nothing of
    /// it stops a table: an unknown field is kept in _extra, and so is a value of another type.
    Drift(DriftArgs),
    /// Follow an app's log as `heroku logs --tail` does, on the terminal or into the lake
    ///
    /// A log session that ends is opened again, and what it repeats is left out. With --to each line is on disk before it counts, and is
    /// stored once, also when the same command is started again later. A drain misses less: sessions drop lines of busy apps.
    Tail(TailArgs),
    /// Make, check, rotate and remove the apps' log drains
    #[command(subcommand)]
    Drains(DrainsVerb),
    /// Answer SQL over the tables of the lake
    Query(QueryArgs),
    /// Use the tables on Databricks
    #[command(subcommand)]
    Databricks(DatabricksVerb),
    /// List, describe and look after the tables
    #[command(subcommand)]
    Tables(TablesVerb),
    /// Show the latest commits
    Loads(LoadsArgs),
    /// Look at what could not become rows, and try it again
    #[command(subcommand)]
    Rejects(RejectsVerb),
    /// Show the spool's depth, each table's freshness and the recent rates
    Status,
    /// Be a Heroku on this machine, for tests: log drains, Platform API, log sessions, webhooks, telemetry, with faults on demand
    FakeHeroku(FakeHerokuArgs),
    /// Print the configuration's reference, or its JSON Schema
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Global {
    /// Whether colours are not wanted.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        self.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
    }
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// End by itself after this time, such as 60s or 5m; without it, q or Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) ends_after: Option<String>,
    /// The folder for the lake and the spool; that of an earlier demo is emptied
    #[arg(long, value_name = "DIR", default_value = "./freshet-demo")]
    pub(crate) dir: PathBuf,
    /// Where all chance comes from: another seed tells another story
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Apps of the company
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    pub(crate) apps: usize,
    /// Log lines per second, on the average of a story's day
    #[arg(long, value_name = "LINES/S", default_value_t = 2000.0)]
    pub(crate) rate: f64,
    /// Seconds of the story in one second
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0)]
    pub(crate) speed: f64,
}

/// Flags of `fake-heroku`.
#[derive(Args, Debug)]
pub(crate) struct FakeHerokuArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5858)]
    pub(crate) port: u16,
    /// Where all chance comes from: the same seed, apps, rate, speed, beginning and drains tell the same story
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds of the story in one second
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// When the story begins, such as 2026-11-02T09:00:00Z; without it now, or so much earlier that an accelerated story reaches the present after an hour
    #[arg(long, value_name = "TIME")]
    pub(crate) begins_at: Option<jiff::Timestamp>,
    /// Apps of the company
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub(crate) apps: usize,
    /// Releases that each app has from the start, at least
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) releases: usize,
    /// Log lines per second, on the average of a story's day
    #[arg(long, value_name = "LINES/S", default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// A drain for every app from the beginning; {app} stands for the app's name
    #[arg(long, value_name = "URL")]
    pub(crate) drain: Vec<String>,
    /// The only API token to take, beside those that an OAuth client fetches; without either, any
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Let an OAuth client with this secret fetch tokens at /oauth/token, and take no others
    #[arg(long, value_name = "SECRET")]
    pub(crate) oauth_secret: Option<String>,
    /// The OAuth client's refresh token
    #[arg(long, value_name = "TOKEN", default_value = "fake-refresh-token", requires = "oauth_secret")]
    pub(crate) oauth_refresh_token: String,
    /// How long the tokens are good that it fetches, in our time; 0 for no end
    #[arg(long, value_name = "SECONDS", default_value_t = 28_799, requires = "oauth_secret")]
    pub(crate) oauth_expires_in: u64,
    /// Change the refresh token each time one is fetched, which Heroku does not
    #[arg(long, requires = "oauth_secret")]
    pub(crate) oauth_rotate: bool,
    /// API requests per hour
    #[arg(long, value_name = "COUNT", default_value_t = 4500)]
    pub(crate) rate_limit: u32,
    /// The second factor that the API asks for
    #[arg(long, value_name = "CODE")]
    pub(crate) two_factor: Option<String>,
    /// Answer every API request as in maintenance
    #[arg(long)]
    pub(crate) maintenance: bool,
    /// A fault and how likely it is each time, such as drain-reset=0.05; `--fault list` lists them
    #[arg(long, value_name = "NAME=PROBABILITY")]
    pub(crate) fault: Vec<String>,
}

/// Flags of `init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// An app to look after, or a pattern such as shop-*; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Vec<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// The address by which Heroku will reach the listener
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Where the Platform API is, when it is not Heroku's own
    #[arg(long, value_name = "URL")]
    pub(crate) api_url: Option<String>,
    /// Write the drain secret to this file instead of showing it; one that is there is kept
    #[arg(long, value_name = "FILE")]
    pub(crate) write_secret: Option<PathBuf>,
    /// Replace a configuration that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing, also on a terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Flags of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Only read the configuration: touch neither network nor disk
    #[arg(long)]
    pub(crate) offline: bool,
    /// The address by which Heroku reaches the listener, instead of the configuration's `public_url`
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Address that `freshet run` would be told to listen on, instead of the configuration's
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

/// Flags of `import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Log files, folders of them, or - for standard input. Gzip and zstd are unpacked; the format is found out
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The lake to write to: a folder, made when it is not there, or a URL (s3://, abfss://, gs://, hdfs://); or `databricks`, the configured workspace
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
    /// The Heroku app that the logs are from
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// Parse and report, but write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Rejects that are still fine, in percent of all bytes; with more the exit code is 3
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0)]
    pub(crate) rejects_max: f64,
}

/// Flags of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Address to listen on, instead of the configuration's; `$PORT` changes the port only
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

/// Flags of `query`.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// One SQL statement that reads, in DataFusion's dialect; - reads it from standard input
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
    /// Rows shown at most in the text form; 0 shows all
    #[arg(long, value_name = "ROWS", default_value_t = 100)]
    pub(crate) limit: usize,
}

/// Flags of `sync`.
#[derive(Args, Debug)]
pub(crate) struct SyncArgs {
    /// Only these streams, and those that they hang below; without any, all
    #[arg(value_name = "STREAM")]
    pub(crate) streams: Vec<String>,
    /// Read all of each stream, whatever is known of it
    #[arg(long)]
    pub(crate) full: bool,
    /// Name the streams that there are
    #[arg(long)]
    pub(crate) list: bool,
    /// With `audit_events`: read these months from Heroku's archives instead, such as 2026-01 or 2025-11..2026-01
    #[arg(long, value_name = "MONTHS")]
    pub(crate) archives: Option<Months>,
}

/// Verbs of `state`.
#[derive(Debug, Subcommand)]
pub(crate) enum StateVerb {
    /// When each stream was last read, and how far
    Show {
        /// Only these streams
        #[arg(value_name = "STREAM")]
        streams: Vec<String>,
    },
    /// Set how far a stream is read: the next sync goes on from there
    Set {
        /// The stream, one that is read from a bookmark on
        stream: String,
        /// A number or a time, such as 41 or 2026-11-01T00:00:00Z
        to: String,
        /// Only below this parent, by its id; without it, all bookmarks that there are
        #[arg(long, value_name = "ID")]
        below: Option<String>,
    },
    /// Forget how far streams are read: the next sync reads all of them
    Reset {
        /// The streams
        #[arg(required = true, value_name = "STREAM")]
        streams: Vec<String>,
    },
}

/// Flags of `drift`.
#[derive(Args, Debug)]
pub(crate) struct DriftArgs {
    /// Show only what was seen, without asking Heroku for its schema
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Flags of `loads`.
#[derive(Args, Debug)]
pub(crate) struct LoadsArgs {
    /// How many, the latest first
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Only those of one table
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
}

/// Verbs of `rejects`.
#[derive(Debug, Subcommand)]
pub(crate) enum RejectsVerb {
    /// Count rejects by reason, app and source
    List,
    /// Show the latest rejects with their bytes
    Show {
        /// Only those with this reason
        #[arg(long)]
        reason: Option<String>,
        /// How many
        #[arg(long, value_name = "ROWS", default_value_t = 20)]
        limit: usize,
    },
    /// Parse rejects again with this version; what becomes a row is added, once
    Replay {
        /// Only those with this reason
        #[arg(long)]
        reason: Option<String>,
        /// Show what would become of them
        #[arg(long)]
        dry_run: bool,
    },
}
