//! The lines that `heroku logs` prints: `TIME SOURCE[DYNO]: TEXT`, perhaps in colour.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::ansi;
use crate::header::is_name;
use crate::piece::{Message, RejectReason, without_newline};

/// Reads one line; `range` is where it stands in the body.
pub(crate) fn read(line: &[u8], range: Range<usize>) -> Result<Message<'_>, RejectReason> {
    let header = match Header::read(line) {
        // What follows the header at once may be the end of the header's own colour, and hide its last space.
        Ok(header) if line.get(header.text_at) != Some(&ansi::ESCAPE) => header,
        Err(reason) if memchr(ansi::ESCAPE, line).is_none() => return Err(reason),
        _ => return read_coloured(line, range),
    };
    Ok(message(range, header.ts_us, (Cow::Borrowed(header.source), Cow::Borrowed(header.dyno)), &line[header.text_at..]))
}

/// Reads a line with colour codes in its header.
fn read_coloured(line: &[u8], range: Range<usize>) -> Result<Message<'_>, RejectReason> {
    let plain = ansi::strip(line);
    let header = Header::read(&plain)?;
    let text_at = ansi::offset_after(line, header.text_at);
    let names = (Cow::Owned(header.source.to_vec()), Cow::Owned(header.dyno.to_vec()));
    Ok(message(range, header.ts_us, names, &line[text_at..]))
}

fn message<'a>(range: Range<usize>, ts_us: i64, (source, dyno): (Cow<'a, [u8]>, Cow<'a, [u8]>), text: &'a [u8]) -> Message<'a> {
    let exact = text.strip_suffix(b"\n").unwrap_or(text);
    let (text, raw) = match ansi::strip(exact) {
        Cow::Borrowed(text) => {
            let (text, raw) = without_newline(text);
            (Cow::Borrowed(text), raw)
        }
        Cow::Owned(mut plain) => {
            if plain.ends_with(b"\r") {
                plain.pop();
            }
            (Cow::Owned(plain), Some(exact))
        }
    };
    Message { range, ts_us, facility: None, severity: None, hostname: b"", source, dyno, text, raw, short: false }
}

struct Header<'l> {
    ts_us: i64,
    source: &'l [u8],
    dyno: &'l [u8],
    text_at: usize,
}

impl<'l> Header<'l> {
    fn read(line: &'l [u8]) -> Result<Self, RejectReason> {
        let space = memchr(b' ', line).ok_or(RejectReason::NoTime)?;
        let ts_us = crate::timestamp(&line[..space]).ok_or(RejectReason::NoTime)?;
        let name_at = space + 1;
        let bracket = find(line, b'[', name_at)?;
        let close = find(line, b']', bracket + 1)?;
        let (source, dyno) = (&line[name_at..bracket], &line[bracket + 1..close]);
        if !is_name(source) || !(dyno.is_empty() || is_name(dyno)) || line.get(close + 1) != Some(&b':') {
            return Err(RejectReason::Header);
        }
        let text_at = close + 2 + usize::from(line.get(close + 2) == Some(&b' '));
        Ok(Self { ts_us, source, dyno, text_at })
    }
}

fn find(line: &[u8], byte: u8, from: usize) -> Result<usize, RejectReason> {
    memchr(byte, &line[from..]).map(|offset| from + offset).ok_or(RejectReason::Header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source, dyno, text and what is in `raw`, with `|` between.
    fn fields(line: &str) -> String {
        match read(line.as_bytes(), 0..line.len()) {
            Ok(message) => {
                let raw = message.raw.unwrap_or(b"-");
                [&message.source, &message.dyno, &message.text, raw].map(String::from_utf8_lossy).join("|").replace('\x1b', "ESC")
            }
            Err(reason) => reason.as_str().into(),
        }
    }

    #[test]
    fn lines() {
        let check = |line: &str, expected: &str| assert_eq!(fields(line), expected, "{line:?}");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]: text\n", "app|web.1|text|-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]: text", "app|web.1|text|-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]:text", "app|web.1|text|-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]:  text ", "app|web.1| text |-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]:\n", "app|web.1||-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]:", "app|web.1||-");
        check("2010-09-16T15:13:46.677020+00:00 app[web.1]: text\r\n", "app|web.1|text|text\r");
        check("2010-09-16T15:13:46.677020+00:00 app[]: text", "app||text|-");
        check("2010-10-06T21:51:07-07:00 heroku[router]: at=info", "heroku|router|at=info|-");
        check("2025-10-06T21:51:07Z heroku-runtime[web-1234abcde-123ab]: up", "heroku-runtime|web-1234abcde-123ab|up|-");
        check("2011-05-03T17:40:10+00:00 Logplex[x]: a [b]: c", "Logplex|x|a [b]: c|-");
        check("text", "no_time");
        check("text without a time", "no_time");
        check("2010-09-16 15:13:46 app[web.1]: text", "no_time");
        check("2010-09-16T15:13:46Z text", "header");
        check("2010-09-16T15:13:46Z app[web.1] text", "header");
        check("2010-09-16T15:13:46Z app[web.1", "header");
        check("2010-09-16T15:13:46Z two words[web.1]: text", "header");
        check("2010-09-16T15:13:46Z [web.1]: text", "header");
    }

    #[test]
    fn colours() {
        let check = |line: &str, expected: &str| assert_eq!(fields(line), expected, "{line:?}");
        let time = "2018-01-01T00:00:00.00+00:00";
        check(&format!("{time} app[web.1]: \x1b[31mred\x1b[0m\r\n"), "app|web.1|red|ESC[31mredESC[0m\r");
        check(&format!("{time} app[web.1]: a\x1b[31mred\x1b[0m"), "app|web.1|ared|aESC[31mredESC[0m");
        check(&format!("\x1b[36m{time} heroku[router]:\x1b[0m \x1b[2mat=\x1b[0minfo\n"), "heroku|router|at=info|ESC[2mat=ESC[0minfo");
        check(&format!("\x1b[36m{time} app[web.1]:\x1b[0m text\n"), "app|web.1|text|-");
        check(&format!("{time} app[web.1]:\x1b[0m text\n"), "app|web.1|text|-");
        check(&format!("{time} app[\x1b[1mweb.1\x1b[0m]: text\n"), "app|web.1|text|-");
        check(&format!("{time} app[web.1]: lone \x1b\n"), "app|web.1|lone ESC|-");
        check("\x1b[36mno time\x1b[0m\n", "no_time");
        check(&format!("\x1b[36m{time} no header\x1b[0m\n"), "header");
    }
}
