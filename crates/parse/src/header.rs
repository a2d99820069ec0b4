//! The header of an RFC 5424 message, in the two shapes Logplex writes.
//!
//! HTTPS drains: `<PRI>1 TIME host APP PROCID - TEXT`, six fields and no STRUCTURED-DATA. Syslog drains: the drain token
//! instead of `host`, and `- ` more, the STRUCTURED-DATA. Only the hostname tells them apart, because a TEXT may begin with
//! `- ` or `[x]` too.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::piece::{Message, RejectReason, without_newline};

/// The HOSTNAME that Logplex writes in HTTPS drains.
const HTTPS_HOSTNAME: &[u8] = b"host";
/// The greatest PRI there is: facility 23, severity 7.
const PRI_MAX: u16 = 191;

/// Reads the message that stands in `bytes`; `range` is where it (and its length prefix) stands in the body.
pub(crate) fn read(bytes: &[u8], range: Range<usize>, short: bool) -> Result<Message<'_>, RejectReason> {
    let header = Header::read(bytes).ok_or(RejectReason::Header)?;
    let ts_us = crate::timestamp(header.time).ok_or(RejectReason::NoTime)?;
    let pri = (header.pri <= PRI_MAX).then_some(header.pri);
    let (text, raw) = without_newline(header.text);
    Ok(Message {
        range,
        ts_us,
        facility: pri.and_then(|pri| u8::try_from(pri / 8).ok()),
        severity: pri.and_then(|pri| u8::try_from(pri % 8).ok()),
        hostname: header.hostname,
        source: Cow::Borrowed(header.source),
        dyno: Cow::Borrowed(header.dyno),
        text: Cow::Borrowed(text),
        raw,
        short,
    })
}

/// The number in `<PRI>1 `, and what follows.
pub(crate) fn priority(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let digits = bytes.strip_prefix(b"<")?;
    let count = digits.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&count) {
        return None;
    }
    let pri = digits[..count].iter().fold(0, |pri, digit| pri * 10 + u16::from(digit - b'0'));
    Some((pri, digits[count..].strip_prefix(b">1 ")?))
}

/// Whether `bytes` begin with `<PRI>1 TIME ` and the time is one.
pub(crate) fn is_readable(bytes: &[u8]) -> bool {
    /// No RFC 3339 time is longer.
    const TIME_BYTES_MAX: usize = 35;
    let Some((_, rest)) = priority(bytes) else {
        return false;
    };
    let rest = &rest[..rest.len().min(TIME_BYTES_MAX + 1)];
    field(rest).is_some_and(|(time, _)| crate::timestamp(time).is_some())
}

struct Header<'a> {
    pri: u16,
    time: &'a [u8],
    hostname: &'a [u8],
    source: &'a [u8],
    dyno: &'a [u8],
    /// With its newline.
    text: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (pri, rest) = priority(bytes)?;
        let (time, rest) = field(rest)?;
        let (hostname, rest) = field(rest)?;
        let (source, rest) = field(rest)?;
        let after_msgid = if hostname == HTTPS_HOSTNAME { nil } else { after_msgid };
        let (dyno, text) = match field(rest).and_then(|(dyno, rest)| Some((dyno, after_msgid(rest)?))) {
            Some((b"-", text)) => (&b""[..], text),
            Some(dyno_and_text) => dyno_and_text,
            // Messages without a PROCID exist: `host app - text`.
            None => (&b""[..], nil(rest)?),
        };
        Some(Self { pri, time, hostname, source, dyno, text })
    }
}

/// A header field and what follows the space behind it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (field, rest) = bytes.split_at(memchr(b' ', bytes)?);
    is_name(field).then_some((field, &rest[1..]))
}

/// Whether `bytes` can be a field of a header: something, and no control character in it.
pub(crate) fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// What follows a `-`, the field that is empty.
fn nil(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.strip_prefix(b"-")? {
        [b' ', text @ ..] => Some(text),
        end @ ([] | [b'\n' | b'\r', ..]) => Some(end),
        _ => None,
    }
}

/// The text behind MSGID and STRUCTURED-DATA.
///
/// Where the structured data is not well formed, a MSGID that is `-` was the last field of the header, and any other was
/// none.
fn after_msgid(bytes: &[u8]) -> Option<&[u8]> {
    match nil(bytes) {
        Some(rest) => Some(after_structured_data(rest).unwrap_or(rest)),
        None => after_structured_data(field(bytes)?.1),
    }
}

fn after_structured_data(bytes: &[u8]) -> Option<&[u8]> {
    if !bytes.starts_with(b"[") {
        return nil(bytes);
    }
    let mut rest = bytes;
    while rest.starts_with(b"[") {
        rest = after_element(rest)?;
    }
    match rest {
        [b' ', text @ ..] => Some(text),
        [] | [b'\n' | b'\r', ..] => Some(rest),
        _ => None,
    }
}

/// What follows one `[id name="value" …]`.
fn after_element(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = after_element_name(bytes.strip_prefix(b"[")?)?;
    loop {
        match rest {
            [b']', rest @ ..] => return Some(rest),
            [b' ', name @ ..] => rest = after_value(after_element_name(name)?.strip_prefix(b"=\"")?)?,
            _ => return None,
        }
    }
}

fn after_element_name(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'=' | b']' | b'"')).count();
    (length > 0).then(|| &bytes[length..])
}

/// What follows the closing quote of a value.
fn after_value(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hostname, source, dyno and text, with `|` between.
    fn fields(message: &str) -> String {
        match read(message.as_bytes(), 0..0, false) {
            Ok(message) => [message.hostname, &message.source, &message.dyno, &message.text].map(String::from_utf8_lossy).join("|"),
            Err(reason) => reason.as_str().into(),
        }
    }

    #[test]
    fn https_drain_headers() {
        let check = |rest: &str, expected: &str| assert_eq!(fields(&format!("<190>1 2026-01-02T03:04:05Z {rest}")), expected, "{rest}");
        check("host app web.1 - text\n", "host|app|web.1|text");
        check("host app web.1 - text\r\n", "host|app|web.1|text");
        check("host app web.1 - text\n\n", "host|app|web.1|text\n");
        check("host app web.1 - - text", "host|app|web.1|- text");
        check("host app web.1 - [x] text", "host|app|web.1|[x] text");
        check("host app web.1 -  text ", "host|app|web.1| text ");
        check("host app web.1 - ", "host|app|web.1|");
        check("host app web.1 - \n", "host|app|web.1|");
        check("host app web.1 -\n", "host|app|web.1|");
        check("host app web.1 -", "host|app|web.1|");
        check("host app - text", "host|app||text");
        check("host app - some - text", "host|app||some - text");
        check("host app - - text", "host|app||text");
        check("host app - ", "host|app||");
        check("host app -", "host|app||");
        check("host app web.1 ID47 text", "header");
        check("host app web.1 -text", "header");
        check("host app web.1", "header");
        check("host app", "header");
        check("host  app web.1 - text", "header");
        check("host a\npp web.1 - text", "header");
        check("", "header");
    }

    #[test]
    fn syslog_drain_headers() {
        let check = |rest: &str, expected: &str| assert_eq!(fields(&format!("<190>1 2026-01-02T03:04:05Z {rest}")), expected, "{rest}");
        check("d.1-2 app web.1 - - text", "d.1-2|app|web.1|text");
        check("d.1-2 app web.1 - - - text", "d.1-2|app|web.1|- text");
        check("d.1-2 app web.1 - -\n", "d.1-2|app|web.1|");
        check("d.1-2 app web.1 - text", "d.1-2|app|web.1|text");
        check("d.1-2 app - - - text", "d.1-2|app||text");
        check("d.1-2 app - - text", "d.1-2|app||text");
        check("d.1-2 app - two words", "d.1-2|app||two words");
        check("db1 su 7 ID47 - text", "db1|su|7|text");
        check("db1 su 7 ID47 [x@1 a=\"1\" b=\"]\\\"\\\\\"][y] [text]", "db1|su|7|[text]");
        check("db1 su 7 - [x]", "db1|su|7|");
        check("db1 su 7 - [x", "db1|su|7|[x");
        check("db1 su 7 - [x]text", "db1|su|7|[x]text");
        check("db1 su 7 - [x a=b] text", "db1|su|7|[x a=b] text");
        check("db1 su 7 - [] text", "db1|su|7|[] text");
        check("db1 su 7 - [x a=\"1\\", "db1|su|7|[x a=\"1\\");
        check("db1 su 7 ID47 text", "header");
    }

    #[test]
    fn priorities_and_times() {
        let check = |message: &str, expected: Result<(i64, Option<u8>, Option<u8>), RejectReason>| {
            let found = read(message.as_bytes(), 0..0, false).map(|message| (message.ts_us, message.facility, message.severity));
            assert_eq!(found, expected, "{message}");
        };
        check("<190>1 1970-01-01T00:00:01Z host app web.1 - x", Ok((1_000_000, Some(23), Some(6))));
        check("<0>1 1970-01-01T00:00:00Z host app web.1 - x", Ok((0, Some(0), Some(0))));
        check("<192>1 1970-01-01T00:00:00Z host app web.1 - x", Ok((0, None, None)));
        check("<999>1 1970-01-01T00:00:00Z host app web.1 - x", Ok((0, None, None)));
        check("<1000>1 1970-01-01T00:00:00Z host app web.1 - x", Err(RejectReason::Header));
        check("<>1 1970-01-01T00:00:00Z host app web.1 - x", Err(RejectReason::Header));
        check("<190>2 1970-01-01T00:00:00Z host app web.1 - x", Err(RejectReason::Header));
        check("<190>1 - host app web.1 - x", Err(RejectReason::NoTime));
        check("<190>1 yesterday host app web.1 - x", Err(RejectReason::NoTime));
        check("<190>1 yesterday host app web.1", Err(RejectReason::Header));
    }

    #[test]
    fn a_carriage_return_stays_in_raw() {
        let check = |text: &str, expected: Option<&str>| {
            let bytes = format!("<190>1 1970-01-01T00:00:00Z host app web.1 - {text}");
            let message = read(bytes.as_bytes(), 0..0, false).unwrap();
            assert_eq!(message.raw, expected.map(str::as_bytes), "{text:?}");
        };
        check("x\n", None);
        check("x\r\n", Some("x\r"));
        check("x\r", Some("x\r"));
    }
}
