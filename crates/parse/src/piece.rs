//! What a body is made of.

use std::borrow::Cow;
use std::ops::Range;

/// How a body is laid out, as far as parsing cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyFormat {
    /// `LEN SP MSG` repeated, LEN in bytes (RFC 6587 octet counting).
    Frames,
    /// One `heroku logs` line per line.
    Cli,
    /// One RFC 5424 message per line.
    Syslog,
    /// One JSON object per line.
    JsonLines,
}

impl BodyFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Frames, Self::Cli, Self::Syslog, Self::JsonLines];
}

/// One part of a body. The ranges of a body's pieces are in order and cover it exactly.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<'a> {
    /// A log message.
    Message(Message<'a>),
    /// Bytes that could not become one.
    Reject(Reject),
}

impl Piece<'_> {
    /// Where it stands in the body; never empty.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Message(message) => message.range.clone(),
            Self::Reject(reject) => reject.range.clone(),
        }
    }
}

/// A log message with its header taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Where it stands in the body: length prefix, header, text and the newline that ends it.
    pub range: Range<usize>,
    /// The time written in the header, in microseconds since 1970 UTC.
    pub ts_us: i64,
    /// Syslog facility (`PRI / 8`), where the format has one.
    pub facility: Option<u8>,
    /// Syslog severity (`PRI % 8`), where the format has one.
    pub severity: Option<u8>,
    /// The HOSTNAME field: the drain token on syslog drains, the literal `host` on HTTPS drains, empty elsewhere.
    pub hostname: &'a [u8],
    /// `app`, `heroku`, … as sent; never empty.
    pub source: Cow<'a, [u8]>,
    /// The process as sent (`web.1`, `router`, …); empty when the header has none.
    pub dyno: Cow<'a, [u8]>,
    /// What was logged: one final newline (`\n`, `\r\n` or `\r`) removed, colour codes removed in the CLI form.
    pub text: Cow<'a, [u8]>,
    /// The exact bytes of the text (without the final `\n`), where `text` is not them. `None` for text decoded from JSON.
    pub raw: Option<&'a [u8]>,
    /// Whether the body ended, or the next frame began, before the length said. The message is what there was.
    pub short: bool,
}

/// Bytes that could not become a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Where they stand in the body.
    pub range: Range<usize>,
    /// Why.
    pub reason: RejectReason,
}

/// The fixed list of reasons; `_rejects.reason` holds the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Bytes between frames, or where a frame's length should be.
    Framing,
    /// A frame or line whose header could not be read.
    Header,
    /// A line without a time to file it under.
    NoTime,
    /// A line of white space or NUL bytes only.
    Blank,
    /// A JSON line that is not a JSON object, or has no message in it; a webhook's body that tells of no event.
    Json,
    /// The rest of a line whose beginning was imported earlier, before the file had grown.
    ContinuesImported,
    /// An object of the Platform API without its key.
    Nameless,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 7] =
        [Self::Framing, Self::Header, Self::NoTime, Self::Blank, Self::Json, Self::ContinuesImported, Self::Nameless];

    /// The name in `_rejects.reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Header => "header",
            Self::NoTime => "no_time",
            Self::Blank => "blank",
            Self::Json => "json",
            Self::ContinuesImported => "continues_imported",
            Self::Nameless => "nameless",
        }
    }
}

/// A text without its final newline, and its exact bytes without the final `\n` where they differ from that.
pub(crate) fn without_newline(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let exact = text.strip_suffix(b"\n").unwrap_or(text);
    match exact.strip_suffix(b"\r") {
        Some(text) => (text, Some(exact)),
        None => (exact, None),
    }
}

/// How many bytes of white space and NUL bytes (the keep-alive of a log session) `bytes` begin with.
pub(crate) fn blank_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b)).count()
}
