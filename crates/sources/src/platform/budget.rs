//! The rate limit, seen from outside: how many requests the account has left, and when the next may go.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The full budget comes back in this many seconds: 4,500 in an hour are 75 in a minute.
const FULL_S: f64 = 3_600.0;

/// Requests per hour that are believed at most, whatever an answer says.
const PER_HOUR_MAX: u32 = 10_000_000;

/// An estimate of what the account has left. Heroku's own figure, which comes with every answer, replaces it each time;
/// between two answers it grows as the budget does, and each request that leaves takes one.
pub(super) struct Budget {
    reserve_percent: u8,
    state: Mutex<State>,
}

struct State {
    /// Requests of a full budget.
    capacity: f64,
    left: f64,
    filled_at: Duration,
    /// No request leaves before: Heroku has said 429.
    shut_until: Duration,
    /// Answers of 429 since the last that was none.
    refusals: u32,
    /// Requests that have left and are not answered.
    in_flight: u32,
}

/// A request that has left; until this is dropped it counts as unanswered.
pub(super) struct Taken<'a>(&'a Budget);

impl Budget {
    /// A full budget of `per_hour` requests, of which `reserve_percent` is left to others.
    pub(super) fn new(per_hour: u32, reserve_percent: u8) -> Self {
        let capacity = f64::from(per_hour.clamp(1, PER_HOUR_MAX));
        let state = State { capacity, left: capacity, filled_at: Duration::ZERO, shut_until: Duration::ZERO, refusals: 0, in_flight: 0 };
        Self { reserve_percent: reserve_percent.min(100), state: Mutex::new(state) }
    }

    /// Takes one request, or says how long to wait before asking again.
    pub(super) fn take(&self, now: Duration) -> Result<Taken<'_>, Duration> {
        let mut state = self.state();
        state.fill(now);
        if now < state.shut_until {
            return Err(state.shut_until - now);
        }
        let needed = 1.0 + state.reserve(self.reserve_percent);
        if state.left < needed {
            return Err(state.time_for(needed - state.left));
        }
        state.left -= 1.0;
        state.in_flight += 1;
        drop(state);
        Ok(Taken(self))
    }

    /// Learns what is left from an answer, where it says. To be told after the request's own [`Taken`] is gone.
    pub(super) fn answered(&self, now: Duration, remaining: Option<u32>) {
        let mut state = self.state();
        state.refusals = 0;
        if let Some(remaining) = remaining {
            state.learn(now, remaining);
        }
    }

    /// Learns that there is nothing left, or that for another reason no request is wanted. `wait` gives the time to leave
    /// Heroku alone for, from the number of such answers without another between them.
    pub(super) fn refused(&self, now: Duration, remaining: Option<u32>, wait: impl FnOnce(u32) -> Duration) {
        let mut state = self.state();
        state.learn(now, remaining.unwrap_or(0));
        // Requests that left together are refused together: that is one reason to wait, not many.
        if now >= state.shut_until {
            state.refusals = state.refusals.saturating_add(1);
            state.shut_until = now.saturating_add(wait(state.refusals));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fill(&mut self, now: Duration) {
        let passed_s = now.saturating_sub(self.filled_at).as_secs_f64();
        self.left = (self.left + passed_s * self.capacity / FULL_S).min(self.capacity);
        self.filled_at = self.filled_at.max(now);
    }

    fn learn(&mut self, now: Duration, remaining: u32) {
        self.fill(now);
        let remaining = f64::from(remaining.min(PER_HOUR_MAX));
        // Some accounts have more than others.
        self.capacity = self.capacity.max(remaining);
        // Heroku may not have counted those yet.
        self.left = remaining - f64::from(self.in_flight);
    }

    /// What is left to others; one request is always ours, or nothing would ever be asked.
    fn reserve(&self, percent: u8) -> f64 {
        (self.capacity * f64::from(percent) / 100.0).min(self.capacity - 1.0)
    }

    /// The time in which `requests` come back.
    fn time_for(&self, requests: f64) -> Duration {
        let time = Duration::try_from_secs_f64(requests * FULL_S / self.capacity).unwrap_or(Duration::MAX);
        // Rounded up, so that they are there when it has passed.
        time.saturating_add(Duration::from_millis(1))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight = state.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Takes all that can be had at `now` without an answer; says how many that were, and how long to wait for the next.
    fn drain(budget: &Budget, now: Duration) -> (u32, Duration) {
        let mut count = 0;
        loop {
            match budget.take(now) {
                Ok(_) => count += 1,
                Err(wait) => return (count, wait),
            }
        }
    }

    #[test]
    fn the_reserve_is_left_to_others() {
        fn check(per_hour: u32, reserve_percent: u8, expected: u32) {
            let budget = Budget::new(per_hour, reserve_percent);
            let (count, wait) = drain(&budget, Duration::ZERO);
            assert_eq!(count, expected, "{per_hour} {reserve_percent}");
            let next = seconds(FULL_S / f64::from(per_hour.max(1)));
            assert!(wait >= next && wait < next + seconds(0.01), "{per_hour} {reserve_percent}: {wait:?}");
            assert_eq!(drain(&budget, wait).0, 1, "{per_hour} {reserve_percent}");
        }
        check(4_500, 20, 3_600);
        check(4_500, 0, 4_500);
        check(60, 50, 30);
        // Whoever leaves everything to others would never begin.
        check(60, 100, 1);
        check(60, 200, 1);
        check(1, 20, 1);
        check(0, 0, 1);
    }

    #[test]
    fn it_fills_by_75_a_minute_and_not_beyond() {
        let budget = Budget::new(4_500, 0);
        assert_eq!(drain(&budget, Duration::ZERO).0, 4_500);
        assert_eq!(drain(&budget, seconds(60.001)).0, 75);
        assert_eq!(drain(&budget, seconds(100_000.0)).0, 4_500);
        // Time that goes back gives nothing.
        assert_eq!(drain(&budget, seconds(1.0)).0, 0);
    }

    #[test]
    fn what_heroku_says_counts() {
        let budget = Budget::new(4_500, 20);
        budget.answered(Duration::ZERO, Some(910));
        assert_eq!(drain(&budget, Duration::ZERO).0, 10);
        budget.answered(Duration::ZERO, None);
        assert_eq!(drain(&budget, Duration::ZERO).0, 0);
        // More than was thought: another limit, and a share of that is left to others.
        budget.answered(Duration::ZERO, Some(10_000));
        assert_eq!(drain(&budget, Duration::ZERO).0, 8_000);
        budget.answered(Duration::ZERO, Some(u32::MAX));
        assert_eq!(budget.state().capacity, f64::from(PER_HOUR_MAX));
    }

    #[test]
    fn requests_on_their_way_are_not_forgotten() {
        let budget = Budget::new(100, 0);
        let taken: Vec<_> = (0..3).map(|_| budget.take(Duration::ZERO).ok().unwrap()).collect();
        budget.answered(Duration::ZERO, Some(5));
        assert_eq!(drain(&budget, Duration::ZERO).0, 2);
        drop(taken);
        budget.answered(Duration::ZERO, Some(5));
        assert_eq!(drain(&budget, Duration::ZERO).0, 5);
    }

    #[test]
    fn a_refusal_shuts_it_for_all_and_longer_each_time() {
        let budget = Budget::new(3_600, 0);
        let mut asked = Vec::new();
        let mut wait = |number| {
            asked.push(number);
            seconds(f64::from(number) * 10.0)
        };
        // Refused together, and once more later.
        budget.refused(Duration::ZERO, Some(2_000), &mut wait);
        budget.refused(Duration::ZERO, Some(2_000), &mut wait);
        assert_eq!(drain(&budget, seconds(1.0)), (0, seconds(9.0)));
        budget.refused(seconds(10.0), Some(2_000), &mut wait);
        assert_eq!(drain(&budget, seconds(10.0)), (0, seconds(20.0)));
        budget.answered(seconds(30.0), None);
        budget.refused(seconds(30.0), None, &mut wait);
        // Nothing left: ten seconds, in which ten come back.
        assert_eq!(drain(&budget, seconds(40.0)).0, 10);
        assert_eq!(asked, [1, 2, 1]);
    }
}
