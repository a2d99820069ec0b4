//! TLS towards receivers: on this machine any certificate will do (a test makes its own), elsewhere it must be trusted.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Whether `host` is this machine. An IPv6 address comes without its brackets.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// TLS that takes any certificate whose key the other side has.
pub(crate) fn any() -> ClientConfig {
    let mut config = trusting(RootCertStore::empty());
    config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate(provider())));
    config
}

/// TLS that takes what the system trusts, and what `roots` vouch for. Where `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, its
/// certificates count in place of the system's. Certificates that cannot be read are left out.
pub(crate) fn trusted(roots: &[CertificateDer<'static>]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store.add_parsable_certificates(roots.iter().cloned());
    trusting(store)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let builder = match ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions() {
        Ok(builder) => builder,
        Err(error) => unreachable!("ring knows TLS 1.2 and 1.3: {error}"),
    };
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["localhost.example.com", "notlocalhost", "127.0.0.1.example.com", "10.0.0.1", "2001:db8::1", ""] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[tokio::test]
    async fn elsewhere_a_certificate_must_be_trusted() {
        let tls = crate::receiver::unsigned("somewhere.else", &[]).0;
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        tokio::spawn(async move { tls.accept(theirs).await.map(drop) });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trusted(&[])));
        let error = connector.connect(ServerName::try_from("somewhere.else").unwrap(), ours).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
