//! The listening socket: open while the inbox has room, closed while it has not.
//!
//! Whatever keeps us from serving a connection at once closes the socket. A connection left in the kernel's queue would
//! look accepted to Logplex, time out after 5 s and cost the frame; a refused one makes it wait.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use freshet_core::{Inbox, SourceError, Stop};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::requests::Requests;
use super::stats::{DrainStats, count};
use super::{DrainLimits, connection};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;

/// First and longest pause between attempts to get the port back.
const REBIND_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Pause after the system refused to hand over a connection, for example for want of file descriptors.
const ACCEPT_FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the accept loop needs.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) requests: Arc<Requests>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: DrainLimits,
    pub(super) stats: Arc<DrainStats>,
}

/// Why the listening socket closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closure {
    Stopping,
    InboxClosed,
    ConnectionsAtLimit,
    AcceptFailed,
}

/// Takes `address` without listening on it yet.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the closed listener that linger must not keep the new one from opening.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listening {
    pub(super) async fn run(self, mut socket: Option<TcpSocket>, mut stop: Stop) -> Result<(), SourceError> {
        let mut connections = JoinSet::new();
        // Dropping the sender tells its connections to end after the request they are in.
        let (mut closing, _) = watch::channel(());
        loop {
            let listener = tokio::select! {
                biased;
                () = &mut stop => break,
                listener = self.open(socket.take()) => listener?,
            };
            self.stats.listener_open.store(true, Relaxed);
            info!(address = %self.address, "listener opened");
            let closure = self.accept(listener, &mut stop, &closing, &mut connections).await;
            self.stats.listener_open.store(false, Relaxed);
            count(&self.stats.listener_closures);
            info!(reason = ?closure, "listener closed");
            match closure {
                Closure::Stopping => break,
                Closure::InboxClosed => (closing, _) = watch::channel(()),
                Closure::ConnectionsAtLimit | Closure::AcceptFailed => {
                    tokio::select! {
                        () = &mut stop => break,
                        () = self.recovered(closure, &mut connections) => {}
                    }
                }
            }
        }
        drop(closing);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    /// Waits for the inbox to have room, then listens. Only the first attempt may fail: later the port is ours to get back.
    async fn open(&self, first: Option<TcpSocket>) -> Result<TcpListener, SourceError> {
        self.inbox.opened().await;
        if let Some(socket) = first {
            let failed = |error| SourceError { message: format!("cannot listen on {}: {error}", self.address) };
            return socket.listen(BACKLOG).map_err(failed);
        }
        let (mut pause, longest) = REBIND_PAUSES;
        loop {
            match bind(self.address).and_then(|socket| socket.listen(BACKLOG)) {
                Ok(listener) => return Ok(listener),
                Err(error) => warn!(address = %self.address, %error, "listener cannot reopen yet"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Accepts until there is a reason not to. The socket closes on return, for it is dropped here.
    async fn accept(&self, listener: TcpListener, stop: &mut Stop, closing: &watch::Sender<()>, connections: &mut JoinSet<()>) -> Closure {
        let mut inbox_closed = pin!(self.inbox.closed());
        loop {
            if connections.len() >= self.limits.connections_max.max(1) {
                return Closure::ConnectionsAtLimit;
            }
            let accepted = tokio::select! {
                biased;
                () = &mut *stop => return Closure::Stopping,
                () = &mut inbox_closed => return Closure::InboxClosed,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.spawn(stream, closing.subscribe(), connections),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "connections cannot be accepted");
                    return Closure::AcceptFailed;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, closing: watch::Receiver<()>, connections: &mut JoinSet<()>) {
        // Answers are tiny; held back until the next one they would cost 40 ms each.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let open = OpenConnection::count(Arc::clone(&self.stats));
        let (tls, requests, limits) = (self.tls.clone(), Arc::clone(&self.requests), self.limits);
        connections.spawn(async move {
            connection::serve(stream, tls, requests, limits, closing).await;
            drop(open);
        });
    }

    /// Waits until the reason for `closure` may be gone.
    async fn recovered(&self, closure: Closure, connections: &mut JoinSet<()>) {
        if closure == Closure::AcceptFailed {
            sleep(ACCEPT_FAILED_PAUSE).await;
        }
        // Opening for every single connection that ends would be a flutter.
        let enough = self.limits.connections_max - self.limits.connections_max.div_ceil(8);
        while connections.len() > enough && connections.join_next().await.is_some() {}
    }
}

/// Whether an error of `accept` is about the connection that was to be accepted, and the next one may well work.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Counts a connection as open for as long as it lives, also when its task is cut off.
struct OpenConnection(Arc<DrainStats>);

impl OpenConnection {
    fn count(stats: Arc<DrainStats>) -> Self {
        count(&stats.connections);
        stats.connections_open.fetch_add(1, Relaxed);
        Self(stats)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Relaxed);
    }
}
