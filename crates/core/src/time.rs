//! Moments in time, and the clock as an argument.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in UTC: microseconds since 1970-01-01, the resolution of Heroku's log lines and of Delta's `TIMESTAMP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// Microseconds in one day.
    pub const PER_DAY: i64 = 86_400_000_000;

    /// Days since 1970-01-01 of the UTC date this moment lies in: the value of the `date` partition column.
    #[must_use]
    pub fn days(self) -> i32 {
        i32::try_from(self.0.div_euclid(Self::PER_DAY)).unwrap_or(if self.0 < 0 { i32::MIN } else { i32::MAX })
    }

    /// Seconds from `earlier` to here; negative when `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }
}

impl fmt::Display for Micros {
    /// Whole microseconds; people's formats belong to the crates that talk to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// Where "now" comes from, so that a test can replay a bad Tuesday.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Micros;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_round_towards_the_past() {
        assert_eq!(Micros(0).days(), 0);
        assert_eq!(Micros(-1).days(), -1);
        assert_eq!(Micros(Micros::PER_DAY).days(), 1);
        assert_eq!(Micros(Micros::PER_DAY - 1).days(), 0);
        assert_eq!(Micros(i64::MIN).days(), -106_751_992);
    }
}
