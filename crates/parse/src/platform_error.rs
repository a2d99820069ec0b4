//! Error lines: `Error R14 (Memory quota exceeded)`, `Error L10 (output buffer overflow): 500 messages dropped since …`,
//! `Error L13: 111 messages lost since …`, `L11 (Tail buffer overflow) -> This tail session dropped 1101 messages …`.

use memchr::memmem;

use crate::line::{ErrorFamily, PlatformError};
use crate::number::leading_integer;
use crate::words::{filled, split_while};

/// Heroku's codes and their titles, from the Dev Center article "Heroku Error Codes".
const TITLES: [(&str, &str); 41] = [
    ("H10", "App crashed"),
    ("H11", "Backlog too deep"),
    ("H12", "Request timeout"),
    ("H13", "Connection closed without response"),
    ("H14", "No web dynos running"),
    ("H15", "Idle connection"),
    ("H16", "Redirect to herokuapp.com"),
    ("H17", "Poorly formatted HTTP response"),
    ("H18", "Server Request Interrupted"),
    ("H19", "Backend connection timeout"),
    ("H20", "App boot timeout"),
    ("H21", "Backend connection refused"),
    ("H22", "Connection limit reached"),
    ("H23", "Endpoint misconfigured"),
    ("H24", "Forced close"),
    ("H25", "HTTP Restriction"),
    ("H26", "Request Error"),
    ("H27", "Client Request Interrupted"),
    ("H28", "Client Connection Idle"),
    ("H31", "Misdirected Request"),
    ("H32", "TLS certificate mismatch"),
    ("H80", "Maintenance mode"),
    ("H81", "Blank app"),
    ("H82", "Dyno hours used up"),
    ("H83", "Planned Service Degradation"),
    ("H99", "Platform error"),
    ("L10", "Drain buffer overflow"),
    ("L11", "Tail buffer overflow"),
    ("L12", "Local buffer overflow"),
    ("L13", "Local delivery error"),
    ("L14", "Certificate validation error"),
    ("L15", "Tail buffer temporarily unavailable"),
    ("L20", "Tailing forbidden for this volume of logs"),
    ("R10", "Boot timeout"),
    ("R12", "Exit timeout"),
    ("R13", "Attach error"),
    ("R14", "Memory quota exceeded"),
    ("R15", "Memory quota vastly exceeded"),
    ("R16", "Detached"),
    ("R17", "Checksum error"),
    ("R99", "Platform error"),
];

/// Heroku's title of an error code (`H12` → `Request timeout`); `None` for a code this version does not know.
#[must_use]
pub fn title_of(code: &[u8]) -> Option<&'static str> {
    TITLES.binary_search_by(|(known, _)| known.as_bytes().cmp(code)).ok().map(|at| TITLES[at].1)
}

pub(crate) fn title_or_code(code: &[u8]) -> &[u8] {
    title_of(code).map_or(code, str::as_bytes)
}

/// The family of a code: a known letter and two or three digits.
pub(crate) fn family_of(code: &[u8]) -> Option<ErrorFamily> {
    let (letter, digits) = code.split_first()?;
    let family = match letter {
        b'H' => ErrorFamily::H,
        b'R' => ErrorFamily::R,
        b'L' => ErrorFamily::L,
        _ => return None,
    };
    (matches!(digits.len(), 2 | 3) && digits.iter().all(u8::is_ascii_digit)).then_some(family)
}

/// Reads an error line of the platform. Without the word `Error` only a known code counts.
pub(crate) fn read(text: &[u8]) -> Option<PlatformError<'_>> {
    let text = text.trim_ascii();
    let named = text.strip_prefix(b"Error ");
    let (code, rest) = split_while(named.unwrap_or(text), |byte| byte.is_ascii_alphanumeric());
    let family = family_of(code)?;
    if named.is_none() && title_of(code).is_none() || !matches!(rest.first(), None | Some(b' ' | b':' | b'(')) {
        return None;
    }
    let (title, rest) = in_parentheses(rest).unwrap_or((b"", rest));
    let detail = filled(without_arrow(rest));
    let messages_lost = detail.filter(|_| matches!(code, b"L10" | b"L11" | b"L12" | b"L13")).and_then(message_count);
    let title = filled(title).unwrap_or_else(|| title_or_code(code));
    Some(PlatformError { code, family, title, detail, request_id: None, messages_lost })
}

fn in_parentheses(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let title = text.trim_ascii_start().strip_prefix(b"(")?;
    let end = memchr::memchr(b')', title)?;
    Some((&title[..end], &title[end + 1..]))
}

/// What follows `->` or `:`. The arrow is `-&gt;` in lines that went through a web page.
fn without_arrow(rest: &[u8]) -> &[u8] {
    let rest = rest.trim_ascii();
    let arrows: [&[u8]; 3] = [b"->", b"-&gt;", b":"];
    arrows.iter().find_map(|arrow| rest.strip_prefix(*arrow)).unwrap_or(rest).trim_ascii()
}

/// The number before the word `messages`.
fn message_count(detail: &[u8]) -> Option<i64> {
    let before = &detail[..memmem::find(detail, b" messages")?];
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    leading_integer(&before[before.len() - digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_sorted_and_each_code_is_well_formed() {
        assert!(TITLES.is_sorted());
        for (code, title) in TITLES {
            assert!(family_of(code.as_bytes()).is_some(), "{code}");
            assert_eq!(title_of(code.as_bytes()), Some(title));
        }
        assert_eq!(title_of(b"H98"), None);
    }

    #[test]
    fn error_lines() {
        let check = |text: &str, expected: Option<(&str, &str, Option<&str>, Option<i64>)>| {
            let found = read(text.as_bytes());
            let expected = expected.map(|(code, title, detail, lost)| (code.as_bytes(), title.as_bytes(), detail.map(str::as_bytes), lost));
            assert_eq!(found.map(|error| (error.code, error.title, error.detail, error.messages_lost)), expected, "{text}");
        };
        check("Error R14 (Memory quota exceeded)", Some(("R14", "Memory quota exceeded", None, None)));
        check(
            "Error R12 (Exit timeout) -> Process failed to exit within 10 seconds of SIGTERM\r",
            Some(("R12", "Exit timeout", Some("Process failed to exit within 10 seconds of SIGTERM"), None)),
        );
        check("Error R16 (Detached) -&gt; An attached process", Some(("R16", "Detached", Some("An attached process"), None)));
        check(
            "Error L10 (output buffer overflow): 500 messages dropped since 2013-04-17T19:04:46+00:00.",
            Some(("L10", "output buffer overflow", Some("500 messages dropped since 2013-04-17T19:04:46+00:00."), Some(500))),
        );
        check(
            "Error L13: 111 messages lost since 2013-11-04T21:31:32.125756+00:00.",
            Some(("L13", "Local delivery error", Some("111 messages lost since 2013-11-04T21:31:32.125756+00:00."), Some(111))),
        );
        check(
            "L11 (Tail buffer overflow) -> This tail session dropped 1101 messages since 2011-05-03T17:35:00+00:00",
            Some((
                "L11",
                "Tail buffer overflow",
                Some("This tail session dropped 1101 messages since 2011-05-03T17:35:00+00:00"),
                Some(1101),
            )),
        );
        check(
            "Error L14 (certificate validation): error=\"bad certificate\" uri=\"syslog+tls://logs.example.com:6514/\"",
            Some(("L14", "certificate validation", Some("error=\"bad certificate\" uri=\"syslog+tls://logs.example.com:6514/\""), None)),
        );
        check("Error L20", Some(("L20", "Tailing forbidden for this volume of logs", None, None)));
        check("Error R777 odd", Some(("R777", "R777", Some("odd"), None)));
        check("Error L10: many messages dropped", Some(("L10", "Drain buffer overflow", Some("many messages dropped"), None)));
        check("Error R14 (", Some(("R14", "Memory quota exceeded", Some("("), None)));
        check("Error R1 (x)", None);
        check("Error R14x", None);
        check("R777 without the word", None);
        check("Error", None);
        check("H2O (water)", None);
        check("", None);
    }
}
