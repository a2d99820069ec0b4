//! A part of every day: `01:00-05:00 Europe/Berlin`.

use freshet_core::Micros;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A part of every day, by the clocks of one place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// The first minute of the day in it.
    from: u16,
    /// The first minute of the day after it; before `from` when midnight lies between.
    to: u16,
    zone: TimeZone,
}

impl Window {
    /// What `text` says.
    ///
    /// # Errors
    /// What is wrong with it, to follow the name of the key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("is {text:?}, but must be a part of the day and a time zone, such as \"01:00-05:00 Europe/Berlin\"");
        let (span, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
        let (from, to) = span.split_once('-').ok_or_else(wrong)?;
        let (Some(from), Some(to), Ok(zone)) = (minute(from), minute(to), TimeZone::get(zone.trim())) else { return Err(wrong()) };
        if from == to {
            return Err(wrong());
        }
        Ok(Self { from, to, zone })
    }

    /// Whether `now` lies in it.
    #[must_use]
    pub(crate) fn contains(&self, now: Micros) -> bool {
        let Ok(now) = Timestamp::from_microsecond(now.0) else { return false };
        let time = now.to_zoned(self.zone.clone()).time();
        let now = u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs());
        if self.from < self.to { (self.from..self.to).contains(&now) } else { now >= self.from || now < self.to }
    }
}

/// The minute of the day in `05:30`; 24:00 is the first of the next.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute).or((hour == 24 && minute == 0).then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_day_is_by_the_clocks_of_its_place() {
        fn check(window: &str, now: &str, expected: bool) {
            let now = Micros(now.parse::<Timestamp>().unwrap().as_microsecond());
            assert_eq!(Window::parse(window).unwrap().contains(now), expected, "{window} at {now:?}");
        }
        check("01:00-05:00 Europe/Berlin", "2026-07-01T00:30:00Z", true);
        check("01:00-05:00 Europe/Berlin", "2026-01-01T00:30:00Z", true);
        check("01:00-05:00 Europe/Berlin", "2026-01-01T04:00:00Z", false);
        check("01:00-05:00 Europe/Berlin", "2026-07-01T03:30:00Z", false);
        check("01:00-05:00", "2026-07-01T04:59:59Z", true);
        check("22:00-02:00", "2026-07-01T23:00:00Z", true);
        check("22:00-02:00", "2026-07-01T02:00:00Z", false);
        check("22:00-24:00", "2026-07-01T23:59:59Z", true);
        for wrong in ["", "01:00", "1-5", "01:00-01:00", "25:00-26:00", "01:00-05:00 Europe/Atlantis", "01:00-05:00Z", "+1:00-05:00"] {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
    }
}
