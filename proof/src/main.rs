//! `freshet-proof`: runs many seeds, or tells the story of one.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use freshet_proof::{Fault, Level, Plan, Report, Summary, run, run_lake, shrink};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs Freshet under every fault we could think of, and checks what it promises.
#[derive(Parser)]
struct Args {
    /// Which seeds, the end excluded.
    #[arg(long, value_name = "FROM..TO", default_value = "0..2000", conflicts_with = "seed")]
    seeds: String,
    /// One seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Go on with further seeds for so many minutes.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// What the rows go to: a destination in memory, or a lake on disk.
    #[arg(long, value_enum, default_value = "sim")]
    level: Level,
    /// Only these faults, in place of those that the seed chooses.
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',')]
    faults: Option<Vec<Fault>>,
    /// Tell the story of each run.
    #[arg(long)]
    verbose: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Reports that may wait to be printed.
const REPORTS_WAITING: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let (first, last) = seeds(&args)?;
    let started = Instant::now();
    let deadline = args.minutes.map(|minutes| deadline(started, minutes)).transpose()?;
    let bar = bar(&args, last - first);
    let mut summary = Summary::default();
    let mut out = std::io::stdout().lock();
    let next = AtomicU64::new(first);
    thread::scope(|scope| -> anyhow::Result<()> {
        let (send, reports): (_, Receiver<Report>) = mpsc::sync_channel(REPORTS_WAITING);
        let workers = if args.verbose { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
        for _ in 0..workers {
            let (send, next, args) = (send.clone(), &next, &args);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = deadline.map_or(seed >= last, |deadline| Instant::now() >= deadline);
                    if is_over || send.send(one(&plan(args, seed), args)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for report in reports {
            for line in &report.story {
                writeln!(out, "{line}")?;
            }
            for problem in &report.problems {
                bar.suspend(|| writeln!(std::io::stderr(), "seed {}: {problem}", report.seed))?;
            }
            summary.add(&report);
            bar.inc(1);
            bar.set_message(format!("{} violations", summary.broken.len()));
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    anyhow::ensure!(summary.runs > 0, "nothing was run; give --minutes more than 0");
    match args.output {
        Output::Text => write!(out, "{}", summary.text(started.elapsed()))?,
        Output::Json => writeln!(out, "{}", summary.json(started.elapsed()))?,
    }
    if summary.broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for (seed, _) in summary.broken.iter().take(10) {
        writeln!(std::io::stderr(), "{}", replay(&plan(&args, *seed), &args))?;
    }
    Ok(ExitCode::from(1))
}

fn seeds(args: &Args) -> anyhow::Result<(u64, u64)> {
    if let Some(seed) = args.seed {
        return Ok((seed, seed + 1));
    }
    let (first, last) = args.seeds.split_once("..").context("--seeds wants FROM..TO, such as 0..2000")?;
    let number =
        |text: &str| text.parse::<u64>().with_context(|| format!("--seeds wants FROM..TO, such as 0..2000, and {text:?} is no number"));
    let (first, last) = (number(first)?, number(last)?);
    anyhow::ensure!(first < last, "--seeds wants FROM..TO with FROM below TO");
    Ok((first, last))
}

fn deadline(started: Instant, minutes: f64) -> anyhow::Result<Instant> {
    let span = Duration::try_from_secs_f64(minutes * 60.0).ok().and_then(|span| started.checked_add(span));
    span.context("--minutes wants a number of minutes, such as 6 or 0.5")
}

fn plan(args: &Args, seed: u64) -> Plan {
    let plan = Plan::of(seed);
    match &args.faults {
        Some(faults) => plan.with_faults(faults.iter().copied().collect::<BTreeSet<_>>()),
        None => plan,
    }
}

fn one(plan: &Plan, args: &Args) -> Report {
    match args.level {
        Level::Sim => run(plan, args.verbose),
        Level::Lake => run_lake(plan, args.verbose),
    }
}

/// The command that repeats a run, with as few faults as it needs.
fn replay(plan: &Plan, args: &Args) -> String {
    let plan = if args.level == Level::Sim { shrink(plan) } else { plan.clone() };
    let faults: Vec<&str> = plan.faults.iter().map(|fault| fault.name()).collect();
    let level = if args.level == Level::Lake { " --level lake" } else { "" };
    format!("replay: cargo run -p freshet-proof -- --verbose{level} --seed {} --faults {}", plan.seed, faults.join(","))
}

fn bar(args: &Args, runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || args.verbose || args.minutes.is_some() && runs == 0 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {msg}");
    ProgressBar::new(runs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
