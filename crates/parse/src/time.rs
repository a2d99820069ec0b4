//! Times to microseconds since 1970 UTC.

use std::ops::Range;

const SECOND_US: i64 = 1_000_000;

/// A moment written as RFC 3339 (`2010-09-16T15:13:46.677020+00:00`), in microseconds since 1970 UTC.
///
/// The year is 1970 to 9999, the fraction has up to nine digits (what is finer than a microsecond is cut off), the zone is
/// required. `t`, a space and `z` may stand for `T` and `Z`. Second 60 is the first second of the next minute. `None` for
/// anything else.
#[must_use]
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let [c, y, e, a, b'-', m, o, b'-', d, day, b'T' | b't' | b' ', h, hour, b':', min, minute, b':', s, sec] = *date_time else {
        return None;
    };
    let days = days(two(c, y)? * 100 + two(e, a)?, two(m, o)?, two(d, day)?)?;
    let seconds = two(s, sec).filter(|seconds| *seconds <= 60)?;
    let time = clock(two(h, hour)?, two(min, minute)?)? + seconds;
    let (fraction_us, zone) = fraction(rest)?;
    let offset = match *zone {
        [b'Z' | b'z'] => 0,
        [b'+', h, hour, b':', m, minute] => clock(two(h, hour)?, two(m, minute)?)?,
        [b'-', h, hour, b':', m, minute] => -clock(two(h, hour)?, two(m, minute)?)?,
        _ => return None,
    };
    Some((days * 86_400 + time - offset) * SECOND_US + fraction_us)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

/// Hours and minutes of a day as seconds.
fn clock(hours: i64, minutes: i64) -> Option<i64> {
    (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)
}

/// Days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    /// Leap days in the years 1 to 1969.
    const LEAP_DAYS_BEFORE_1970: i64 = 477;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (before, length) = match month {
        1 => (0, 31),
        2 => (31, 28 + i64::from(leap)),
        3 => (59, 31),
        4 => (90, 30),
        5 => (120, 31),
        6 => (151, 30),
        7 => (181, 31),
        8 => (212, 31),
        9 => (243, 30),
        10 => (273, 31),
        11 => (304, 30),
        12 => (334, 31),
        _ => return None,
    };
    if year < 1970 || day < 1 || day > length {
        return None;
    }
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - LEAP_DAYS_BEFORE_1970 + i64::from(leap && month > 2);
    Some((year - 1970) * 365 + leap_days + before + day - 1)
}

/// The microseconds after the seconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = digits.split_at(count);
    let us = (0..6).fold(0, |us, place| us * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0')));
    Some((us, rest))
}

/// The times since 1970 that are taken for moments. The unit follows from the magnitude: moments from 1973 to 5138 in seconds
/// to microseconds, to 2262 in nanoseconds. What is smaller is a duration.
const EPOCH_SECONDS: Range<u64> = 100_000_000..EPOCH_MILLIS.start;
const EPOCH_MILLIS: Range<u64> = 100_000_000_000..EPOCH_MICROS.start;
const EPOCH_MICROS: Range<u64> = 100_000_000_000_000..EPOCH_NANOS.start;
const EPOCH_NANOS: Range<u64> = 100_000_000_000_000_000..i64::MAX.unsigned_abs();

/// A moment given in seconds, milli-, micro- or nanoseconds since 1970, in microseconds.
pub(crate) fn epoch_us(epoch: u64) -> Option<i64> {
    let us = if EPOCH_SECONDS.contains(&epoch) {
        epoch * 1_000_000
    } else if EPOCH_MILLIS.contains(&epoch) {
        epoch * 1000
    } else if EPOCH_MICROS.contains(&epoch) {
        epoch
    } else if EPOCH_NANOS.contains(&epoch) {
        epoch / 1000
    } else {
        return None;
    };
    i64::try_from(us).ok()
}

/// The same with a fraction, to the nearest microsecond.
pub(crate) fn epoch_decimal_us(epoch: f64) -> Option<i64> {
    // In this range each product and cast below is in range too; NaN is in none.
    if !(EPOCH_SECONDS.start as f64..EPOCH_NANOS.end as f64).contains(&epoch) {
        return None;
    }
    let whole = epoch as u64;
    if EPOCH_SECONDS.contains(&whole) {
        Some((epoch * 1e6).round() as i64)
    } else if EPOCH_MILLIS.contains(&whole) {
        Some((epoch * 1e3).round() as i64)
    } else {
        epoch_us(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(timestamp(text.as_bytes()), expected, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T00:00:00+00:01", Some(-60_000_000));
        check("2010-09-16T15:13:46.677020+00:00", Some(1_284_650_026_677_020));
        check("2010-10-06T21:51:07-07:00", Some(1_286_427_067_000_000));
        check("2018-01-01T00:00:00.00+00:00", Some(1_514_764_800_000_000));
        check("2023-08-24T12:31:50.112+00:00", Some(1_692_880_310_112_000));
        check("2023-08-24t12:31:50.123456789z", Some(1_692_880_310_123_456));
        check("2023-08-24 12:31:50Z", Some(1_692_880_310_000_000));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000));
        check("2024-03-01T00:00:00-00:00", Some(1_709_251_200_000_000));
        check("2000-02-29T23:59:59.999999Z", Some(951_868_799_999_999));
        check("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000));
        check("9999-12-31T23:59:59.999999Z", Some(253_402_300_799_999_999));
        for wrong in [
            "",
            "-",
            "2010-09-16T15:13:46",
            "2010-09-16T15:13:46.Z",
            "2010-09-16T15:13:46.1234567890Z",
            "2010-09-16T15:13:46+0000",
            "2010-09-16T15:13:46+24:00",
            "2010-09-16T15:13:46+00:60",
            "2010-09-16T15:13:46Z ",
            "2010-09-16T24:00:00Z",
            "2010-09-16T23:60:00Z",
            "2010-09-16T23:00:61Z",
            "2010-13-16T23:00:00Z",
            "2010-00-16T23:00:00Z",
            "2010-09-31T23:00:00Z",
            "2010-09-00T23:00:00Z",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2010_09_16T15:13:46Z",
            "+010-09-16T15:13:46Z",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..=2400 {
            for month in 1..=12 {
                for day in (1..=31).filter_map(|day| days(year, month, day)) {
                    assert_eq!(day, expected, "{year}-{month}");
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, 157_420);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = timestamp(&text);
        }

        #[test]
        fn any_change_of_one_byte_is_read_without_panic(at in 0_usize..32, byte: u8) {
            let mut text = *b"2010-09-16T15:13:46.677020+00:00";
            text[at] = byte;
            let _ = timestamp(&text);
        }
    }
}
