//! What a commit costs in time and memory when a table has seen ten of them, and when it has seen thousands.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use freshet_bench::random::Random;
use freshet_core::{Clock as _, Format, LoadId, Package, Payload, ShardId, SourceKind, Span, SystemClock};
use freshet_destinations::delta::{CompactionOptions, Lake, LakeOptions, Leased};
use freshet_load::{Committer, Retry};
use freshet_tables::{Delivery, PositionOf, Rows, TABLES, TableRows};

/// Measure commits to a lake as their number grows
#[derive(Parser)]
struct Arguments {
    /// How many packages to commit, each with rows of one table and a row of `_loads`
    #[arg(long, default_value_t = 2_000)]
    commits: u32,
    /// Messages in a package
    #[arg(long, default_value_t = 500)]
    lines: u32,
    /// An empty folder for the lake; it is left behind
    #[arg(long, default_value = "bench-lake")]
    lake: PathBuf,
    /// Log entries after which a table is opened anew; by default what the daemon does
    #[arg(long)]
    reopen_every: Option<u64>,
    /// Leave every file as it is, and merge all of them at the end
    #[arg(long)]
    keep_files: bool,
    /// Log entries after which a checkpoint is written; by default what the daemon does
    #[arg(long)]
    checkpoint_every: Option<u64>,
}

/// Commits over which the median is taken: as many as one opening of a table sees, within which they get slower.
const WINDOW: usize = 100;

/// Commits between two rounds of maintenance. The daemon's are ten minutes apart, which is 20 commits at its default pace.
const UPKEEP_EVERY: u32 = 20;

/// Memory is the daemon's only with the daemon's allocator.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let usual = LakeOptions::default();
    let options = LakeOptions {
        reopen_every: arguments.reopen_every.unwrap_or(usual.reopen_every),
        checkpoint_every: arguments.checkpoint_every.unwrap_or(usual.checkpoint_every),
        ..usual
    };
    let lake = Arc::new(Lake::open(&arguments.lake.to_string_lossy(), options)?);
    let committer = Committer::new(Arc::clone(&lake) as _, Arc::new(SystemClock), Retry::SOON);
    committer.prepare(&TABLES).await?;
    let mut random = Random::new(1);
    let mut times: Vec<Duration> = Vec::new();
    let mut first: Option<(f64, f64)> = None;
    println!("commits   median, ms   slowest since, ms   memory, MiB");
    let mut since = 0;
    for commit in 1..=arguments.commits {
        let packages = packages(&mut random, u64::from(commit), arguments.lines);
        let started = Instant::now();
        committer.commit(packages).await?;
        times.push(started.elapsed());
        if commit % UPKEEP_EVERY == 0 {
            for table in ["logs", "_loads"] {
                if !arguments.keep_files {
                    lake.compact(table, &CompactionOptions::default()).await?;
                }
                lake.maintain_log(table).await?;
            }
        }
        if [10, 20, 50, 100, 200, 500, 1_000].contains(&commit) || commit % 1_000 == 0 || commit == arguments.commits {
            let median = median(&times[times.len().saturating_sub(WINDOW)..]);
            let slowest = milliseconds(times[since..].iter().max().copied().unwrap_or_default());
            let memory = resident_mib()?;
            println!("{commit:>7} {median:>12.1} {slowest:>19.1} {memory:>13.0}");
            since = times.len();
            first.get_or_insert((median, memory));
            if let Some((time, first_memory)) = first.filter(|_| commit == arguments.commits) {
                println!(
                    "at the end {:.2} times the time and {:.2} times the memory of the beginning",
                    median / time,
                    memory / first_memory
                );
            }
        }
    }
    if arguments.keep_files {
        merge(&lake).await?;
    }
    Ok(())
}

/// Merges all files of the table.
async fn merge(lake: &Lake) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let Leased::Done(merged) = lake.compact("logs", &CompactionOptions { all: true, ..CompactionOptions::default() }).await? else {
        return Err("another process is at the lake".into());
    };
    let (seconds, mebibytes) = (started.elapsed().as_secs_f64(), merged.bytes_before as f64 / f64::from(1 << 20));
    println!(
        "merged {} files of {mebibytes:.0} MiB into {} of {:.0} MiB in {seconds:.1} s: {:.1} MiB and {:.0} rows a second, memory {:.0} MiB",
        merged.files_before,
        merged.files_after,
        merged.bytes_after as f64 / f64::from(1 << 20),
        mebibytes / seconds,
        merged.rows as f64 / seconds,
        resident_mib()?
    );
    Ok(())
}

/// What a drain delivers: the next piece of one shard. Plain app lines, which fill one table.
fn packages(random: &mut Random, number: u64, lines: u32) -> Vec<Package> {
    let mut text = String::new();
    for line in 0..lines {
        let (minute, second) = (number / 60 % 60, number % 60);
        text += &format!("2026-11-20T10:{minute:02}:{second:02}.{line:06}+00:00 app[web.1]: request {:016x} done\n", random.bits());
    }
    let payload = Payload {
        source: SourceKind::File,
        format: Format::Cli,
        app: Some("bench".to_owned()),
        drain_token: None,
        frame_id: None,
        msg_count: None,
        received_at: SystemClock.now(),
        body: Bytes::from(text),
    };
    let mut rows = Rows::default();
    rows.add(&Delivery { payload: &payload, frame_id: "bench", position: PositionOf::Delivery(number), resumed_at: &[] });
    let span = Span { shard: ShardId::new("freshet/bench"), from: number - 1, to: number };
    let package = |rows: TableRows| Package {
        table: rows.table,
        load_id: LoadId(number.into()),
        spans: vec![span.clone()],
        batches: vec![rows.batch],
        ts_range: rows.ts_range,
    };
    rows.finish().into_iter().map(package).collect()
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().map_or(0.0, milliseconds)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn resident_mib() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("/proc/self/status has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}
