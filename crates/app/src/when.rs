//! Times as people and programs read them.

use freshet_core::Micros;
use jiff::Timestamp;

/// `2026-11-20 10:00:00`, UTC.
#[must_use]
pub(crate) fn people(time: Micros) -> String {
    timestamp(time).map_or_else(|| time.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// `2026-11-20T10:00:00.5Z`.
#[must_use]
pub(crate) fn rfc3339(time: Micros) -> String {
    timestamp(time).map_or_else(|| time.to_string(), |time| time.to_string())
}

/// `2026-11-20`, from days since 1970-01-01.
#[must_use]
pub(crate) fn date(days: i32) -> String {
    people(Micros(i64::from(days) * Micros::PER_DAY)).chars().take_while(|c| *c != ' ').collect()
}

fn timestamp(time: Micros) -> Option<Timestamp> {
    Timestamp::from_microsecond(time.0).ok()
}
