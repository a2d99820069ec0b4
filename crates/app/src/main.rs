//! The one binary, and the one crate that knows every name.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cli;
mod commands;
mod config;
mod daemon;
mod demo;
mod drain_secret;
mod due;
mod exit;
mod heroku_api;
mod lake;
mod logging;
mod output;
mod progress;
mod retention;
mod signals;
mod sync;
mod web;
mod when;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Output, Verb};
use exit::{Exit, Failure};
use output::Printer;

/// Packages come and go by the hundred megabytes, through threads that come and go too. The system's allocator keeps
/// what each thread once needed, so that a day of commits grows to a gigabyte; this one gives it back.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = start_log(&cli).and_then(|()| dispatch(&cli));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {}", in_words(&error));
            exit::code_of(&error).into()
        }
    }
}

/// The log goes to standard error, except while the demo draws its picture there.
fn start_log(cli: &Cli) -> anyhow::Result<()> {
    let file = match &cli.verb {
        Verb::Demo(args) if demo::is_picture(&cli.global) => Some(demo::log_file(args)?),
        _ => None,
    };
    logging::start(&cli.global, matches!(cli.verb, Verb::Run(_)) || file.is_some(), file);
    Ok(())
}

/// The error and its causes, each said once.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}\n  because: {cause}");
        }
    }
    text
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.verb {
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "freshet", &mut std::io::stdout());
            return Ok(Exit::Ok);
        }
        Verb::Schema => {
            let printer = Printer::new(&cli.global);
            return match printer.output {
                Output::Text => printer.line(config::reference().trim_end()),
                Output::Json | Output::Csv => printer.json(&config::schema()),
            }
            .map(|()| Exit::Ok);
        }
        _ => {}
    }
    // Two libraries bring a TLS provider each; the choice must be made before either is used.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(Failure::error(Exit::Failed, "the TLS provider was chosen twice; this is a bug of Freshet"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("freshet").build()?;
    let ended = runtime.block_on(run(cli));
    // A thread that still reads standard input must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn run(cli: &Cli) -> anyhow::Result<Exit> {
    // What makes a configuration, looks for what is wrong with it, or needs none, does not need a good one.
    match &cli.verb {
        Verb::Demo(args) => return demo::run(&cli.global, args).await,
        Verb::Init(args) => return commands::init::run(&cli.global, args).await,
        Verb::Check(args) => return commands::check::run(&cli.global, args).await,
        Verb::FakeHeroku(args) => return commands::fake_heroku::run(&cli.global, args).await,
        Verb::Databricks(verb) => return commands::databricks::run(&cli.global, verb),
        _ => {}
    }
    let settings = config::load(cli.global.config.as_deref())?;
    match &cli.verb {
        Verb::Import(args) => commands::import::run(&cli.global, &settings, args).await,
        Verb::Run(args) => commands::run::run(&cli.global, &settings, args).await,
        Verb::Sync(args) => commands::sync::run(&cli.global, &settings, args).await,
        Verb::Webhooks(verb) => commands::webhooks::run(&cli.global, &settings, verb).await,
        Verb::State(verb) => commands::state::run(&cli.global, &settings, verb).await,
        Verb::Drift(args) => commands::drift::run(&cli.global, &settings, args).await,
        Verb::Tail(args) => commands::tail::run(&cli.global, &settings, args).await,
        Verb::Drains(verb) => commands::drains::run(&cli.global, &settings, verb).await,
        Verb::Query(args) => commands::query::run(&cli.global, &settings, args).await,
        Verb::Tables(verb) => commands::tables::run(&cli.global, &settings, verb).await,
        Verb::Loads(args) => commands::loads::run(&cli.global, &settings, args).await,
        Verb::Rejects(verb) => commands::rejects::run(&cli.global, &settings, verb).await,
        Verb::Status => commands::status::run(&cli.global, &settings).await,
        Verb::Demo(_)
        | Verb::Init(_)
        | Verb::Check(_)
        | Verb::FakeHeroku(_)
        | Verb::Databricks(_)
        | Verb::Schema
        | Verb::Completions { .. } => Ok(Exit::Ok),
    }
}
