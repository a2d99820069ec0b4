//! `POST /webhooks/{name}`: Heroku tells that something happened to an app.
//!
//! A delivery is signed, and nothing of it is believed before its signature is right. Then the same holds as for frames: it is kept,
//! whatever is in it, and answered with 2xx when it is durable. Heroku tries a `sync` delivery again for days, and a `notify` one never;
//! what is missed either way is in the API's list of events, which `freshet sync webhook_events` reads.

use std::sync::Arc;

use bytes::Bytes;
use freshet_core::{Format, InboxError, Micros, Payload, Receipt, SourceKind};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, StatusCode};
use serde_json::Value;
use tracing::warn;

use super::body;
use super::connection::{Phase, Progress};
use super::requests::{Aborted, Answer, REFUSED_BODY_BYTES_MAX, Requests, is_worth_a_line, text};
use super::signature::{SIGNATURE, Signers};
use super::stats::count;

/// Is told the resource of each event that was stored, such as `release`. It must not block.
pub type Told = Arc<dyn Fn(&str) + Send + Sync>;

/// Bytes of an event's id that is used to know repeats by; Heroku's have 36.
const EVENT_ID_BYTES_MAX: usize = 200;

/// Who may deliver, how much, and who wants to know.
pub(super) struct Webhooks {
    pub(super) signers: Signers,
    pub(super) body_bytes_max: u32,
    pub(super) told: Option<Told>,
}

/// What of a delivery has to be known before it is stored.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    resource: Option<String>,
}

impl Requests {
    /// Takes one delivery, or does not answer: see [`Aborted`].
    pub(super) async fn webhook(&self, name: String, request: Request<Incoming>, progress: &Progress) -> Result<Answer, Aborted> {
        let received_at = self.clock.now();
        let (head, body) = request.into_parts();
        if self.webhooks.signers.is_empty() {
            return self.unwanted(&name, body).await;
        }
        let Some(signature) = head.headers.get(SIGNATURE) else {
            let is_read = body::discard(body, REFUSED_BODY_BYTES_MAX).await?;
            return Ok(self.unsigned(&name, is_read));
        };
        let body_bytes_max = self.webhooks.body_bytes_max;
        let announced = body.size_hint().exact().and_then(|length| u32::try_from(length).ok()).unwrap_or(u32::MAX);
        // Fails only once the semaphore is closed, which nobody does.
        let room = self.body_room.acquire_many(announced.min(body_bytes_max)).await.ok();
        let collected = body::collect(body, body_bytes_max as usize).await?;
        if collected.discarded > 0 {
            return Ok(self.too_long(&name, collected.bytes.len() as u64 + collected.discarded));
        }
        if !self.webhooks.signers.admit(signature, &collected.bytes) {
            return Ok(self.unsigned(&name, true));
        }
        progress.enter(Phase::Answering);
        self.keep(name, collected.bytes, received_at).await?;
        drop(room);
        self.stats.acknowledged_after(self.clock.now().seconds_since(received_at));
        Ok(Answer::default())
    }

    /// Stores a delivery whose signature is right, and tells of the event when it is new.
    async fn keep(&self, name: String, body: Bytes, received_at: Micros) -> Result<(), InboxError> {
        let event = Event::read(&body);
        let payload = Payload {
            source: SourceKind::Webhook,
            format: Format::Webhook,
            app: Some(name),
            drain_token: None,
            frame_id: event.id,
            msg_count: None,
            received_at,
            body,
        };
        match self.inbox.accept(payload).await? {
            Receipt::Repeated => {
                count(&self.stats.webhooks_repeated);
            }
            Receipt::Stored => {
                count(&self.stats.webhooks_stored);
                if let (Some(told), Some(resource)) = (&self.webhooks.told, event.resource) {
                    told(&resource);
                }
            }
        }
        Ok(())
    }

    async fn unwanted(&self, name: &str, body: Incoming) -> Result<Answer, Aborted> {
        let is_read = body::discard(body, REFUSED_BODY_BYTES_MAX).await?;
        let refused = count(&self.stats.webhooks_refused);
        if is_worth_a_line(refused) {
            warn!(name, refused, "webhook refused: set webhook_secret under [receive], or the variable FRESHET_WEBHOOK_SECRET");
        }
        Ok(closing_unless(is_read, text(StatusCode::NOT_FOUND, "webhooks are not received here: no webhook_secret is set\n")))
    }

    fn unsigned(&self, name: &str, is_read: bool) -> Answer {
        let refused = count(&self.stats.webhooks_refused);
        if is_worth_a_line(refused) {
            warn!(name, refused, "webhook refused: wrong or missing signature");
        }
        let words = "a signature of the body by the webhook's secret is needed: Heroku-Webhook-Hmac-SHA256\n";
        closing_unless(is_read, text(StatusCode::UNAUTHORIZED, words))
    }

    /// A part of a body cannot be checked, so nobody knows whether Heroku sent it.
    fn too_long(&self, name: &str, bytes: u64) -> Answer {
        let refused = count(&self.stats.webhooks_refused);
        if is_worth_a_line(refused) {
            warn!(name, refused, bytes, bytes_max = self.webhooks.body_bytes_max, "webhook refused: its body is too long");
        }
        text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long for a webhook\n")
    }
}

/// What was not read of a body must not be taken for the next request.
fn closing_unless(is_read: bool, mut answer: Answer) -> Answer {
    if !is_read {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

impl Event {
    /// Reads what can be read. A body that tells nothing is stored all the same, and the loader reports it.
    fn read(body: &[u8]) -> Self {
        let Ok(Value::Object(told)) = serde_json::from_slice(body) else { return Self::default() };
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let of_metadata = || text(&told.get("webhook_metadata")?["event"]["id"]);
        // The tables know an event by the same two, in the same order: else a repeat here could be another event there.
        let id = told.get("id").and_then(text).or_else(of_metadata);
        Self { id: id.filter(|id| id.len() <= EVENT_ID_BYTES_MAX), resource: told.get("resource").and_then(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_id_wherever_it_stands() {
        fn check(body: &str, id: Option<&str>, resource: Option<&str>) {
            let expected = Event { id: id.map(str::to_owned), resource: resource.map(str::to_owned) };
            assert_eq!(Event::read(body.as_bytes()), expected, "{body}");
        }
        check(r#"{"id":"e-1","resource":"release","webhook_metadata":{"event":{"id":"e-2"}}}"#, Some("e-1"), Some("release"));
        check(r#"{"id":null,"webhook_metadata":{"event":{"id":"e-2"}}}"#, Some("e-2"), None);
        check(r#"{"id":"","resource":""}"#, None, None);
        check(&format!(r#"{{"id":"{}","resource":7}}"#, "x".repeat(201)), None, None);
        for nothing in ["", "{", "[]", "7", r#"{"webhook_metadata":3}"#, r#"{"webhook_metadata":{"event":[]}}"#] {
            check(nothing, None, None);
        }
    }
}
