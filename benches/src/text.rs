//! The text of one message, built without allocating.

use jiff::Timestamp;

use crate::random::Random;

/// A reusable buffer with the few ways of writing that log lines need. Each method appends and returns `self`.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    next_key: Option<u64>,
    key_at: Option<usize>,
}

/// Digits of a key, leading zeros included: one width, so that a body can be given other keys in place.
pub const KEY_DIGITS: usize = 12;

impl Text {
    /// An empty text; with `first_key`, the messages that can carry a key get consecutive ones from there.
    #[must_use]
    pub fn new(first_key: Option<u64>) -> Self {
        Self { bytes: Vec::with_capacity(16 * 1024), next_key: first_key, key_at: None }
    }

    /// Forgets the last message.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.key_at = None;
    }

    /// What was written since [`Text::clear`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the digits of this message's key begin, when it has one.
    #[must_use]
    pub const fn key_at(&self) -> Option<usize> {
        self.key_at
    }

    /// The key the next message that carries one will get.
    #[must_use]
    pub const fn next_key(&self) -> Option<u64> {
        self.next_key
    }

    /// Appends bytes that need not be UTF-8.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends words.
    pub fn str(&mut self, words: &str) -> &mut Self {
        self.raw(words.as_bytes())
    }

    /// Appends a whole number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        push_number(&mut self.bytes, number);
        self
    }

    /// Appends a whole number with leading zeros up to `width` digits.
    pub fn padded(&mut self, number: u64, width: usize) -> &mut Self {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.bytes.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits)));
        self.number(number)
    }

    /// Appends `hundredths` as a decimal with two places: 1234 becomes `12.34`.
    pub fn hundredths(&mut self, hundredths: u64) -> &mut Self {
        self.number(hundredths / 100).str(".").padded(hundredths % 100, 2)
    }

    /// Appends the second of `time_us` (microseconds since 1970, UTC) as `2026-11-20`, `between`, `09:00:00`.
    pub fn moment(&mut self, time_us: i64, between: &str) -> &mut Self {
        let moment = Timestamp::from_microsecond(time_us).unwrap_or(Timestamp::UNIX_EPOCH);
        let (date, clock) = (moment.strftime("%Y-%m-%d").to_string(), moment.strftime("%H:%M:%S").to_string());
        self.str(&date).str(between).str(&clock)
    }

    /// Appends `digits` random hexadecimal digits (at most 16 at a time are independent).
    pub fn hex(&mut self, random: &mut Random, digits: usize) -> &mut Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut left = digits;
        while left > 0 {
            let mut bits = random.bits();
            for _ in 0..left.min(16) {
                self.bytes.push(HEX[(bits & 15) as usize]);
                bits >>= 4;
            }
            left -= left.min(16);
        }
        self
    }

    /// Appends a random UUID.
    pub fn uuid(&mut self, random: &mut Random) -> &mut Self {
        self.hex(random, 8).str("-").hex(random, 4).str("-4").hex(random, 3).str("-a").hex(random, 3).str("-").hex(random, 12)
    }

    /// Appends `before` and `seq=` with this message's key, when keys are wanted.
    pub fn key(&mut self, before: &str) -> &mut Self {
        let Some(key) = self.next_key else { return self };
        self.next_key = Some(key + 1);
        self.str(before).str("seq=");
        self.key_at = Some(self.bytes.len());
        self.padded(key, KEY_DIGITS)
    }
}

/// Appends the decimal digits of `number` to `out`.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::Text;
    use crate::random::Random;

    fn check(write: impl Fn(&mut Text), expected: &str) {
        let mut text = Text::new(Some(41));
        write(&mut text);
        assert_eq!(String::from_utf8_lossy(text.bytes()), expected);
    }

    #[test]
    fn writes_numbers_and_keys() {
        check(|text| _ = text.number(0), "0");
        check(|text| _ = text.number(u64::MAX), "18446744073709551615");
        check(|text| _ = text.padded(0, 3).str(" ").padded(1000, 3).str(" ").padded(99, 3), "000 1000 099");
        check(|text| _ = text.hundredths(1234).str(" ").hundredths(7), "12.34 0.07");
        check(|text| _ = text.str("paid").key(" ").str("!"), "paid seq=000000000041!");
    }

    #[test]
    fn a_text_without_keys_writes_none() {
        let mut text = Text::new(None);
        text.str("paid").key(" ");
        assert_eq!(text.bytes(), b"paid");
        assert_eq!(text.key_at(), None);
    }

    #[test]
    fn a_uuid_has_its_shape() {
        let mut text = Text::new(None);
        text.uuid(&mut Random::new(3));
        let parts: Vec<usize> = text.bytes().split(|byte| *byte == b'-').map(<[u8]>::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }
}
