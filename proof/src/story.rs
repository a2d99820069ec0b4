//! What happened in a run, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::time::Timeline;

/// Problems kept; a run that breaks one promise usually breaks it many times.
const PROBLEMS_MAX: usize = 20;

/// The story of a run. Clones share it.
#[derive(Clone)]
pub(crate) struct Story {
    timeline: Timeline,
    is_recorded: bool,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    events: u64,
    lines: Vec<String>,
    problems: Vec<String>,
}

impl Story {
    /// A story of what happens on `timeline`. Its lines are kept only when it is recorded.
    pub(crate) fn new(timeline: Timeline, is_recorded: bool) -> Self {
        Self { timeline, is_recorded, told: Arc::default() }
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, event: impl FnOnce() -> String) {
        self.lock().events += 1;
        if self.is_recorded {
            let line = self.line(&event());
            self.lock().lines.push(line);
        }
    }

    /// Tells of a broken promise.
    pub(crate) fn accuse(&self, problem: String) {
        let line = self.line(&format!("BROKEN: {problem}"));
        let mut told = self.lock();
        if self.is_recorded {
            told.lines.push(line);
        }
        if told.problems.len() < PROBLEMS_MAX {
            told.problems.push(problem);
        }
    }

    /// Events told, lines recorded, problems found.
    pub(crate) fn end(&self) -> (u64, Vec<String>, Vec<String>) {
        let mut told = self.lock();
        (told.events, std::mem::take(&mut told.lines), std::mem::take(&mut told.problems))
    }

    fn line(&self, event: &str) -> String {
        let at = self.timeline.at();
        format!("{:>6}.{:06}  {event}", at / 1_000_000, at % 1_000_000)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
