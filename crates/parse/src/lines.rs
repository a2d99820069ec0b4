//! Bodies of one message per line.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::piece::{BodyFormat, Message, Piece, Reject, RejectReason, blank_bytes};
use crate::{cli, header, json_lines};

/// Neighbouring lines that are rejected for one reason become one reject, up to this length.
pub const REJECT_BYTES_MAX: usize = 64 << 10;

/// Reads a line (with its newline, if it has one); the range is where it stands in the body.
pub(crate) type Reader = for<'a> fn(&'a [u8], Range<usize>) -> Result<Message<'a>, RejectReason>;

/// How the lines of `format` are read; `None` where it has no lines.
pub(crate) fn reader(format: BodyFormat) -> Option<Reader> {
    match format {
        BodyFormat::Frames => None,
        BodyFormat::Cli => Some(cli::read),
        BodyFormat::Syslog => Some(|line, range| header::read(line, range, false)),
        BodyFormat::JsonLines => Some(json_lines::read),
    }
}

/// The message or reject that begins at `at`, where a line begins.
pub(crate) fn piece_at(body: &[u8], at: usize, read: Reader) -> Piece<'_> {
    let mut range = at..line_end(body, at);
    let reason = match read_line(body, range.clone(), read) {
        Ok(message) => return Piece::Message(message),
        Err(reason) => reason,
    };
    while range.end < body.len() {
        let line = range.end..line_end(body, range.end);
        if line.end - at > REJECT_BYTES_MAX || read_line(body, line.clone(), read).err() != Some(reason) {
            break;
        }
        range.end = line.end;
    }
    Piece::Reject(Reject { range, reason })
}

/// The longest prefix of `bytes` after which nothing that follows can change its pieces.
pub(crate) fn cut(bytes: &[u8], read: Reader) -> usize {
    let complete = memrchr(b'\n', bytes).map_or(0, |newline| newline + 1);
    // Rejects are merged from the first of a run on, so the end of a message is where they can be told apart.
    let mut end = complete;
    while end > 0 {
        let start = memrchr(b'\n', &bytes[..end - 1]).map_or(0, |newline| newline + 1);
        if read_line(bytes, start..end, read).is_ok() {
            return end;
        }
        end = start;
    }
    let mut last = 0;
    while last < complete {
        let next = piece_at(&bytes[..complete], last, read).range().end;
        if next == complete {
            break;
        }
        last = next;
    }
    last
}

/// The length of the first line.
pub(crate) fn first(bytes: &[u8]) -> usize {
    line_end(bytes, 0)
}

fn line_end(body: &[u8], at: usize) -> usize {
    memchr(b'\n', &body[at..]).map_or(body.len(), |newline| at + newline + 1)
}

/// Reads a line without the blanks and the byte order mark before it.
fn read_line(body: &[u8], range: Range<usize>, read: Reader) -> Result<Message<'_>, RejectReason> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let mut line = &body[range.clone()];
    loop {
        line = &line[blank_bytes(line)..];
        match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => line = rest,
            None => break,
        }
    }
    if line.is_empty() { Err(RejectReason::Blank) } else { read(line, range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-01-02T03:04:05Z app[web.1]: x\n";

    /// `m` or the reason, and the length of each piece.
    fn read(body: &str) -> Vec<(&'static str, usize)> {
        crate::pieces(BodyFormat::Cli, body.as_bytes())
            .map(|piece| match &piece {
                Piece::Message(_) => ("m", piece.range().len()),
                Piece::Reject(reject) => (reject.reason.as_str(), piece.range().len()),
            })
            .collect()
    }

    #[test]
    fn neighbouring_rejects_are_one() {
        let check = |parts: &[&str], expected: &[(&'static str, usize)]| assert_eq!(read(&parts.concat()), expected, "{parts:?}");
        check(&[], &[]);
        check(&[LINE, LINE], &[("m", 35), ("m", 35)]);
        check(&[LINE.trim_end()], &[("m", 34)]);
        check(&["a\n", "b\n", LINE, "c"], &[("no_time", 4), ("m", 35), ("no_time", 1)]);
        check(&["a\n", "\n", " \r\n", "b\n"], &[("no_time", 2), ("blank", 4), ("no_time", 2)]);
        check(&["\0\0", LINE, "\0"], &[("m", 37), ("blank", 1)]);
        check(&["\u{feff}", LINE], &[("m", 38)]);
        check(&["\u{feff}"], &[("blank", 3)]);
        let long = "x".repeat(REJECT_BYTES_MAX - 2) + "\n";
        check(&[&long, "\n"], &[("no_time", REJECT_BYTES_MAX - 1), ("blank", 1)]);
        check(&[&long, "b"], &[("no_time", REJECT_BYTES_MAX)]);
        check(&[&long, "b\n", "c\n"], &[("no_time", REJECT_BYTES_MAX - 1), ("no_time", 4)]);
        check(&[&"y".repeat(2 * REJECT_BYTES_MAX), "\n", "c\n"], &[("no_time", 2 * REJECT_BYTES_MAX + 1), ("no_time", 2)]);
    }
}
