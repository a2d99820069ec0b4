//! The same without a terminal: a line every few seconds.

use super::Frame;
use super::words::{age, rate, span};
use crate::output::{counted, grouped};

/// Codes that a line names at most.
const CODES_MAX: usize = 4;

/// One line, without its end.
#[must_use]
pub(crate) fn plain(frame: &Frame) -> String {
    let now = frame.lines_per_second.last().copied().unwrap_or_default();
    let rows = frame.tables.iter().fold(0_u64, |sum, table| sum.saturating_add(table.rows));
    let drains = frame.drains;
    let mut line = format!(
        "demo: {} s, {} in the story, {}, {} lines/s, ack p50 {} p99 {}, {} in {}",
        frame.elapsed.as_secs(),
        frame.story_time.strftime("%H:%M"),
        counted(frame.lines_total, "line"),
        rate(now),
        span(frame.ack_p50),
        span(frame.ack_p99),
        counted(rows, "row"),
        counted(frame.tables.len() as u64, "table"),
    );
    if let Some(fresh) = frame.freshness {
        line += &format!(" fresh to {}", age(Some(fresh)));
    }
    line += &format!(
        "; sent {} = stored {} + waiting {} + lost {}",
        grouped(drains.sent),
        grouped(drains.acknowledged),
        grouped(drains.waiting),
        grouped(drains.dropped)
    );
    if drains.unaccounted() != 0 {
        line += &format!(", {} unaccounted for", drains.unaccounted());
    }
    let mut codes: Vec<_> = frame.codes.iter().filter(|code| code.count > 0).collect();
    codes.sort_by_key(|code| std::cmp::Reverse(code.count));
    for (place, code) in codes.iter().take(CODES_MAX).enumerate() {
        line += &format!("{} {} {}", if place == 0 { ";" } else { "," }, code.code, grouped(code.count));
    }
    line
}
