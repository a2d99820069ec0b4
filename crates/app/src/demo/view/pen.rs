//! Strokes that every part of the picture is made of. None of them leaves the area it was given.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Sparkline, Widget as _};

/// Styles by meaning. Colours are the terminal's own, and none that a light or a dark background swallows: no yellow, no blue, no grey.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Without it the styles differ by weight only.
    pub(super) colour: bool,
}

impl Theme {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Titles, charts and what can be acted on.
    pub(super) fn accent(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// As it should be.
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Worth a look.
    pub(super) fn caution(self) -> Style {
        self.coloured(Color::Magenta)
    }

    /// Wrong.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Numbers that matter most.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What one reads last.
    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Draws into a buffer.
pub(super) struct Pen<'a> {
    /// Where to.
    pub(super) buffer: &'a mut Buffer,
    /// How it looks.
    pub(super) theme: Theme,
}

impl Pen<'_> {
    /// Writes `left` from the left end of the row `row` of `area` and `right` to its right end. When both do not fit, `left` is cut, and
    /// `right` goes altogether once it would take more than half.
    pub(super) fn row(&mut self, area: Rect, row: u16, left: impl Into<Line<'static>>, right: impl Into<Line<'static>>) {
        if row >= area.height || area.width == 0 {
            return;
        }
        let (left, right, y) = (left.into(), right.into(), area.y + row);
        let (left_wide, right_wide, room) = (left.width(), right.width(), usize::from(area.width));
        let gap = u16::from(left_wide > 0);
        let both_fit = left_wide + usize::from(gap) + right_wide <= room;
        let shown = right_wide > 0 && (both_fit || right_wide <= room / 2);
        let taken = if shown { right_wide as u16 } else { 0 };
        if shown {
            self.write(area.right() - taken, y, &right, taken);
        }
        self.write(area.x, y, &left, if shown { area.width.saturating_sub(taken + gap) } else { area.width });
    }

    /// Text over whatever was there; without this the weight of what was there would remain.
    fn write(&mut self, x: u16, y: u16, line: &Line<'_>, room: u16) {
        for column in x..x.saturating_add(room.min(line.width().try_into().unwrap_or(u16::MAX))) {
            if let Some(cell) = self.buffer.cell_mut(Position::new(column, y)) {
                cell.reset();
            }
        }
        self.buffer.set_line(x, y, line, room);
    }

    /// A title on a rule over the whole width, with a note to the right. Returns what is left of `area` below it.
    pub(super) fn rule(&mut self, area: Rect, title: &str, note: impl Into<Line<'static>>) -> Rect {
        if area.height == 0 {
            return area;
        }
        let line = "─".repeat(usize::from(area.width));
        self.row(area, 0, Span::styled(line, self.theme.faint()), "");
        let title = Span::styled(format!(" {title} "), self.theme.accent().add_modifier(Modifier::BOLD));
        let mut note: Line<'static> = note.into();
        if note.width() > 0 {
            note.spans.insert(0, Span::raw(" "));
            note.spans.push(Span::raw(" "));
        }
        let inner = Rect { x: area.x + u16::from(area.width > 12), width: area.width - 2 * u16::from(area.width > 12), ..area };
        self.row(inner, 0, title, note);
        Rect { y: area.y + 1, height: area.height - 1, ..area }
    }

    /// Upright bars over the whole of `area`, `max` being as high as it is.
    pub(super) fn bars(&mut self, area: Rect, values: &[u64], max: u64, style: Style) {
        if area.intersection(self.buffer.area) == area {
            // What is more than nothing is seen, however little it is.
            let least = max.div_ceil(u64::from(area.height).max(1) * 8);
            let seen = |value: &u64| if *value == 0 { 0 } else { (*value).max(least) };
            Sparkline::default().data(values.iter().map(seen)).max(max).style(style).render(area, self.buffer);
        }
    }

    /// A line from the left of the one-row `area`, as long as `share` (0 to 1) of it. What is more than nothing is seen.
    pub(super) fn bar(&mut self, area: Rect, share: f64, style: Style) {
        let halves = ((share.clamp(0.0, 1.0) * f64::from(area.width) * 2.0).round() as usize).max(usize::from(share > 0.0));
        let line = "━".repeat(halves / 2) + if halves % 2 == 1 { "╸" } else { "" };
        self.row(area, 0, Span::styled(line, style), "");
    }
}

/// Takes `height` rows from the top of `area`, or what is there.
pub(super) fn take_top(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    let top = Rect { height, ..*area };
    area.y += height;
    area.height -= height;
    top
}

/// Takes `height` rows from the bottom of `area`, or what is there.
pub(super) fn take_bottom(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    area.height -= height;
    Rect { y: area.y + area.height, height, ..*area }
}

/// `area` as a left part of `percent` and a right part, with a gap between.
pub(super) fn halves(area: Rect, percent: u16) -> (Rect, Rect) {
    const GAP: u16 = 2;
    let left = (u32::from(area.width) * u32::from(percent) / 100) as u16;
    let left = left.min(area.width.saturating_sub(GAP));
    let right = area.width.saturating_sub(left + GAP);
    (Rect { width: left, ..area }, Rect { x: area.x + area.width - right, width: right, ..area })
}
