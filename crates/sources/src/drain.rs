//! The receiver: `POST /drain/{app}` as Logplex speaks it, and `POST /webhooks/{name}`, see `webhooks.rs`.
//!
//! Logplex decides what an answer means, and it is unforgiving (observed on its open-source drain code):
//!
//! - a 2xx counts a frame as delivered, so it leaves only after the inbox has the payload on disk;
//! - a 5xx or a time-out is repeated three times within some 20 ms and then the frame is gone; a 4xx is gone at once.
//!   So what cannot be kept gets no answer at all: the connection closes, and Logplex tries again;
//! - refused connections make it wait, without loss. So when the inbox is closed, the listening socket closes too.

mod auth;
mod body;
mod connection;
mod envelope;
mod listener;
mod requests;
mod route;
mod signature;
mod stats;
mod tls;
mod webhooks;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use freshet_core::{Clock, Inbox, Secret, Source, SourceError, Stop};
use tokio::net::TcpSocket;
use tokio_rustls::TlsAcceptor;

use auth::Credentials;
use listener::Listening;
use requests::Requests;
use signature::Signers;
use webhooks::Webhooks;

pub use auth::{SecretError, USER, is_secret};
pub use route::{Page, Pages};
pub use stats::{ACK_BUCKETS_SECONDS, DrainSnapshot, DrainStats};
pub use tls::{TlsError, TlsFiles};
pub use webhooks::Told;

/// Receives Logplex drains and webhooks, and hands each body to the inbox.
pub struct DrainReceiver {
    address: SocketAddr,
    /// Bound and not yet listening, so that the port is ours while connections are still refused. Taken by the first `run`.
    first_socket: Mutex<Option<TcpSocket>>,
    credentials: Arc<Credentials>,
    webhooks: Arc<Webhooks>,
    tls: Option<TlsAcceptor>,
    limits: DrainLimits,
    clock: Arc<dyn Clock>,
    stats: Arc<DrainStats>,
    pages: Pages,
}

/// What the receiver is told by the configuration.
#[derive(Clone)]
pub struct DrainOptions {
    /// The address to listen on. Port 0 takes a free one, see [`DrainReceiver::local_addr`].
    pub listen: SocketAddr,
    /// The passwords that are accepted, at least one. Two let a secret be rotated without a gap.
    pub secrets: Vec<Secret>,
    /// The secrets with which webhooks may be signed. Without one, no webhook is received.
    pub webhook_secrets: Vec<Secret>,
    /// Who wants to know what webhooks tell.
    pub told: Option<Told>,
    /// Speak TLS with these files; `None` when a TLS front stands before Freshet.
    pub tls: Option<TlsFiles>,
    /// The bounds on everything a peer can make us hold.
    pub limits: DrainLimits,
}

/// The bounds on everything a peer can make the receiver hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLimits {
    /// Connections at one time; at the limit the listener closes until one ends. Logplex holds one per drain. Default 1,024.
    pub connections_max: usize,
    /// Bytes kept of one body, as sent and unpacked alike. Of a larger one the beginning is kept and the rest is counted.
    /// Logplex sends some 100 KB unless a single message is bigger. Default 16 MiB.
    pub body_bytes_max: u32,
    /// Bytes of a webhook's body. A longer one is refused, because only a whole one can be checked. Heroku's have a few KB. Default 1 MiB.
    pub webhook_bytes_max: u32,
    /// Bytes of all bodies at one time, at least two of `body_bytes_max`; further requests wait. Default 256 MiB.
    pub bodies_bytes_max: usize,
    /// Time for the head of a request, from its first byte. Default 10 s.
    pub head_timeout: Duration,
    /// Time for a body, from the end of the head. Logplex itself gives a request 5 s. Default 30 s.
    pub body_timeout: Duration,
    /// How long a connection may rest between requests. It must outlive Logplex's own close, 144 s plus up to 15 s, or
    /// frames meet a closing connection. Default 200 s.
    pub idle_timeout: Duration,
    /// Time for a TLS handshake. Logplex gives connecting and handshake 3 s. Default 10 s.
    pub handshake_timeout: Duration,
}

impl Default for DrainLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            body_bytes_max: 16 * 1024 * 1024,
            webhook_bytes_max: 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(200),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a receiver could not be set up. All of them need a person; trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: choose another address in `receive.listen`, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A secret that no drain could present.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl DrainReceiver {
    /// Takes the port and reads the TLS files; connections are refused until [`Source::run`].
    ///
    /// `pages` answers `GET` for every path outside `/drain/` and `/webhooks/`; `stats` counts what happens, for `/metrics`.
    ///
    /// # Errors
    /// See [`DrainError`].
    pub fn bind(options: DrainOptions, clock: Arc<dyn Clock>, stats: Arc<DrainStats>, pages: Pages) -> Result<Self, DrainError> {
        let credentials = Arc::new(Credentials::new(&options.secrets)?);
        let webhooks = Arc::new(Webhooks {
            signers: Signers::new(&options.webhook_secrets),
            body_bytes_max: options.limits.webhook_bytes_max.min(options.limits.body_bytes_max),
            told: options.told,
        });
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let failed = |cause| DrainError::Listen { address: options.listen, cause };
        let socket = listener::bind(options.listen).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let first_socket = Mutex::new(Some(socket));
        Ok(Self { address, first_socket, credentials, webhooks, tls, limits: options.limits, clock, stats, pages })
    }

    /// The address that was taken, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait]
impl Source for DrainReceiver {
    fn name(&self) -> &'static str {
        "drain"
    }

    /// Accepts while the inbox is open, closes the listening socket while it is not, and opens it again by itself.
    /// After `stop` the requests in flight are finished; to bound that wait, drop the future, which cuts them off.
    async fn run(&self, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<(), SourceError> {
        let first_socket = self.first_socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let requests = Requests::new(
            Arc::clone(&inbox),
            Arc::clone(&self.credentials),
            Arc::clone(&self.webhooks),
            Arc::clone(&self.clock),
            Arc::clone(&self.stats),
            Arc::clone(&self.pages),
            &self.limits,
        );
        let listening = Listening {
            address: self.address,
            inbox,
            requests: Arc::new(requests),
            tls: self.tls.clone(),
            limits: self.limits,
            stats: Arc::clone(&self.stats),
        };
        listening.run(first_socket, stop).await
    }
}
