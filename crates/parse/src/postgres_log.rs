//! A PostgreSQL server's own lines: `[YELLOW] [12-1]  sql_error_code = 00000 time_ms = "…" pid="…" LOG:  text`.
//!
//! A message of several lines comes in parts: `[12-2]` and later begin with a TAB, and a blank one ends behind its bracket.
//! Older lines have the two brackets the other way round and no `sql_error_code`.

use memchr::memchr;

use crate::line::PostgresLog;
use crate::number::integer;
use crate::words::{filled, split_while};

/// How many `key = "value"` pairs a line gives at most; Heroku sends eleven.
pub const POSTGRES_FIELDS_MAX: usize = 32;

/// PostgreSQL's severities and the further lines that go with a message.
const LEVELS: [&[u8]; 19] = [
    b"LOG",
    b"ERROR",
    b"FATAL",
    b"PANIC",
    b"WARNING",
    b"NOTICE",
    b"INFO",
    b"DEBUG",
    b"DEBUG1",
    b"DEBUG2",
    b"DEBUG3",
    b"DEBUG4",
    b"DEBUG5",
    b"STATEMENT",
    b"DETAIL",
    b"HINT",
    b"CONTEXT",
    b"QUERY",
    b"LOCATION",
];

/// Reads a line of the process `dyno` (`postgres.123`); `None` when it has neither a line number nor an SQLSTATE.
pub(crate) fn read<'t>(dyno: &[u8], text: &'t [u8]) -> Option<PostgresLog<'t>> {
    let mut line = PostgresLog { pid: dyno.strip_prefix(b"postgres.").and_then(integer), ..PostgresLog::default() };
    let mut rest = text.trim_ascii_end();
    for _ in 0..2 {
        let Some((inside, behind)) = split_brackets(rest) else { break };
        match line_and_part(inside) {
            Some((number, part)) if line.line.is_none() => (line.line, line.part) = (Some(number), Some(part)),
            None if line.tag.is_none() => line.tag = filled(inside),
            _ => break,
        }
        rest = behind;
    }
    rest = skip_spaces(rest);
    if let Some(continued) = rest.strip_prefix(b"\t") {
        line.text = filled(continued);
        return line.line.is_some().then_some(line);
    }
    if let Some((code, behind)) = split_code(rest) {
        line.sql_error_code = filled(code);
        rest = skip_spaces(behind);
        while let Some((key, value, behind)) = split_pair(rest) {
            if line.fields.len() < POSTGRES_FIELDS_MAX && !value.is_empty() && !line.fields.iter().any(|(known, _)| *known == key) {
                line.fields.push((key, value));
            }
            rest = skip_spaces(behind);
        }
    }
    if let Some((level, behind)) = split_level(rest) {
        line.level = Some(level);
        rest = behind;
    }
    line.text = filled(rest.trim_ascii_start());
    (line.line.is_some() || line.sql_error_code.is_some()).then_some(line)
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    split_while(text, |byte| byte == b' ').1
}

fn split_brackets(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = skip_spaces(text).strip_prefix(b"[")?;
    let (name, rest) = split_while(inside, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    Some((name, rest.strip_prefix(b"]")?))
}

/// The two numbers of `12-1`.
fn line_and_part(inside: &[u8]) -> Option<(i32, i32)> {
    let dash = memchr(b'-', inside)?;
    Some((integer(&inside[..dash])?, integer(&inside[dash + 1..])?))
}

fn split_code(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = skip_spaces(skip_spaces(text.strip_prefix(b"sql_error_code")?).strip_prefix(b"=")?);
    Some(split_while(rest, |byte| byte.is_ascii_alphanumeric()))
}

/// A `key="value"`, `key = "value"` or `key=value` at the start of `text`, and what follows.
fn split_pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = split_key(text)?;
    let rest = skip_spaces(rest);
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let (value, rest) = split_while(rest, |byte| !byte.is_ascii_whitespace());
        return Some((key, value, rest));
    };
    // A user or application name may hold quotes: the one that closes is followed by what the server writes next.
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &quoted[at..]).map(|offset| at + offset) {
        let rest = &quoted[quote + 1..];
        let next = skip_spaces(rest);
        if next.is_empty() || next.len() < rest.len() && (split_key(next).is_some() || split_level(next).is_some()) {
            return Some((key, &quoted[..quote], rest));
        }
        at = quote + 1;
    }
    None
}

/// The key of `key=` or `key =`.
fn split_key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = split_while(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    Some((filled(key)?, skip_spaces(rest).strip_prefix(b"=")?))
}

fn split_level(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (level, rest) = split_while(text, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let rest = rest.strip_prefix(b":")?;
    LEVELS.contains(&level).then_some((level, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dyno: &str, text: &str, expected: PostgresLog<'_>) {
        assert_eq!(read(dyno.as_bytes(), text.as_bytes()), Some(expected), "{text}");
    }

    fn line<'t>(pid: i32, tag: &'t str, line: i32, part: i32) -> PostgresLog<'t> {
        PostgresLog { pid: Some(pid), tag: Some(tag.as_bytes()), line: Some(line), part: Some(part), ..PostgresLog::default() }
    }

    #[test]
    fn a_full_line() {
        check(
            "postgres.1105947",
            r#"[YELLOW] [12-1]  sql_error_code = 00000 time_ms = "2023-06-05 19:33:14.793 UTC" pid="19" database="" user="u" application_name="a "b" c" LOG:  duration: 2405.887 ms  statement: WITH x AS ("#,
            PostgresLog {
                sql_error_code: Some(b"00000"),
                level: Some(b"LOG"),
                text: Some(b"duration: 2405.887 ms  statement: WITH x AS ("),
                fields: vec![
                    (b"time_ms", b"2023-06-05 19:33:14.793 UTC"),
                    (b"pid", b"19"),
                    (b"user", b"u"),
                    (b"application_name", br#"a "b" c"#),
                ],
                ..line(1_105_947, "YELLOW", 12, 1)
            },
        );
    }

    #[test]
    fn lines_without_fields() {
        check(
            "postgres.2979",
            "[PURPLE] [13994-2]  sql_error_code = 55P03 DETAIL:  last was at 2022-03-25 00:56:42",
            PostgresLog {
                sql_error_code: Some(b"55P03"),
                level: Some(b"DETAIL"),
                text: Some(b"last was at 2022-03-25 00:56:42"),
                ..line(2979, "PURPLE", 13994, 2)
            },
        );
        check(
            "postgres.10",
            "[DATABASE] [4717-1] LOG:  checkpoint starting: time",
            PostgresLog { level: Some(b"LOG"), text: Some(b"checkpoint starting: time"), ..line(10, "DATABASE", 4717, 1) },
        );
        check(
            "postgres",
            "[15522-1]  [CHARCOAL] LOG:  checkpoint complete: wrote 6 buffers (0.0%)",
            PostgresLog {
                pid: None,
                level: Some(b"LOG"),
                text: Some(b"checkpoint complete: wrote 6 buffers (0.0%)"),
                ..line(0, "CHARCOAL", 15522, 1)
            },
        );
        check(
            "postgres.1",
            "[A] [1-1] sql_error_code = 00000 words",
            PostgresLog { sql_error_code: Some(b"00000"), text: Some(b"words"), ..line(1, "A", 1, 1) },
        );
    }

    #[test]
    fn continuations() {
        check("postgres.7", "[YELLOW] [12-2] \tSELECT", PostgresLog { text: Some(b"SELECT"), ..line(7, "YELLOW", 12, 2) });
        check(
            "postgres.7",
            "[YELLOW] [12-3] \t\t  ERROR:  indented",
            PostgresLog { text: Some(b"\t  ERROR:  indented"), ..line(7, "YELLOW", 12, 3) },
        );
        check("postgres.7", "[YELLOW] [13-2]", line(7, "YELLOW", 13, 2));
        check("postgres.7", "[YELLOW] [13-2]  \r", line(7, "YELLOW", 13, 2));
        check("postgres.7", "[YELLOW] [13-4]  FROM x", PostgresLog { text: Some(b"FROM x"), ..line(7, "YELLOW", 13, 4) });
    }

    #[test]
    fn other_lines_are_none() {
        for text in ["", "hello", "[YELLOW]", "[YELLOW] LOG: x", "LOG:  x", "[YELLOW] [12-", "[99999999999-1] x"] {
            assert_eq!(read(b"postgres.1", text.as_bytes()), None, "{text}");
        }
    }
}
