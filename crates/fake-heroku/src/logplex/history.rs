//! The last lines of each app, for log sessions.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::world::Line;

/// Lines kept per app (Dev Center, "Logging": 1,500).
pub(super) const HISTORY_LINES_MAX: usize = 1500;
/// For how long (Dev Center: one week).
const HISTORY_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The last lines, by app.
#[derive(Default)]
pub(super) struct History {
    apps: HashMap<String, VecDeque<Line>>,
}

impl History {
    /// Keeps a line.
    pub(super) fn take(&mut self, line: &Line) {
        if !self.apps.contains_key(&line.app) {
            self.apps.insert(line.app.clone(), VecDeque::new());
        }
        if let Some(lines) = self.apps.get_mut(&line.app) {
            if lines.len() >= HISTORY_LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line.clone());
        }
    }

    /// Drops the lines of an app that is gone.
    pub(super) fn forget(&mut self, app: &str) {
        self.apps.remove(app);
    }

    /// The lines of an app that are not too old, the oldest first.
    pub(super) fn of(&self, app: &str, now: Timestamp) -> impl DoubleEndedIterator<Item = &Line> {
        let lines = self.apps.get(app).into_iter().flatten();
        lines.filter(move |line| now.duration_since(line.at) < HISTORY_KEPT)
    }
}
