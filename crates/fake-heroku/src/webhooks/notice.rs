//! What a subscription is told, and how it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde_json::{Map, Value, json};

use crate::world::{Chance, Change};

/// The version of the API whose objects are told.
pub(super) const VERSION: &str = "application/vnd.heroku+json; version=3";

/// The entities that can be subscribed to, by the API's names of their resources (Dev Center, "App Webhooks").
const ENTITIES: [(&str, &str); 10] = [
    ("add-on", "api:addon"),
    ("add-on-attachment", "api:addon-attachment"),
    ("app", "api:app"),
    ("build", "api:build"),
    ("collaborator", "api:collaborator"),
    ("domain", "api:domain"),
    ("dyno", "api:dyno"),
    ("formation", "api:formation"),
    ("release", "api:release"),
    ("sni-endpoint", "api:sni-endpoint"),
];

/// The entity of a resource, such as `api:addon` of `add-on`; `None` where webhooks do not tell of it.
pub(super) fn entity(resource: &str) -> Option<&'static str> {
    ENTITIES.iter().find(|(name, _)| *name == resource).map(|(_, entity)| *entity)
}

/// One event, as all subscriptions of its app are told of it.
pub(super) struct Notice {
    /// The event's id: what a receiver knows a repeat by.
    pub(super) id: String,
    /// The entity, `api:release`.
    pub(super) include: &'static str,
    /// The action, the actor, the resource, the object and what it was before: the part that the API shows as well.
    pub(super) told: Map<String, Value>,
    envelope: Map<String, Value>,
}

impl Notice {
    /// What is told of a change. How its times are written is left to chance, as nobody can rely on one form.
    pub(super) fn new(change: &Change, include: &'static str, chance: &mut Chance) -> Self {
        let id = chance.uuid();
        let told = json!({
            "action": change.action.as_str(),
            "actor": { "email": change.actor.email, "id": change.actor.id },
            "data": shown(&change.data),
            "previous_data": shown(&change.previous),
            "resource": include.trim_start_matches("api:"),
            "version": VERSION,
        });
        let later = SignedDuration::from_micros(i64::try_from(chance.between(1, 9)).unwrap_or(1));
        let form = *chance.one_of(&["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%6fZ", "%Y-%m-%dT%H:%M:%S.%6f+00:00"]);
        let time = |moment: Timestamp, form: &str| json!(moment.strftime(form).to_string());
        let plain = *chance.one_of(&["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00"]);
        let published = if chance.happens(0.5) { time(change.at, plain) } else { Value::Null };
        let envelope = json!({
            "id": id,
            "created_at": time(change.at, form),
            "updated_at": time(change.at.checked_add(later).unwrap_or(change.at), form),
            "published_at": published,
            // Null in every example that Heroku or its customers have published.
            "sequence": null,
        });
        Self { id, include, told: object(told), envelope: object(envelope) }
    }

    /// The body of one try.
    pub(super) fn body(&self, webhook: &str, delivery: &str, attempt: &str) -> Bytes {
        let mut body = self.envelope.clone();
        body.extend(self.told.clone());
        let metadata = json!({
            "attempt": { "id": attempt },
            "delivery": { "id": delivery },
            "event": { "id": self.id, "include": self.include },
            "webhook": { "id": webhook },
        });
        body.insert("webhook_metadata".to_owned(), metadata);
        Value::Object(body).to_string().into()
    }
}

/// The value of `Heroku-Webhook-Hmac-SHA256`: the HMAC of the raw body, in base64.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body))
}

/// An object without what the API does not show; null becomes `{}`.
fn shown(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
