//! Connections to drains.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::Target;
use crate::tls;

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

/// Makes connections. Clones share what they trust.
#[derive(Clone)]
pub(super) struct Dialer {
    here: TlsConnector,
    elsewhere: Arc<LazyConnector>,
    connect_timeout: Duration,
}

/// The system's roots are only read where somebody needs them.
type LazyConnector = LazyLock<TlsConnector, Box<dyn FnOnce() -> TlsConnector + Send>>;

impl Dialer {
    /// Trusts any certificate of this machine, and elsewhere those that the system or `roots` vouch for.
    pub(super) fn new(roots: &[CertificateDer<'static>], connect_timeout: Duration) -> Self {
        let roots = roots.to_vec();
        let elsewhere: LazyConnector = LazyLock::new(Box::new(move || Arc::new(tls::trusted(&roots)).into()));
        Self { here: Arc::new(tls::any()).into(), elsewhere: Arc::new(elsewhere), connect_timeout }
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
        let connector = if tls::is_this_machine(&target.host) { &self.here } else { &**self.elsewhere };
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}
