//! What can keep an answer from coming.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::WebLimits;

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody is there.
    #[error("nothing listens there (connection refused)")]
    Refused,
    /// DNS does not know the host.
    #[error("the name of the host cannot be resolved")]
    Name,
    /// Too slow.
    #[error("no answer within {} s", within.as_secs_f64())]
    Slow {
        /// The time that there was.
        within: Duration,
    },
    /// An answer that would take too much memory.
    #[error("the answer is longer than {} MiB", bytes_max.div_ceil(1 << 20))]
    TooLong {
        /// Bytes that would have been read.
        bytes_max: usize,
    },
    /// TLS: signed by nobody that this machine trusts.
    #[error("its certificate is self-signed or from an unknown issuer")]
    Issuer,
    /// TLS: too old or too young.
    #[error("its certificate has expired or is not valid yet")]
    Expired,
    /// TLS: for another host.
    #[error("its certificate is for another name")]
    OtherName,
    /// The other side does not speak TLS, or none that we do.
    #[error("TLS fails: {0}")]
    Tls(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// Whether the server's certificate is the reason.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Issuer | Self::Expired | Self::OtherName)
    }

    /// Whether asking again in a moment would end the same way.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.is_certificate() || matches!(self, Self::TooLong { .. })
    }

    /// What `error` means to a person.
    pub(super) fn of(error: &reqwest::Error, limits: &WebLimits) -> Self {
        if error.is_timeout() {
            let within = if error.is_connect() { limits.connect_within } else { limits.request_within };
            return Self::Slow { within };
        }
        let mut last = String::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                if let Some(found) = tls_error_in(io) {
                    return tls_trouble(found);
                }
                // How the TLS library says that the other side hung up on its greeting, as a plain-text server does.
                if io.to_string() == "tls handshake eof" {
                    return Self::Tls("the other side ends the connection during the handshake".to_owned());
                }
                if io.kind() == io::ErrorKind::ConnectionRefused {
                    return Self::Refused;
                }
            }
            last = cause.to_string();
            if last.starts_with("dns error") {
                return Self::Name;
            }
            next = cause.source();
        }
        Self::Other(last)
    }
}

/// The TLS error that `error` wraps, however deep: an I/O error gives as its source only what is below the error in it.
fn tls_error_in(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| tls_error_in(inner.downcast_ref()?))
}

fn tls_trouble(error: &rustls::Error) -> Trouble {
    let rustls::Error::InvalidCertificate(certificate) = error else { return Trouble::Tls(error.to_string()) };
    match certificate {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Trouble::Expired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Trouble::OtherName,
        CertificateError::UnknownIssuer => Trouble::Issuer,
        // What a self-signed certificate gets when it says that it is an authority.
        CertificateError::Other(_) if error.to_string().contains("CaUsedAsEndEntity") => Trouble::Issuer,
        _ => Trouble::Tls(error.to_string()),
    }
}
