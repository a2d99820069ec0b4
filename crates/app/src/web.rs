//! Requests to others: one kind of client, bounded answers, and failures in words for a person.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use rustls::CertificateError;

/// Time for a whole request. Below the limit of a probe, so that it ends with its own words.
const REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// Time to connect, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of an answer's body that are read. A page of 1,000 apps has about 2 MB.
const BODY_BYTES_MAX: usize = 32 << 20;

/// Who a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A server out there, through the proxy that the environment names, with a certificate that holds.
    Remote,
    /// Whatever listens on this machine; it is only asked who it is, so any certificate will do.
    OwnPort,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody is there.
    #[error("nothing listens there (connection refused)")]
    Refused,
    /// DNS does not know the host.
    #[error("the name of the host cannot be resolved")]
    Name,
    /// Too slow.
    #[error("no answer within {} s", REQUEST_WITHIN.as_secs())]
    Slow,
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
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self, Self::Issuer | Self::Expired | Self::OtherName)
    }
}

/// A client that follows no redirect, so that a secret goes only where it was meant to go.
///
/// # Errors
/// The system's certificates cannot be read.
pub(crate) fn client(peer: Peer) -> Result<Client, Trouble> {
    let builder = Client::builder()
        .user_agent(concat!("freshet/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WITHIN)
        .timeout(REQUEST_WITHIN)
        .redirect(Policy::none());
    let builder = match peer {
        Peer::Remote => builder,
        Peer::OwnPort => builder.no_proxy().tls_danger_accept_invalid_certs(true),
    };
    builder.build().map_err(|error| trouble(&error))
}

/// Sends `request` and reads its answer.
///
/// # Errors
/// There is none, or it is too long.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, Trouble> {
    let mut response = request.send().await.map_err(|error| trouble(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| trouble(&error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Trouble::Other(format!("the answer is longer than {} MiB", BODY_BYTES_MAX >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), headers: std::mem::take(response.headers_mut()), body })
}

fn trouble(error: &reqwest::Error) -> Trouble {
    if error.is_timeout() {
        return Trouble::Slow;
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
                return Trouble::Tls("the other side ends the connection during the handshake".to_owned());
            }
            if io.kind() == io::ErrorKind::ConnectionRefused {
                return Trouble::Refused;
            }
        }
        last = cause.to_string();
        if last.starts_with("dns error") {
            return Trouble::Name;
        }
        next = cause.source();
    }
    Trouble::Other(last)
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
