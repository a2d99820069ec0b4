//! How late it is in the story, for the lines that Logplex writes itself.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The time of the latest line, and as much more as has passed since.
#[derive(Default)]
pub(super) struct StoryClock(Mutex<Option<(Timestamp, Instant)>>);

impl StoryClock {
    /// A line of this time was taken.
    pub(super) fn saw(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Instant::now()));
    }

    /// Before the first line it is as late as it is here.
    pub(super) fn now(&self) -> Timestamp {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map_or_else(Timestamp::now, |(at, seen)| {
            let passed = SignedDuration::try_from(seen.elapsed()).unwrap_or(SignedDuration::ZERO);
            at.checked_add(passed).unwrap_or(at)
        })
    }
}
