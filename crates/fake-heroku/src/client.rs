//! The requests that Heroku makes to its customers: webhooks and telemetry.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::tls;

/// The longest answer that is read. Receivers have little to say.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long a connection without requests is kept, where connections are kept at all.
const IDLE: Duration = Duration::from_secs(60);

type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The version of HTTP to speak. It is not negotiated: webhooks and OTLP/HTTP are HTTP/1.1, gRPC is HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// What was answered, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// What was sent after the body; gRPC says there how a call ended.
    pub(crate) trailers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// A request without a whole answer. Nobody knows whether the other side has it: trying again may make a duplicate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// The answer took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer broke off or was too long.
    #[error("no whole answer: {0}")]
    Body(String),
}

/// Makes requests. Over TLS, a host on this machine may show any certificate (a test makes its own); other hosts need one
/// that the system trusts, or, where they are set, `SSL_CERT_FILE` and `SSL_CERT_DIR` in place of it.
pub(crate) struct Client {
    here: Pair,
    elsewhere: LazyLock<Pair, Box<dyn FnOnce() -> Pair + Send>>,
}

struct Pair {
    http1: Http,
    http2: Http,
}

impl Client {
    /// A client that keeps at most `idle_max` connections per host for later requests. 0: a connection for each request,
    /// so that none is lost to a connection that the other side has just closed.
    pub(crate) fn new(idle_max: usize) -> Self {
        Self {
            here: Pair::new(idle_max, tls::any()),
            // The system's roots are only read where somebody needs them.
            elsewhere: LazyLock::new(Box::new(move || Pair::new(idle_max, tls::trusted(&[])))),
        }
    }

    /// Makes a request and reads the answer, whole, `within` this time.
    pub(crate) async fn send(&self, version: Version, request: Request<Full<Bytes>>, within: Duration) -> Result<Answer, NoAnswer> {
        let pair = if is_here(request.uri()) { &self.here } else { &*self.elsewhere };
        let http = match version {
            Version::Http1 => &pair.http1,
            Version::Http2 => &pair.http2,
        };
        let exchange = async {
            let (head, body) = http.request(request).await.map_err(|error| NoAnswer::Connection(causes(&error)))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| NoAnswer::Body(causes(&*error)))?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Answer { status: head.status, headers: head.headers, trailers, body: body.to_bytes() })
        };
        tokio::time::timeout(within, exchange).await.unwrap_or(Err(NoAnswer::TimedOut(within)))
    }
}

impl Pair {
    fn new(idle_max: usize, tls: ClientConfig) -> Self {
        let connector = || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(idle_max).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        let http1 = builder.build(connector().enable_http1().build());
        let http2 = builder.http2_only(true).build(connector().enable_http2().build());
        Self { http1, http2 }
    }
}

fn is_here(uri: &Uri) -> bool {
    tls::is_this_machine(uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']'))
}

/// An error with what lies below it: the upper one often says no more than "client error".
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_says_whether_it_is_this_machine() {
        let cases =
            [("https://localhost:8443/x", true), ("https://[::1]:1/", true), ("https://[2001:db8::1]/", false), ("/no/host", false)];
        for (uri, expected) in cases {
            assert_eq!(is_here(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
