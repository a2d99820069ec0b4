//! What the world knows of webhooks: who subscribed, what was told, and what came of it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::notice::Notice;
use crate::catalogue::api_time;
use crate::world::{Action, Actor, Change, World};

/// How many events of an app are kept for the API; with an older one its deliveries go. (How long Heroku keeps them is not published.)
const EVENTS_KEPT: usize = 1_000;

/// A subscription as it was when something happened.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) app: String,
    /// Tried until it is taken, in order.
    pub(super) is_sync: bool,
    pub(super) url: String,
    pub(super) secret: String,
    /// The `Authorization` header that notices carry.
    pub(super) authorization: Option<String>,
}

impl Subscription {
    fn of(app: &str, webhook: &Value) -> Self {
        let text = |name: &str| webhook[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: text("id"),
            app: app.to_owned(),
            is_sync: webhook["level"] == "sync",
            url: text("url"),
            secret: text("_secret"),
            authorization: webhook["_authorization"].as_str().map(str::to_owned),
        }
    }

    /// The same subscription as it is now, where it still exists: a new address or secret counts for the next try.
    pub(super) fn now(&self, world: &World) -> Self {
        world.objects.get("app-webhook", &self.id).map_or_else(|| self.clone(), |webhook| Self::of(&self.app, webhook))
    }
}

/// The subscriptions to a change, oldest first. `leaving` are the destructions of subscriptions whose app went with them.
pub(super) fn subscriptions(world: &World, change: &Change, include: &str, leaving: &[Change]) -> Vec<Subscription> {
    let Some(app) = &change.app else { return Vec::new() };
    let wants = |webhook: &&Value| webhook["include"].as_array().is_some_and(|list| list.iter().any(|entity| entity == include));
    let ends = change.resource == "app" && change.action == Action::Destroy;
    let went = leaving.iter().filter(|went| ends && went.app == change.app && went.at == change.at).map(|went| &went.data);
    world.objects.of("app-webhook", app).chain(went).filter(wants).map(|webhook| Subscription::of(app, webhook)).collect()
}

/// Notes an event, and forgets the oldest when there are too many.
pub(super) fn event(world: &mut World, notice: &Notice, change: &Change) {
    let Some(app) = change.app.as_ref().filter(|app| world.objects.get("app", app).is_some()) else { return };
    let now = api_time(world.now);
    let event = json!({ "id": notice.id, "include": notice.include, "payload": notice.told, "created_at": now, "updated_at": now });
    world.objects.create(world.now, "app-webhook-event", vec![app.clone()], &change.actor, event);
    if world.objects.of("app-webhook-event", app).nth(EVENTS_KEPT).is_none() {
        return;
    }
    let id = |value: &Value| value["id"].as_str().map(str::to_owned);
    let Some(oldest) = world.objects.of("app-webhook-event", app).next().and_then(id) else { return };
    let its: Vec<_> = world.objects.of("app-webhook-delivery", app).filter(|one| one["event"]["id"] == *oldest).filter_map(id).collect();
    for delivery in its {
        world.objects.destroy(world.now, "app-webhook-delivery", &delivery, &change.actor);
    }
    world.objects.destroy(world.now, "app-webhook-event", &oldest, &change.actor);
}

/// Notes a delivery that is to be made.
pub(super) fn delivery(world: &mut World, id: &str, notice: &Notice, subscription: &Subscription) {
    if world.objects.get("app", &subscription.app).is_none() {
        return;
    }
    let now = api_time(world.now);
    let level = if subscription.is_sync { "sync" } else { "notify" };
    let delivery = json!({
        "id": id,
        "event": { "id": notice.id, "include": notice.include },
        "webhook": { "id": subscription.id, "level": level },
        "status": "pending",
        "num_attempts": 0,
        "last_attempt": null,
        "next_attempt_at": null,
        "created_at": now,
        "updated_at": now,
    });
    let parents = vec![subscription.app.clone(), subscription.id.clone()];
    world.objects.create(world.now, "app-webhook-delivery", parents, &platform(), delivery);
}

/// One try of a delivery.
pub(super) struct Attempt<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Which one it is, from 1.
    pub(super) number: u64,
    /// When it was begun, in the story's time.
    pub(super) begun: Timestamp,
    /// The status that was answered.
    pub(super) code: Option<u16>,
    /// What went wrong where nothing was answered.
    pub(super) error_class: Option<&'static str>,
    /// Whether the notice was taken.
    pub(super) has_succeeded: bool,
    /// When it will be tried again, in the story's time.
    pub(super) next: Option<Timestamp>,
}

/// Notes what came of a try.
pub(super) fn attempt(world: &mut World, delivery: &str, attempt: &Attempt<'_>) {
    let now = api_time(world.now);
    let status = match (attempt.has_succeeded, attempt.next) {
        (true, _) => "succeeded",
        (false, Some(_)) => "retrying",
        (false, None) => "failed",
    };
    let last = json!({
        "id": attempt.id,
        "code": attempt.code,
        "error_class": attempt.error_class,
        "status": if attempt.has_succeeded { "succeeded" } else { "failed" },
        "created_at": api_time(attempt.begun),
        "updated_at": now,
    });
    let fields = [
        ("status", json!(status)),
        ("num_attempts", json!(attempt.number)),
        ("last_attempt", last),
        ("next_attempt_at", json!(attempt.next.map(api_time))),
        ("updated_at", json!(now)),
    ];
    update(world, delivery, fields);
}

/// Notes that a delivery will not be made.
pub(super) fn given_up(world: &mut World, delivery: &str) {
    let now = api_time(world.now);
    update(world, delivery, [("status", json!("failed")), ("next_attempt_at", Value::Null), ("updated_at", json!(now))]);
}

fn update<const N: usize>(world: &mut World, delivery: &str, fields: [(&str, Value); N]) {
    let fields: Map<_, _> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    world.objects.update(world.now, "app-webhook-delivery", delivery, &platform(), fields);
}

/// Heroku itself.
fn platform() -> Actor {
    Actor { id: "00000000-0000-0000-0000-000000000000".to_owned(), email: "webhooks@heroku.com".to_owned() }
}
