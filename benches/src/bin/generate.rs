//! `generate`: writes Heroku logs of our own making to a file or to standard output.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use freshet_bench::generate::{Generator, Options};
use freshet_bench::writer::Form;
use jiff::Timestamp;

/// Write Heroku logs of our own making, the same for the same options.
#[derive(Debug, Parser)]
#[command(name = "generate")]
struct Arguments {
    /// How many messages to write (a stack trace at the end may add a few).
    #[arg(long, default_value_t = 100_000)]
    lines: u64,
    /// What the lines are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The form of the messages.
    #[arg(long, value_enum, default_value_t = Format::Cli)]
    format: Format,
    /// The time of the first message.
    #[arg(long, default_value = "2026-11-20T00:00:00Z")]
    from: Timestamp,
    /// The hours over which the messages are spread.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// Give each line of the app and of the router `seq=` and a key of its own, from this one up.
    #[arg(long, value_name = "FIRST")]
    keys: Option<u64>,
    /// Where to write; standard output by default.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// As `heroku logs` prints them.
    Cli,
    /// As the body of an HTTPS drain's request.
    Frames,
}

/// Bytes collected before they are written out.
const BUFFER_BYTES: usize = 1 << 20;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.hours.is_finite() && arguments.hours >= 0.0, "--hours must be a number of hours, 0 or more");
    let mut out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => Box::new(io::stdout().lock()),
    };
    let span_us = arguments.hours * 3_600e6;
    let mut generator = Generator::new(&Options {
        seed: arguments.seed,
        form: match arguments.format {
            Format::Cli => Form::Cli,
            Format::Frames => Form::Frames,
        },
        from_us: arguments.from.as_microsecond(),
        step_us: (span_us / arguments.lines.max(1) as f64) as u64,
        first_key: arguments.keys,
    });
    while generator.writer().messages() < arguments.lines {
        generator.event();
        if generator.writer().bytes().len() >= BUFFER_BYTES {
            out.write_all(generator.writer().bytes()).context("cannot write the lines")?;
            generator.writer().clear();
        }
    }
    out.write_all(generator.writer().bytes()).context("cannot write the lines")?;
    out.flush().context("cannot write the lines")
}
