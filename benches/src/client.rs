//! A connection that sends frames as Logplex does: one in flight, the same frame again until it is acknowledged.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::text::Text;

/// Logplex gives up on an answer after this long and sends the frame again.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before the next attempt when the connection was refused.
pub const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// More header bytes than this are no answer to a frame.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// Where the frames go.
#[derive(Clone, Debug)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// The path of the drain, `/drain/shop`.
    pub path: String,
    /// The value of the `Authorization` header, when the drain asks for one.
    pub authorization: Option<String>,
}

impl Target {
    /// Reads `http://HOST[:PORT]/PATH`; the port is 80 by default.
    ///
    /// # Errors
    /// A sentence when `url` has another form.
    pub fn parse(url: &str, authorization: Option<String>) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: only http:// URLs can be sent to"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || host.contains('@') {
            return Err(format!("{url}: give http://HOST:PORT/drain/APP, and the secret with --secret"));
        }
        let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { address, path: format!("/{path}"), authorization })
    }
}

/// What went on until a frame was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Connections that were refused or could not be made.
    pub refused: u64,
    /// Connections that ended before an answer.
    pub broken: u64,
    /// Answers other than 2xx.
    pub rejected: u64,
}

impl Troubles {
    /// Adds those of another.
    pub const fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.broken += other.broken;
        self.rejected += other.rejected;
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver answered 2xx.
    Acknowledged,
    /// The deadline came first; the receiver may or may not have the frame.
    Unknown,
}

/// One keep-alive connection of one drain.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    drain_token: String,
    stream: Option<BufReader<TcpStream>>,
    request: Vec<u8>,
}

impl Connection {
    /// A connection that will be made when the first frame is sent.
    #[must_use]
    pub const fn new(target: Target, drain_token: String) -> Self {
        Self { target, drain_token, stream: None, request: Vec::new() }
    }

    /// Sends one frame until it is acknowledged or `deadline` has passed; what went wrong is added to `troubles`.
    pub fn deliver(&mut self, frame_id: &str, messages: u64, body: &[u8], deadline: Instant, troubles: &mut Troubles) -> Delivery {
        self.render(frame_id, messages, body);
        loop {
            if self.stream.is_none() {
                match connect(&self.target.address) {
                    Ok(stream) => self.stream = Some(BufReader::new(stream)),
                    Err(_) => {
                        troubles.refused += 1;
                        std::thread::sleep(REFUSED_PAUSE);
                    }
                }
            }
            match self.stream.as_mut().map(|stream| exchange(stream, &self.request)) {
                Some(Ok(answer)) => {
                    if !answer.keep_alive {
                        self.stream = None;
                    }
                    if (200..300).contains(&answer.status) {
                        return Delivery::Acknowledged;
                    }
                    troubles.rejected += 1;
                    std::thread::sleep(REFUSED_PAUSE);
                }
                Some(Err(_)) => {
                    troubles.broken += 1;
                    self.stream = None;
                }
                None => {}
            }
            if Instant::now() >= deadline {
                return Delivery::Unknown;
            }
        }
    }

    fn render(&mut self, frame_id: &str, messages: u64, body: &[u8]) {
        let request = &mut self.request;
        request.clear();
        let mut line = |parts: &[&str]| {
            for part in parts {
                request.extend_from_slice(part.as_bytes());
            }
            request.extend_from_slice(b"\r\n");
        };
        line(&["POST ", &self.target.path, " HTTP/1.1"]);
        line(&["Host: ", &self.target.address]);
        if let Some(authorization) = &self.target.authorization {
            line(&["Authorization: ", authorization]);
        }
        line(&["Content-Type: application/logplex-1"]);
        line(&["Logplex-Msg-Count: ", &messages.to_string()]);
        line(&["Logplex-Frame-Id: ", frame_id]);
        line(&["Logplex-Drain-Token: ", &self.drain_token]);
        line(&["User-Agent: Logplex/v104"]);
        line(&["Content-Length: ", &body.len().to_string()]);
        line(&[]);
        request.extend_from_slice(body);
    }
}

/// 32 upper-case hexadecimal digits, as Logplex makes them.
#[must_use]
pub fn frame_id(random: &mut Random) -> String {
    let mut id = Text::default();
    id.hex(random, 32);
    String::from_utf8_lossy(id.bytes()).to_uppercase()
}

fn connect(address: &str) -> io::Result<TcpStream> {
    use std::net::ToSocketAddrs;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
                stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

struct Answer {
    status: u16,
    keep_alive: bool,
}

fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> io::Result<Answer> {
    stream.get_mut().write_all(request)?;
    read_answer(stream)
}

fn read_answer(stream: &mut impl BufRead) -> io::Result<Answer> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = stream.by_ref().take(HEAD_BYTES_MAX);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.trim().parse().ok()).ok_or_else(|| invalid("no status line"))?;
    let (mut length, mut keep_alive) = (0_u64, line.starts_with("HTTP/1.1"));
    loop {
        line.clear();
        head.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(invalid("the headers have no end"));
        }
        if line.trim_end().is_empty() {
            break;
        }
        let (name, value) = line.trim_end().split_once(':').ok_or_else(|| invalid("a header without a colon"))?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| invalid("no content length"))?;
        } else if name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close") {
            keep_alive = false;
        }
    }
    io::copy(&mut stream.take(length), &mut io::sink())?;
    Ok(Answer { status, keep_alive })
}

#[cfg(test)]
mod tests {
    use super::{Target, frame_id, read_answer};
    use crate::random::Random;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8080/drain/shop", None).unwrap();
        assert_eq!((target.address.as_str(), target.path.as_str()), ("127.0.0.1:8080", "/drain/shop"));
        assert_eq!(Target::parse("http://localhost", None).unwrap().address, "localhost:80");
        assert!(Target::parse("https://localhost/drain/shop", None).is_err());
        assert!(Target::parse("http://freshet:secret@localhost/drain/shop", None).is_err());
    }

    #[test]
    fn a_frame_id_has_logplexs_form() {
        let id = frame_id(&mut Random::new(1));
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)), "{id}");
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let mut two = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"[..];
        let first = read_answer(&mut two).unwrap();
        assert_eq!((first.status, first.keep_alive), (200, true));
        let second = read_answer(&mut two).unwrap();
        assert_eq!((second.status, second.keep_alive), (204, false));
        assert!(read_answer(&mut two).is_err(), "a closed connection is no answer");
        assert!(read_answer(&mut &b"HTTP/1.1 200 OK\r\nContent-"[..]).is_err(), "half a head is no answer");
    }
}
