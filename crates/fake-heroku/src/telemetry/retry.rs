//! When a receiver wants to be tried again: a header over HTTP, a detail of the status over gRPC.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::header::{HeaderMap, RETRY_AFTER};
use prost::Message as _;

/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// The type of the detail that says it.
const RETRY_INFO: &str = "google.rpc.RetryInfo";
/// gRPC's headers of bytes come with padding or without.
const BYTES: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// `Retry-After` in seconds; the form with a date is rare enough to do without.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// `google.rpc.Status`, as far as it is read here.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`: a message with its type.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RetryInfo {
    /// From the header `grpc-status-details-bin`, where it has one.
    pub(super) fn of(details: &str) -> Option<Self> {
        let status = Status::decode(BYTES.decode(details).ok()?.as_slice()).ok()?;
        let detail = status.details.into_iter().find(|detail| detail.type_url.ends_with(RETRY_INFO))?;
        Self::decode(detail.value.as_slice()).ok()
    }

    /// The pause that it asks for.
    pub(super) fn after(&self) -> Option<Duration> {
        let delay = self.delay?;
        let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
        Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())).min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The details of a status that asks for this pause.
    pub(in super::super) fn details(seconds: i64, nanos: i32) -> Vec<u8> {
        let info = RetryInfo { delay: Some(Delay { seconds, nanos }) }.encode_to_vec();
        let another = Detail { type_url: "type.googleapis.com/google.rpc.Help".to_owned(), value: b"\xff".to_vec() };
        let detail = Detail { type_url: format!("type.googleapis.com/{RETRY_INFO}"), value: info };
        Status { details: vec![another, detail] }.encode_to_vec()
    }

    #[test]
    fn the_pause_is_read_from_the_details() {
        let check = |bytes: &[u8], expected: Option<Option<Duration>>| {
            for padding in [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::STANDARD_NO_PAD] {
                assert_eq!(RetryInfo::of(&padding.encode(bytes)).map(|info| info.after()), expected, "{bytes:?}");
            }
        };
        check(&details(2, 500_000_000), Some(Some(Duration::from_millis(2500))));
        check(&details(0, 0), Some(Some(Duration::ZERO)));
        check(&details(i64::MAX, i32::MAX), Some(Some(RETRY_AFTER_MAX)));
        check(&details(-1, 0), Some(None));
        // Another detail only; no details; no message.
        check(b"\x1a\x05\x0a\x03abc", None);
        check(b"", None);
        check(b"\xff\xff", None);
        assert!(RetryInfo::of("no base64!").is_none());
        // RetryInfo { retry_delay: { seconds: 7 } }, written by another hand: google.rpc.Status of code 8.
        let by_hand =
            [b"\x08\x08\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo".as_slice(), b"\x12\x04\x0a\x02\x08\x07"].concat();
        check(&by_hand, Some(Some(Duration::from_secs(7))));
    }
}
