//! What `freshet import` costs beside the floor: encoding the same rows, all tables, from memory to zstd-1 Parquet.
//!
//! All figures are CPU seconds of this machine in this one run, so only their ratios mean anything elsewhere.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use freshet_core::{Format, Micros, Payload, SourceKind};
use freshet_parse::{BodyFormat, Piece, Scratch};
use freshet_tables::{Delivery, PositionOf, Rows, TableRows};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Compare the CPU time of `freshet import` with that of encoding the same rows
#[derive(Parser)]
struct Arguments {
    /// A log file in the CLI form; make one with the program `generate`
    file: PathBuf,
    /// The program to measure
    #[arg(long, default_value = "target/debug/freshet")]
    freshet: PathBuf,
    /// An empty folder for the lake; it is left behind
    #[arg(long, default_value = "bench-lake")]
    lake: PathBuf,
    /// Another program that does such work, to stand beside ours
    #[arg(long, value_name = "COMMAND")]
    baseline: Option<String>,
}

/// Chunks as an import cuts them.
const CHUNK_BYTES: usize = 8 << 20;

/// Kernel ticks a second, fixed on Linux for everything user space sees.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let file = Bytes::from(std::fs::read(&arguments.file)?);
    kinds(&file);

    let before = cpu_seconds()?.0;
    let rows = parse(&file);
    let parsing = cpu_seconds()?.0 - before;
    let before = cpu_seconds()?.0;
    let encoded: usize = rows.values().map(|batches| encode(batches)).sum::<Result<usize, _>>()?;
    let floor = cpu_seconds()?.0 - before;
    drop(rows);

    let mut import = Command::new(&arguments.freshet);
    import.args(["-q", "import", "--app", "bench", "--to"]).arg(&arguments.lake).arg(&arguments.file);
    let mut figures = vec![
        ("encode from memory (the floor)", floor),
        ("parse and fill columns", parsing),
        ("freshet import", cpu_seconds_of(&mut import)?),
    ];
    if let Some(baseline) = &arguments.baseline {
        figures.push(("the baseline", cpu_seconds_of(Command::new("sh").args(["-c", baseline]))?));
    }
    let lines = file.iter().filter(|byte| **byte == b'\n').count() as f64 / 1e6;
    println!("{:.2} million lines, {:.1} MB, {:.1} MB encoded", lines, file.len() as f64 / 1e6, encoded as f64 / 1e6);
    println!("                                  CPU s   CPU s per million lines   of the floor");
    for (what, seconds) in figures {
        println!("{what:<30} {seconds:>8.2} {:>25.2} {:>14.2}", seconds / lines, seconds / floor);
    }
    Ok(())
}

/// Source, dyno and text of a message.
type Line = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Parsing alone, by the kind of line: bytes of text a second.
fn kinds(file: &[u8]) {
    let mut texts: BTreeMap<&'static str, Vec<Line>> = BTreeMap::new();
    let mut scratch = Scratch::default();
    for piece in freshet_parse::pieces(BodyFormat::Cli, &file[..file.len().min(64 << 20)]) {
        let Piece::Message(message) = piece else { continue };
        let kind = kind(&freshet_parse::read_line(&message.source, &message.dyno, &message.text, &mut scratch));
        texts.entry(kind).or_default().push((message.source.to_vec(), message.dyno.to_vec(), message.text.to_vec()));
    }
    println!("kind of line           lines   MB/s of text");
    for (kind, lines) in texts {
        let bytes: usize = lines.iter().map(|(_, _, text)| text.len()).sum();
        let (started, mut rounds) = (Instant::now(), 0_u32);
        while started.elapsed().as_secs_f64() < 0.3 {
            for (source, dyno, text) in &lines {
                black_box(freshet_parse::read_line(source, dyno, black_box(text), &mut scratch));
            }
            rounds += 1;
        }
        let rate = bytes as f64 * f64::from(rounds) / started.elapsed().as_secs_f64() / 1e6;
        println!("{kind:<18} {:>9} {rate:>14.0}", lines.len());
    }
}

fn kind(line: &freshet_parse::Line<'_>) -> &'static str {
    use freshet_parse::Line;
    match line {
        Line::Router(_) => "router",
        Line::DynoMetrics(_) => "dyno metrics",
        Line::PostgresMetrics(_) => "postgres metrics",
        Line::PgbouncerMetrics(_) => "pgbouncer metrics",
        Line::RedisMetrics(_) => "redis metrics",
        Line::MetricSamples(_) => "metric samples",
        Line::PostgresLog(_) => "postgres log",
        Line::DynoEvent(_) => "dyno event",
        Line::PlatformError(_) => "platform error",
        Line::ApiEvent(_) => "api event",
        Line::AppEvent(_) => "structured app",
        Line::App => "plain app",
    }
}

fn parse(file: &Bytes) -> BTreeMap<&'static str, Vec<TableRows>> {
    let mut tables: BTreeMap<&'static str, Vec<TableRows>> = BTreeMap::new();
    let (mut rows, mut start) = (Rows::default(), 0);
    while start < file.len() {
        let window = &file[start..file.len().min(start + CHUNK_BYTES)];
        let length = match freshet_parse::cut(BodyFormat::Cli, window) {
            0 => window.len(),
            length => length,
        };
        let payload = Payload {
            source: SourceKind::File,
            format: Format::Cli,
            app: Some("bench".to_owned()),
            drain_token: None,
            frame_id: None,
            msg_count: None,
            received_at: Micros(0),
            body: file.slice(start..start + length),
        };
        rows.add(&Delivery {
            payload: &payload,
            frame_id: "file-00000000000000000000000000000000",
            position: PositionOf::MessageEnd,
            resumed_at: &[],
        });
        for finished in rows.finish() {
            tables.entry(finished.table.name).or_default().push(finished);
        }
        start += length;
    }
    tables
}

/// All rows of one table to one Parquet file in memory; its size.
fn encode(batches: &[TableRows]) -> Result<usize, Box<dyn Error>> {
    let Some(first) = batches.first() else { return Ok(0) };
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), first.batch.schema(), Some(properties))?;
    for rows in batches {
        writer.write(&rows.batch)?;
    }
    Ok(writer.into_inner()?.len())
}

/// CPU seconds of `command`, from its start to its end.
fn cpu_seconds_of(command: &mut Command) -> Result<f64, Box<dyn Error>> {
    let before = cpu_seconds()?.1;
    let ended = command.stdout(Stdio::null()).status()?;
    if !ended.success() {
        return Err(format!("{command:?} failed: {ended}").into());
    }
    Ok(cpu_seconds()?.1 - before)
}

/// CPU seconds of this process, and of its children that have ended.
fn cpu_seconds() -> Result<(f64, f64), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // Fields 14 to 17 of proc(5), counted from 3 behind the closing bracket.
    let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    Ok(((ticks(14) + ticks(15)) / TICKS_PER_SECOND, (ticks(16) + ticks(17)) / TICKS_PER_SECOND))
}
