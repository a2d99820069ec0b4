//! TLS of the receiver's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use freshet_sources::drain::{DrainError, DrainLimits, DrainReceiver, TlsError, TlsFiles};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::client::{Client, Frame};
use crate::scripted::{Receiver, ScriptedInbox, limits, options};

/// A certificate for `localhost` and its key, in `directory`.
fn identity(directory: &Path, name: &str) -> (TlsFiles, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: directory.join(format!("{name}.crt")), key: directory.join(format!("{name}.key")) };
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    (files, cert.der().clone())
}

fn connector(certificate: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn frames_arrive_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (files, certificate) = identity(directory.path(), "a");
    let inbox = ScriptedInbox::new();
    let few = DrainLimits { handshake_timeout: std::time::Duration::from_millis(200), ..limits() };
    let receiver = Receiver::start_with(&inbox, options(few, Some(files)));
    let stream = Client::connect(receiver.address).await.0;
    let stream = connector(certificate).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = Client(stream);
    let body = vec![b'x'; 300_000];
    client.deliver(Frame { body: body.clone(), ..Frame::default() }.bytes()).await;
    client.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
    assert_eq!(inbox.stored()[0].body, body);
    // Who speaks no TLS, or does not speak at all, is let go.
    let mut plain = Client::connect(receiver.address).await;
    plain.send(Frame::default().bytes()).await;
    assert!(!plain.until_closed().await.starts_with(b"HTTP/"));
    assert_eq!(Client::connect(receiver.address).await.until_closed().await, b"");
    assert_eq!(inbox.stored().len(), 2);
}

fn check(certificate: PathBuf, key: PathBuf, expected: fn(&TlsError) -> bool) {
    let options = options(limits(), Some(TlsFiles { certificate, key }));
    let bound = DrainReceiver::bind(options, Arc::new(freshet_core::SystemClock), Arc::default(), Arc::new(|_| None));
    let Err(DrainError::Tls(error)) = bound else { panic!("{:?}", bound.err()) };
    assert!(expected(&error), "{error:?}");
}

#[test]
fn wrong_files_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    identity(directory.path(), "a");
    identity(directory.path(), "b");
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("cut"), &std::fs::read(at("a.key")).unwrap()[..60]).unwrap();
    check(
        at("missing"),
        at("a.key"),
        |error| matches!(error, TlsError::Unreadable { wanted: "certificate", file, .. } if file.ends_with("missing")),
    );
    check(
        at("a.crt"),
        at("missing"),
        |error| matches!(error, TlsError::Unreadable { wanted: "private key", file, .. } if file.ends_with("missing")),
    );
    check(at("empty"), at("a.key"), |error| matches!(error, TlsError::Absent { wanted: "certificate", .. }));
    check(at("a.crt"), at("empty"), |error| matches!(error, TlsError::Absent { wanted: "private key", .. }));
    check(at("a.key"), at("a.crt"), |error| matches!(error, TlsError::Absent { wanted: "certificate", .. }));
    check(at("a.crt"), at("cut"), |error| matches!(error, TlsError::Unreadable { wanted: "private key", .. }));
    check(at("a.crt"), at("b.key"), |error| matches!(error, TlsError::Mismatch { .. }));
}
