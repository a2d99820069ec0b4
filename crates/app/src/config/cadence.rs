//! How often something is done: `every 15m`, `off`, or a cron expression with a time zone.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use freshet_core::Micros;

use super::units;

/// The shortest span between two runs: the rate limit is an account's, and others need it too.
const EVERY_MIN: Duration = Duration::from_secs(60);

/// How often something is done.
#[derive(Clone, Debug)]
pub(crate) enum Cadence {
    /// So long after it was last begun.
    Every(Duration),
    /// When the clock says so.
    Cron(Box<Crontab>),
    /// Never by itself.
    Off,
}

impl Cadence {
    /// What `text` says.
    ///
    /// # Errors
    /// What is wrong with it, to follow the name of the key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(span) = text.strip_prefix("every ") {
            return match units::duration(span.trim()) {
                Some(every) if every >= EVERY_MIN => Ok(Self::Every(every)),
                _ => Err(format!("is {text:?}, but after `every` comes a time span of at least \"1m\", such as \"every 15m\"")),
            };
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        match parse_crontab_with(text, options) {
            Ok(cron) => Ok(Self::Cron(Box::new(cron))),
            Err(_) => Err(format!(
                "is {text:?}, but must be \"every 15m\", \"off\", or minute, hour, day, month, weekday and time zone as in \"0 6 * * MON-FRI Europe/Berlin\""
            )),
        }
    }

    /// When it is next due, if it was last begun at `last`. What was missed meanwhile is made up for once: the time may be past.
    /// `None` is never.
    #[must_use]
    pub(crate) fn due(&self, last: Option<Micros>, now: Micros) -> Option<Micros> {
        match (self, last) {
            (Self::Off, _) => None,
            (_, None) => Some(now),
            // A clock that was set back must not stop it for as long.
            (Self::Every(every), Some(last)) => {
                let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
                Some(Micros(last.0.min(now.0).saturating_add(every)))
            }
            (Self::Cron(cron), Some(last)) => {
                let next = cron.find_next(MakeTimestamp::from_microsecond(last.0.min(now.0)).ok()?).ok()?;
                Some(Micros(next.timestamp().as_microsecond()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        fn check(cadence: &str, last: Option<&str>, now: &str, due: &str) {
            let found = Cadence::parse(cadence).unwrap().due(last.map(at), at(now));
            assert_eq!(found, Some(at(due)), "{cadence} after {last:?} at {now}");
        }
        check("every 15m", None, "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z");
        check("every 15m", Some("2026-03-01T12:00:00Z"), "2026-03-01T12:05:00Z", "2026-03-01T12:15:00Z");
        check("every 15m", Some("2026-03-01T08:00:00Z"), "2026-03-01T12:05:00Z", "2026-03-01T08:15:00Z");
        check("every 15m", Some("2027-01-01T00:00:00Z"), "2026-03-01T12:00:00Z", "2026-03-01T12:15:00Z");
        check("0 6 * * *", Some("2026-03-01T12:00:00Z"), "2026-03-01T12:05:00Z", "2026-03-02T06:00:00Z");
        check("0 6 * * MON-FRI Europe/Berlin", Some("2026-03-27T12:00:00Z"), "2026-03-27T12:05:00Z", "2026-03-30T04:00:00Z");
        // The hour that does not exist, and the one that is there twice.
        check("30 2 * * * Europe/Berlin", Some("2026-10-24T12:00:00Z"), "2026-10-24T12:05:00Z", "2026-10-25T00:30:00Z");
        assert_eq!(Cadence::parse("off").unwrap().due(None, at("2026-03-01T12:00:00Z")), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["", "15m", "every", "every now", "every 5s", "0 6 * *", "61 * * * *", "0 6 * * * Europe/Atlantis"] {
            assert!(Cadence::parse(wrong).is_err(), "{wrong}");
        }
    }
}
