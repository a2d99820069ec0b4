//! One request: authorised, read, made durable, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use freshet_core::{Clock, Format, Inbox, InboxError, Micros, Payload, Receipt, SourceKind};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use super::DrainLimits;
use super::auth::Credentials;
use super::body::{self, Collected, gunzip};
use super::connection::{Phase, Progress};
use super::envelope::Envelope;
use super::route::{Page, Pages, Route};
use super::stats::{DrainStats, count};
use super::webhooks::Webhooks;

/// Bytes of a body without its secret that are read, so that the sender gets to see its 401 instead of a reset connection.
pub(super) const REFUSED_BODY_BYTES_MAX: usize = 256 * 1024;

/// What leaves for the sender.
pub(super) type Answer = Response<Full<Bytes>>;

/// Answers the requests of all connections.
pub(super) struct Requests {
    pub(super) inbox: Arc<dyn Inbox>,
    credentials: Arc<Credentials>,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stats: Arc<DrainStats>,
    pages: Pages,
    body_bytes_max: u32,
    /// One permit per byte that bodies may occupy at one time.
    pub(super) body_room: Semaphore,
}

/// Why a request gets no answer. Its connection closes, and Logplex tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Aborted {
    /// The sender went away, or broke HTTP's framing.
    #[error("the body did not arrive whole")]
    Sender(#[from] hyper::Error),
    /// The payload is not durable, and every HTTP error would make Logplex drop it.
    #[error("the payload was not kept")]
    Inbox(#[from] InboxError),
}

impl Requests {
    pub(super) fn new(
        inbox: Arc<dyn Inbox>,
        credentials: Arc<Credentials>,
        webhooks: Arc<Webhooks>,
        clock: Arc<dyn Clock>,
        stats: Arc<DrainStats>,
        pages: Pages,
        limits: &DrainLimits,
    ) -> Self {
        // A packed body takes the room of two, and must fit.
        let two_bodies = 2 * limits.body_bytes_max as usize;
        let room = limits.bodies_bytes_max.clamp(two_bodies, Semaphore::MAX_PERMITS);
        Self { inbox, credentials, webhooks, clock, stats, pages, body_bytes_max: limits.body_bytes_max, body_room: Semaphore::new(room) }
    }

    /// Answers one request, or does not: see [`Aborted`].
    pub(super) async fn answer(&self, request: Request<Incoming>, progress: &Progress) -> Result<Answer, Aborted> {
        match Route::of(request.method(), request.uri().path()) {
            Route::Drain { app } => {
                let unanswered = Unanswered(&self.stats);
                let answer = self.frame(app, request, progress).await?;
                unanswered.answered();
                Ok(answer)
            }
            Route::Webhook { name } => {
                let unanswered = Unanswered(&self.stats);
                let answer = self.webhook(name, request, progress).await?;
                unanswered.answered();
                Ok(answer)
            }
            Route::Page(path) => Ok((self.pages)(path).map_or_else(|| self.misdirected(StatusCode::NOT_FOUND), page)),
            Route::NotPosted => Ok(self.misdirected(StatusCode::METHOD_NOT_ALLOWED)),
            Route::Unknown => Ok(self.misdirected(StatusCode::NOT_FOUND)),
        }
    }

    async fn frame(&self, app: String, request: Request<Incoming>, progress: &Progress) -> Result<Answer, Aborted> {
        let received_at = self.clock.now();
        let (head, body) = request.into_parts();
        if !self.credentials.admit(head.headers.get(AUTHORIZATION)) {
            let read = body::discard(body, REFUSED_BODY_BYTES_MAX).await?;
            return Ok(self.unauthorized(&app, read));
        }
        let envelope = Envelope::read(&head.headers);
        let room = self.room_for(&body, envelope.gzip).await;
        let mut collected = body::collect(body, self.body_bytes_max as usize).await?;
        progress.enter(Phase::Answering);
        if envelope.gzip {
            collected.bytes = self.unpacked(collected.bytes).await;
        }
        self.note_discarded(&app, &collected);
        self.store(app, envelope, collected.bytes, received_at).await?;
        drop(room);
        self.stats.acknowledged_after(self.clock.now().seconds_since(received_at));
        Ok(Response::default())
    }

    /// Waits until the body about to be read fits into what bodies may occupy.
    async fn room_for(&self, body: &Incoming, gzip: bool) -> Option<SemaphorePermit<'_>> {
        let announced = body.size_hint().exact().and_then(|length| u32::try_from(length).ok());
        let packed = announced.unwrap_or(u32::MAX).min(self.body_bytes_max);
        let unpacked = if gzip { self.body_bytes_max } else { 0 };
        // Fails only once the semaphore is closed, which nobody does.
        self.body_room.acquire_many(packed.saturating_add(unpacked)).await.ok()
    }

    /// What does not unpack within the limit is kept as it came: nothing is lost, and the loader reports it.
    async fn unpacked(&self, packed: Bytes) -> Bytes {
        let (source, bytes_max) = (packed.clone(), self.body_bytes_max as usize);
        let unpacking = tokio::task::spawn_blocking(move || gunzip(&source, bytes_max));
        unpacking.await.ok().flatten().unwrap_or_else(|| {
            warn!(bytes = packed.len(), "body kept packed");
            packed
        })
    }

    async fn store(&self, app: String, envelope: Envelope, body: Bytes, received_at: Micros) -> Result<(), InboxError> {
        // Messages were announced and none came: kept, so that the loader can report the difference.
        if body.is_empty() && envelope.msg_count.is_none_or(|announced| announced == 0) {
            count(&self.stats.empty);
            return Ok(());
        }
        let body_bytes = body.len() as u64;
        let payload = Payload {
            source: SourceKind::Drain,
            format: Format::Frames,
            app: Some(app),
            drain_token: envelope.drain_token,
            frame_id: envelope.frame_id,
            msg_count: envelope.msg_count,
            received_at,
            body,
        };
        match self.inbox.accept(payload).await? {
            Receipt::Stored => {
                count(&self.stats.stored);
                self.stats.body_bytes.fetch_add(body_bytes, Relaxed);
            }
            Receipt::Repeated => {
                count(&self.stats.repeated);
            }
        }
        Ok(())
    }

    fn note_discarded(&self, app: &str, collected: &Collected) {
        if collected.discarded > 0 {
            self.stats.discarded_bytes.fetch_add(collected.discarded, Relaxed);
            warn!(app, kept = collected.bytes.len(), discarded = collected.discarded, "body over the limit");
        }
    }

    fn unauthorized(&self, app: &str, body_read: bool) -> Answer {
        let refused = count(&self.stats.unauthorized);
        if is_worth_a_line(refused) {
            warn!(app, refused, "drain refused: wrong or missing secret");
        }
        let mut answer = text(StatusCode::UNAUTHORIZED, "basic authentication needed: user freshet, password = drain_secret\n");
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"freshet\""));
        if !body_read {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn misdirected(&self, status: StatusCode) -> Answer {
        let misdirected = count(&self.stats.misdirected);
        if is_worth_a_line(misdirected) {
            warn!(misdirected, status = status.as_u16(), "request for a path or method that is not served");
        }
        let mut answer = text(status, "nothing is served here: log drains go to POST /drain/{app}, webhooks to POST /webhooks/{name}\n");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        answer
    }
}

/// Counts a request as aborted unless it was answered, also when its connection goes away and takes it along.
struct Unanswered<'a>(&'a DrainStats);

impl Unanswered<'_> {
    fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        count(&self.0.aborted);
    }
}

/// The 1st, 2nd, 4th, 8th … time: a stranger who keeps knocking cannot fill the log.
pub(super) fn is_worth_a_line(times: u64) -> bool {
    times.is_power_of_two()
}

pub(super) fn text(status: StatusCode, body: &'static str) -> Answer {
    page(Page { status: status.as_u16(), content_type: "text/plain; charset=utf-8", body: Bytes::from_static(body.as_bytes()) })
}

fn page(page: Page) -> Answer {
    let mut answer = Response::new(Full::new(page.body));
    *answer.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    answer
}
