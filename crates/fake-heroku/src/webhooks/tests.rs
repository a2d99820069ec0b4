use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::faults::{Fault, Strike};
use crate::receiver::{Receiver, Reply, Seen, refusing, until};
use crate::world::{Actor, WorldOptions};

const APP: &str = "11111111-1111-4111-8111-111111111111";
const HOOK: &str = "22222222-2222-4222-8222-222222222222";
const LONG: Duration = Duration::from_secs(10);

struct Rig {
    world: Arc<Mutex<World>>,
    faults: Faults,
    webhooks: Webhooks,
    receiver: Receiver,
}

fn actor() -> Actor {
    Actor { id: "33333333-3333-4333-8333-333333333333".to_owned(), email: "ann@example.com".to_owned() }
}

fn world(seed: u64) -> World {
    let options =
        WorldOptions { seed, apps: 0, releases: 0, begins_at: "2026-03-02T09:00:00.123456Z".parse().unwrap(), lines_per_second: 0.0 };
    let mut world = World::new(&options);
    world.objects.create(world.now, "app", vec![], &actor(), json!({ "id": APP, "name": "shop" }));
    world
}

fn subscribe(world: &mut World, id: &str, level: &str, include: &[&str], url: &str) {
    let webhook = json!({ "id": id, "app": { "id": APP }, "include": include, "level": level, "url": url, "_secret": "open sesame", "_authorization": "Bearer of gifts" });
    world.objects.create(world.now, "app-webhook", vec![APP.to_owned()], &actor(), webhook);
}

/// One subscription to releases, whose receiver answers by a script.
async fn rig(level: &str, script: impl IntoIterator<Item = Reply>) -> Rig {
    rig_at(level, Receiver::start(script).await)
}

fn rig_at(level: &str, receiver: Receiver) -> Rig {
    let mut world = world(1);
    subscribe(&mut world, HOOK, level, &["api:release", "api:app"], &receiver.url("/hooks?from=heroku"));
    let (world, faults) = (Arc::new(Mutex::new(world)), Faults::new(1));
    let webhooks = Webhooks::paced(faults.clone(), Arc::clone(&world), pace());
    Rig { world, faults, webhooks, receiver }
}

fn pace() -> WebhookPace {
    WebhookPace {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        gives_up_after: Duration::from_secs(60),
        answer_within: LONG,
    }
}

impl Rig {
    /// Release number `version` appears.
    fn release(&self, version: u64) {
        let release =
            json!({ "id": format!("release-{version}"), "version": version, "app": { "id": APP, "name": "shop" }, "_commit": "hidden" });
        let change = {
            let mut world = self.world.lock().unwrap();
            let now = world.now;
            world.objects.create(now, "release", vec![APP.to_owned()], &actor(), release)
        };
        self.webhooks.changed(&change);
    }

    fn strike(&self, fault: Fault, times: u64) {
        self.faults.set([(fault, Strike { probability: 1.0, times: Some(times) })].into());
    }

    async fn settle(&self) -> WebhookCounts {
        assert!(self.webhooks.settled(LONG).await, "{:?}", self.webhooks.counts());
        let counts = self.webhooks.counts().remove(0);
        assert_eq!(counts.sent, counts.acknowledged + counts.dropped + counts.waiting);
        counts
    }

    /// The versions of the releases that were told, each with what was answered.
    fn told(&self) -> Vec<(u64, u16)> {
        self.receiver.seen().iter().map(|seen| (body(seen)["data"]["version"].as_u64().unwrap(), seen.status)).collect()
    }

    fn deliveries(&self) -> Vec<Value> {
        self.world.lock().unwrap().objects.of("app-webhook-delivery", APP).cloned().collect()
    }
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

/// RFC 2104 by hand, from nothing but SHA-256.
fn is_signed(seen: &Seen, secret: &str) -> bool {
    use base64::Engine as _;
    use ring::digest::{SHA256, digest};
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner = [&key.map(|byte| byte ^ 0x36)[..], &seen.body].concat();
    let outer = [&key.map(|byte| byte ^ 0x5c)[..], digest(&SHA256, &inner).as_ref()].concat();
    let expected = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, &outer));
    seen.headers["heroku-webhook-hmac-sha256"] == expected
}

#[test]
fn signatures_are_those_of_rfc_4231() {
    // Test case 2, in base64.
    assert_eq!(notice::signature("Jefe", b"what do ya want for nothing?"), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
}

#[tokio::test]
async fn a_notice_has_every_field_and_a_true_signature() {
    let rig = rig("notify", []).await;
    rig.release(7);
    let counts = rig.settle().await;
    assert_eq!((counts.sent, counts.acknowledged, counts.requests, counts.trouble.as_str()), (1, 1, 1, ""));
    let seen = rig.receiver.seen().remove(0);
    assert!(is_signed(&seen, "open sesame") && !is_signed(&seen, "open sesam"));
    assert_eq!(seen.path, "/hooks");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["authorization"], "Bearer of gifts");
    let body = body(&seen);
    let fields = "action actor created_at data id previous_data published_at resource sequence updated_at version webhook_metadata";
    assert_eq!(body.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" "), fields);
    assert_eq!(body["data"], json!({ "id": "release-7", "version": 7, "app": { "id": APP, "name": "shop" } }), "without the hidden field");
    assert_eq!((&body["action"], &body["resource"], &body["previous_data"]), (&json!("create"), &json!("release"), &json!({})));
    assert_eq!(body["actor"], json!({ "id": actor().id, "email": "ann@example.com" }));
    let metadata = &body["webhook_metadata"];
    assert_eq!((&metadata["event"]["id"], &metadata["webhook"]["id"]), (&body["id"], &json!(HOOK)));
    assert_eq!(metadata["event"]["include"], "api:release");
    let delivery = &rig.deliveries()[0];
    assert_eq!((&metadata["delivery"]["id"], &metadata["attempt"]["id"]), (&delivery["id"], &delivery["last_attempt"]["id"]));
    let world = rig.world.lock().unwrap();
    let event = world.objects.get("app-webhook-event", body["id"].as_str().unwrap()).unwrap();
    for field in ["action", "actor", "data", "previous_data", "resource", "version"] {
        assert_eq!(event["payload"][field], body[field], "{field}");
    }
}

#[tokio::test]
async fn an_update_tells_what_was_before() {
    let rig = rig("notify", []).await;
    let fields = Map::from_iter([("name".to_owned(), json!("store"))]);
    let change = {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        world.objects.update(now, "app", APP, &actor(), fields).unwrap()
    };
    rig.webhooks.changed(&change);
    rig.settle().await;
    let body = body(&rig.receiver.seen()[0]);
    assert_eq!(
        (&body["action"], &body["data"]["name"], &body["previous_data"]),
        (&json!("update"), &json!("store"), &json!({ "name": "shop" }))
    );
}

#[test]
fn times_come_in_every_form_and_mean_the_same() {
    let mut chance = Chance::new(5);
    let mut world = world(1);
    let change = world.objects.create(world.now, "release", vec![], &actor(), json!({ "id": "r", "app": { "id": APP } }));
    let (mut forms, mut published) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..100 {
        let notice = Notice::new(&change, "api:release", &mut chance);
        let body: Value = serde_json::from_slice(&notice.body("w", "d", "a")).unwrap();
        let created: jiff::Timestamp = body["created_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(created.as_second(), change.at.as_second());
        assert!(body["updated_at"].as_str().unwrap() >= body["created_at"].as_str().unwrap());
        forms.insert(body["created_at"].as_str().unwrap().to_owned());
        published.insert(body["published_at"].as_str().unwrap_or("null").to_owned());
    }
    let expected = ["2026-03-02T09:00:00.123456+00:00", "2026-03-02T09:00:00.123456Z", "2026-03-02T09:00:00Z"];
    assert_eq!(forms.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(published.iter().map(String::as_str).collect::<Vec<_>>(), ["2026-03-02T09:00:00+00:00", "2026-03-02T09:00:00Z", "null"]);
}

#[tokio::test]
async fn notify_tries_once() {
    for (status, taken) in [(200, 1), (204, 1), (302, 0), (401, 0), (429, 0), (500, 0), (503, 0)] {
        let rig = rig("notify", [Reply::status(status)]).await;
        rig.release(1);
        let counts = rig.settle().await;
        assert_eq!((counts.requests, counts.acknowledged, counts.dropped), (1, taken, 1 - taken), "{status}");
        let delivery = &rig.deliveries()[0];
        let ended = if taken == 1 { "succeeded" } else { "failed" };
        assert_eq!((&delivery["status"], &delivery["num_attempts"]), (&json!(ended), &json!(1)), "{status}");
        assert_eq!((&delivery["last_attempt"]["code"], &delivery["last_attempt"]["status"]), (&json!(status), &json!(ended)));
    }
}

#[tokio::test]
async fn notify_does_not_wait_for_the_slow_ones() {
    let held = Arc::new(Semaphore::new(0));
    let slow = Reply { held: Some(Arc::clone(&held)), ..Reply::status(200) };
    let rig = rig("notify", std::iter::repeat_n(slow, 40)).await;
    (0..40).for_each(|version| rig.release(version));
    until(|| rig.receiver.seen().len() >= deliver::AT_ONCE_MAX).await;
    assert_eq!(rig.receiver.seen().len(), deliver::AT_ONCE_MAX);
    held.close();
    assert_eq!(rig.settle().await.acknowledged, 40);
}

#[tokio::test]
async fn sync_tries_until_taken_and_keeps_the_order() {
    let script = [503, 401, 200, 200, 500, 429, 404, 201].map(Reply::status);
    let rig = rig("sync", script).await;
    (1..=4).for_each(|version| rig.release(version));
    let counts = rig.settle().await;
    assert_eq!(rig.told(), [(1, 503), (1, 401), (1, 200), (2, 200), (3, 500), (3, 429), (3, 404), (3, 201), (4, 200)]);
    assert_eq!((counts.acknowledged, counts.dropped, counts.requests), (4, 0, 9));
    let seen = rig.receiver.seen();
    let ids: BTreeSet<_> = seen.iter().map(|seen| body(seen)["id"].to_string()).collect();
    let attempts: BTreeSet<_> = seen.iter().map(|seen| body(seen)["webhook_metadata"]["attempt"]["id"].to_string()).collect();
    assert_eq!((ids.len(), attempts.len()), (4, 9), "one id for each event, another for each try");
    let tries: Vec<_> = rig.deliveries().iter().map(|delivery| (delivery["status"].clone(), delivery["num_attempts"].clone())).collect();
    assert_eq!(tries, [3, 1, 4, 1].map(|number| (json!("succeeded"), json!(number))));
}

#[tokio::test]
async fn a_waiting_delivery_says_so() {
    let mut rig = rig("sync", [Reply::status(500)]).await;
    rig.webhooks = Webhooks::paced(rig.faults.clone(), Arc::clone(&rig.world), WebhookPace { first_pause: LONG, ..pace() });
    rig.release(1);
    rig.release(2);
    while rig.deliveries()[0]["num_attempts"] == 0 {
        tokio::time::sleep(LOOK).await;
    }
    assert!(!rig.webhooks.settled(Duration::from_millis(20)).await);
    let deliveries = rig.deliveries();
    assert_eq!((&deliveries[0]["status"], &deliveries[1]["status"]), (&json!("retrying"), &json!("pending")));
    assert_eq!(deliveries[0]["next_attempt_at"], "2026-03-02T09:00:10Z");
    let counts = &rig.webhooks.counts()[0];
    assert_eq!((counts.waiting, counts.requests, counts.trouble.as_str()), (2, 1, "answered 500"));
}

#[tokio::test]
async fn sync_gives_up_after_its_time() {
    let rig = rig("sync", std::iter::repeat_n(Reply::status(500), 1_000)).await;
    let pace = WebhookPace { gives_up_after: Duration::from_millis(60), ..pace() };
    let webhooks = Webhooks::paced(rig.faults.clone(), Arc::clone(&rig.world), pace);
    let rig = Rig { webhooks, ..rig };
    rig.release(1);
    let counts = rig.settle().await;
    assert_eq!((counts.acknowledged, counts.dropped), (0, 1));
    // After 5, 15 and 35 ms, and then every 20.
    assert!((1..=14).contains(&counts.requests), "{}", counts.requests);
    assert_eq!((&rig.deliveries()[0]["status"], &rig.deliveries()[0]["next_attempt_at"]), (&json!("failed"), &Value::Null));
}

/// Those behind a notice that nobody takes are not tried for as long again, one after the other.
#[tokio::test]
async fn patience_counts_from_what_is_told() {
    let held = Arc::new(Semaphore::new(0));
    let first = Reply { held: Some(Arc::clone(&held)), ..Reply::status(500) };
    let script = std::iter::once(first).chain(std::iter::repeat_n(Reply::status(500), 1_000));
    let mut rig = rig("sync", script).await;
    let patience = Duration::from_millis(200);
    let pace = WebhookPace { gives_up_after: patience, ..pace() };
    rig.webhooks = Webhooks::paced(rig.faults.clone(), Arc::clone(&rig.world), pace);
    (1..=2).for_each(|version| rig.release(version));
    tokio::time::sleep(patience).await;
    held.close();
    assert_eq!(rig.settle().await.dropped, 2);
    assert_eq!(rig.told(), [(1, 500), (2, 500)]);
}

#[tokio::test]
async fn subscriptions_that_are_gone_make_room() {
    let rig = rig("notify", []).await;
    rig.release(1);
    rig.settle().await;
    let gone = |resource: &'static str, id: &str| {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        world.objects.destroy(now, resource, id, &actor()).unwrap()
    };
    for number in 0..GONE_KEPT {
        let id = number.to_string();
        let told = {
            let mut world = rig.world.lock().unwrap();
            subscribe(&mut world, &id, "notify", &["api:formation"], "http://127.0.0.1:1/");
            let (now, formation) = (world.now, json!({ "id": format!("formation {id}"), "app": { "id": APP } }));
            world.objects.create(now, "formation", vec![APP.to_owned()], &actor(), formation)
        };
        rig.webhooks.changed(&told);
        rig.webhooks.changed(&gone("app-webhook", &id));
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.webhooks.counts().len(), GONE_KEPT + 1);
    [gone("app-webhook", HOOK), gone("app", APP)].iter().for_each(|change| rig.webhooks.changed(change));
    assert!(rig.webhooks.settled(LONG).await);
    let counts = rig.webhooks.counts();
    let last = counts.last().unwrap();
    assert_eq!((counts.len(), last.webhook.as_str(), last.acknowledged), (GONE_KEPT, HOOK, 2));
    let state = lock(&rig.webhooks.0.state);
    assert!(state.hooks.is_empty() && state.leaving.is_empty() && state.tasks.len() < 10, "{} tasks", state.tasks.len());
}

#[tokio::test]
async fn sync_waits_for_a_receiver_that_restarts() {
    let rig = rig("sync", []).await;
    (1..=3).for_each(|version| rig.release(version));
    rig.settle().await;
    let before = rig.told();
    let Rig { world, faults, webhooks, receiver } = rig;
    let address = receiver.address;
    drop(receiver);
    let socket = refusing(address).await;
    let rig = Rig { world, faults, webhooks, receiver: Receiver::start([]).await };
    (4..=6).for_each(|version| rig.release(version));
    while rig.webhooks.counts()[0].requests < 6 {
        tokio::time::sleep(LOOK).await;
    }
    assert!(rig.webhooks.counts()[0].trouble.contains("no connection"), "{:?}", rig.webhooks.counts());
    let rig = Rig { receiver: Receiver::on(socket.listen(64).unwrap(), [], None), ..rig };
    assert_eq!(rig.settle().await.acknowledged, 6);
    let told: Vec<_> = before.into_iter().chain(rig.told()).collect();
    assert_eq!(told, [1, 2, 3, 4, 5, 6].map(|version| (version, 200)));
    assert_eq!(rig.deliveries()[3]["last_attempt"]["error_class"], Value::Null);
}

#[tokio::test]
async fn an_answer_that_is_too_late_is_none() {
    let mut rig = rig("notify", [Reply { after: LONG, ..Reply::status(200) }]).await;
    let pace = WebhookPace { answer_within: Duration::from_millis(50), ..pace() };
    rig.webhooks = Webhooks::paced(rig.faults.clone(), Arc::clone(&rig.world), pace);
    rig.release(1);
    let counts = rig.settle().await;
    assert_eq!((counts.dropped, counts.trouble.as_str()), (1, "no answer within 50ms"));
    assert_eq!(rig.deliveries()[0]["last_attempt"]["error_class"], "Net::ReadTimeout");
}

#[tokio::test]
async fn faults_repeat_a_notice_or_spoil_its_signature() {
    let rig = rig("notify", []).await;
    rig.strike(Fault::WebhookDuplicate, 1);
    rig.release(1);
    rig.settle().await;
    rig.strike(Fault::WebhookBadSignature, 1);
    rig.release(2);
    rig.settle().await;
    rig.release(3);
    let counts = rig.settle().await;
    assert_eq!(rig.told(), [(1, 200), (1, 200), (2, 200), (3, 200)]);
    assert_eq!((counts.sent, counts.acknowledged, counts.requests), (3, 3, 4));
    let seen = rig.receiver.seen();
    assert_eq!(body(&seen[0])["id"], body(&seen[1])["id"]);
    assert_eq!(seen.iter().map(|seen| is_signed(seen, "open sesame")).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(rig.faults.struck().values().sum::<u64>(), 2);
}

#[tokio::test]
async fn only_what_was_asked_for_is_told() {
    let rig = rig("notify", []).await;
    let other = "44444444-4444-4444-8444-444444444444";
    let create = |resource: &'static str, app: &str| {
        let mut world = rig.world.lock().unwrap();
        let (now, id) = (world.now, format!("{resource} of {app}"));
        world.objects.create(now, resource, vec![app.to_owned()], &actor(), json!({ "id": id, "app": { "id": app } }))
    };
    for (resource, app) in [("dyno", APP), ("release", other), ("log-drain", APP), ("app-webhook", other)] {
        rig.webhooks.changed(&create(resource, app));
    }
    assert_eq!(rig.webhooks.counts(), []);
    assert_eq!(rig.world.lock().unwrap().objects.all("app-webhook-event").count(), 0);
    rig.webhooks.changed(&create("release", APP));
    assert_eq!(rig.settle().await.sent, 1);
}

#[test]
fn the_entities_are_those_of_heroku() {
    let cases = [
        ("add-on", Some("api:addon")),
        ("add-on-attachment", Some("api:addon-attachment")),
        ("sni-endpoint", Some("api:sni-endpoint")),
        ("app-webhook-event", None),
        ("config-var", None),
    ];
    for (resource, expected) in cases {
        assert_eq!(notice::entity(resource), expected, "{resource}");
    }
}

#[tokio::test]
async fn the_next_try_goes_where_the_subscription_points_now() {
    let rig = rig("sync", std::iter::repeat_n(Reply::status(500), 1_000)).await;
    let second = Receiver::start([]).await;
    rig.release(1);
    while rig.receiver.seen().is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    let fields = Map::from_iter([("url".to_owned(), json!(second.url("/"))), ("_secret".to_owned(), json!("new"))]);
    {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        world.objects.update(now, "app-webhook", HOOK, &actor(), fields).unwrap();
    }
    rig.settle().await;
    assert!(is_signed(&second.seen()[0], "new"));
    assert_eq!(second.seen().len(), 1);
}

#[tokio::test]
async fn a_subscription_that_is_taken_back_is_told_nothing_more() {
    let rig = rig("sync", std::iter::repeat_n(Reply::status(500), 1_000)).await;
    (1..=3).for_each(|version| rig.release(version));
    let change = {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        world.objects.destroy(now, "app-webhook", HOOK, &actor()).unwrap()
    };
    rig.webhooks.changed(&change);
    let counts = rig.settle().await;
    assert_eq!((counts.sent, counts.dropped), (3, 3));
    let requests = rig.receiver.seen().len();
    rig.release(4);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(rig.receiver.seen().len() <= requests + 1, "one may have been on its way");
    assert_eq!(rig.webhooks.counts()[0].sent, 3);
}

#[tokio::test]
async fn that_an_app_went_is_told_to_those_that_went_with_it() {
    let rig = rig("sync", []).await;
    let changes: Vec<_> = {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        [("app-webhook", HOOK), ("app", APP)].map(|(resource, id)| world.objects.destroy(now, resource, id, &actor()).unwrap()).into()
    };
    changes.iter().for_each(|change| rig.webhooks.changed(change));
    rig.settle().await;
    let body = body(&rig.receiver.seen()[0]);
    assert_eq!((&body["action"], &body["resource"], &body["data"]["name"]), (&json!("destroy"), &json!("app"), &json!("shop")));
    assert!(is_signed(&rig.receiver.seen()[0], "open sesame"));
    assert_eq!(rig.deliveries().len(), 0, "nobody could read them");
}

#[tokio::test]
async fn a_receiver_here_may_have_any_certificate() {
    let rig = rig_at("notify", Receiver::start_tls().await);
    rig.release(1);
    assert_eq!(rig.settle().await.acknowledged, 1);
    assert!(is_signed(&rig.receiver.seen()[0], "open sesame"));
}

#[tokio::test]
async fn an_address_that_is_none_fails() {
    let rig = rig("notify", []).await;
    {
        let mut world = rig.world.lock().unwrap();
        let now = world.now;
        let fields = Map::from_iter([("url".to_owned(), json!("not an address"))]);
        world.objects.update(now, "app-webhook", HOOK, &actor(), fields).unwrap();
    }
    rig.release(1);
    assert_eq!(rig.settle().await.dropped, 1);
}

#[tokio::test]
async fn each_subscription_gets_its_own_delivery_of_one_event() {
    let rig = rig("notify", []).await;
    let second = Receiver::start([Reply::status(500)]).await;
    subscribe(&mut rig.world.lock().unwrap(), "second", "notify", &["api:release"], &second.url("/"));
    rig.release(1);
    assert!(rig.webhooks.settled(LONG).await);
    let (first, second) = (body(&rig.receiver.seen()[0]), body(&second.seen()[0]));
    assert_eq!(first["id"], second["id"]);
    assert_ne!(first["webhook_metadata"]["delivery"], second["webhook_metadata"]["delivery"]);
    assert_eq!(rig.webhooks.counts().iter().map(|counts| counts.acknowledged).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(rig.world.lock().unwrap().objects.of("app-webhook-event", APP).count(), 1);
}

#[tokio::test]
async fn the_same_seed_tells_the_same() {
    let tell = || async {
        let rig = rig("sync", [Reply::status(500)]).await;
        (1..=3).for_each(|version| rig.release(version));
        rig.settle().await;
        rig.receiver.seen().into_iter().map(|seen| seen.body).collect::<Vec<_>>()
    };
    assert_eq!(tell().await, tell().await);
}

#[test]
fn old_events_make_room() {
    let mut world = world(1);
    let mut chance = Chance::new(1);
    subscribe(&mut world, HOOK, "notify", &["api:release"], "http://127.0.0.1:1/");
    for version in 0..1_005 {
        let change =
            world.objects.create(world.now, "release", vec![], &actor(), json!({ "id": version.to_string(), "app": { "id": APP } }));
        let notice = Notice::new(&change, "api:release", &mut chance);
        record::event(&mut world, &notice, &change);
        let subscription = record::subscriptions(&world, &change, "api:release", &[]).remove(0);
        record::delivery(&mut world, &chance.uuid(), &notice, &subscription);
    }
    let (events, deliveries) = (world.objects.of("app-webhook-event", APP).count(), world.objects.of("app-webhook-delivery", APP).count());
    assert_eq!((events, deliveries), (1_000, 1_000));
    assert_eq!(world.objects.of("app-webhook-event", APP).next().unwrap()["payload"]["data"]["id"], "5");
}
