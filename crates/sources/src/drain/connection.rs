//! One connection: HTTP/1.1 requests one after the other, watched by a single timer.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::DrainLimits;
use super::requests::Requests;

/// Bytes that HTTP may buffer per connection, and so the longest head of a request.
const BUFFER_BYTES_MAX: usize = 128 * 1024;

/// How often the timer of a connection rings in the shortest of its time limits, and so how precise they are.
const TICKS_PER_LIMIT: u32 = 2;

/// Serves `stream` until its peer closes it, a limit closes it, or `closing` asks for an end after the present request.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    requests: Arc<Requests>,
    limits: DrainLimits,
    mut closing: watch::Receiver<()>,
) {
    let Some(acceptor) = tls else { return serve_http(stream, requests, limits, closing).await };
    let handshake = tokio::select! {
        done = timeout(limits.handshake_timeout, acceptor.accept(stream)) => done,
        // Only ever an error, for nothing is sent: the sender is gone, which is the signal.
        _ = closing.changed() => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_http(stream, requests, limits, closing).await,
        Ok(Err(error)) => debug!(%error, "tls handshake failed"),
        Err(_) => debug!("tls handshake timed out"),
    }
}

async fn serve_http<S>(stream: S, requests: Arc<Requests>, limits: DrainLimits, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let progress = Arc::new(Progress::default());
    // Who connects has something to say: the long rest is for those who have said it.
    progress.enter(Phase::Head);
    let service = service_fn(|request| {
        let (requests, progress) = (Arc::clone(&requests), Arc::clone(&progress));
        async move {
            progress.enter(Phase::Body);
            let answer = requests.answer(request, &progress).await;
            progress.enter(Phase::Idle);
            answer
        }
    });
    // No hyper timer: its limit on heads would count the rest between requests too, and be set anew for each.
    let watched = TokioIo::new(Watched { stream, progress: Arc::clone(&progress) });
    let http = http1::Builder::new().title_case_headers(true).max_buf_size(BUFFER_BYTES_MAX).serve_connection(watched, service);
    let mut http = pin!(http);
    let mut watchdog = Watchdog::new(&limits);
    let mut ticks = interval(watchdog.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told_to_close = false;
    loop {
        tokio::select! {
            biased;
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection closed");
                }
                return;
            }
            _ = closing.changed(), if !told_to_close => {
                told_to_close = true;
                http.as_mut().graceful_shutdown();
            }
            _ = ticks.tick() => {
                if let Some(phase) = watchdog.overdue(&progress) {
                    debug!(?phase, "connection timed out");
                    return;
                }
            }
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Resting between requests, or handing out an answer.
    Idle = 0,
    /// Reading the head of a request.
    Head = 1,
    /// Reading a body.
    Body = 2,
    /// Waiting for the inbox, which has its own limits.
    Answering = 3,
}

/// The phase of one connection and how often it changed. Only the connection's own task touches it; it is atomic so that
/// the task may move between threads.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

impl Progress {
    pub(super) fn enter(&self, phase: Phase) {
        let changes = self.0.load(Relaxed) >> 2;
        self.0.store((changes.wrapping_add(1) << 2) | phase as u64, Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Relaxed) & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            _ => Phase::Answering,
        }
    }
}

/// Finds connections that stay in one phase for too long, without reading a clock per request.
struct Watchdog {
    tick: Duration,
    limits: DrainLimits,
    seen: u64,
    ticks_unchanged: u32,
}

impl Watchdog {
    fn new(limits: &DrainLimits) -> Self {
        let shortest = limits.head_timeout.min(limits.body_timeout).min(limits.idle_timeout);
        let tick = (shortest / TICKS_PER_LIMIT).max(Duration::from_millis(1));
        Self { tick, limits: *limits, seen: 0, ticks_unchanged: 0 }
    }

    /// Called once per tick: the present phase, when its time is over.
    fn overdue(&mut self, progress: &Progress) -> Option<Phase> {
        let now = progress.0.load(Relaxed);
        if now != self.seen {
            self.seen = now;
            self.ticks_unchanged = 0;
            return None;
        }
        self.ticks_unchanged = self.ticks_unchanged.saturating_add(1);
        let phase = progress.phase();
        let limit = match phase {
            Phase::Idle => self.limits.idle_timeout,
            Phase::Head => self.limits.head_timeout,
            Phase::Body => self.limits.body_timeout,
            Phase::Answering => return None,
        };
        (self.tick.saturating_mul(self.ticks_unchanged) >= limit).then_some(phase)
    }
}

/// A stream that notices when the head of the next request begins.
struct Watched<S> {
    stream: S,
    progress: Arc<Progress>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.progress.phase() == Phase::Idle {
            self.progress.enter(Phase::Head);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks_until_overdue(phase: Phase) -> Option<u32> {
        let limits = DrainLimits {
            head_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(20),
            ..DrainLimits::default()
        };
        let (progress, mut watchdog) = (Progress::default(), Watchdog::new(&limits));
        progress.enter(phase);
        (0..1000).find(|_| watchdog.overdue(&progress).is_some())
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        assert_eq!(ticks_until_overdue(Phase::Head), Some(2));
        assert_eq!(ticks_until_overdue(Phase::Body), Some(3));
        assert_eq!(ticks_until_overdue(Phase::Idle), Some(20));
        assert_eq!(ticks_until_overdue(Phase::Answering), None);
    }

    #[test]
    fn a_connection_that_moves_on_is_never_overdue() {
        let (progress, mut watchdog) = (Progress::default(), Watchdog::new(&DrainLimits::default()));
        for _ in 0..1000 {
            for phase in [Phase::Idle, Phase::Head, Phase::Body, Phase::Answering] {
                progress.enter(phase);
            }
            assert_eq!(watchdog.overdue(&progress), None);
        }
    }
}
