//! Where a stream of bytes can be split without splitting a record.

use crate::piece::BodyFormat;
use crate::{frames, lines};

/// The length of the longest prefix of `bytes` that can be split off, 0 when there is none yet.
///
/// `bytes` begin at the start of a record, and more may follow. For lines, the pieces of the prefix and those of the rest
/// are together the pieces of the whole, whatever the bytes. For frames the same holds where every length is right and
/// none is over [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX); where lengths are wrong, a prefix still ends where a frame
/// begins as far as can be told. At the end of the input the rest is a chunk of its own.
///
/// Takes time linear in `bytes`, again at each call: a caller that gets 0 should come back with twice as many. Only a record
/// that is not complete (or, in lines, rejects up to [`REJECT_BYTES_MAX`](crate::REJECT_BYTES_MAX)) holds a cut back, so a
/// caller that bounds its buffer splits off all of it when full.
#[must_use]
pub fn cut(format: BodyFormat, bytes: &[u8]) -> usize {
    match lines::reader(format) {
        Some(read) => lines::cut(bytes, read),
        None => frames::cut(bytes),
    }
}

/// The length of the first record of a body: the line with its newline, or the frame with its length.
///
/// Where `bytes` end before the record does, it is `bytes.len()`. Of frames, bytes before the first one are a record.
#[must_use]
pub fn first_record(format: BodyFormat, bytes: &[u8]) -> usize {
    match lines::reader(format) {
        Some(_) => lines::first(bytes),
        None => frames::first(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_behind_messages() {
        let check = |bytes: &str, expected: usize| assert_eq!(cut(BodyFormat::Cli, bytes.as_bytes()), expected, "{bytes:?}");
        let line = "2026-01-02T03:04:05Z app[web.1]: x\n";
        check("", 0);
        check("x", 0);
        check("x\n", 0);
        check(line.trim_end(), 0);
        check(line, 35);
        check(&format!("{line}{line}2026"), 70);
        check(&format!("{line}x\nx\n{line}"), 74);
        check(&format!("{line}x\nx\n"), 35);
        check("x\n\nx\n\n", 5);
        check(&"x\n".repeat(lines::REJECT_BYTES_MAX), lines::REJECT_BYTES_MAX);
    }

    #[test]
    fn frames_are_cut_where_the_next_one_is_sure() {
        let check = |bytes: &str, expected: usize| assert_eq!(cut(BodyFormat::Frames, bytes.as_bytes()), expected, "{bytes:?}");
        let frame = |text: &str| format!("{} <190>1 2026-01-02T03:04:05Z host app web.1 - {text}", 45 + text.len());
        let long = frame(&frame("x").repeat(1000));
        check("", 0);
        check("12", 0);
        check(&"junk".repeat(1000), 0);
        check(&frame("x"), 0);
        check(&frame("x").repeat(20), 49 * 17);
        check(&long[..30_000], 0);
        check(&format!("{}{}", frame("y"), &long[..30_000]), 49);
        check(&format!("{}{}", frame("y"), long), 49);
        check(&format!("{}{}{}", frame("y"), long, &long[..200]), 49 + long.len());
        check(&format!("junk{}{}", frame("y"), &long[..200]), 53);
        check(&format!("9999999{}{}", frame("y"), &long[..200]), 56);
    }

    #[test]
    fn first_records() {
        let check = |format, bytes: &str, expected: usize| assert_eq!(first_record(format, bytes.as_bytes()), expected, "{bytes:?}");
        check(BodyFormat::Cli, "", 0);
        check(BodyFormat::Cli, "ab", 2);
        check(BodyFormat::Cli, "ab\ncd\n", 3);
        check(BodyFormat::Frames, "", 0);
        check(BodyFormat::Frames, "junk", 4);
        check(BodyFormat::Frames, "48 <190>1 2026-01-02T03:04:05Z host app web.1 - abc48 <190>1", 51);
        check(
            BodyFormat::Frames,
            "480 <190>1 2026-01-02T03:04:05Z host app web.1 - 48 <190>1 2026-01-02T03:04:05Z host app web.1 - abc",
            100,
        );
    }
}
