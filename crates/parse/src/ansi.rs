//! Terminal control sequences, such as the colours that `heroku logs` writes to a terminal.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

/// The byte each control sequence begins with.
pub(crate) const ESCAPE: u8 = 0x1b;

/// `bytes` without its control sequences (CSI: `ESC [ … letter`). An escape that begins none stays.
pub(crate) fn strip(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = next_sequence(bytes, 0) else {
        return Cow::Borrowed(bytes);
    };
    let mut plain = Vec::with_capacity(bytes.len());
    plain.extend_from_slice(&bytes[..first.start]);
    let mut at = first.end;
    while let Some(sequence) = next_sequence(bytes, at) {
        plain.extend_from_slice(&bytes[at..sequence.start]);
        at = sequence.end;
    }
    plain.extend_from_slice(&bytes[at..]);
    Cow::Owned(plain)
}

/// Where in `bytes` the first `plain_bytes` bytes of `strip(bytes)` end.
pub(crate) fn offset_after(bytes: &[u8], plain_bytes: usize) -> usize {
    let mut at = 0;
    let mut left = plain_bytes;
    while let Some(sequence) = next_sequence(bytes, at) {
        let plain = sequence.start - at;
        if left <= plain {
            break;
        }
        left -= plain;
        at = sequence.end;
    }
    (at + left).min(bytes.len())
}

fn next_sequence(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while let Some(offset) = memchr(ESCAPE, &bytes[at..]) {
        let start = at + offset;
        at = start + 1;
        if bytes.get(at) != Some(&b'[') {
            continue;
        }
        let parameters = bytes[at + 1..].iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
        at += 1 + parameters;
        if matches!(bytes.get(at), Some(0x40..=0x7e)) {
            return Some(start..at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_removed() {
        let check = |input: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&strip(input.as_bytes())), expected, "{input:?}");
        };
        check("", "");
        check("plain", "plain");
        check("\x1b[31mred\x1b[0m", "red");
        check("a\x1b[38;5;12mb\x1b[Kc\x1b[?25l", "abc");
        check("\x1b[1;\x1b[31mx", "\x1b[1;x");
        check("lone \x1b here", "lone \x1b here");
        check("cut \x1b[31", "cut \x1b[31");
        check("cut \x1b", "cut \x1b");
    }

    #[test]
    fn offsets_skip_sequences() {
        let input = b"\x1b[31mab\x1b[0mcd";
        let check = |plain: usize, expected: &[u8]| assert_eq!(&input[offset_after(input, plain)..], expected, "{plain}");
        check(1, b"b\x1b[0mcd");
        check(2, b"\x1b[0mcd");
        check(3, b"d");
        check(4, b"");
        check(9, b"");
    }
}
