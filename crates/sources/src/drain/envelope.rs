//! What Logplex says about a frame in its headers.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, HeaderValue};

/// Bytes of a header that is taken seriously. A drain token has 38, a frame id 32.
const HEADER_BYTES_MAX: usize = 256;

/// What Logplex says about a frame. Private-Space and Shield drains send the count only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) drain_token: Option<String>,
    pub(super) frame_id: Option<String>,
    pub(super) msg_count: Option<u32>,
    /// The body is packed. Logplex has never done so; proxies and tests do.
    pub(super) gzip: bool,
}

impl Envelope {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(sound_text);
        let packed = headers.get(CONTENT_ENCODING).and_then(sound_text);
        Self {
            drain_token: text("logplex-drain-token").map(str::to_owned),
            frame_id: text("logplex-frame-id").map(str::to_owned),
            msg_count: text("logplex-msg-count").and_then(|count| count.parse().ok()),
            gzip: packed.is_some_and(|coding| coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")),
        }
    }
}

/// The value, unless it is empty, absurdly long or not ASCII. An empty frame id above all must not pass for one: every
/// frame after the first would look repeated.
fn sound_text(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= HEADER_BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &[u8])], expected: &Envelope) {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())).collect();
        assert_eq!(Envelope::read(&map), *expected, "{headers:?}");
    }

    #[test]
    fn headers_are_read_and_garbage_is_no_value() {
        let whole = Envelope { drain_token: Some("d.1111".into()), frame_id: Some("DA460A08".into()), msg_count: Some(12), gzip: true };
        check(
            &[
                ("logplex-drain-token", b"d.1111"),
                ("logplex-frame-id", b" DA460A08 "),
                ("logplex-msg-count", b"12"),
                ("content-encoding", b"GZip"),
            ],
            &whole,
        );
        check(&[], &Envelope::default());
        check(
            &[
                ("logplex-drain-token", &[b'd'; 257]),
                ("logplex-frame-id", b""),
                ("logplex-msg-count", b"twelve"),
                ("content-encoding", b"br"),
            ],
            &Envelope::default(),
        );
        check(&[("logplex-frame-id", b"\xff\xfe"), ("logplex-msg-count", b"-1")], &Envelope::default());
        check(&[("logplex-msg-count", b"99999999999")], &Envelope::default());
    }
}
