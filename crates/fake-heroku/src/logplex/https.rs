//! Frames as HTTP/1.1 requests, byte for byte as Logplex writes them, and its way of reading answers.
//!
//! Written by hand because the bytes are the point, and because a receiver is to be tried with requests that no client library makes.

use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::dial::Stream;
use super::machine::Outcome;
use super::tamper::{Manner, Tampered};
use super::target::Target;

/// An answer's head may be this long.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What the version in the captured traffic calls itself.
const USER_AGENT: &str = "Logplex/v104";

/// Who sends, as the headers tell it.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) token: String,
    /// Private Spaces have a forwarder of their own, which tells neither token nor frame id and closes each connection.
    pub(super) is_private: bool,
}

impl Sender {
    /// The whole request.
    pub(super) fn request(&self, target: &Target, frame_id: &str, tampered: &Tampered) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\nHost: {}\r\n", target.path_and_query, target.host_header);
        if let Some(authorization) = &target.authorization {
            head += &format!("Authorization: {authorization}\r\n");
        }
        head += &format!("Content-Type: application/logplex-1\r\nLogplex-Msg-Count: {}\r\n", tampered.count);
        if self.is_private {
            head += "connection: close\r\n";
        } else {
            let token = &self.token;
            head += &format!("Logplex-Frame-Id: {frame_id}\r\nLogplex-Drain-Token: {token}\r\nUser-Agent: {USER_AGENT}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", tampered.body.len());
        [head.as_bytes(), &tampered.body].concat()
    }
}

/// A connection with what was read of it and not yet used.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    /// Bytes of the last answer's body that are still to come.
    body_bytes: u64,
    /// The other side has said that it closes. That Logplex heeds this was not observed.
    is_closing: bool,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new(), body_bytes: 0, is_closing: false }
    }

    /// Whether another request may be sent on it.
    pub(super) fn is_reusable(&self) -> bool {
        !self.is_closing
    }

    /// Whether the other side has closed it. Only syslog drains look: an HTTPS drain learns it from the next request, which fails.
    ///
    /// What it sends is read and thrown away, for its end lies behind that: TLS 1.3 begins with session tickets and ends with an alert.
    pub(super) fn was_closed(&mut self) -> bool {
        let mut unwanted = [0; 1024];
        loop {
            match self.stream.read(&mut unwanted).now_or_never() {
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => return true,
                None => return false,
            }
        }
    }

    /// Writes bytes to which no answer is expected; says whether all of them were written within `within`.
    pub(super) async fn write(&mut self, bytes: &[u8], manner: &Manner, within: Duration) -> bool {
        let written = timeout(within, async {
            let is_whole = write(&mut *self.stream, bytes, manner).await?;
            self.stream.flush().await?;
            io::Result::Ok(is_whole)
        });
        matches!(written.await, Ok(Ok(true)))
    }

    /// Sends a request and waits for its answer, both within `within`.
    pub(super) async fn exchange(&mut self, request: &[u8], manner: &Manner, within: Duration) -> Outcome {
        let mut sent_whole = false;
        let exchanged = timeout(within, async {
            let write = write(&mut *self.stream, request, manner).await;
            // Before the flush: a system that takes its time with that may have sent all of it.
            sent_whole = matches!(write, Ok(true));
            if !write? {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.stream.flush().await?;
            match manner {
                Manner::Deaf { waits: false } => Err(io::ErrorKind::TimedOut.into()),
                Manner::Deaf { waits: true } => {
                    self.answer().await?;
                    Err(io::ErrorKind::TimedOut.into())
                }
                Manner::Plain | Manner::Slow { .. } | Manner::Reset { .. } => self.answer().await,
            }
        })
        .await;
        match exchanged {
            Ok(Ok(status)) => Outcome::Answered(status),
            Ok(Err(_)) | Err(_) => Outcome::Unanswered { sent_whole },
        }
    }

    /// Reads the head of an answer. As in Logplex, its body is skipped when the next answer is read, and one in chunks is not skipped but
    /// taken for the next answer: that is how a chunked 200 makes every second frame arrive twice.
    async fn answer(&mut self) -> io::Result<u16> {
        while self.body_bytes > 0 {
            let skipped = self.unread.len().min(usize::try_from(self.body_bytes).unwrap_or(usize::MAX));
            self.unread.drain(..skipped);
            self.body_bytes -= skipped as u64;
            if self.body_bytes > 0 {
                self.read_more().await?;
            }
        }
        // Behind what is no status line, no head is waited for.
        let line_end = self.read_to(b"\r\n").await?;
        let status = status(&self.unread[..line_end])?;
        let head_end = self.read_to(b"\r\n\r\n").await? + 4;
        let head: Vec<u8> = self.unread.drain(..head_end).collect();
        for line in head[line_end..].split(|byte| *byte == b'\n') {
            self.note_header(line.trim_ascii());
        }
        if matches!(status, 100..=199 | 204 | 304) {
            self.body_bytes = 0;
        }
        Ok(status)
    }

    fn note_header(&mut self, line: &[u8]) {
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            self.body_bytes = value.parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("connection") {
            self.is_closing = value.eq_ignore_ascii_case("close");
        }
    }

    /// Reads on until there is `wanted`, which ends a head or a part of one; answers with where it begins.
    async fn read_to(&mut self, wanted: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(found) = find(&self.unread, wanted) {
                return Ok(found);
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        let read = self.stream.read_buf(&mut self.unread).await?;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Writes a request in the given manner; says whether it was written whole.
async fn write(stream: &mut dyn Stream, request: &[u8], manner: &Manner) -> io::Result<bool> {
    match manner {
        Manner::Plain | Manner::Deaf { .. } => stream.write_all(request).await?,
        Manner::Slow { pieces, pause } => {
            for piece in request.chunks(request.len().div_ceil(*pieces).max(1)) {
                stream.write_all(piece).await?;
                stream.flush().await?;
                sleep(*pause).await;
            }
        }
        Manner::Reset { after } => {
            let written = (request.len() as f64 * after) as usize;
            stream.write_all(&request[..written.min(request.len().saturating_sub(1))]).await?;
            stream.flush().await?;
            // A connection that closes with nothing left to linger for is reset.
            stream.tcp().set_zero_linger()?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The status of a status line. One without a blank behind the number stops Logplex's reader (observed); the reason may be empty.
fn status(line: &[u8]) -> io::Result<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 ")).unwrap_or_default();
    match rest {
        digits if digits.len() > 3 && digits[..3].iter().all(u8::is_ascii_digit) && digits[3] == b' ' => {
            Ok(digits[..3].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
