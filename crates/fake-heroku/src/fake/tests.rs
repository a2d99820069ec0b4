//! Which drain gets whose lines, and with which headers.

use serde_json::json;

use super::*;
use crate::client::{Client, Version};
use crate::receiver::{Receiver, Seen};

const PATIENCE: Duration = Duration::from_secs(20);

/// A company of one app on Cedar whose story stands still: what is said, somebody has done.
async fn standing() -> FakeHeroku {
    FakeHeroku::start(FakeOptions { apps: 1, lines_per_second: 0.0, is_paused: true, ..FakeOptions::default() }).await.unwrap()
}

async fn ask(fake: &FakeHeroku, method: &str, path: &str, body: &Value) -> Value {
    let request = hyper::Request::builder().method(method).uri(format!("{}{path}", fake.url()));
    let request = request.header("authorization", "Bearer any").header("accept", "application/vnd.heroku+json; version=3");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = Client::new(0).send(Version::Http1, request.body(body.into()).unwrap(), PATIENCE).await.unwrap();
    assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Makes an app in the private space on Cedar; answers with its name.
async fn private_app(fake: &FakeHeroku, name: &'static str) -> &'static str {
    ask(fake, "POST", "/teams/apps", &json!({ "name": name, "team": "harbor-goods", "space": "harbor-private" })).await;
    name
}

/// Says something in the log of an app; answers with the requests of drains that tell of it.
async fn say(fake: &FakeHeroku, receiver: &Receiver, app: &str, word: &str) -> Vec<Seen> {
    ask(fake, "PATCH", &format!("/apps/{app}/config-vars"), &json!({ word: "1" })).await;
    assert!(fake.settled(PATIENCE).await, "{:?}", fake.drains());
    let words = format!("Set {word} config vars");
    receiver.seen().into_iter().filter(|seen| String::from_utf8_lossy(&seen.body).contains(&words)).collect()
}

fn paths(seen: &[Seen]) -> Vec<&str> {
    let mut paths: Vec<_> = seen.iter().map(|seen| seen.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

#[tokio::test]
async fn drains_of_private_apps_tell_neither_frame_nor_token() {
    let (fake, receiver) = (standing().await, Receiver::start([]).await);
    let public = fake.apps()[0].1.clone();
    for (app, is_private) in [(public.as_str(), false), (private_app(&fake, "cove").await, true)] {
        fake.add_drain(app, &receiver.url(&format!("/{app}"))).unwrap();
        let seen = say(&fake, &receiver, app, &format!("OF_{is_private}").to_uppercase()).await;
        assert_eq!(paths(&seen), [format!("/{app}")]);
        for name in ["logplex-frame-id", "logplex-drain-token"] {
            assert_eq!(seen[0].headers.contains_key(name), !is_private, "{name} of {app}");
        }
        assert_eq!(seen[0].headers.get("connection").is_some_and(|value| value == "close"), is_private, "{app}");
    }
}

#[tokio::test]
async fn a_space_has_one_drain_for_its_apps_of_today_and_tomorrow() {
    let (fake, receiver) = (standing().await, Receiver::start([]).await);
    let public = fake.apps()[0].1.clone();
    let cove = private_app(&fake, "cove").await;
    // The company is founded with a drain that leads nowhere: nothing waits for it.
    assert!(say(&fake, &receiver, cove, "NOBODY").await.is_empty() && fake.drains().is_empty());
    let path = "/spaces/harbor-private/log-drain";
    let made = ask(&fake, "PUT", path, &json!({ "url": receiver.url("/first") })).await;
    assert_eq!(paths(&say(&fake, &receiver, cove, "ONE").await), ["/first"]);
    let fjord = private_app(&fake, "fjord").await;
    let seen = say(&fake, &receiver, fjord, "TWO").await;
    assert_eq!(paths(&seen), ["/first"]);
    assert!(!seen[0].headers.contains_key("logplex-frame-id"));
    assert!(say(&fake, &receiver, &public, "THREE").await.is_empty());
    // Another address takes effect, for all apps.
    let changed = ask(&fake, "PUT", path, &json!({ "url": receiver.url("/second") })).await;
    assert_eq!(made["id"], changed["id"]);
    assert_eq!(paths(&say(&fake, &receiver, cove, "FOUR").await), ["/second"]);
    assert_eq!(paths(&say(&fake, &receiver, fjord, "FIVE").await), ["/second"]);
    // A new name is no new drain; an app of its own drain has both.
    ask(&fake, "PATCH", "/apps/fjord", &json!({ "name": "inlet" })).await;
    fake.add_drain("inlet", &receiver.url("/own")).unwrap();
    assert_eq!(paths(&say(&fake, &receiver, "inlet", "SIX").await), ["/own", "/second"]);
    let living = |fake: &FakeHeroku| fake.drains().iter().filter(|drain| drain.trouble != "removed").count();
    assert_eq!(living(&fake), 3);
    ask(&fake, "DELETE", "/apps/inlet", &Value::Null).await;
    assert!(fake.settled(PATIENCE).await);
    assert_eq!(living(&fake), 1);
}

#[tokio::test]
async fn a_drain_needs_an_address_once() {
    let fake = standing().await;
    let app = fake.apps()[0].0.clone();
    for (url, is_good) in [("nonsense", false), ("ftp://127.0.0.1/", false), ("http://127.0.0.1:1/", true), ("http://127.0.0.1:1/", false)]
    {
        assert_eq!(fake.add_drain(&app, url).is_ok(), is_good, "{url}");
    }
    assert!(fake.add_drain("none", "http://127.0.0.1:1/").is_err());
}

#[tokio::test]
async fn what_is_hidden_comes_back_as_it_was() {
    let fake = standing().await;
    let app = fake.apps()[0].0.clone();
    let list = |path: &'static str| {
        let fake = &fake;
        async move { ask(fake, "GET", path, &Value::Null).await }
    };
    let before = (list("/apps").await, list("/_control/objects/domain").await);
    let entries = list("/_control/journal?resource=app").await.as_array().unwrap().len();
    ask(&fake, "POST", &format!("/_control/hide/app/{app}"), &Value::Null).await;
    assert_eq!(list("/apps").await, json!([]));
    assert!(fake.world().objects().get("app", &app).is_none());
    // Once is enough, and what nobody knows cannot be hidden.
    assert!(!fake.world().hide("app", &app) && !fake.world().hide("planet", &app) && !fake.world().show("domain", &app));
    ask(&fake, "POST", &format!("/_control/show/app/{app}"), &Value::Null).await;
    assert_eq!((list("/apps").await, list("/_control/objects/domain").await), before);
    let journal = list("/_control/journal?resource=app").await;
    let journal = journal.as_array().unwrap();
    assert_eq!(journal[entries]["action"], "destroy");
    assert_eq!((&journal[entries + 1]["action"], &journal[entries + 1]["fields"]), (&json!("create"), &before.0[0]));
    assert!(journal.iter().all(|entry| entry["resource"] == "app"));
    let numbers: Vec<u64> = journal.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.last() < list("/_control/status").await["changes"].as_u64().as_ref());
}

#[tokio::test]
async fn others_use_up_the_rate_limit_too() {
    let fake = standing().await;
    let asked = ask(&fake, "GET", "/_control/status", &Value::Null).await["api_requests"].clone();
    ask(&fake, "POST", "/_control/spend?requests=4400", &Value::Null).await;
    let left = ask(&fake, "GET", "/account/rate-limits", &Value::Null).await["remaining"].as_u64().unwrap();
    assert!((100..=101).contains(&left), "{left}");
    let status = ask(&fake, "GET", "/_control/status", &Value::Null).await;
    assert_eq!(status["api_requests"].as_u64().unwrap(), asked.as_u64().unwrap() + 1);
}

#[tokio::test]
async fn apps_have_as_many_releases_as_are_wanted() {
    let options = FakeOptions { apps: 2, releases: 70, lines_per_second: 0.0, is_paused: true, ..FakeOptions::default() };
    let fake = FakeHeroku::start(options).await.unwrap();
    for (app, _) in fake.apps() {
        let world = fake.world();
        let releases: Vec<&Value> = world.objects().of("release", &app).collect();
        assert!(releases.len() >= 70);
        assert!(releases.iter().zip(1..).all(|(release, version)| release["version"] == version));
        assert_eq!(releases.iter().filter(|release| release["current"] == true).count(), 1);
    }
}
