//! The parts of a row or two: the header, the accounting, the latest lines, the query and the keys.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::Frame;
use super::keys::State;
use super::pen::{Pen, Theme};
use super::queries;
use super::words::{clock, fitted, speed, wrapped};
use crate::config::format_bytes;
use crate::output::counted;

/// Rows of a query that are shown at most.
const QUERY_ROWS_MAX: u16 = 4;

/// The name, the clock of the story, and how far the demo has come.
pub(super) fn header(pen: &mut Pen<'_>, frame: &Frame, state: &State, area: Rect) {
    let theme = pen.theme;
    let name = Span::styled(" freshet demo ", theme.accent().add_modifier(Modifier::BOLD | Modifier::REVERSED));
    let mut left = vec![name];
    if area.width >= 72 {
        left.push(Span::raw(frame.story_time.strftime("  %a %-d %b %H:%M:%S").to_string()));
    } else if area.width >= 30 {
        left.push(Span::raw(frame.story_time.strftime(" %H:%M").to_string()));
    }
    if area.width >= 40 {
        left.push(Span::styled(format!(" {}", speed(frame.speed)), theme.faint()));
    }
    if state.is_paused() {
        left.push(Span::raw(" "));
        left.push(Span::styled(" paused ", theme.caution().add_modifier(Modifier::BOLD | Modifier::REVERSED)));
    }
    let mut right = vec![Span::styled(clock(frame.elapsed), theme.strong())];
    if let Some(end) = frame.ends_after.filter(|_| area.width >= 48) {
        right.push(Span::styled(format!(" of {} ", clock(end)), theme.faint()));
        let width = if area.width >= 60 { usize::from(area.width / 5) } else { 0 };
        let share = if end.is_zero() { 1.0 } else { (frame.elapsed.as_secs_f64() / end.as_secs_f64()).clamp(0.0, 1.0) };
        let done = (share * width as f64).round() as usize;
        right.push(Span::styled("━".repeat(done), theme.accent()));
        right.push(Span::styled("─".repeat(width.saturating_sub(done)), theme.faint()));
    }
    if area.width >= 40 {
        right.push(Span::raw(" "));
    }
    pen.row(area, 0, Line::from(left), Line::from(right));
}

/// What was sent is stored, waits or is lost; and it adds up.
pub(super) fn accounting(pen: &mut Pen<'_>, frame: &Frame, area: Rect) {
    let (theme, drains, spool) = (pen.theme, frame.drains, frame.spool);
    let doing = if spool.state.is_empty() { String::new() } else { format!(", {}", spool.state) };
    let spool_words = format!("spool {} of {}{doing}", format_bytes(spool.waiting_bytes), format_bytes(spool.max_bytes));
    let full = spool.waiting_bytes as f64 / spool.max_bytes.max(1) as f64;
    let note = Span::styled(spool_words, if full > 0.5 { theme.caution() } else { theme.faint() });
    let inner = pen.rule(area, "every line accounted for", note);
    let verdict = match drains.unaccounted() {
        0 if area.width >= 70 => Span::styled("✓ adds up", theme.good().patch(theme.strong())),
        0 => Span::styled("✓", theme.good().patch(theme.strong())),
        rest => Span::styled(format!("✗ {rest} unaccounted for"), theme.bad()),
    };
    let apps = if area.width >= 100 { format!("{} drained  ", counted(drains.apps, "app")) } else { String::new() };
    let right = Line::from(vec![Span::styled(apps, theme.faint()), verdict, Span::raw(" ")]);
    let room = usize::from(area.width).saturating_sub(right.width() + 1);
    // The same with ever shorter numbers until it fits, in the end only its two ends.
    let [long, short, mut ends] = [20, 5, 5].map(|width| equation(frame, theme, width));
    ends.spans.drain(3..9);
    ends.spans[3] = Span::styled(", ", theme.faint());
    let sum = [long, short, ends];
    let fits = sum.iter().position(|line| line.width() <= room).unwrap_or(sum.len() - 1);
    pen.row(inner, 0, sum[fits].clone(), right);
}

fn equation(frame: &Frame, theme: Theme, width: usize) -> Line<'static> {
    let drains = frame.drains;
    let lost = if drains.dropped > 0 { theme.bad() } else { theme.strong() };
    let parts = [
        (" ", "sent", drains.sent, theme.strong()),
        (" = ", "stored", drains.acknowledged, theme.good().patch(theme.strong())),
        (" + ", "waiting", drains.waiting, theme.strong()),
        (" + ", "lost", drains.dropped, lost),
    ];
    let words = |(sign, word, number, style): (&'static str, &str, u64, Style)| {
        [Span::styled(sign, theme.faint()), Span::styled(format!("{word} "), theme.faint()), Span::styled(fitted(number, width), style)]
    };
    Line::from(parts.into_iter().flat_map(words).collect::<Vec<_>>())
}

/// The latest notable lines, the newest at the bottom.
pub(super) fn latest(pen: &mut Pen<'_>, frame: &Frame, area: Rect) {
    let inner = pen.rule(area, "lately", "");
    let from = frame.latest.len().saturating_sub(usize::from(inner.height));
    for (row, text) in (0..inner.height).zip(&frame.latest[from..]) {
        pen.row(inner, row, Span::styled(format!(" {text}"), style_of(pen.theme, text)), "");
    }
    if frame.latest.is_empty() {
        pen.row(inner, 0, Span::styled(" nothing notable yet", pen.theme.faint()), "");
    }
}

/// Trouble stands out; so does what people do.
fn style_of(theme: Theme, text: &str) -> Style {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["crashed", "Error ", "failed", "Rollback"]) {
        theme.bad().remove_modifier(Modifier::BOLD)
    } else if has(&["Release", "Deploy", "Build"]) {
        theme.accent()
    } else {
        Style::new()
    }
}

/// Rows that [`query`] needs at this width, whichever table is chosen: the parts above stay where they are.
pub(super) fn query_rows(frame: &Frame, width: u16) -> u16 {
    let names = frame.tables.iter().map(|table| table.name.as_str()).chain(["logs"]);
    let rows = names.map(|name| wrapped(&queries::command(name, &frame.lake), usize::from(width)).len()).max().unwrap_or_default();
    1 + (rows as u16).min(QUERY_ROWS_MAX)
}

/// A query over the chosen table. It begins at the left edge, so that marking whole rows copies nothing else; a line break within
/// the quotes of the SQL does no harm.
pub(super) fn query(pen: &mut Pen<'_>, frame: &Frame, state: &State, area: Rect) {
    let inner = pen.rule(area, "ask the lake, in another terminal", "");
    let Some(table) = frame.tables.get(state.selected(&frame.tables)) else {
        pen.row(inner, 0, Span::styled(" as soon as it has a table", pen.theme.faint()), "");
        return;
    };
    for (row, line) in (0..inner.height).zip(wrapped(&queries::command(&table.name, &frame.lake), usize::from(area.width))) {
        pen.row(inner, row, line, "");
    }
}

/// What the keys do.
pub(super) fn keys(pen: &mut Pen<'_>, area: Rect) {
    let theme = pen.theme;
    let key = |key: &'static str, does: &'static str| {
        [Span::styled(format!(" {key} "), Style::new().add_modifier(Modifier::REVERSED)), Span::styled(format!(" {does}  "), theme.faint())]
    };
    let left: Vec<_> = [key("q", "end"), key("p", "pause"), key("↑↓", "table")].into_iter().flatten().collect();
    pen.row(area, 0, Line::from(left), "");
}
