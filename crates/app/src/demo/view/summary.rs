//! What remains of a demo once its picture is gone.

use std::time::Duration;

use serde_json::json;

use super::words::{clock, rate, span};
use super::{CodeRow, Drains, TableRow};
use crate::config::format_duration;
use crate::output::{Printer, counted, grouped, left, right};

/// A whole demo, in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// How long it went.
    pub(crate) elapsed: Duration,
    /// How much of the story was told in that time.
    pub(crate) story: Duration,
    /// Lines that are durable.
    pub(crate) lines_total: u64,
    /// See [`super::Frame::ack_p50`], over the whole time.
    pub(crate) ack_p50: Option<Duration>,
    /// See [`super::Frame::ack_p99`], over the whole time.
    pub(crate) ack_p99: Option<Duration>,
    /// The tables.
    pub(crate) tables: Vec<TableRow>,
    /// The error codes.
    pub(crate) codes: Vec<CodeRow>,
    /// What Heroku's drains counted.
    pub(crate) drains: Drains,
    /// Where the lake lies.
    pub(crate) lake: String,
    /// What to ask it.
    pub(crate) queries: Vec<ReadyQuery>,
}

/// A command that answers a question.
#[derive(Clone, Debug)]
pub(crate) struct ReadyQuery {
    /// The question, in words.
    pub(crate) question: String,
    /// The whole command, ready for a shell.
    pub(crate) command: String,
}

/// Writes `summary` to standard output.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn summary(summary: &Summary, printer: Printer) -> anyhow::Result<()> {
    let per_second = summary.lines_total as f64 / summary.elapsed.as_secs_f64().max(0.001);
    if !printer.is_text() {
        return printer.json(&document(summary, per_second));
    }
    printer.table(&[left("table"), right("rows")], summary.tables.iter().map(|table| vec![table.name.clone(), grouped(table.rows)]))?;
    let mut codes: Vec<_> = summary.codes.iter().filter(|code| code.count > 0).collect();
    codes.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.code.cmp(&other.code)));
    if !codes.is_empty() {
        let row = |code: &&CodeRow| vec![code.code.clone(), code.title.clone(), grouped(code.count)];
        printer.table(&[left("error"), left("title"), right("times")], codes.iter().map(row))?;
    }
    printer.line(&words(summary, per_second))?;
    for query in &summary.queries {
        printer.line(&format!("\n# {}\n{}", query.question, query.command))?;
    }
    Ok(())
}

fn words(summary: &Summary, per_second: f64) -> String {
    let drains = summary.drains;
    let verdict = match drains.unaccounted() {
        0 => "it adds up".to_owned(),
        rest => format!("{rest} unaccounted for"),
    };
    format!(
        "time     {}, {} of the story\nlines    {} of {}, {} lines/s\nack      p50 {}, p99 {}; Heroku waits 5 s\n\
         account  sent {} = stored {} + waiting {} + lost {}: {verdict}\nlake     {}",
        clock(summary.elapsed),
        format_duration(summary.story.as_secs_f64()),
        grouped(summary.lines_total),
        counted(drains.apps, "app"),
        rate(per_second),
        span(summary.ack_p50),
        span(summary.ack_p99),
        grouped(drains.sent),
        grouped(drains.acknowledged),
        grouped(drains.waiting),
        grouped(drains.dropped),
        summary.lake,
    )
}

fn document(summary: &Summary, per_second: f64) -> serde_json::Value {
    let drains = summary.drains;
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
    let tables: Vec<_> = summary.tables.iter().map(|table| json!({ "table": table.name, "rows": table.rows })).collect();
    let codes: Vec<_> = summary.codes.iter().map(|code| json!({ "code": code.code, "title": code.title, "count": code.count })).collect();
    let queries: Vec<_> = summary.queries.iter().map(|query| json!({ "question": query.question, "command": query.command })).collect();
    json!({
        "seconds": summary.elapsed.as_secs_f64(), "story_seconds": summary.story.as_secs_f64(),
        "lines": summary.lines_total, "lines_per_second": per_second,
        "ack_p50_ms": milliseconds(summary.ack_p50), "ack_p99_ms": milliseconds(summary.ack_p99),
        "tables": tables, "errors": codes,
        "drains": { "apps": drains.apps, "sent": drains.sent, "stored": drains.acknowledged, "waiting": drains.waiting,
            "lost": drains.dropped, "unaccounted": i64::try_from(drains.unaccounted()).unwrap_or(i64::MAX) },
        "lake": summary.lake, "queries": queries,
    })
}
