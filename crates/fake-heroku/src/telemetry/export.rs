//! One request of OTLP, and what its answer means (OTLP specification 1.x, "OTLP/gRPC response" and "OTLP/HTTP response").

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use serde_json::Value;

use super::Signal;
use super::message::rejected;
use super::retry::{RetryInfo, retry_after};
use crate::client::{Answer, Client, Version};
use crate::world::Refusal;

/// How many headers a drain may add, and how long their names and values may be (the API's schema of `telemetry-drain`).
const HEADERS_MAX: usize = 20;
const HEADER_NAME_MAX: usize = 100;
const HEADER_VALUE_MAX: usize = 1_000;
/// The longest endpoint, from the same place.
const ENDPOINT_MAX: usize = 1_000;

/// Where a drain sends to, and how.
#[derive(Debug)]
pub(super) struct Exporter {
    /// Without a slash at its end.
    endpoint: String,
    transport: Transport,
    headers: HeaderMap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// `otlphttp`: protobuf in HTTP/1.1.
    Http,
    /// `otlp`: gRPC.
    Grpc,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it, but for the records that it rejected; those must not be sent again.
    Taken {
        /// How many.
        rejected: u64,
        /// What the receiver said about it.
        trouble: String,
    },
    /// To be tried again, after the pause that the receiver asked for.
    Later {
        /// That pause.
        after: Option<Duration>,
        /// What went wrong.
        trouble: String,
    },
    /// Not to be tried again.
    Refused(String),
}

impl Exporter {
    /// From the field `exporter` of a `telemetry-drain`.
    pub(super) fn new(exporter: &Value) -> Result<Self, Refusal> {
        let transport = match exporter["type"].as_str() {
            Some("otlphttp") => Transport::Http,
            Some("otlp") => Transport::Grpc,
            _ => return Err(Refusal::invalid("Exporter type must be otlphttp or otlp.")),
        };
        let endpoint = exporter["endpoint"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let is_address = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
        if endpoint.len() > ENDPOINT_MAX || !endpoint.parse().is_ok_and(|uri| is_address(&uri)) {
            return Err(Refusal::invalid("Exporter endpoint must be a valid URI."));
        }
        Ok(Self { endpoint, transport, headers: headers(&exporter["headers"])? })
    }

    /// Makes one request with an encoded message.
    pub(super) async fn export(&self, client: &Client, signal: Signal, message: &[u8], within: Duration) -> Outcome {
        let version = match self.transport {
            Transport::Http => Version::Http1,
            Transport::Grpc => Version::Http2,
        };
        let request = match self.request(signal, message) {
            Ok(request) => request,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match client.send(version, request, within).await {
            // Nobody knows whether it arrived: at least once is what OTLP asks for.
            Err(error) => Outcome::Later { after: None, trouble: error.to_string() },
            Ok(answer) => match self.transport {
                Transport::Http => http_outcome(signal, &answer),
                Transport::Grpc => grpc_outcome(signal, &answer),
            },
        }
    }

    fn request(&self, signal: Signal, message: &[u8]) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let builder = Request::builder().method(Method::POST);
        let mut request = match self.transport {
            Transport::Http => builder
                .uri(format!("{}{}", self.endpoint, http_path(signal)))
                .header(CONTENT_TYPE, "application/x-protobuf")
                .body(Full::new(Bytes::copy_from_slice(message)))?,
            Transport::Grpc => builder
                .uri(format!("{}{}", self.endpoint, grpc_path(signal)))
                .header(CONTENT_TYPE, "application/grpc")
                .header(TE, "trailers")
                .body(Full::new(framed(message)))?,
        };
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("OTel-Exporter-Heroku/1"));
        headers.extend(self.headers.clone());
        Ok(request)
    }
}

fn headers(given: &Value) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    if given.is_null() {
        return Ok(headers);
    }
    let given = given.as_object().ok_or_else(|| Refusal::invalid("Exporter headers must be an object."))?;
    if given.len() > HEADERS_MAX {
        return Err(Refusal::invalid(format!("Exporter headers must not be more than {HEADERS_MAX}.")));
    }
    for (name, value) in given {
        let bad = || Refusal::invalid(format!("Exporter header {name} is not valid."));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let text = value.as_str().filter(|text| text.len() <= HEADER_VALUE_MAX).ok_or_else(bad)?;
        if name.len() > HEADER_NAME_MAX || !name.bytes().all(plain) {
            return Err(bad());
        }
        headers.insert(HeaderName::try_from(name).map_err(|_| bad())?, HeaderValue::try_from(text).map_err(|_| bad())?);
    }
    Ok(headers)
}

fn http_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
    }
}

fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// A message as gRPC carries it: a byte that says "not compressed", its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    // A batch has 512 records at most, of 10,000 bytes or so each: 4 GiB are far.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn http_outcome(signal: Signal, answer: &Answer) -> Outcome {
    let status = answer.status.as_u16();
    match status {
        200..=299 => taken(signal, &answer.body),
        429 | 502 | 503 | 504 => Outcome::Later { after: retry_after(&answer.headers), trouble: format!("answered {status}") },
        _ => Outcome::Refused(format!("answered {status}")),
    }
}

fn grpc_outcome(signal: Signal, answer: &Answer) -> Outcome {
    let status = answer.status.as_u16();
    if status != 200 {
        // Something between us and the receiver answered. gRPC calls these four UNAVAILABLE.
        let trouble = format!("answered {status}");
        return if matches!(status, 429 | 502 | 503 | 504) { Outcome::Later { after: None, trouble } } else { Outcome::Refused(trouble) };
    }
    // A call that fails at once says so in the headers.
    let said = |name| answer.trailers.get(name).or_else(|| answer.headers.get(name)).and_then(|value| value.to_str().ok());
    let code = said("grpc-status").and_then(|code| code.parse::<u32>().ok());
    let trouble = || format!("gRPC status {}: {}", code.unwrap_or(2), said("grpc-message").unwrap_or_default());
    let info = || said("grpc-status-details-bin").and_then(RetryInfo::of);
    match code {
        Some(0) => taken(signal, answer.body.get(5..).unwrap_or_default()),
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        Some(1 | 4 | 10 | 11 | 14 | 15) => Outcome::Later { after: info().and_then(|info| info.after()), trouble: trouble() },
        // RESOURCE_EXHAUSTED passes where the receiver says that it does.
        Some(8) => match info() {
            Some(info) => Outcome::Later { after: info.after(), trouble: trouble() },
            None => Outcome::Refused(trouble()),
        },
        _ => Outcome::Refused(trouble()),
    }
}

/// A success may still reject some records. An answer that cannot be read is a success all the same.
fn taken(signal: Signal, body: &[u8]) -> Outcome {
    let (rejected, trouble) = rejected(signal, body);
    Outcome::Taken { rejected, trouble }
}
