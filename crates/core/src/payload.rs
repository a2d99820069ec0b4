//! What a source receives and the spool keeps: bytes as they arrived, and the little that must be known of them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Micros;

/// One request body or file block as it arrived, untouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What kind of source it came from.
    pub source: SourceKind,
    /// How the body is laid out.
    pub format: Format,
    /// The Heroku app's name, where the source knows it.
    pub app: Option<String>,
    /// `Logplex-Drain-Token`. Private-Space and Shield drains send none.
    pub drain_token: Option<String>,
    /// `Logplex-Frame-Id`, the same on each retry of a frame. Private-Space and Shield drains send none. Of a webhook the id of the
    /// event, the same in each delivery of it.
    pub frame_id: Option<String>,
    /// `Logplex-Msg-Count`, as claimed by the sender.
    pub msg_count: Option<u32>,
    /// When it arrived here.
    pub received_at: Micros,
    /// The bytes.
    pub body: Bytes,
}

/// The kinds of source, by the name they have in `_rejects.source_name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// An HTTPS log drain.
    Drain,
    /// A file or standard input.
    File,
    /// Freshet's own notices about its intake.
    Freshet,
    /// A log session, as `heroku logs --tail` reads it.
    Session,
    /// A delivery of one of Heroku's webhooks.
    Webhook,
}

impl SourceKind {
    /// The name in tables, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::File => "file",
            Self::Freshet => "freshet",
            Self::Session => "session",
            Self::Webhook => "webhook",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Drain, Self::File, Self::Freshet, Self::Session, Self::Webhook].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// How the bytes of a body are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `LEN SP MSG` repeated: an HTTPS drain's body (six header fields) or a syslog drain's stream (with structured data).
    Frames,
    /// One `heroku logs` line per line: `TIME SOURCE[DYNO]: TEXT`.
    Cli,
    /// One RFC 5424 syslog message per line.
    Syslog,
    /// One JSON object per line, with a time and a message.
    JsonLines,
    /// A notice of Freshet's own about its intake: `KIND: what happened`.
    Notice,
    /// The JSON object of one webhook delivery.
    Webhook,
}

impl Format {
    /// The name people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Cli => "cli",
            Self::Syslog => "syslog",
            Self::JsonLines => "json-lines",
            Self::Notice => "notice",
            Self::Webhook => "webhook",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let all = [Self::Frames, Self::Cli, Self::Syslog, Self::JsonLines, Self::Notice, Self::Webhook];
        all.into_iter().find(|format| *format as u8 == byte)
    }
}

/// An envelope that this version cannot read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool holds a record of an unknown shape (version {version}); it was written by another version of Freshet")]
pub struct EnvelopeError {
    /// The version byte that was found, 0 for an empty record.
    pub version: u8,
}

/// First byte of every envelope.
const VERSION: u8 = 1;

impl Payload {
    /// The payload as one run of bytes: what the spool stores.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body.len() + 160);
        out.put_u8(VERSION);
        out.put_u8(self.source as u8);
        out.put_u8(self.format as u8);
        out.put_i64_le(self.received_at.0);
        // u32::MAX stands for "not given": Logplex sends 1,025 messages at most.
        out.put_u32_le(self.msg_count.unwrap_or(u32::MAX));
        for text in [&self.app, &self.drain_token, &self.frame_id] {
            put_text(&mut out, text.as_deref());
        }
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Reads back what [`Payload::encode`] made. The body shares `record`'s memory.
    ///
    /// # Errors
    /// The record was written by another version of Freshet.
    pub fn decode(record: &Bytes) -> Result<Self, EnvelopeError> {
        let version = record.first().copied().unwrap_or(0);
        let mut rest = record.clone();
        let parsed = (version == VERSION).then(|| Self::take(&mut rest)).flatten();
        parsed.ok_or(EnvelopeError { version })
    }

    fn take(rest: &mut Bytes) -> Option<Self> {
        take_array::<1>(rest)?;
        let [source] = take_array::<1>(rest)?;
        let [format] = take_array::<1>(rest)?;
        let received_at = Micros(i64::from_le_bytes(take_array(rest)?));
        let msg_count = u32::from_le_bytes(take_array(rest)?);
        Some(Self {
            source: SourceKind::from_byte(source)?,
            format: Format::from_byte(format)?,
            app: take_text(rest)?,
            drain_token: take_text(rest)?,
            frame_id: take_text(rest)?,
            msg_count: (msg_count != u32::MAX).then_some(msg_count),
            received_at,
            body: rest.clone(),
        })
    }
}

/// Length, then bytes; `u16::MAX` stands for "not given", and longer text is cut to fit.
fn put_text(out: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else { return out.put_u16_le(u16::MAX) };
    let cut = text.floor_char_boundary(usize::from(u16::MAX - 1));
    out.put_u16_le(cut as u16);
    out.put_slice(&text.as_bytes()[..cut]);
}

fn take_array<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    let array = rest.first_chunk::<N>().copied()?;
    *rest = rest.slice(N..);
    Some(array)
}

fn take_text(rest: &mut Bytes) -> Option<Option<String>> {
    let length = u16::from_le_bytes(take_array(rest)?);
    if length == u16::MAX {
        return Some(None);
    }
    let text = std::str::from_utf8(rest.get(..usize::from(length))?).ok()?.to_owned();
    *rest = rest.slice(usize::from(length)..);
    Some(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        Payload {
            source: SourceKind::Drain,
            format: Format::Frames,
            app: Some("shop".into()),
            drain_token: None,
            frame_id: Some(String::new()),
            msg_count: Some(0),
            received_at: Micros(-5),
            body: Bytes::from_static(b"\x00\xffbody"),
        }
    }

    #[test]
    fn an_envelope_comes_back_as_it_was() {
        assert_eq!(Payload::decode(&payload().encode()), Ok(payload()));
        let webhook = Payload { source: SourceKind::Webhook, format: Format::Webhook, ..payload() };
        assert_eq!(Payload::decode(&webhook.encode()), Ok(webhook));
    }

    #[test]
    fn a_cut_envelope_is_an_error_and_never_a_panic() {
        let whole = payload().encode();
        let header = whole.len() - payload().body.len();
        for cut in 0..header {
            assert!(Payload::decode(&whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        assert_eq!(Payload::decode(&Bytes::from_static(b"\x09")), Err(EnvelopeError { version: 9 }));
    }
}
