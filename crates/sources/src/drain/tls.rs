//! TLS of the receiver's own: a certificate chain and a key from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The files of a TLS identity, in PEM. They are read once, at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads both files and finds out whether they work together.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn check(&self) -> Result<(), TlsError> {
        acceptor(self).map(drop)
    }
}

/// A TLS identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing, unreadable or not PEM.
    #[error("cannot read {wanted} from {}: give a PEM file that this user may read", file.display())]
    Unreadable {
        /// What was looked for.
        wanted: &'static str,
        /// Where.
        file: PathBuf,
        /// Why it failed.
        #[source]
        cause: pem::Error,
    },
    /// The file is readable, but what was looked for is not in it.
    #[error("there is no {wanted} in {}: give a PEM file that holds one", file.display())]
    Absent {
        /// What was looked for.
        wanted: &'static str,
        /// Where.
        file: PathBuf,
    },
    /// Both were read and do not work as an identity.
    #[error("the key in {} does not work with the certificate in {}: give files that belong together", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        #[source]
        cause: rustls::Error,
    },
}

/// Reads `files` and makes what performs handshakes with them.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let certificates = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| failed("private key", &files.key, cause))?;
    let mismatch = |cause| TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone(), cause };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "certificate";
    let read = |file| CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let certificates = read(file).map_err(|cause| failed(wanted, file, cause))?;
    if certificates.is_empty() {
        return Err(failed(wanted, file, pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn failed(wanted: &'static str, file: &Path, cause: pem::Error) -> TlsError {
    match cause {
        pem::Error::NoItemsFound => TlsError::Absent { wanted, file: file.to_owned() },
        cause => TlsError::Unreadable { wanted, file: file.to_owned(), cause },
    }
}
