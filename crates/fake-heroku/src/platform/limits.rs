//! The rate limit: a bucket that fills by itself.

use std::time::Instant;

/// The full bucket comes back in this many seconds: 4,500 in an hour are 75 in a minute.
const FULL_S: f64 = 3_600.0;

/// Requests that may still be made.
pub(super) struct Bucket {
    capacity: f64,
    left: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(capacity: u32, now: Instant) -> Self {
        Self { capacity: f64::from(capacity), left: f64::from(capacity), filled_at: now }
    }

    /// Takes one, if there is one; answers with what is left.
    pub(super) fn take(&mut self, now: Instant) -> Option<u32> {
        self.fill(now);
        if self.left < 1.0 {
            return None;
        }
        self.left -= 1.0;
        Some(self.left as u32)
    }

    /// What is left.
    pub(super) fn remaining(&mut self, now: Instant) -> u32 {
        self.fill(now);
        self.left as u32
    }

    /// Takes as many as there are, up to `count`.
    pub(super) fn spend(&mut self, now: Instant, count: u32) {
        self.fill(now);
        self.left = (self.left - f64::from(count)).max(0.0);
    }

    fn fill(&mut self, now: Instant) {
        let passed_s = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.left = (self.left + passed_s * self.capacity / FULL_S).min(self.capacity);
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn fills_by_75_a_minute() {
        let start = Instant::now();
        let mut bucket = Bucket::new(4_500, start);
        for left in (0..4_500).rev() {
            assert_eq!(bucket.take(start), Some(left));
        }
        assert_eq!(bucket.take(start), None);
        assert_eq!(bucket.take(start + Duration::from_millis(700)), None);
        assert_eq!(bucket.remaining(start + Duration::from_secs(60)), 75);
        assert_eq!(bucket.take(start + Duration::from_secs(60)), Some(74));
        assert_eq!(bucket.remaining(start + Duration::from_secs(100_000)), 4_500);
        for (count, left) in [(4_000, 500), (4_000, 0)] {
            bucket.spend(start, count);
            assert_eq!(bucket.remaining(start), left);
        }
    }
}
