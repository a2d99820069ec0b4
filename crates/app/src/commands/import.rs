//! `freshet import`: files into the lake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use freshet_core::{Format, SystemClock};
use freshet_destinations::delta::Lake;
use freshet_load::{CommitError, Committer, FileChunk, FileLoader, PackageLimits, Retry, TableTotals};
use freshet_parse::BodyFormat;
use freshet_sources::files::{Chunk, ChunkOptions, ChunkReader, FileInput, FileProblem, FilesError, ReadError, expand};
use freshet_tables::{Counts, TABLES};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::cli::{Global, ImportArgs};
use crate::config::{Settings, format_bytes};
use crate::exit::{Exit, Failure};
use crate::lake::{self, Address, Opened};
use crate::output::{Printer, counted, grouped, left, right};
use crate::progress::Progress;
use crate::signals::Signals;

/// What became of one file.
struct FileReport {
    name: String,
    format: Option<Format>,
    bytes: u64,
    known_bytes: u64,
    counts: Counts,
    problem: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// A file cannot be read or the lake not written; what was committed before stays and is not added again.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &ImportArgs) -> anyhow::Result<Exit> {
    // From here on Ctrl-C means "commit what you have", however early it comes.
    let mut signals = Signals::new()?;
    let inputs = expand(&args.files).map_err(unreadable)?;
    let printer = Printer::new(global);
    let place = match &args.to {
        Some(to) => Address::named(to, settings)?,
        None => lake::address(global, settings)?,
    };
    let tables = if args.dry_run { None } else { Some(lake::open(&place)?) };
    let committer = match &tables {
        Some(tables) => Some(committer(tables, &place).await?),
        None => None,
    };
    let limits = PackageLimits { bytes_max: settings.load_bytes_max, rows_max: settings.load_rows_max, ..PackageLimits::default() };
    let mut import = Import {
        loader: FileLoader::new(committer, Arc::new(SystemClock), limits),
        progress: Progress::new(printer, inputs.iter().map(FileInput::size_bytes).sum()),
        read_bytes: Arc::new(AtomicU64::new(0)),
        lines: 0,
        app: args.app.clone(),
    };
    let started = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let mut files = Vec::with_capacity(inputs.len());
    let ended = tokio::select! {
        ended = import.files(&inputs, stopped, &mut files) => Some(ended),
        () = second_signal(&mut signals, &stop) => None,
    };
    import.progress.finish();
    let Some(ended) = ended else {
        return Err(Failure::error(Exit::TryAgain, "stopped at once; run the same import again for the rest: nothing is added twice"));
    };
    ended.map_err(|error| not_written(error, &place))?;
    if let Some(lake) = tables.as_ref().and_then(Opened::lake) {
        checkpoint_logs(lake).await;
    }
    let interrupted = *stop.borrow();
    let totals: Vec<_> = import.loader.totals().map(|(table, totals)| (table.name, totals)).collect();
    let report = Report {
        files,
        totals,
        seconds: started.elapsed().as_secs_f64(),
        place: place.to_string(),
        look_at_rejects: place.look_at_rejects(),
        dry_run: args.dry_run,
        interrupted,
    };
    report.print(printer)?;
    Ok(report.exit(args.rejects_max))
}

/// The first signal stops the reading, and what was read is committed; this returns with the second.
async fn second_signal(signals: &mut Signals, stop: &watch::Sender<bool>) {
    signals.next().await;
    stop.send_replace(true);
    signals.next().await;
}

async fn committer(tables: &Opened, place: &Address) -> anyhow::Result<Committer> {
    let committer = Committer::new(tables.mirror(), Arc::new(SystemClock), Retry::SOON);
    committer.prepare(&TABLES).await.map_err(|error| not_written(error, place))?;
    Ok(committer)
}

/// A long import makes many commits, and a reader reads every one since the last checkpoint of the log. The rows are in
/// their tables whether or not this succeeds.
async fn checkpoint_logs(lake: &Lake) {
    for table in TABLES {
        if let Err(cause) = lake.maintain_log(table.name).await {
            warn!(table = table.name, %cause, "the log was not checkpointed; freshet tables optimize does it");
        }
    }
}

fn unreadable(error: FilesError) -> anyhow::Error {
    let forbidden = error.problems.iter().any(|problem| matches!(problem, FileProblem::Unreadable { .. }));
    Failure::error(if forbidden { Exit::NotPermitted } else { Exit::Failed }, error.to_string())
}

/// Adds what it means for the user's data.
fn not_written(error: CommitError, place: &Address) -> anyhow::Error {
    let overtaken = matches!(error, CommitError::Overtaken { .. });
    let error = anyhow::Error::new(error);
    if overtaken {
        return Failure::error(Exit::TryAgain, format!("{error}: wait for it to end, then run this import again; nothing is added twice"));
    }
    error
        .context(format!("{place} could not be written; what was committed before is complete, and running the import again adds the rest"))
}

struct Import {
    loader: FileLoader,
    progress: Progress,
    read_bytes: Arc<AtomicU64>,
    lines: u64,
    app: Option<String>,
}

impl Import {
    /// Reads the files until `stop` is set, reports on each in `reports`, and commits what was read.
    async fn files(
        &mut self,
        inputs: &[FileInput],
        mut stop: watch::Receiver<bool>,
        reports: &mut Vec<FileReport>,
    ) -> Result<(), CommitError> {
        for input in inputs {
            if *stop.borrow() {
                break;
            }
            reports.push(self.file(input, &mut stop).await?);
        }
        self.loader.finish().await
    }

    /// Reads one file to its end, or to where it breaks; that is reported and does not stop the import of others.
    async fn file(&mut self, input: &FileInput, stop: &mut watch::Receiver<bool>) -> Result<FileReport, CommitError> {
        let mut report =
            FileReport { name: input.name(), format: None, bytes: 0, known_bytes: 0, counts: Counts::default(), problem: None };
        let mut chunks = chunks(input.clone(), Arc::clone(&self.read_bytes));
        loop {
            // Between chunks, not within one: what was read of it would have to be read again.
            let chunk = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                chunk = chunks.recv() => chunk,
            };
            let Some(chunk) = chunk else { break };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    report.problem = Some(format!("{:#}", anyhow::Error::new(error)));
                    break;
                }
            };
            let format = *report.format.get_or_insert_with(|| core_format(detect(&chunk.bytes)));
            let length = chunk.bytes.len() as u64;
            let added = self.loader.add(self.file_chunk(chunk, format)).await?;
            report.bytes += length;
            report.known_bytes += added.known_bytes;
            report.counts += added.counts;
            self.lines += added.counts.messages + added.counts.rejects;
            self.progress.update(&report.name, self.read_bytes.load(Ordering::Relaxed), self.lines);
        }
        if let Some(problem) = &report.problem {
            self.progress.note(&format!("error: {problem}"));
        }
        Ok(report)
    }

    fn file_chunk(&self, chunk: Chunk, format: Format) -> FileChunk {
        let first_record = freshet_parse::first_record(body_format(format), &chunk.bytes);
        FileChunk { bytes: chunk.bytes, hash_before: chunk.identity_before, first_record, format, app: self.app.clone() }
    }
}

/// Reads `input` on a thread of its own, one chunk ahead of who loads them.
fn chunks(input: FileInput, progress: Arc<AtomicU64>) -> mpsc::Receiver<Result<Chunk, ReadError>> {
    let (send, receive) = mpsc::channel(1);
    // The thread ends with the file, or when nobody wants its chunks any more.
    std::thread::spawn(move || {
        let mut format = None;
        let records = move |bytes: &[u8]| freshet_parse::cut(*format.get_or_insert_with(|| detect(bytes)), bytes);
        let reader = match ChunkReader::open(&input, ChunkOptions::default(), records, progress) {
            Ok(reader) => reader,
            Err(error) => return drop(send.blocking_send(Err(error))),
        };
        for chunk in reader {
            let last = chunk.is_err();
            if send.blocking_send(chunk).is_err() || last {
                return;
            }
        }
    });
    receive
}

/// A file that is in no format we know is read as CLI lines, so that all of it ends in `_rejects`.
fn detect(bytes: &[u8]) -> BodyFormat {
    freshet_parse::detect(bytes).unwrap_or(BodyFormat::Cli)
}

fn core_format(format: BodyFormat) -> Format {
    match format {
        BodyFormat::Frames => Format::Frames,
        BodyFormat::Cli => Format::Cli,
        BodyFormat::Syslog => Format::Syslog,
        BodyFormat::JsonLines => Format::JsonLines,
    }
}

fn body_format(format: Format) -> BodyFormat {
    match format {
        Format::Frames => BodyFormat::Frames,
        Format::Syslog => BodyFormat::Syslog,
        Format::JsonLines => BodyFormat::JsonLines,
        Format::Cli | Format::Notice | Format::Webhook => BodyFormat::Cli,
    }
}

/// Loads `bytes` that are a delivery of their own, known by `identity`: how rejects are tried again.
pub(crate) fn chunk_of(bytes: Bytes, identity: u128, app: Option<String>) -> FileChunk {
    let format = detect(&bytes);
    let first_record = freshet_parse::first_record(format, &bytes);
    FileChunk { bytes, hash_before: identity, first_record, format: core_format(format), app }
}

/// What the import did.
struct Report {
    files: Vec<FileReport>,
    totals: Vec<(&'static str, TableTotals)>,
    seconds: f64,
    place: String,
    /// What shows the rejects there.
    look_at_rejects: String,
    dry_run: bool,
    interrupted: bool,
}

impl Report {
    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for file in &self.files {
            sum += file.counts;
        }
        sum
    }

    fn lines_per_second(&self) -> f64 {
        let counts = self.counts();
        (counts.messages + counts.rejects) as f64 / self.seconds.max(1e-6)
    }

    fn exit(&self, rejects_max: f64) -> Exit {
        let counts = self.counts();
        let bytes = counts.message_bytes + counts.reject_bytes;
        let too_many = counts.reject_bytes as f64 * 100.0 > bytes as f64 * rejects_max;
        match () {
            () if self.interrupted => Exit::TryAgain,
            () if too_many || self.files.iter().any(|file| file.problem.is_some()) => Exit::Partly,
            () => Exit::Ok,
        }
    }

    fn print(&self, printer: Printer) -> anyhow::Result<()> {
        if !printer.is_text() {
            return printer.json(&self.json()).context("the report could not be printed");
        }
        if printer.quiet {
            return Ok(());
        }
        if !self.totals.is_empty() {
            let columns = [left("table"), right("rows"), right("files"), right("size")];
            let row = |(table, totals): &(&str, TableTotals)| {
                vec![(*table).to_owned(), grouped(totals.rows), grouped(totals.files), format_bytes(totals.bytes)]
            };
            printer.table(&columns, self.totals.iter().map(row))?;
        }
        for line in self.summary() {
            printer.line(&line)?;
        }
        Ok(())
    }

    fn summary(&self) -> Vec<String> {
        let counts = self.counts();
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        let known: u64 = self.files.iter().map(|file| file.known_bytes).sum();
        let mut lines = vec![format!(
            "{} ({}) of {} in {:.1} s, {} lines/s{}",
            counted(counts.messages + counts.rejects, "line"),
            format_bytes(bytes),
            counted(self.files.len() as u64, "file"),
            self.seconds,
            grouped(self.lines_per_second() as u64),
            if self.dry_run { "; a dry run, nothing was written" } else { "" }
        )];
        if known > 0 {
            lines.push(format!("{} of it were in the lake already and were not added again", format_bytes(known)));
        }
        let rejects = self.totals.iter().find(|(table, _)| *table == "_rejects").map_or(0, |(_, totals)| totals.rows);
        if rejects > 0 {
            let look = if self.dry_run { String::new() } else { format!(": {}", self.look_at_rejects) };
            lines.push(format!("{}{look}", counted(rejects, "reject")));
        }
        if counts.short > 0 {
            let frames = counted(counts.short, "frame");
            lines.push(format!("{frames} ended before the length in front of it was reached; what there was is kept"));
        }
        if self.interrupted {
            lines.push("interrupted: what was read is committed; run the same import again for the rest".to_owned());
        }
        lines
    }

    fn json(&self) -> serde_json::Value {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| {
                json!({ "file": file.name, "format": file.format.map(Format::as_str), "bytes": file.bytes, "known_bytes": file.known_bytes,
                    "messages": file.counts.messages, "rejects": file.counts.rejects, "reject_bytes": file.counts.reject_bytes,
                    "short_frames": file.counts.short, "problem": file.problem })
            })
            .collect();
        let tables: Vec<_> =
            self.totals.iter().map(|(table, t)| json!({ "table": table, "rows": t.rows, "files": t.files, "bytes": t.bytes })).collect();
        json!({ "lake": self.place, "dry_run": self.dry_run, "interrupted": self.interrupted, "files": files, "tables": tables,
            "seconds": self.seconds, "lines_per_second": self.lines_per_second() })
    }
}
