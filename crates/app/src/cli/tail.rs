//! Flags of `tail`.

use clap::Args;

/// Flags of `tail`.
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// The app
    #[arg(long, value_name = "NAME")]
    pub(crate) app: String,
    /// Only lines from there: app or heroku; on Fir also heroku-router, heroku-runtime, heroku-api
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Only lines of this dyno or process type, such as web.1 or web
    #[arg(long, value_name = "DYNO")]
    pub(crate) dyno: Option<String>,
    /// Lines of the past to begin with, 1500 at most; default 100, with --to 1500. Fir has none
    #[arg(short = 'n', long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(0..=1500))]
    pub(crate) lines: Option<u32>,
    /// Bring the lines into this lake, or `databricks`, the configured workspace, instead of showing them
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
    /// End by itself after this time, such as 30s or 5m; without it, Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) ends_after: Option<String>,
}
