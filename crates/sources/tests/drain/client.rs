//! A client that writes exact bytes and sees exact bytes.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Client<S = TcpStream>(pub(crate) S);

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        // The receiver may not have begun to listen yet.
        for _ in 0..500 {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Self(stream);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no connection to {address}");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("the receiver reads").unwrap();
    }

    /// One answer, read to its announced end and no further.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("an answer in time");
            head.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head))));
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a Content-Length").parse().unwrap();
        let mut body = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.expect("a body in time").unwrap();
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        Answer { head, body }
    }

    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Sends a frame and wants the one answer that Logplex counts as delivered.
    pub(crate) async fn deliver(&mut self, request: impl AsRef<[u8]>) {
        let answer = self.ask(request).await;
        assert_eq!(answer.status_line(), "HTTP/1.1 200 OK", "{answer:?}");
        assert_eq!(answer.body, b"");
    }

    /// Everything until the connection ends, in whichever way.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("the connection ends") {
                Ok(length) if length > 0 => seen.extend_from_slice(&buffer[..length]),
                Ok(_) | Err(_) => return seen,
            }
        }
    }
}

/// A request in Logplex's own shape and order of headers.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) app: &'static str,
    pub(crate) credential: Option<&'static str>,
    pub(crate) msg_count: Option<&'static str>,
    pub(crate) frame_id: Option<&'static str>,
    pub(crate) token: Option<&'static str>,
    pub(crate) extra: &'static str,
    pub(crate) body: Vec<u8>,
}

pub(crate) const TOKEN: &str = "d.11111111-2222-3333-4444-555555555555";
pub(crate) const FRAME_ID: &str = "DA460A08D72CE658CF7F6BB54E921F39";
pub(crate) const MESSAGE: &[u8] = b"63 <190>1 2026-11-22T10:01:00.000001+00:00 host app web.1 - seq=1\n";

impl Default for Frame {
    fn default() -> Self {
        Self {
            app: "shop",
            credential: Some("freshet:s3cret"),
            msg_count: Some("1"),
            frame_id: Some(FRAME_ID),
            token: Some(TOKEN),
            extra: "",
            body: MESSAGE.to_vec(),
        }
    }
}

impl Frame {
    pub(crate) fn head(&self) -> String {
        let mut head = format!("POST /drain/{} HTTP/1.1\r\nHost: 127.0.0.1:9911\r\n", self.app);
        let authorization = self.credential.map(|credential| format!("Basic {}", STANDARD.encode(credential)));
        let length = (!self.body.is_empty()).then(|| self.body.len().to_string());
        let headers = [
            ("Authorization", authorization.as_deref()),
            ("Content-Type", Some("application/logplex-1")),
            ("Logplex-Msg-Count", self.msg_count),
            ("Logplex-Frame-Id", self.frame_id),
            ("Logplex-Drain-Token", self.token),
            ("User-Agent", Some("Logplex/v104")),
            // An empty body carries no Content-Length at all.
            ("Content-Length", length.as_deref()),
        ];
        for (name, value) in headers {
            head.extend(value.map(|value| format!("{name}: {value}\r\n")));
        }
        head + self.extra + "\r\n"
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head().as_bytes(), &self.body].concat()
    }
}
