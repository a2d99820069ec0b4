//! Which format a file has.

use crate::piece::{BodyFormat, Piece};
use crate::pieces;

/// How many bytes of a file [`detect`] looks at.
pub const DETECT_BYTES_MAX: usize = 64 << 10;

/// The format in which most of `head`, the first bytes of a body, is messages. `None` where no format has a message in it.
///
/// More than [`DETECT_BYTES_MAX`] bytes are of no use. What is not a message (an HTTP request's head, a byte order mark,
/// blank or broken lines) does not matter, nor does it that `head` ends in the middle of a message, unless that is its only
/// one.
#[must_use]
pub fn detect(head: &[u8]) -> Option<BodyFormat> {
    let head = &head[..head.len().min(DETECT_BYTES_MAX)];
    // Of equals `max_by_key` takes the last: the format named first is the stricter one.
    let formats = BodyFormat::ALL.into_iter().rev().map(|format| (format, message_bytes(format, head)));
    formats.filter(|(_, bytes)| *bytes > 0).max_by_key(|(_, bytes)| *bytes).map(|(format, _)| format)
}

fn message_bytes(format: BodyFormat, head: &[u8]) -> usize {
    pieces(format, head).filter(|piece| matches!(piece, Piece::Message(_))).map(|piece| piece.range().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |parts: &[&str], expected: Option<BodyFormat>| assert_eq!(detect(parts.concat().as_bytes()), expected, "{parts:?}");
        let cli = "2026-01-02T03:04:05Z app[web.1]: x\n";
        let colour = "\x1b[36m2026-01-02T03:04:05Z app[web.1]:\x1b[0m x\n";
        let syslog = "<190>1 2026-01-02T03:04:05Z host app web.1 - x\n";
        let frame = format!("{} {syslog}", syslog.len());
        let long = format!("1000000 {}", &syslog.replace('x', cli).repeat(5));
        let json = "{\"time\":\"2026-01-02T03:04:05Z\",\"message\":\"x\"}\n";
        check(&[], None);
        check(&["\n\n"], None);
        check(&["id\ttime\n1\t2\n"], None);
        check(&[cli], Some(BodyFormat::Cli));
        check(&[cli.trim_end()], Some(BodyFormat::Cli));
        check(&["\u{feff}", cli], Some(BodyFormat::Cli));
        check(&["\n\0junk\n", "more junk\n", cli, "at web.rb:1\n"], Some(BodyFormat::Cli));
        check(&[colour], Some(BodyFormat::Cli));
        check(&[&cli.replace('x', &frame)], Some(BodyFormat::Cli));
        check(&[&cli.replace('x', json)], Some(BodyFormat::Cli));
        check(&[syslog, cli, syslog], Some(BodyFormat::Syslog));
        check(&[json, json, cli], Some(BodyFormat::JsonLines));
        check(&[&json.replace("\"x\"", &format!("\"{}\"", frame.trim_end()))], Some(BodyFormat::JsonLines));
        check(&[&frame, &frame], Some(BodyFormat::Frames));
        check(&["POST /logs HTTP/1.1\r\nHost: x\r\n\r\n", &frame], Some(BodyFormat::Frames));
        check(&["\u{feff}\r\n", &frame, "junk"], Some(BodyFormat::Frames));
        check(&[&long], Some(BodyFormat::Frames));
        check(&[&"x\n".repeat(DETECT_BYTES_MAX), &frame], None);
    }
}
