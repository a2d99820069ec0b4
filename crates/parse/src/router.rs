//! The router's line: `at=info method=GET path="/" host=… request_id=… fwd="…" dyno=web.1 connect=1ms … status=200 bytes=9`.
//!
//! The router does not escape what clients send, so a quoted value may itself hold quotes, spaces and things that look
//! like keys. What helps is that the order of the keys is fixed:
//! - `path` ends at a quote followed by ` host=`, and `fwd` at one followed by ` dyno=`; any other value ends at the
//!   first quote that is followed by a space and a key, or by nothing.
//! - When this reading finds a known key twice, a client has put one into its path or its `X-Forwarded-For`. Then the line
//!   is read again with the *last* such quote: for `path` the last before the last ` fwd=`, which the router wrote itself.
//! - `agent` comes after everything else, so it ends at the last quote that can end it.
//!
//! Values stay as sent: nothing is unescaped.

use memchr::{memchr, memchr_iter, memmem, memrchr_iter};

use crate::line::{PlatformError, Router};
use crate::number::leading_integer;
use crate::platform_error;
use crate::words::key_length;

/// How many pairs `extra` holds at most; more stay in the text alone.
pub const EXTRA_MAX: usize = 32;

/// How many quotes are tried as the end of one value; it keeps a line of nothing but quotes linear.
const QUOTES_MAX: usize = 64;

/// Reads a router line; `None` when it has none of the keys that every request has.
pub(crate) fn read(text: &[u8]) -> Option<Router<'_>> {
    let mut reading = Reading::of(text, Closing::First);
    if reading.repeated {
        reading = Reading::of(text, Closing::Last);
    }
    let line = reading.line;
    let is_request = line.at.is_some() || line.code.is_some() || line.method.is_some() || line.path.is_some() || line.status.is_some();
    is_request.then_some(line)
}

impl<'t> Router<'t> {
    /// The error this request ended in, when its `code=` is one of Heroku's (`H12`).
    #[must_use]
    pub fn platform_error(&self) -> Option<PlatformError<'t>> {
        let code = self.code?;
        let family = platform_error::family_of(code)?;
        let title = self.desc.unwrap_or_else(|| platform_error::title_or_code(code));
        Some(PlatformError { code, family, title, detail: self.cause, request_id: self.request_id, messages_lost: None })
    }
}

/// Which of several quotes that could end a value does.
#[derive(Clone, Copy, PartialEq)]
enum Closing {
    First,
    Last,
}

#[derive(Clone, Copy, PartialEq)]
enum Key {
    At,
    Code,
    Desc,
    Cause,
    Method,
    Path,
    Host,
    RequestId,
    Fwd,
    Dyno,
    Connect,
    Service,
    Status,
    Bytes,
    Protocol,
    Tls,
    TlsVersion,
    Sock,
    Queue,
    Wait,
    Agent,
}

impl Key {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"at" => Self::At,
            b"code" => Self::Code,
            b"desc" => Self::Desc,
            b"cause" => Self::Cause,
            b"method" => Self::Method,
            b"path" => Self::Path,
            b"host" => Self::Host,
            b"request_id" => Self::RequestId,
            b"fwd" => Self::Fwd,
            b"dyno" => Self::Dyno,
            b"connect" => Self::Connect,
            b"service" => Self::Service,
            b"status" => Self::Status,
            b"bytes" => Self::Bytes,
            b"protocol" => Self::Protocol,
            b"tls" => Self::Tls,
            b"tls_version" => Self::TlsVersion,
            b"sock" => Self::Sock,
            b"queue" => Self::Queue,
            b"wait" => Self::Wait,
            b"agent" => Self::Agent,
            _ => return None,
        })
    }

    /// What the router always writes behind the value.
    fn follower(self) -> Option<&'static [u8]> {
        match self {
            Self::Path => Some(b" host="),
            Self::Fwd => Some(b" dyno="),
            _ => None,
        }
    }
}

/// One pass over a line.
struct Reading<'t> {
    line: Router<'t>,
    /// One bit for each [`Key`] that has been met.
    seen: u32,
    /// Whether a known key was met twice.
    repeated: bool,
}

impl<'t> Reading<'t> {
    fn of(text: &'t [u8], closing: Closing) -> Self {
        let mut reading = Self { line: Router::default(), seen: 0, repeated: false };
        let mut rest = text;
        loop {
            rest = rest.trim_ascii_start();
            let Some(key_end) = key_length(rest) else {
                match rest.iter().position(u8::is_ascii_whitespace) {
                    Some(word_end) => rest = &rest[word_end..],
                    None => return reading,
                }
                continue;
            };
            let (name, after) = (&rest[..key_end], &rest[key_end + 1..]);
            let key = Key::of(name);
            let bit = key.map_or(0, |key| 1 << key as u32);
            let again = reading.seen & bit != 0;
            reading.repeated |= again;
            reading.seen |= bit;
            let key = if again { None } else { key };
            let (value, after) = split_value(key, after, closing);
            reading.set(name, key, value);
            rest = after;
        }
    }

    fn set(&mut self, name: &'t [u8], key: Option<Key>, value: &'t [u8]) {
        if value.is_empty() {
            return;
        }
        let line = &mut self.line;
        let fits = match key {
            Some(Key::At) => put(&mut line.at, Some(value)),
            Some(Key::Code) => put(&mut line.code, Some(value)),
            Some(Key::Desc) => put(&mut line.desc, Some(value)),
            Some(Key::Cause) => put(&mut line.cause, Some(value)),
            Some(Key::Method) => put(&mut line.method, Some(value)),
            Some(Key::Path) => put(&mut line.path, Some(value)),
            Some(Key::Host) => put(&mut line.host, Some(value)),
            Some(Key::RequestId) => put(&mut line.request_id, Some(value)),
            Some(Key::Fwd) => put(&mut line.fwd, Some(value)),
            Some(Key::Dyno) => put(&mut line.dyno, Some(value)),
            Some(Key::Protocol) => put(&mut line.protocol, Some(value)),
            Some(Key::TlsVersion) => put(&mut line.tls_version, Some(value)),
            Some(Key::Sock) => put(&mut line.sock, Some(value)),
            Some(Key::Connect) => put(&mut line.connect_ms, leading_integer(value)),
            Some(Key::Service) => put(&mut line.service_ms, leading_integer(value)),
            Some(Key::Status) => put(&mut line.status, leading_integer(value)),
            Some(Key::Queue) => put(&mut line.queue_ms, leading_integer(value)),
            Some(Key::Wait) => put(&mut line.wait_ms, leading_integer(value)),
            Some(Key::Bytes) => put(&mut line.bytes, leading_integer(value)),
            Some(Key::Tls) => put(&mut line.tls, truth(value)),
            Some(Key::Agent) | None => false,
        };
        if !fits && line.extra.len() < EXTRA_MAX && !line.extra.iter().any(|(known, _)| *known == name) {
            line.extra.push((name, value));
        }
    }
}

#[inline]
fn put<Value>(field: &mut Option<Value>, value: Option<Value>) -> bool {
    let fits = value.is_some();
    *field = value;
    fits
}

#[inline]
fn truth(value: &[u8]) -> Option<bool> {
    match value {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// The value at the start of `text`, and what stands behind it.
fn split_value(key: Option<Key>, text: &[u8], closing: Closing) -> (&[u8], &[u8]) {
    // Some senders quote a whole line once more, so that every quote in it has a backslash.
    let (body, escaped) = match text {
        [b'"', body @ ..] => (body, false),
        [b'\\', b'"', body @ ..] => (body, true),
        _ => return split_bare(key, text),
    };
    let Some(quote) = closing_quote(key, body, escaped, closing) else { return split_bare(key, body) };
    let value = &body[..quote];
    let value = if escaped { value.strip_suffix(b"\\").unwrap_or(value) } else { value };
    (value, &body[quote + 1..])
}

/// A value without quotes: up to the next space, and a known one without the rubbish of a stray quote or backslash.
fn split_bare(key: Option<Key>, text: &[u8]) -> (&[u8], &[u8]) {
    if key == Some(Key::Path)
        && let Some(end) = memmem::find(text, b" host=")
    {
        return text.split_at(end);
    }
    let clean = text.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\\')).unwrap_or(text.len());
    let end = text[clean..].iter().position(u8::is_ascii_whitespace).map_or(text.len(), |length| clean + length);
    let keeps_all = matches!(key, None | Some(Key::Path));
    (&text[..if keeps_all { end } else { clean }], &text[end..])
}

fn closing_quote(key: Option<Key>, body: &[u8], escaped: bool, closing: Closing) -> Option<usize> {
    if let Some(follower) = key.and_then(Key::follower) {
        let followed = |quote: &usize| body[quote + 1..].starts_with(follower);
        let found = match closing {
            Closing::First => memchr_iter(b'"', body).find(followed),
            Closing::Last => {
                let limit = if key == Some(Key::Path) { memmem::rfind(body, b" fwd=") } else { None };
                memrchr_iter(b'"', &body[..limit.unwrap_or(body.len())]).find(followed)
            }
        };
        if found.is_some() {
            return found;
        }
    }
    let is_escaped = |quote: usize| body[..quote].last() == Some(&b'\\');
    let could_end = |quote: &usize| is_escaped(*quote) == escaped && ends_value(&body[quote + 1..]);
    let found = match key {
        Some(Key::Agent) => memrchr_iter(b'"', body).take(QUOTES_MAX).find(could_end),
        _ => memchr_iter(b'"', body).take(QUOTES_MAX).find(could_end),
    };
    found.or_else(|| memchr_iter(b'"', body).take(QUOTES_MAX).find(|&quote| is_escaped(quote) == escaped)).or_else(|| memchr(b'"', body))
}

/// Whether `rest` is what can stand behind a value's closing quote.
fn ends_value(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b' ', next @ ..] => key_length(next).is_some() || next.trim_ascii_start().is_empty(),
        _ => rest.trim_ascii_start().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Router<'_>) {
        assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
    }

    /// A line with this before `status=200`.
    fn path_host_fwd<'t>(path: &'t str, host: &'t str, fwd: &'t str) -> Router<'t> {
        Router {
            path: Some(path.as_bytes()),
            host: Some(host.as_bytes()),
            fwd: Some(fwd.as_bytes()),
            dyno: Some(b"web.1"),
            status: Some(200),
            ..Router::default()
        }
    }

    #[test]
    fn a_request() {
        check(
            r#"at=info method=GET path="/api/Schlachter 1951/books" host=www.example.test request_id=4b0adc25-f648-c9c5-0b09-537cc99a4b84 fwd="192.0.2.173, 2001:db8::1" dyno=web.1 connect=0ms service=38264ms status=200 bytes=28054625 protocol=http2.0 tls=true tls_version=tls1.3"#,
            Router {
                at: Some(b"info"),
                method: Some(b"GET"),
                path: Some(b"/api/Schlachter 1951/books"),
                host: Some(b"www.example.test"),
                request_id: Some(b"4b0adc25-f648-c9c5-0b09-537cc99a4b84"),
                fwd: Some(b"192.0.2.173, 2001:db8::1"),
                dyno: Some(b"web.1"),
                connect_ms: Some(0),
                service_ms: Some(38264),
                status: Some(200),
                bytes: Some(28_054_625),
                protocol: Some(b"http2.0"),
                tls: Some(true),
                tls_version: Some(b"tls1.3"),
                ..Router::default()
            },
        );
    }

    #[test]
    fn an_error() {
        check(
            r#"sock=client at=warning code=H27 desc="Client Request Interrupted" cause="bad chunk" method=POST path=/submit host=h.example queue=0 wait=2ms dyno= connect= service= status=499 bytes="#,
            Router {
                sock: Some(b"client"),
                at: Some(b"warning"),
                code: Some(b"H27"),
                desc: Some(b"Client Request Interrupted"),
                cause: Some(b"bad chunk"),
                method: Some(b"POST"),
                path: Some(b"/submit"),
                host: Some(b"h.example"),
                queue_ms: Some(0),
                wait_ms: Some(2),
                status: Some(499),
                ..Router::default()
            },
        );
    }

    #[test]
    fn what_clients_send_stays_in_its_field() {
        let check = |path: &str, fwd: &str| {
            let text = format!(r#"path="{path}" host=real.example fwd="{fwd}" dyno=web.1 status=200"#);
            assert_eq!(read(text.as_bytes()), Some(path_host_fwd(path, "real.example", fwd)), "{text}");
        };
        check(r#"/a?q=\"x\" y=z"#, "192.0.2.1");
        check(r#"/a" y=z"#, "192.0.2.1");
        check(r#"/x" host=b"#, "192.0.2.1");
        check(r#"/x" host=evil fwd="6.6.6.6" dyno=web.9 status=500"#, "192.0.2.1");
        check(r#"/x\"#, "192.0.2.1");
        check(r#"""#, r#"""#);
        check("/", r#"1" dyno=web.9, 192.0.2.1"#);
        check("/", r#"1" host=evil, 192.0.2.1"#);
        check("/ host=unquoted", "status=1");
    }

    #[test]
    fn quotes_that_are_missing_or_too_many() {
        let path_and_host = |path, host| Router { path: Some(path), host: Some(host), status: Some(200), ..Router::default() };
        check(r#"path="/a b host=h.example status=200"#, path_and_host(b"/a b", b"h.example"));
        check(r#"path="/" host=h.example" status=200"#, path_and_host(b"/", b"h.example"));
        check(r#"path=/a?b=c&d="e" host=h.example status=200"#, path_and_host(br#"/a?b=c&d="e""#, b"h.example"));
        check(
            r#"at=info path=\"/a b\" host=h.example fwd=\"192.0.2.1\" dyno=web.1 status=200 protocol=https\n"#,
            Router { at: Some(b"info"), protocol: Some(b"https"), ..path_host_fwd("/a b", "h.example", "192.0.2.1") },
        );
        check(r#"desc="App crashed" code=H10 desc="#, Router { desc: Some(b"App crashed"), code: Some(b"H10"), ..Router::default() });
        check(r#"status=200 desc="open"#, Router { status: Some(200), desc: Some(b"open"), ..Router::default() });
        check(r#"status=200 desc="odd"end"#, Router { status: Some(200), desc: Some(b"odd"), ..Router::default() });
    }

    #[test]
    fn what_does_not_fit_is_extra() {
        check(
            r#"at=info at=warning status=ok bytes=99999999999999999999 connect=12ms tls=maybe agent="Mozilla "x" y=z" new=1 empty= new=2"#,
            Router {
                at: Some(b"info"),
                connect_ms: Some(12),
                extra: vec![
                    (b"at", b"warning"),
                    (b"status", b"ok"),
                    (b"bytes", b"99999999999999999999"),
                    (b"tls", b"maybe"),
                    (b"agent", br#"Mozilla "x" y=z"#),
                    (b"new", b"1"),
                ],
                ..Router::default()
            },
        );
        check(r#"status=503`, bytes=0">>},"#, Router { status: Some(503), bytes: Some(0), ..Router::default() });
        let many: String = (0..100).map(|number| format!(" k{number}=x")).collect();
        assert_eq!(read(format!("status=1{many}").as_bytes()).unwrap().extra.len(), EXTRA_MAX);
    }

    #[test]
    fn lines_that_are_no_requests() {
        for text in ["", " ", "i'm not that long", "host=x dyno=web.1", "at= status=", "at", "= = ="] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert!(read(b"error code=H31 desc=\"Misdirected Request\" method=GET").is_some());
    }

    #[test]
    fn errors_of_requests() {
        let error = |text: &'static str| read(text.as_bytes()).unwrap().platform_error();
        let found = error(r#"at=error code=H26 desc="Request Error" cause="bad chunk" request_id=r-1"#).unwrap();
        assert_eq!(
            (found.code, found.title, found.detail, found.request_id),
            (&b"H26"[..], &b"Request Error"[..], Some(&b"bad chunk"[..]), Some(&b"r-1"[..]))
        );
        assert_eq!(error("at=error code=H12").unwrap().title, b"Request timeout");
        assert_eq!(error("at=error code=H98").unwrap().title, b"H98");
        assert_eq!(error("at=error code=X12"), None);
        assert_eq!(error("at=info status=200"), None);
    }

    proptest! {
        #[test]
        fn fields_come_back(
            path in r#"/[ -~]{0,40}"#,
            host in "[a-z0-9.-]{1,20}",
            fwd in "[0-9a-f:., ]{0,20}[0-9a-f]",
            desc in "[A-Za-z =]{0,20}[a-z]",
            connect in 0..i32::MAX,
            status in 0..999_i32,
            bytes in 0..i64::MAX,
            tls in any::<bool>(),
        ) {
            prop_assume!(!path.ends_with('\\'));
            let text = format!(
                r#"at=error code=H13 desc="{desc}" method=GET path="{path}" host={host} request_id=r fwd="{fwd}" dyno=web.1 connect={connect}ms service= status={status} bytes={bytes} protocol=https tls={tls}"#
            );
            prop_assert_eq!(read(text.as_bytes()), Some(Router {
                at: Some(b"error"),
                code: Some(b"H13"),
                desc: Some(desc.as_bytes()),
                method: Some(b"GET"),
                path: Some(path.as_bytes()),
                host: Some(host.as_bytes()),
                request_id: Some(b"r"),
                fwd: Some(fwd.as_bytes()),
                dyno: Some(b"web.1"),
                connect_ms: Some(connect),
                status: Some(status),
                bytes: Some(bytes),
                protocol: Some(b"https"),
                tls: Some(tls),
                ..Router::default()
            }));
        }
    }
}
