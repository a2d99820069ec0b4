//! Requests written byte by byte, for what a well-behaved client would not send.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::daemon::SECRET;

const PATIENCE: Duration = Duration::from_secs(6);

/// An answer, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A frame as Logplex posts it, with what a test wants to be different.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) app: &'a str,
    pub(crate) credential: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    pub(crate) msg_count: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// The drain token of [`Frame::of`].
pub(crate) const TOKEN: &str = "d.11111111-2222-3333-4444-555555555555";

impl<'a> Frame<'a> {
    /// A frame of one message that nobody could object to.
    pub(crate) fn of(id: &'a str, body: &'a [u8]) -> Self {
        Self { app: "shop", credential: Some("freshet:s3cret"), id: Some(id), token: Some(TOKEN), msg_count: Some("1"), body }
    }

    /// Sends it on a connection of its own.
    pub(crate) fn send(&self, address: SocketAddr) -> io::Result<Answer> {
        let mut head = format!("POST /drain/{} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", self.app);
        let authorization = self.credential.map(|credential| format!("Basic {}", STANDARD.encode(credential)));
        let headers = [
            ("Authorization", authorization.as_deref()),
            ("Content-Type", Some("application/logplex-1")),
            ("Logplex-Msg-Count", self.msg_count),
            ("Logplex-Frame-Id", self.id),
            ("Logplex-Drain-Token", self.token),
            ("Content-Length", Some(&*self.body.len().to_string())),
        ];
        for (name, value) in headers {
            head.extend(value.map(|value| format!("{name}: {value}\r\n")));
        }
        exchange(address, &[head.as_bytes(), b"\r\n", self.body].concat())
    }

    /// Sends it and wants a 2xx without a body, which is all that Logplex understands.
    pub(crate) fn deliver(&self, address: SocketAddr) {
        let answer = self.send(address).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{:?}", self.id);
    }
}

/// One message in octet framing.
pub(crate) fn message(text: &[u8]) -> Vec<u8> {
    let head = b"<190>1 2026-11-22T10:01:00.000001+00:00 host app web.1 - ";
    [format!("{} ", head.len() + text.len() + 1).as_bytes(), head, text, b"\n"].concat()
}

/// The `Authorization` header of a drain.
pub(crate) fn authorization() -> String {
    format!("Basic {}", STANDARD.encode(format!("freshet:{SECRET}")))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
}

/// Sends `request` and reads until the other side closes.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    exchange_within(PATIENCE, address, request)
}

/// The same with more patience, or less.
pub(crate) fn exchange_within(patience: Duration, address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other("no status"))?;
    Ok(Answer { status, body: body.to_owned() })
}
