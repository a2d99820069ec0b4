//! The text of a line, put together without an allocation per piece: a story writes hundreds of thousands of lines a second.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A line being written.
#[derive(Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// These words.
    pub(super) fn put(&mut self, words: &str) -> &mut Self {
        self.bytes.extend_from_slice(words.as_bytes());
        self
    }

    /// These bytes, which need not be UTF-8.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A whole number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.padded(number, 1)
    }

    /// A whole number with zeros before it, up to `width` digits.
    pub(super) fn padded(&mut self, number: u64, width: usize) -> &mut Self {
        let mut digits = [b'0'; 20];
        let (mut rest, mut first) = (number, digits.len());
        while rest > 0 {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.raw(&digits[first.min(digits.len() - width.min(digits.len()))..])
    }

    /// A number that is not negative, with two decimals.
    pub(super) fn hundredths(&mut self, number: f64) -> &mut Self {
        let hundredths = (number * 100.0).round() as u64;
        self.number(hundredths / 100).put(".").padded(hundredths % 100, 2)
    }

    /// Anything: slower than the rest, for lines that are rare.
    pub(super) fn say(&mut self, what: fmt::Arguments<'_>) -> &mut Self {
        // Writing to memory does not fail.
        let _ = fmt::Write::write_fmt(self, what);
        self
    }

    /// A moment as `2026-11-20 09:04:47`, in UTC.
    pub(super) fn date_and_time(&mut self, micros: i64) -> &mut Self {
        let moment = TimeZone::UTC.to_datetime(moment(micros));
        self.padded(moment.year().unsigned_abs().into(), 4)
            .put("-")
            .padded(digits(moment.month()), 2)
            .put("-")
            .padded(digits(moment.day()), 2);
        self.put(" ")
            .padded(digits(moment.hour()), 2)
            .put(":")
            .padded(digits(moment.minute()), 2)
            .put(":")
            .padded(digits(moment.second()), 2)
    }

    /// What was written, which leaves nothing behind.
    pub(super) fn take(&mut self) -> Bytes {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        self.bytes.clear();
        bytes
    }

    /// What was written so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        self.put(words);
        Ok(())
    }
}

/// A moment from the microseconds since 1970 in which the story counts.
pub(super) fn moment(micros: i64) -> Timestamp {
    // Out of range only thousands of years from now.
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

fn digits(part: i8) -> u64 {
    part.unsigned_abs().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Text), expected: &str) {
        let mut text = Text::default();
        write(&mut text);
        assert_eq!(text.take(), expected.as_bytes());
        assert!(text.as_bytes().is_empty());
    }

    #[test]
    fn numbers_and_times_read_as_heroku_writes_them() {
        check(|text| _ = text.number(0), "0");
        check(|text| _ = text.number(u64::MAX), "18446744073709551615");
        check(|text| _ = text.padded(7, 3), "007");
        check(|text| _ = text.padded(1234, 3), "1234");
        check(|text| _ = text.hundredths(0.0), "0.00");
        check(|text| _ = text.hundredths(139.796), "139.80");
        check(|text| _ = text.hundredths(0.999), "1.00");
        check(|text| _ = text.date_and_time(1_795_078_807_000_000), "2026-11-19 09:00:07");
        check(|text| _ = text.put("a=").say(format_args!("{:?}", "b")).raw(b"!"), "a=\"b\"!");
    }
}
