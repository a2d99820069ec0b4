//! `drain_load`: sends frames to a drain as Logplex does and tells how fast they were acknowledged.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Parser, ValueEnum};
use freshet_bench::client::{Connection, Delivery, Target, Troubles, frame_id};
use freshet_bench::generate::Options;
use freshet_bench::histogram::Histogram;
use freshet_bench::pool::{Body, bodies};
use freshet_bench::random::Random;
use freshet_bench::writer::Form;
use jiff::Timestamp;

/// Send frames to an HTTPS drain (over plain HTTP) as Logplex does, and measure the acknowledgements.
#[derive(Debug, Parser)]
#[command(name = "drain_load")]
struct Arguments {
    /// The drain.
    #[arg(long, default_value = "http://127.0.0.1:8080/drain/shop")]
    url: String,
    /// The drain's secret.
    #[arg(long, env = "FRESHET_DRAIN_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Connections, each with one frame in flight: a drain each, with a drain token of its own.
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// Messages in a frame.
    #[arg(long, default_value_t = 100)]
    frame_lines: u64,
    /// Messages a second over all connections; 0 sends as fast as they are acknowledged.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How long to send, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Give the messages keys (`seq=`) and append a line `FIRST LAST` to this file, synced, for each acknowledged frame.
    #[arg(long)]
    keys_file: Option<PathBuf>,
    /// The first key.
    #[arg(long, default_value_t = 0)]
    first_key: u64,
    /// Send this share of the frames, in percent, once more after their acknowledgement, with the same frame id.
    #[arg(long, default_value_t = 0)]
    repeat: u64,
    /// How long to go on trying frames that are not acknowledged after the time is over, in seconds.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// What lines and frame ids are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to print the figures.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Different bodies for each connection.
const POOL: usize = 64;

/// What all connections share.
struct Run {
    arguments: Arguments,
    target: Target,
    started: Instant,
    ends: Instant,
    next_key: AtomicU64,
    keys: Option<Mutex<File>>,
}

/// What one connection, or all of them, did.
#[derive(Default)]
struct Figures {
    lines: u64,
    bytes: u64,
    repeats: u64,
    unknown: u64,
    troubles: Troubles,
    latency: Histogram,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.connections > 0 && arguments.frame_lines > 0, "--connections and --frame-lines must be at least 1");
    let authorization = arguments.secret.as_ref().map(|secret| format!("Basic {}", STANDARD.encode(format!("freshet:{secret}"))));
    let keys = match &arguments.keys_file {
        Some(path) => {
            let file = File::options().create(true).append(true).open(path);
            Some(Mutex::new(file.with_context(|| format!("cannot write {}", path.display()))?))
        }
        None => None,
    };
    let target = Target::parse(&arguments.url, authorization).map_err(|problem| anyhow!(problem))?;
    let pools: Vec<Vec<Body>> = (0..arguments.connections).map(|connection| pool(&arguments, connection)).collect();
    let started = Instant::now();
    let ends = started + Duration::from_secs(arguments.seconds);
    let first_key = AtomicU64::new(arguments.first_key);
    let run = Arc::new(Run { arguments, target, started, ends, next_key: first_key, keys });
    let senders: Vec<_> = (0..)
        .zip(pools)
        .map(|(connection, pool)| {
            let run = Arc::clone(&run);
            thread::spawn(move || send(&run, connection, pool))
        })
        .collect();
    let mut all = Figures::default();
    for sender in senders {
        all.add(&sender.join().map_err(|_| anyhow!("a connection's thread died"))??);
    }
    print(&run, &all);
    Ok(())
}

fn pool(arguments: &Arguments, connection: u64) -> Vec<Body> {
    let step_us = arguments.seconds.saturating_mul(1_000_000) / (POOL as u64 * arguments.frame_lines);
    let options = Options {
        seed: arguments.seed.wrapping_mul(1_000_003).wrapping_add(connection),
        form: Form::Frames,
        from_us: Timestamp::now().as_microsecond(),
        step_us,
        first_key: arguments.keys_file.is_some().then_some(0),
    };
    bodies(&options, POOL, arguments.frame_lines)
}

fn send(run: &Run, number: u64, mut pool: Vec<Body>) -> Result<Figures> {
    let arguments = &run.arguments;
    let mut random = Random::new(arguments.seed ^ (number + 1).wrapping_mul(0xD1B5_4A32_D192_ED03));
    let mut connection = Connection::new(run.target.clone(), format!("d.00000000-0000-4000-a000-{number:012}"));
    let mut figures = Figures::default();
    let gives_up = run.ends + Duration::from_secs(arguments.patience);
    let mut turn = 0;
    while let Some(due) = due(run, figures.lines).filter(|due| *due < run.ends) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if Instant::now() >= run.ends {
            break;
        }
        let place = turn % pool.len();
        let body = &mut pool[place];
        turn += 1;
        let first_key = run.next_key.fetch_add(body.keys(), Ordering::Relaxed);
        body.set_keys(first_key);
        let id = frame_id(&mut random);
        // With a rate, a frame that had to wait for the one before it was late already: count that too.
        let begun = if arguments.rate > 0 { due } else { Instant::now() };
        let delivery = connection.deliver(&id, body.messages(), body.bytes(), gives_up, &mut figures.troubles);
        if delivery == Delivery::Unknown {
            figures.unknown += 1;
            break;
        }
        figures.latency.record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        figures.lines += body.messages();
        figures.bytes += body.bytes().len() as u64;
        record_keys(run, first_key, body.keys())?;
        if random.below(100) < arguments.repeat {
            connection.deliver(&id, body.messages(), body.bytes(), gives_up, &mut figures.troubles);
            figures.repeats += 1;
        }
    }
    Ok(figures)
}

/// When the next frame of a connection that has sent `lines` is to leave; `None` when the time is over.
fn due(run: &Run, lines: u64) -> Option<Instant> {
    if run.arguments.rate == 0 {
        return (Instant::now() < run.ends).then(Instant::now);
    }
    let share = run.arguments.rate as f64 / run.arguments.connections as f64;
    Some(run.started + Duration::from_secs_f64(lines as f64 / share))
}

fn record_keys(run: &Run, first: u64, keys: u64) -> Result<()> {
    let Some(file) = run.keys.as_ref().filter(|_| keys > 0) else { return Ok(()) };
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(format!("{first} {}\n", first + keys - 1).as_bytes()).context("cannot write the keys file")?;
    file.sync_data().context("cannot sync the keys file")
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.repeats += other.repeats;
        self.unknown += other.unknown;
        self.troubles.add(other.troubles);
        self.latency.merge(&other.latency);
    }
}

fn print(run: &Run, figures: &Figures) {
    let seconds = run.started.elapsed().as_secs_f64();
    let (latency, troubles) = (&figures.latency, figures.troubles);
    let milliseconds = |quantile: f64| latency.quantile(quantile) as f64 / 1_000.0;
    let longest = latency.longest() as f64 / 1_000.0;
    let lines_per_second = figures.lines as f64 / seconds;
    let acks_per_second = latency.total() as f64 / seconds;
    if run.arguments.output == Output::Json {
        let report = serde_json::json!({
            "seconds": seconds, "lines": figures.lines, "bytes": figures.bytes, "acks": latency.total(),
            "lines_per_second": lines_per_second, "acks_per_second": acks_per_second,
            "ack_ms": { "p50": milliseconds(0.5), "p90": milliseconds(0.9), "p99": milliseconds(0.99), "max": longest },
            "repeats": figures.repeats, "unknown": figures.unknown, "next_key": run.next_key.load(Ordering::Relaxed),
            "refused": troubles.refused, "broken": troubles.broken, "rejected": troubles.rejected,
        });
        println!("{report}");
        return;
    }
    println!("{} lines in {seconds:.1} s: {lines_per_second:.0} lines/s, {acks_per_second:.0} acks/s", figures.lines);
    println!(
        "ack: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {longest:.2} ms",
        milliseconds(0.5),
        milliseconds(0.9),
        milliseconds(0.99)
    );
    println!("frames: {} acknowledged, {} sent again on purpose, {} unknown", latency.total(), figures.repeats, figures.unknown);
    println!("errors: {} refused, {} broken, {} rejected", troubles.refused, troubles.broken, troubles.rejected);
}
