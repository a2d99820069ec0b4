//! What runs did, in `_runs` and `_drift`: also how a later run knows what is due.

use std::collections::BTreeMap;

use freshet_core::{CommitOutcome, Complete, DestinationError, LoadId, Merge, MergeMode, Micros, Mirror, Package, ShardId, Span};
use freshet_tables::{DRIFT, DRIFT_KEY, RUNS, RunRow, drift_rows, run_rows};
use uuid::Uuid;

use super::{Mode, StreamReport};

/// What the bookmarks of `_runs` begin with: when each stream was last read.
const READ: &str = "freshet/run/read/";

/// The same for runs that read all of it.
const READ_WHOLE: &str = "freshet/run/whole/";

/// Attempts to put a run on record beside other runs.
const ATTEMPTS: usize = 8;

/// When a stream was last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// In any mode, if ever. A run that failed altogether does not count.
    pub(crate) read: Option<Micros>,
    /// In full, with every list answered.
    pub(crate) whole: Option<Micros>,
}

/// When each stream was last read, by what `lake` has on record.
///
/// # Errors
/// The table `_runs` cannot be read.
pub(crate) async fn last_runs(lake: &dyn Mirror) -> Result<BTreeMap<String, Last>, DestinationError> {
    let mut last: BTreeMap<String, Last> = BTreeMap::new();
    let micros = |position: u64| Some(Micros(i64::try_from(position).ok()?));
    for (shard, position) in lake.bookmarks(RUNS, READ).await? {
        last.entry(shard[READ.len()..].to_owned()).or_default().read = micros(position);
    }
    for (shard, position) in lake.bookmarks(RUNS, READ_WHOLE).await? {
        last.entry(shard[READ_WHOLE.len()..].to_owned()).or_default().whole = micros(position);
    }
    Ok(last)
}

/// The bookmarks of `_runs` that say when `stream` was last read.
#[must_use]
pub(crate) fn marks_of(stream: &str) -> [ShardId; 2] {
    [ShardId::new(&format!("{READ}{stream}")), ShardId::new(&format!("{READ_WHOLE}{stream}"))]
}

/// Puts a run on record.
pub(super) async fn record(lake: &dyn Mirror, reason: &str, reports: &[StreamReport]) -> Result<(), DestinationError> {
    record_drift(lake, reports).await?;
    let id = Uuid::new_v4();
    let text = id.to_string();
    let Some(batch) = run_rows(reports.iter().map(|report| row(&text, reason, report))) else { return Ok(()) };
    let mut marks: Vec<(ShardId, Micros)> = Vec::new();
    // Archives say nothing of what is new.
    for report in reports.iter().filter(|report| !report.is_failed() && report.mode != Mode::Archives) {
        let [read, whole] = marks_of(report.name);
        marks.push((read, report.at.0));
        if report.mode == Mode::Full && report.is_whole {
            marks.push((whole, report.at.0));
        }
    }
    // A package has to move something, also when all has failed.
    marks.push((ShardId::new("freshet/run"), reports.iter().map(|report| report.at.1).max().unwrap_or_default()));
    let shards: Vec<ShardId> = marks.iter().map(|(shard, _)| shard.clone()).collect();
    lake.prepare(RUNS).await?;
    for _ in 0..ATTEMPTS {
        let known = lake.checkpoint(RUNS, &shards).await?;
        let spans = marks.iter().zip(known).map(|((shard, at), known)| {
            let from = known.unwrap_or_default();
            Span { shard: shard.clone(), from, to: u64::try_from(at.0).unwrap_or_default().max(from + 1) }
        });
        let package =
            Package { table: RUNS, load_id: LoadId(id.as_u128()), spans: spans.collect(), batches: vec![batch.clone()], ts_range: None };
        match lake.commit(&package).await? {
            CommitOutcome::Committed(_) => return Ok(()),
            // Another run has put itself on record in between.
            CommitOutcome::AlreadyThere | CommitOutcome::Overtaken => {}
        }
    }
    Err(DestinationError::Refused { problem: "too many runs at once write to _runs".to_owned() })
}

async fn record_drift(lake: &dyn Mirror, reports: &[StreamReport]) -> Result<(), DestinationError> {
    let seen = reports.iter().flat_map(|report| report.drift.keys().map(|drift| (report.name, drift)));
    let at = reports.iter().map(|report| report.at.0).min().unwrap_or_default();
    let Some(batch) = drift_rows(seen, at) else { return Ok(()) };
    let merge = Merge {
        table: DRIFT,
        mode: MergeMode::IfNew,
        load_id: LoadId(Uuid::new_v4().as_u128()),
        key: DRIFT_KEY.to_vec(),
        batches: vec![batch],
        complete: Complete::No,
        at,
        bookmarks: Vec::new(),
    };
    lake.merge(&merge).await?;
    Ok(())
}

/// How a stream's run ended.
fn outcome(report: &StreamReport) -> &'static str {
    match (report.is_failed(), report.problems.is_empty()) {
        (true, _) => "failed",
        (false, true) => "ok",
        (false, false) => "partly",
    }
}

fn row<'a>(run_id: &'a str, reason: &'a str, report: &'a StreamReport) -> RunRow<'a> {
    RunRow {
        run_id,
        stream: report.name,
        reason,
        mode: report.mode.as_str(),
        outcome: outcome(report),
        started_at: report.at.0,
        ended_at: report.at.1,
        rows_read: report.read,
        rows_inserted: report.merged.inserted,
        rows_updated: report.merged.updated,
        rows_deleted: report.merged.deleted,
        requests: report.asked.requests,
        not_modified: report.asked.not_modified,
        retries: report.asked.retries,
        waited_ms: u64::try_from(report.asked.waited.as_millis()).unwrap_or(u64::MAX),
        problem: report.problems.first().map(String::as_str),
    }
}
