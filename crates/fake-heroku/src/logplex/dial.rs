//! Connections to drains.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::Target;

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    connectors: Result<Connectors, rustls::Error>,
    connect_timeout: Duration,
}

#[derive(Clone)]
struct Connectors {
    loopback: TlsConnector,
    elsewhere: TlsConnector,
}

impl Dialer {
    /// Trusts any certificate of this machine, and elsewhere those that `roots` vouch for. Roots that cannot be read are left out.
    pub(super) fn new(roots: &[CertificateDer<'static>], connect_timeout: Duration) -> Self {
        Self { connectors: Connectors::new(roots), connect_timeout }
    }

    /// A connection, its TLS handshake included, within the time that Logplex allows for both together.
    pub(super) async fn dial(&self, target: &Target) -> io::Result<Box<dyn Stream>> {
        let connected = timeout(self.connect_timeout, self.connect(target)).await;
        connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")))
    }

    async fn connect(&self, target: &Target) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        if !target.is_tls() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
        let connectors = self.connectors.as_ref().map_err(|error| io::Error::other(error.clone()))?;
        let connector = if is_loopback(&target.host) { &connectors.loopback } else { &connectors.elsewhere };
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

impl Connectors {
    fn new(roots: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let elsewhere = builder()?.with_root_certificates(store).with_no_client_auth();
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let loopback = builder()?.dangerous().with_custom_certificate_verifier(any).with_no_client_auth();
        Ok(Self { loopback: Arc::new(loopback).into(), elsewhere: Arc::new(elsewhere).into() })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Takes any certificate whose key the server has: on this machine they are made for a test and signed by nobody.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
