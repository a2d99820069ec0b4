//! Taking in a request's body within bounds, and unpacking it.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// A body as far as it was kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    /// Bytes that came after the limit and were thrown away.
    pub(super) discarded: u64,
}

/// Reads `body` to its end and keeps at most `bytes_max` of it.
///
/// # Errors
/// The sender went away, or broke its own framing.
pub(super) async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Collected, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(bytes_max);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame?.into_data() else { continue };
        let room = bytes_max - first.len().max(joined.len());
        discarded += data.len().saturating_sub(room) as u64;
        data.truncate(room);
        if first.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(expected.max(first.len() + data.len()));
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    // Most bodies come in one piece, and that piece is not copied.
    let bytes = if joined.is_empty() { first } else { joined.freeze() };
    Ok(Collected { bytes, discarded })
}

/// Reads at most some `bytes_max` of `body` and throws it away. False when there was more.
pub(super) async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B, bytes_max: usize) -> Result<bool, B::Error> {
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        seen += frame?.data_ref().map_or(0, Bytes::len);
        if seen > bytes_max {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `packed` without its gzip, or nothing when it is not sound gzip of at most `bytes_max` bytes.
pub(super) fn gunzip(packed: &[u8], bytes_max: usize) -> Option<Bytes> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(packed).take(bytes_max as u64 + 1).read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= bytes_max).then(|| Bytes::from(unpacked))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::body::Frame;

    use super::*;

    /// A body that comes in the given pieces.
    struct Pieces(Vec<&'static [u8]>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
        }
    }

    fn ready<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the body in a test never waits"),
        }
    }

    fn check(pieces: &[&'static [u8]], bytes_max: usize, kept: &'static [u8], discarded: u64) {
        let collected = ready(collect(Pieces(pieces.to_vec()), bytes_max)).unwrap();
        assert_eq!(collected, Collected { bytes: Bytes::from_static(kept), discarded }, "{pieces:?} within {bytes_max}");
    }

    #[test]
    fn a_body_is_kept_up_to_the_limit_and_the_rest_is_counted() {
        check(&[], 4, b"", 0);
        check(&[b"abcd"], 4, b"abcd", 0);
        check(&[b"", b"ab", b"", b"cd"], 4, b"abcd", 0);
        check(&[b"abcde"], 4, b"abcd", 1);
        check(&[b"ab", b"c", b"defg", b"hi"], 4, b"abcd", 5);
        check(&[b"abcd", b"ef"], 4, b"abcd", 2);
    }

    #[test]
    fn discarding_stops_at_its_limit() {
        assert!(ready(discard(Pieces(vec![b"ab", b"cd"]), 4)).unwrap());
        assert!(!ready(discard(Pieces(vec![b"ab", b"cd", b"e"]), 4)).unwrap());
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_within_bounds() {
        assert_eq!(gunzip(&gzip(b"hello"), 5).as_deref(), Some(&b"hello"[..]));
        assert_eq!(gunzip(&[gzip(b"he"), gzip(b"llo")].concat(), 5).as_deref(), Some(&b"hello"[..]));
        assert_eq!(gunzip(&gzip(b"hello"), 4), None);
        assert_eq!(gunzip(&gzip(&[0; 1_000_000]), 4096), None);
        assert_eq!(gunzip(b"99 <190>1 plain", 100), None);
        let whole = gzip(b"hello");
        for cut in 1..whole.len() {
            assert_eq!(gunzip(&whole[..cut], 100), None, "cut at {cut}");
        }
    }
}
