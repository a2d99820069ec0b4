//! Who gets how much room. Everything is laid out anew for each picture, for whatever size the terminal has by then.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::keys::State;
use super::panels;
use super::pen::{Pen, Theme, halves, take_bottom, take_top};
use super::{Frame, strips};

/// Below this width the parts stand in one column.
const TWO_COLUMNS_FROM: u16 = 72;
/// Rows of each part: what it needs to be there at all, what it likes, and what it takes when the rest has enough.
const LATEST_ROWS: [u16; 3] = [3, 6, 11];
const CHART_ROWS: [u16; 3] = [5, 12, 20];
/// The same for tables and codes, but the last: that depends on how many there are.
const MIDDLE_ROWS: [u16; 2] = [9, 12];

/// Paints the whole of `buffer`.
pub(super) fn paint(latest: &Frame, state: &State, theme: Theme, buffer: &mut Buffer) {
    let frame = state.shown(latest);
    let mut room = buffer.area;
    let mut pen = Pen { buffer, theme };
    strips::header(&mut pen, frame, state, take_top(&mut room, 1));
    if room.height > 1 {
        strips::keys(&mut pen, take_bottom(&mut room, 1));
    }
    let one_column = room.width < TWO_COLUMNS_FROM;
    let rows = Rows::share(frame, room, one_column);
    take_top(&mut room, rows.gap);
    let below = |pen: &mut Pen<'_>, rows: u16, gap: u16, room: &mut Rect, part: &dyn Fn(&mut Pen<'_>, Rect)| {
        part(pen, take_bottom(room, rows));
        take_bottom(room, if rows > 0 { gap } else { 0 });
    };
    below(&mut pen, rows.query, rows.gap, &mut room, &|pen, area| strips::query(pen, frame, state, area));
    below(&mut pen, rows.latest, rows.gap, &mut room, &|pen, area| strips::latest(pen, frame, area));
    below(&mut pen, rows.accounting, rows.gap, &mut room, &|pen, area| strips::accounting(pen, frame, area));
    let top = take_top(&mut room, rows.chart);
    take_top(&mut room, rows.gap);
    if one_column {
        narrow(&mut pen, frame, state, top, room);
        return;
    }
    let (lines, acknowledged) = halves(top, 58);
    panels::lines(&mut pen, frame, lines);
    panels::acknowledged(&mut pen, frame, acknowledged);
    let (tables, codes) = halves(room, if room.width < 100 { 52 } else { 50 });
    panels::tables(&mut pen, frame, state, tables);
    panels::codes(&mut pen, frame, codes);
}

/// Rows for each part; the tables and codes have what remains.
struct Rows {
    accounting: u16,
    query: u16,
    latest: u16,
    chart: u16,
    /// Free rows between two parts.
    gap: u16,
}

impl Rows {
    fn share(frame: &Frame, room: Rect, one_column: bool) -> Self {
        let mut left = room.height;
        // What is there at all, the most important first: each only when so many rows remain for the rest.
        let mut wants = |rows: u16, keep: u16| {
            let granted = if left >= rows.saturating_add(keep) { rows } else { 0 };
            left -= granted;
            granted
        };
        let accounting = wants(2, 0);
        let query = wants(strips::query_rows(frame, room.width), if one_column { 19 } else { 8 });
        let mut latest = wants(LATEST_ROWS[0], if one_column { 19 } else { 13 });
        let mut chart = wants(CHART_ROWS[0], if one_column { 9 } else { 6 });
        let rows = if one_column { frame.tables.len() + frame.codes.len() + 4 } else { frame.tables.len().max(frame.codes.len()) + 1 };
        let middle = u16::try_from(rows).unwrap_or(u16::MAX).max(MIDDLE_ROWS[1]);
        // What they like. Tables and codes count as if they had taken theirs.
        let mut taken = 1;
        grow(&mut taken, 1 + MIDDLE_ROWS[0], &mut left);
        grow(&mut latest, LATEST_ROWS[1], &mut left);
        grow(&mut taken, middle.saturating_add(1), &mut left);
        grow(&mut chart, CHART_ROWS[1], &mut left);
        let parts = 5;
        let gap = u16::from(left >= parts);
        left -= gap * parts;
        grow(&mut chart, CHART_ROWS[2], &mut left);
        let all = u16::try_from(frame.latest.len() + 1).unwrap_or(u16::MAX);
        grow(&mut latest, all.min(LATEST_ROWS[2]), &mut left);
        Self { accounting, query, latest, chart, gap }
    }
}

/// Gives `part`, if it is there at all, rows out of `left` until it has `to`.
fn grow(part: &mut u16, to: u16, left: &mut u16) {
    let more = if *part > 0 { to.saturating_sub(*part).min(*left) } else { 0 };
    *part += more;
    *left -= more;
}

/// The parts below each other.
fn narrow(pen: &mut Pen<'_>, frame: &Frame, state: &State, top: Rect, mut room: Rect) {
    panels::lines(pen, frame, top);
    if room.height >= 8 {
        panels::acknowledged(pen, frame, take_top(&mut room, 2));
    }
    if room.height >= 8 {
        let codes = (frame.codes.len().min(usize::from(room.height)) as u16 + 1).min(room.height / 2);
        panels::codes(pen, frame, take_bottom(&mut room, codes));
    }
    panels::tables(pen, frame, state, room);
}
