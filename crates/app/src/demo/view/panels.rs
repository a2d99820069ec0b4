//! The parts with many numbers: two charts, the tables, the error codes.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::State;
use super::pen::{Pen, Theme};
use super::words::{age, clock, cut, fitted, rate, span};
use super::{CodeRow, Frame};

/// Logplex waits this long for an answer, connected and all; then the frame counts as not delivered.
const HEROKU_WAITS: Duration = Duration::from_secs(5);
/// Rows from which a chart has a line below it that says how far back it goes.
const AXIS_FROM_ROWS: u16 = 7;
/// Seconds that a frame remembers.
const HISTORY_S: u64 = 600;

/// Lines per second.
pub(super) fn lines(pen: &mut Pen<'_>, frame: &Frame, area: Rect) {
    let now = frame.lines_per_second.last().copied().unwrap_or_default();
    let note = Line::from(vec![
        Span::styled(rate(now), pen.theme.strong()),
        Span::raw(" now"),
        Span::styled(format!(" · {} in all", fitted(frame.lines_total, usize::from(area.width / 3))), pen.theme.faint()),
    ]);
    let inner = pen.rule(area, "lines/s", note);
    let style = pen.theme.accent();
    chart(pen, frame, &frame.lines_per_second, inner, style, &|value| fitted(value.round() as u64, 6));
}

/// The time until a frame is acknowledged.
pub(super) fn acknowledged(pen: &mut Pen<'_>, frame: &Frame, area: Rect) {
    let note = Span::styled("Heroku waits 5 s", pen.theme.faint());
    let mut inner = pen.rule(area, "acknowledged in", note);
    let worst = match frame.ack_p99 {
        Some(time) if time >= HEROKU_WAITS => pen.theme.bad(),
        Some(time) if time >= HEROKU_WAITS / 5 => pen.theme.caution(),
        Some(_) => pen.theme.good(),
        None => pen.theme.faint(),
    };
    let times = Line::from(vec![
        Span::styled("p50 ", pen.theme.faint()),
        Span::styled(span(frame.ack_p50), pen.theme.strong()),
        Span::styled("   p99 ", pen.theme.faint()),
        Span::styled(span(frame.ack_p99), worst.patch(pen.theme.strong())),
    ]);
    pen.row(inner, 0, times, "");
    inner.y += 1.min(inner.height);
    inner.height = inner.height.saturating_sub(1);
    chart(pen, frame, &frame.ack_history_ms, inner, pen.theme.good(), &|value| span(Duration::try_from_secs_f64(value / 1000.0).ok()));
}

/// Upright bars with the scale to their left and, where there is room, the time below.
fn chart(pen: &mut Pen<'_>, frame: &Frame, values: &[f64], area: Rect, style: Style, label: &dyn Fn(f64) -> String) {
    let top = round_up(values.iter().copied().fold(0.0, f64::max));
    let (high, low) = (label(top), "0".to_owned());
    let gutter = high.chars().count().max(3) as u16 + 1;
    if area.height == 0 || area.width < gutter + 4 {
        return;
    }
    let plot_with_axis = Rect { x: area.x + gutter, width: area.width - gutter, ..area };
    let mut plot = plot_with_axis;
    let scale = Rect { width: gutter - 1, ..area };
    let faint = pen.theme.faint();
    let axis = Axis::of(frame.elapsed, frame.ends_after);
    let columns = axis.columns(values, usize::from(plot.width));
    if plot.height >= AXIS_FROM_ROWS {
        plot.height -= 1;
        let ends = [axis.from_s, axis.from_s + axis.seconds].map(|second| Span::styled(clock(Duration::from_secs(second)), faint));
        let [from, to] = ends;
        pen.row(plot_with_axis, plot.height, from, to);
    }
    let high = Span::styled(high, faint);
    let low = Span::styled(low, faint);
    if plot.height > 1 {
        pen.row(scale, plot.height - 1, "", low);
    }
    pen.row(scale, 0, "", high);
    let thousandths = |value: &f64| (value * 1000.0).round() as u64;
    let bars: Vec<u64> = columns.iter().map(thousandths).collect();
    pen.bars(plot, &bars, thousandths(&top), style);
}

/// The seconds of the demo that a chart shows.
struct Axis {
    from_s: u64,
    seconds: u64,
}

impl Axis {
    /// The whole demo when its length is known, so that the chart fills as it goes on; else a round time, and in the end the latest.
    fn of(elapsed: Duration, ends_after: Option<Duration>) -> Self {
        let elapsed = elapsed.as_secs();
        let planned = ends_after.map(|end| end.as_secs()).filter(|end| *end > 0 && *end >= elapsed);
        let round = [60, 120, 300].into_iter().find(|seconds| elapsed <= *seconds).unwrap_or(HISTORY_S);
        let seconds = planned.filter(|planned| *planned <= HISTORY_S).unwrap_or(round);
        Self { from_s: elapsed.saturating_sub(seconds), seconds }
    }

    /// `values`, one per second, as at most `width` columns. While the axis begins with the demo, they fill the width exactly; afterwards a
    /// column begins at a multiple of its length, so that columns keep what they hold while time goes on.
    fn columns(&self, values: &[f64], width: usize) -> Vec<f64> {
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let seconds = usize::try_from(self.seconds).unwrap_or(usize::MAX).max(1);
        if self.from_s == 0 {
            let begins = |column: usize| column.saturating_mul(seconds) / width.max(1);
            let parts = (0..width).map(|column| (begins(column), begins(column + 1).max(begins(column) + 1)));
            return parts
                .map_while(|(from, to)| values.get(from..to.min(values.len()).max(from)).filter(|part| !part.is_empty()))
                .map(mean)
                .collect();
        }
        let length = seconds.div_ceil(width.max(1));
        let first = usize::try_from(self.from_s).unwrap_or_default();
        let head = ((length - first % length) % length).min(values.len());
        let (head, rest) = values.split_at(head);
        let head = (!head.is_empty()).then(|| mean(head));
        let mut columns: Vec<f64> = head.into_iter().chain(rest.chunks(length).map(mean)).collect();
        columns.drain(..columns.len().saturating_sub(width));
        columns
    }
}

/// The next number with one telling digit, so that a scale moves seldom.
fn round_up(number: f64) -> f64 {
    if !number.is_finite() || number <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(number.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    steps.iter().map(|step| step * power).find(|step| *step >= number).unwrap_or(power * 10.0)
}

/// Rows per table, and how fresh they are.
pub(super) fn tables(pen: &mut Pen<'_>, frame: &Frame, state: &State, area: Rect) {
    let (all, room) = (frame.tables.len(), usize::from(area.height.saturating_sub(1)));
    let mut note = vec![];
    if let Some(fresh) = frame.freshness.filter(|_| area.width >= 30) {
        note.push(Span::styled("fresh to ", pen.theme.faint()));
        note.push(Span::styled(age(Some(fresh)), pen.theme.good().patch(pen.theme.strong())));
    }
    let title = if all > room { format!("tables, {} of {all}", room.min(all)) } else { "tables".to_owned() };
    let inner = pen.rule(area, &title, Line::from(note));
    let selected = state.selected(&frame.tables);
    let from = (selected + 1).saturating_sub(room).max(selected.saturating_sub(room / 2)).min(all.saturating_sub(room));
    let widths = TableWidths::fit(frame, area.width);
    let most = frame.tables.iter().map(|table| table.rows).max().unwrap_or_default().max(1);
    for (row, (place, table)) in (0..inner.height).zip(frame.tables.iter().enumerate().skip(from)) {
        let chosen = place == selected;
        let name_style = if chosen { pen.theme.strong() } else { Style::new() };
        let mut left = vec![
            Span::styled(if chosen { "▸ " } else { "  " }, pen.theme.accent().patch(pen.theme.strong())),
            Span::styled(format!("{:<width$}", cut(&table.name, widths.name), width = widths.name), name_style),
            Span::styled(format!(" {:>width$}", fitted(table.rows, widths.rows), width = widths.rows), pen.theme.strong()),
        ];
        if widths.rate > 0 {
            let text = if table.rows_per_second > 0.0 { format!("+{}/s", rate(table.rows_per_second)) } else { String::new() };
            left.push(Span::styled(format!(" {:>width$}", cut(&text, widths.rate), width = widths.rate), pen.theme.faint()));
        }
        let left = Line::from(left);
        let taken = left.width() as u16 + 1;
        let right = if widths.fresh > 0 {
            format!("{:>width$}", cut(&age(table.fresh), widths.fresh), width = widths.fresh)
        } else {
            String::new()
        };
        pen.row(inner, row, left, Span::styled(right, pen.theme.faint()));
        if widths.bar > 0 {
            let bar = Rect { x: inner.x + taken, y: inner.y + row, width: widths.bar as u16, height: 1 };
            pen.bar(bar, table.rows as f64 / most as f64, pen.theme.accent());
        }
    }
    if all == 0 && inner.height > 0 {
        pen.row(inner, 0, Span::styled("  the first commit is on its way", pen.theme.faint()), "");
    }
}

/// How wide the columns of the tables' list are; 0 is a column that is left out.
struct TableWidths {
    name: usize,
    rows: usize,
    rate: usize,
    bar: usize,
    fresh: usize,
}

impl TableWidths {
    fn fit(frame: &Frame, width: u16) -> Self {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let mut room = usize::from(width).saturating_sub(3);
        // A column is left out as a whole when what is more important would suffer.
        let mut take = |wanted: usize, keep: usize| {
            let granted = if room >= wanted + 1 + keep { wanted } else { 0 };
            room -= if granted > 0 { granted + 1 } else { 0 };
            granted
        };
        let rows = longest(&mut frame.tables.iter().map(|table| fitted(table.rows, 13).len())).max(5);
        let rows = take(rows, 6);
        let fresh = take(6, 12);
        let name = longest(&mut frame.tables.iter().map(|table| table.name.chars().count())).clamp(12, 24);
        let rate = take(9, name + 8);
        let name = name.min(room);
        let bar = (room - name).saturating_sub(1);
        Self { name, rows, rate, bar: if bar >= 3 { bar } else { 0 }, fresh }
    }
}

/// Errors by code.
pub(super) fn codes(pen: &mut Pen<'_>, frame: &Frame, area: Rect) {
    let mut rows: Vec<&CodeRow> = frame.codes.iter().collect();
    rows.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.code.cmp(&other.code)));
    let room = usize::from(area.height.saturating_sub(1));
    let title = if rows.len() > room { format!("errors, {room} of {} codes", rows.len()) } else { "errors".to_owned() };
    let note = if area.width >= 44 && !rows.is_empty() { "by minute of the story" } else { "" };
    let inner = pen.rule(area, &title, Span::styled(note, pen.theme.faint()));
    if rows.is_empty() {
        pen.row(inner, 0, Span::styled("  none yet", pen.theme.faint()), "");
    }
    let width = usize::from(area.width);
    let counts = rows.iter().map(|row| fitted(row.count, 9).len()).max().unwrap_or_default();
    let titles = rows.iter().map(|row| row.title.chars().count()).max().unwrap_or_default().min(28);
    // Code, mark, title, count, sparkline. The title gives way first, then the sparkline.
    let fixed = 6 + 1 + counts + 1;
    let minutes = rows.iter().map(|row| row.per_minute.len()).max().unwrap_or_default();
    let spark = (width.saturating_sub(fixed + titles + 1)).max(width.saturating_sub(fixed) / 3).min(minutes.max(8));
    let spark = if spark < 5 { 0 } else { spark };
    let title_width = titles.min(width.saturating_sub(fixed + spark + usize::from(spark > 0)));
    for (row, code) in (0..inner.height).zip(rows) {
        let rising = is_rising(&code.per_minute);
        let style = style_of(pen.theme, &code.code, rising);
        let text = Line::from(vec![
            Span::styled(format!("{:<4}", cut(&code.code, 4)), style.patch(pen.theme.strong())),
            Span::styled(if rising { "▲ " } else { "  " }, style),
            Span::styled(format!("{:<title_width$}", cut(&code.title, title_width)), if rising { style } else { Style::new() }),
            Span::styled(format!(" {:>counts$}", fitted(code.count, 9)), pen.theme.strong()),
        ]);
        let used = text.width() as u16 + 1;
        pen.row(inner, row, text, "");
        if spark > 0 && used < inner.width {
            let place = Rect { x: inner.x + used, y: inner.y + row, width: (inner.width - used).min(spark as u16), height: 1 };
            let latest = &code.per_minute[code.per_minute.len().saturating_sub(usize::from(place.width))..];
            let most = latest.iter().copied().max().unwrap_or_default();
            // An eighth stays free, or each would grow into the one above.
            pen.bars(place, latest, most.saturating_add(most.div_ceil(7)), style);
        }
    }
}

/// Requests that failed and dynos in trouble are somebody's evening when they become more; lost log lines are worth a look.
fn style_of(theme: Theme, code: &str, rising: bool) -> Style {
    match code.as_bytes().first() {
        Some(b'H' | b'R') if rising => theme.bad(),
        Some(b'L') => theme.caution(),
        _ => theme.accent(),
    }
}

/// Whether the last two minutes brought more than the two before. The very last may have just begun, so it alone says nothing.
fn is_rising(per_minute: &[u64]) -> bool {
    let mut pairs = per_minute.rchunks(2).map(|pair| pair.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)));
    let (now, before) = (pairs.next().unwrap_or_default(), pairs.next().unwrap_or_default());
    now > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_fill_and_then_slide() {
        let check = |values: &[f64], (from_s, seconds), width, expected: &[f64]| {
            assert_eq!(Axis { from_s, seconds }.columns(values, width), expected, "{values:?} from {from_s} for {seconds} in {width}");
        };
        check(&[], (0, 60), 4, &[]);
        check(&[1.0], (0, 0), 4, &[1.0, 1.0, 1.0, 1.0]);
        check(&[1.0, 2.0, 3.0], (0, 4), 4, &[1.0, 2.0, 3.0]);
        // Twice as wide: each second has two columns.
        check(&[1.0, 2.0], (0, 3), 6, &[1.0, 1.0, 2.0, 2.0]);
        // Half as wide: two seconds share one; the last is not over.
        check(&[1.0, 3.0, 5.0], (0, 8), 4, &[2.0, 5.0]);
        check(&[1.0; 9], (0, 8), 0, &[]);
        // The oldest second has left: the others stay in the columns in which they were.
        check(&[1.0, 3.0, 5.0, 7.0], (2, 4), 2, &[2.0, 6.0]);
        check(&[3.0, 5.0, 7.0, 9.0], (3, 4), 2, &[6.0, 9.0]);
        check(&[2.0; 1000], (5, 600), 3, &[2.0, 2.0, 2.0]);
    }

    #[test]
    fn axes() {
        let check = |elapsed, end: Option<u64>, expected| {
            let axis = Axis::of(Duration::from_secs(elapsed), end.map(Duration::from_secs));
            assert_eq!((axis.from_s, axis.seconds), expected, "{elapsed} of {end:?}");
        };
        check(0, None, (0, 60));
        check(61, None, (0, 120));
        check(599, None, (0, 600));
        check(601, None, (1, 600));
        check(10, Some(45), (0, 45));
        check(10, Some(0), (0, 60));
        check(46, Some(45), (0, 60));
        check(10, Some(3600), (0, 60));
        check(u64::MAX, Some(3600), (u64::MAX - 600, 600));
    }

    #[test]
    fn scales_are_round() {
        for (number, expected) in
            [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (2431.0, 3000.0), (8100.0, 10_000.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0)]
        {
            let is = round_up(number);
            assert!((is - expected).abs() < expected / 1000.0, "{number}: {is}");
        }
    }

    #[test]
    fn rising_needs_more_than_before() {
        for (per_minute, expected) in [
            (&[][..], false),
            (&[0], false),
            (&[3], true),
            (&[5, 5, 5, 5], false),
            (&[5, 5, 9, 0], false),
            (&[5, 5, 9, 2], true),
            (&[9, 9, 1, 1], false),
            (&[0, 0, u64::MAX, u64::MAX], true),
        ] {
            assert_eq!(is_rising(per_minute), expected, "{per_minute:?}");
        }
    }
}
