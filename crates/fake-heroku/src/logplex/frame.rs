//! Lines as they travel: `LEN SP MSG`, where MSG is `<PRI>1 TIME host APP PROCID - TEXT`.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::world::Line;

/// Lines longer than this arrive in pieces of this many bytes (Dev Center, "Logging": "lines that exceed 10000 bytes are split").
pub const PIECE_BYTES_MAX: usize = 10_000;

/// How a drain writes its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// HTTPS drains: the host is the word `host`, and there is no structured data.
    Https,
    /// Syslog drains: the host is the drain's token, and the structured data is `-`.
    Syslog {
        /// The drain's token.
        token: String,
    },
}

/// One message with its length before it, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `LEN SP MSG`.
    pub framed: Bytes,
    /// The text alone, without the newline that may end it.
    pub text: Bytes,
}

impl Message {
    /// The messages of a line: one, or more when it is long. A long line's pieces have the same time, only the last has a newline, and a cut
    /// may go through a UTF-8 character.
    #[must_use]
    pub fn of_line(line: &Line, form: &Form) -> Vec<Self> {
        Self::of_line_at(line, form, line.at)
    }

    /// The messages of a line that bears another time than it should.
    #[must_use]
    pub fn of_line_at(line: &Line, form: &Form, at: Timestamp) -> Vec<Self> {
        let head = head(form, line.priority, &time_in_microseconds(at), line.source, &line.process);
        let pieces = line.text.len().div_ceil(PIECE_BYTES_MAX).max(1);
        let piece = |number: usize| {
            let end = line.text.len().min((number + 1) * PIECE_BYTES_MAX);
            Self::new(&head, line.text.slice(number * PIECE_BYTES_MAX..end), number + 1 == pieces)
        };
        (0..pieces).map(piece).collect()
    }

    /// The line by which Logplex tells of its losses: HTTPS drains get it without a newline, as captured from its own code.
    #[must_use]
    pub fn l10(form: &Form, lost: u64, since: Timestamp, now: Timestamp) -> Self {
        let (since, now) = (time_in_seconds(since), time_in_seconds(now));
        let text = format!("Error L10 (output buffer overflow): {lost} messages dropped since {since}.");
        let head = head(form, L10_PRIORITY, &now, "heroku", "logplex");
        Self::new(&head, text.into(), matches!(form, Form::Syslog { .. }))
    }

    fn new(head: &str, text: Bytes, ends_line: bool) -> Self {
        let newline: &[u8] = if ends_line { b"\n" } else { b"" };
        let length = (head.len() + text.len() + newline.len()).to_string();
        Self { framed: [length.as_bytes(), b" ", head.as_bytes(), &text, newline].concat().into(), text }
    }
}

/// local5, warning.
const L10_PRIORITY: u8 = 172;

fn head(form: &Form, priority: u8, time: &str, source: &str, process: &str) -> String {
    match form {
        Form::Https => format!("<{priority}>1 {time} host {source} {process} - "),
        Form::Syslog { token } => format!("<{priority}>1 {time} {token} {source} {process} - - "),
    }
}

/// `2026-11-22T10:00:00.123456+00:00`
pub(super) fn time_in_microseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// `2026-11-22T10:00:00+00:00`: so Logplex writes the times of its own lines.
pub(super) fn time_in_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// `at`, moved by so many hours; unmoved where that would leave the calendar.
pub(super) fn hours_off(at: Timestamp, hours: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_hours(hours)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
