//! The requests that Heroku makes to its customers: webhooks and telemetry.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
/// that the system trusts (`SSL_CERT_FILE` adds a company's own).
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
            here: Pair::new(idle_max, anything()),
            // The system's roots are only read where somebody needs them.
            elsewhere: LazyLock::new(Box::new(move || Pair::new(idle_max, trusted()))),
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
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS that takes any certificate.
fn anything() -> ClientConfig {
    let mut config = trusting(RootCertStore::empty());
    config.dangerous().set_certificate_verifier(Arc::new(Anything(provider())));
    config
}

/// TLS that takes what the system trusts. Without a readable certificate there, no host is.
fn trusted() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let builder = match ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions() {
        Ok(builder) => builder,
        Err(error) => unreachable!("ring knows TLS 1.2 and 1.3: {error}"),
    };
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // That the other side has the certificate's key is still checked.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_show_any_certificate() {
        let cases = [
            ("https://localhost:8443/x", true),
            ("https://a.localhost/", true),
            ("https://127.0.0.1/", true),
            ("https://127.9.9.9:1/", true),
            ("https://[::1]:1/", true),
            ("https://localhost.example.com/", false),
            ("https://notlocalhost/", false),
            ("https://127.0.0.1.example.com/", false),
            ("https://10.0.0.1/", false),
            ("https://[2001:db8::1]/", false),
            ("/no/host", false),
        ];
        for (uri, expected) in cases {
            assert_eq!(is_here(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn elsewhere_a_certificate_must_be_trusted() {
        let tls = crate::receiver::unsigned(&[]);
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        tokio::spawn(async move { tls.accept(theirs).await.map(drop) });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trusted()));
        let error = connector.connect(ServerName::try_from("somewhere.else").unwrap(), ours).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
