//! `_runs`: what each run over the Platform API did, one row for each stream.

use arrow_array::RecordBatch;
use freshet_core::{Micros, TableDef};

use crate::table::table;

table! {
    system table TABLE as RunRows, "_runs", "One stream in one run over Heroku's Platform API" {
        run_id: Text(required), "The run; all its streams share it";
        stream: Text(required), "Which stream";
        reason: Text(required), "Why it ran: command, schedule or webhook";
        mode: Text(required), "full: all of it was read and compared; new: only what is new; archives: months that lie back";
        outcome: Text(required), "ok, partly (some lists could not be read) or failed";
        started_at: Timestamp(required), "When it began";
        ended_at: Timestamp(required), "When it ended";
        rows_read: Long(required), "Objects that were read";
        rows_inserted: Long(required), "Objects that the table did not have";
        rows_updated: Long(required), "Objects that had changed, or were gone and came back";
        rows_deleted: Long(required), "Objects that are gone since";
        requests: Long(required), "Requests, each try counted";
        not_modified: Long(required), "Lists of which Heroku said that nothing had changed (304)";
        retries: Long(required), "Tries after the first";
        waited_ms: Long(required), "Time in which requests waited for the rate limit, in milliseconds";
        problem: Text, "The first thing that went wrong, and what to do about it";
    }
}

/// The definition of `_runs`, which is filled by runs and not from log lines.
pub static RUNS: &TableDef = &TABLE;

/// A row of `_runs`; the columns say what is what.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the columns of the table say it")]
pub struct RunRow<'a> {
    pub run_id: &'a str,
    pub stream: &'a str,
    pub reason: &'a str,
    pub mode: &'a str,
    pub outcome: &'a str,
    pub started_at: Micros,
    pub ended_at: Micros,
    pub rows_read: u64,
    pub rows_inserted: u64,
    pub rows_updated: u64,
    pub rows_deleted: u64,
    pub requests: u64,
    pub not_modified: u64,
    pub retries: u64,
    pub waited_ms: u64,
    pub problem: Option<&'a str>,
}

/// Rows of `_runs`. `None` when there are none.
#[must_use]
pub fn run_rows<'a>(runs: impl IntoIterator<Item = RunRow<'a>>) -> Option<RecordBatch> {
    let mut rows = RunRows::default();
    for run in runs {
        let count = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
        rows.run_id.push(run.run_id.as_bytes());
        rows.stream.push(run.stream.as_bytes());
        rows.reason.push(run.reason.as_bytes());
        rows.mode.push(run.mode.as_bytes());
        rows.outcome.push(run.outcome.as_bytes());
        rows.started_at.push(Some(run.started_at));
        rows.ended_at.push(Some(run.ended_at));
        rows.rows_read.push(count(run.rows_read));
        rows.rows_inserted.push(count(run.rows_inserted));
        rows.rows_updated.push(count(run.rows_updated));
        rows.rows_deleted.push(count(run.rows_deleted));
        rows.requests.push(count(run.requests));
        rows.not_modified.push(count(run.not_modified));
        rows.retries.push(count(run.retries));
        rows.waited_ms.push(count(run.waited_ms));
        rows.problem.push_field(run.problem.map(str::as_bytes));
    }
    rows.take_batch()
}
