//! The story's time, which may run faster than ours.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Maps real time to the story's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoryClock {
    begins_at: Timestamp,
    speed: f64,
    /// Real time up to which the story has been told, and from when on that was.
    told: SignedDuration,
    running_since: Option<Instant>,
    /// Whether it stands because nobody has begun yet.
    is_waiting: bool,
}

impl StoryClock {
    /// A clock that stands at `begins_at` and runs from now on.
    pub(crate) fn new(begins_at: Timestamp, speed: f64) -> Self {
        Self { begins_at, speed, told: SignedDuration::ZERO, running_since: Some(Instant::now()), is_waiting: false }
    }

    /// A clock that stands at `begins_at` until [`StoryClock::begin`].
    pub(crate) fn waiting(begins_at: Timestamp, speed: f64) -> Self {
        Self { running_since: None, is_waiting: true, ..Self::new(begins_at, speed) }
    }

    /// Begins a story that waits for it. One that was paused before it could begin stays so.
    pub(crate) fn begin(&mut self) {
        if self.is_waiting {
            self.go_on();
        }
    }

    /// How late it is in the story. It never overtakes our own time: a log line from tomorrow would be a fault, not a story.
    pub(crate) fn now(&self) -> Timestamp {
        let running = self
            .running_since
            .map_or(SignedDuration::ZERO, |since| SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX));
        let told = self.told.saturating_add(running).as_secs_f64() * self.speed;
        let told = SignedDuration::try_from_secs_f64(told).unwrap_or(SignedDuration::MAX);
        let latest = Timestamp::now().max(self.begins_at);
        self.begins_at.saturating_add(told).unwrap_or(latest).min(latest)
    }

    /// Stops the story until [`StoryClock::go_on`].
    pub(crate) fn pause(&mut self) {
        self.is_waiting = false;
        if let Some(since) = self.running_since.take() {
            self.told = self.told.saturating_add(SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX));
        }
    }

    /// Lets a paused story go on where it was.
    pub(crate) fn go_on(&mut self) {
        self.is_waiting = false;
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// Whether the story goes on.
    pub(crate) fn is_running(&self) -> bool {
        self.running_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_runs_faster_but_never_into_the_future() {
        let begins_at = Timestamp::now() - SignedDuration::from_secs(3600);
        let clock = StoryClock::new(begins_at, 1e9);
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(clock.now() <= Timestamp::now());
        assert!(clock.now() > begins_at + SignedDuration::from_secs(3000));
    }

    #[test]
    fn a_story_that_waits_begins_unless_it_was_paused() {
        for is_paused in [false, true] {
            let mut clock = StoryClock::waiting(Timestamp::now(), 1.0);
            assert!(!clock.is_running());
            if is_paused {
                clock.pause();
            }
            clock.begin();
            assert_eq!(clock.is_running(), !is_paused);
            clock.go_on();
            assert!(clock.is_running());
        }
    }

    #[test]
    fn a_paused_story_stands_still_and_goes_on_where_it_was() {
        let mut clock = StoryClock::new(Timestamp::now() - SignedDuration::from_hours(1000), 1000.0);
        clock.pause();
        let stood = clock.now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(clock.now(), stood);
        clock.go_on();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(clock.now() > stood);
        assert!(clock.now() < stood + SignedDuration::from_mins(20));
    }
}
