//! The last run over the Platform API, for `freshet status`.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use freshet_core::Micros;
use freshet_query::Engine;
use serde_json::{Value, json};

use crate::commands::query::helpful;
use crate::config::format_duration;
use crate::output::{counted, grouped};
use crate::when;

const SQL: &str =
    "SELECT max(ended_at) AS ended, count(*) AS streams, sum(rows_read) AS read, sum(rows_inserted) AS new, sum(rows_updated) AS changed,
        sum(rows_deleted) AS gone, sum(requests) AS requests, count(*) FILTER (WHERE outcome <> 'ok') AS troubled,
        arrow_cast(min(reason), 'Utf8') AS reason, arrow_cast(min(stream || ': ' || problem), 'Utf8') AS problem
    FROM _runs WHERE run_id = (SELECT run_id FROM _runs ORDER BY ended_at DESC LIMIT 1)";

/// What the last run came to.
pub(super) struct LastRun {
    ended: Micros,
    streams: u64,
    read: u64,
    new: u64,
    changed: u64,
    gone: u64,
    requests: u64,
    troubled: u64,
    reason: String,
    problem: Option<String>,
}

/// The last run that is on record.
///
/// # Errors
/// The table cannot be read.
pub(super) async fn last_run(engine: &Engine) -> anyhow::Result<Option<LastRun>> {
    let batches = engine.query(SQL).await.map_err(helpful)?.collect().await.map_err(helpful)?;
    Ok(batches.first().and_then(of))
}

fn of(batch: &RecordBatch) -> Option<LastRun> {
    let ended = batch.column_by_name("ended")?.as_primitive_opt::<TimestampMicrosecondType>().filter(|ended| ended.is_valid(0))?.value(0);
    let count = |name: &str| -> Option<u64> { u64::try_from(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.value(0)).ok() };
    let text = |name: &str| -> Option<String> {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(0).then(|| column.value(0).to_owned())
    };
    Some(LastRun {
        ended: Micros(ended),
        streams: count("streams")?,
        read: count("read")?,
        new: count("new")?,
        changed: count("changed")?,
        gone: count("gone")?,
        requests: count("requests")?,
        troubled: count("troubled")?,
        reason: text("reason")?,
        problem: text("problem"),
    })
}

impl LastRun {
    /// For people, in the manner of the other lines.
    pub(super) fn line(&self, now: Micros) -> String {
        let mut line = format!(
            "sync     {} ago by {}: {}, {} objects read, {} new, {} changed, {} gone; {}",
            format_duration(now.seconds_since(self.ended)),
            self.reason,
            counted(self.streams, "stream"),
            grouped(self.read),
            grouped(self.new),
            grouped(self.changed),
            grouped(self.gone),
            counted(self.requests, "request"),
        );
        if self.troubled > 0 {
            line += &format!("\n         {} not read as a whole", counted(self.troubled, "stream"));
            line.extend(self.problem.as_ref().map(|problem| format!("; {problem}")));
        }
        line
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "ended_at": when::rfc3339(self.ended), "reason": self.reason, "streams": self.streams, "rows_read": self.read,
            "rows_inserted": self.new, "rows_updated": self.changed, "rows_deleted": self.gone, "requests": self.requests,
            "streams_with_problems": self.troubled, "problem": self.problem })
    }
}
