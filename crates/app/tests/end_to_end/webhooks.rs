//! Webhooks from the fake Heroku and byte by byte: each event that was acknowledged is one row, whatever is repeated, killed or missed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::chance;
use crate::daemon::Daemon;
use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;
use crate::http;
use crate::sync::{stream, sync};

const SECRET: &str = "a-webhook-s3cret";

fn settings(max_age: &str) -> String {
    format!("[receive]\nwebhook_secret = \"{SECRET}\"\n[load]\nmax_age = \"{max_age}\"\n")
}

fn event(id: &str, attempt: u32) -> String {
    let event = json!({
        "id": id, "action": "update", "resource": "release", "actor": { "id": "u-1", "email": "ann@example.com" },
        "data": { "id": "r-1", "app": { "id": "a-1", "name": "shop" }, "output_stream_url": "https://build.example.com/?signature=hunter2" },
        "previous_data": {}, "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:00.000001Z", "published_at": null,
        "sequence": null, "version": "application/vnd.heroku+json; version=3",
        "webhook_metadata": { "attempt": { "id": attempt.to_string() }, "event": { "id": id, "include": "api:release" } },
    });
    event.to_string()
}

fn deliver(address: SocketAddr, secret: &str, body: &str) -> std::io::Result<u16> {
    let signature = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes()));
    let head = format!(
        "POST /webhooks/shop HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nHeroku-Webhook-Hmac-SHA256: {signature}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    Ok(http::exchange(address, &[head.as_bytes(), body.as_bytes()].concat())?.status)
}

/// The ids in the table, each of which has to be there once.
fn ids(place: &Place) -> BTreeSet<String> {
    // Before its first entry it is no table yet.
    if !place.lake().join("webhook_events/_delta_log/00000000000000000000.json").exists() {
        return BTreeSet::new();
    }
    let rows = place.query("SELECT id FROM webhook_events");
    let ids: BTreeSet<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), rows.len(), "an event is there twice");
    ids
}

#[test]
fn an_event_is_one_row_however_often_it_is_delivered() {
    let place = Place::new();
    place.file("freshet.toml", settings("200ms"));
    let daemon = Daemon::start(&place);
    let address = daemon.address;
    for attempt in 1..=3 {
        assert_eq!(deliver(address, SECRET, &event("e-1", attempt)).unwrap(), 200);
    }
    assert_eq!(deliver(address, "guess", &event("e-2", 1)).unwrap(), 401);
    for broken in ["{\"id\":", "{\"id\":7}"] {
        assert_eq!(deliver(address, SECRET, broken).unwrap(), 200);
    }
    daemon.wait("has the event", || ids(&place).contains("e-1"));
    assert_eq!(daemon.metric("freshet_webhook_requests_total{outcome=\"stored\"}"), Some(3.0));
    assert_eq!(daemon.metric("freshet_webhook_requests_total{outcome=\"repeated\"}"), Some(2.0));
    assert_eq!(daemon.metric("freshet_webhook_requests_total{outcome=\"refused\"}"), Some(1.0));
    daemon.stop();
    let daemon = Daemon::start_at(&place, address);
    assert_eq!(deliver(address, SECRET, &event("e-1", 4)).unwrap(), 200);
    assert_eq!(deliver(address, SECRET, &event("e-3", 1)).unwrap(), 200);
    let log = daemon.stop().stderr;
    assert_eq!(ids(&place), BTreeSet::from(["e-1".to_owned(), "e-3".to_owned()]));
    let row = place.query("SELECT * FROM webhook_events WHERE id = 'e-1'").remove(0);
    assert_eq!((&row["app_id"], &row["include"], &row["payload_action"]), (&json!("a-1"), &json!("api:release"), &json!("update")));
    assert!(!row.to_string().contains("hunter2"), "{row}");
    let rejects = place.query("SELECT source_name, reason, app, count(*) AS n FROM _rejects GROUP BY 1, 2, 3");
    assert_eq!(rejects, [json!({ "source_name": "webhook", "reason": "json", "app": "shop", "n": 2 })]);
    assert!(!log.contains(SECRET) && !log.contains("hunter2"), "{log}");
    assert!(place.number("SELECT count(*) FROM _loads WHERE table_name = 'webhook_events'") > 0);
}

#[test]
fn what_was_acknowledged_survives_kill_9_before_its_commit() {
    let place = Place::new();
    place.file("freshet.toml", settings("1h"));
    let daemon = Daemon::start(&place);
    let address = daemon.address;
    let all: BTreeSet<String> = (0..20).map(|number| format!("e-{number}")).collect();
    for id in &all {
        assert_eq!(deliver(address, SECRET, &event(id, 1)).unwrap(), 200);
    }
    daemon.kill();
    assert_eq!(ids(&place), BTreeSet::new(), "nothing was committed yet, or this shows nothing");
    place.file("freshet.toml", settings("100ms"));
    let daemon = Daemon::start_at(&place, address);
    for id in &all {
        assert_eq!(deliver(address, SECRET, &event(id, 2)).unwrap(), 200);
    }
    daemon.wait("has every event", || ids(&place) == all);
    daemon.kill();
    // A spool that has forgotten how far the tables are gives all of it again.
    for entry in std::fs::read_dir(place.path("data/spool")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().contains("consumed") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let daemon = Daemon::start_at(&place, address);
    assert_eq!(deliver(address, SECRET, &event("last", 1)).unwrap(), 200);
    daemon.stop();
    let mut expected = all;
    expected.insert("last".to_owned());
    assert_eq!(ids(&place), expected);
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let place = Place::new();
    place.file("freshet.toml", settings("50ms"));
    let mut random = chance::random("webhooks, kill -9");
    let mut daemon = Daemon::start(&place);
    let address = daemon.address;
    let (mut acknowledged, mut number) = (BTreeSet::new(), 0);
    for _ in 0..if chance::full() { 30 } else { 5 } {
        let life = Duration::from_millis(100 + random.below(700));
        let begun = std::time::Instant::now();
        while begun.elapsed() < life {
            number += 1;
            let id = format!("e-{number}");
            if deliver(address, SECRET, &event(&id, 1)).is_ok_and(|status| status == 200) {
                acknowledged.insert(id);
            }
            // Of some events a second delivery comes, as from another subscription.
            if random.below(3) == 0 {
                assert!(deliver(address, SECRET, &event(&format!("e-{}", random.below(number) + 1), 2)).is_ok_and(|status| status == 200));
            }
        }
        daemon.kill();
        daemon = Daemon::start_at(&place, address);
    }
    daemon.stop();
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let found = ids(&place);
    assert!(found.is_superset(&acknowledged), "{:?}", acknowledged.difference(&found).collect::<Vec<_>>());
}

#[test]
fn without_a_secret_the_log_says_what_to_set() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    assert_eq!(deliver(daemon.address, SECRET, &event("e-1", 1)).unwrap(), 404);
    let log = daemon.stop().stderr;
    assert!(log.contains("webhook_secret") && log.contains("FRESHET_WEBHOOK_SECRET"), "{log}");
    place.file("freshet.toml", "[receive]\nwebhook_secret = \"env:NO_SUCH_VARIABLE\"\n");
    let ended = Ended::from(place.command("run --listen 127.0.0.1:0", &[]).env("FRESHET_DRAIN_SECRET", "x").output().unwrap());
    assert_eq!(ended.code, Some(78), "{ended:#?}");
    assert!(ended.stderr.contains("NO_SUCH_VARIABLE"), "{}", ended.stderr);
}

/// `freshet webhooks …`, which must not tell the secret.
fn webhooks(place: &Place, line: &str) -> (Option<i32>, Value) {
    let output = place.command(&format!("webhooks --output json {line}"), &[]).env("HEROKU_API_KEY", "any").output().unwrap();
    let ended = Ended::from(output);
    assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{ended:#?}");
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}")))
}

fn outcomes(report: &Value) -> BTreeSet<String> {
    report["webhooks"].as_array().unwrap().iter().map(|webhook| webhook["outcome"].as_str().unwrap().to_owned()).collect()
}

/// Waits until everything that happened was told, and every notice was taken or given up.
fn quiet(heroku: &Heroku) {
    heroku.ask("POST", "/_control/settle?seconds=20", "");
    let waiting =
        || heroku.status()["webhooks"].as_array().unwrap().iter().map(|webhook| webhook["waiting"].as_u64().unwrap()).sum::<u64>();
    let begun = std::time::Instant::now();
    while waiting() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "notices are still waiting");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A Heroku, and the settings of a Freshet that it tells.
fn pair(place: &Place) -> (Heroku, Vec<String>) {
    let heroku = Heroku::still(place, "");
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n{}", heroku.url, settings("100ms")));
    let apps = heroku.objects("app").iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect();
    (heroku, apps)
}

#[test]
fn subscriptions_are_made_once_and_ended() {
    let place = Place::new();
    let (heroku, apps) = pair(&place);
    let url = "--url https://logs.example.com/webhooks/{app}";
    assert_eq!(webhooks(&place, &format!("add --all --dry-run {url}")).0, Some(0));
    assert_eq!(heroku.objects("app-webhook").len(), 0);
    let (code, report) = webhooks(&place, &format!("add --all {url}"));
    assert_eq!((code, outcomes(&report)), (Some(0), BTreeSet::from(["added".to_owned()])));
    let (code, report) = webhooks(&place, &format!("add {} {url} --include api:release --level notify", apps[0]));
    assert_eq!((code, outcomes(&report)), (Some(0), BTreeSet::from(["updated".to_owned()])));
    let made = heroku.objects("app-webhook");
    assert_eq!(made.len(), apps.len());
    let first = made.iter().find(|webhook| webhook["url"] == format!("https://logs.example.com/webhooks/{}", apps[0])).unwrap();
    assert_eq!((&first["include"], &first["level"]), (&json!(["api:release"]), &json!("notify")));
    // Another's subscription stays.
    let other =
        json!({ "url": "https://u:hunter2@other.example.com/x?key=hunter2", "include": ["api:app"], "level": "notify" }).to_string();
    heroku.ask("POST", &format!("/apps/{}/webhooks", apps[0]), &other);
    let (code, list) = webhooks(&place, "list");
    assert_eq!((code, list["webhooks"].as_array().unwrap().len()), (Some(0), apps.len() + 1));
    assert!(!list.to_string().contains("hunter2"), "{list}");
    let (code, report) = webhooks(&place, &format!("remove --all {url}"));
    assert_eq!((code, outcomes(&report)), (Some(0), BTreeSet::from(["removed".to_owned()])));
    assert_eq!(outcomes(&webhooks(&place, &format!("remove --all {url}")).1), BTreeSet::from(["not there".to_owned()]));
    assert_eq!(heroku.objects("app-webhook").len(), 1);
    let (code, report) = webhooks(&place, &format!("add {} no-such-app {url}", apps[0]));
    assert_eq!((code, outcomes(&report)), (Some(3), BTreeSet::from(["added".to_owned(), "failed".to_owned()])));
    let without = place.command("webhooks add --all", &[]).env("HEROKU_API_KEY", "any").output().unwrap();
    assert_eq!(without.status.code(), Some(78), "no public_url");
}

#[test]
fn what_was_missed_comes_from_the_list_of_events() {
    let place = Place::new();
    let (heroku, apps) = pair(&place);
    let daemon = Daemon::start(&place);
    let address = daemon.address;
    // Each notice is tried once, and each that is taken is sent again.
    heroku.strike("{\"webhook-duplicate\":{\"probability\":1}}");
    let line = format!("add --all --level notify --url http://{address}/webhooks/{{app}}");
    assert_eq!(webhooks(&place, &line).0, Some(0));
    let change = |app: &str, to: bool| {
        heroku.ask("PATCH", &format!("/apps/{app}"), &json!({ "maintenance": to }).to_string());
    };
    let told = || -> BTreeSet<String> {
        heroku.objects("app-webhook-event").iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    for app in &apps {
        change(app, true);
    }
    quiet(&heroku);
    let first = told();
    assert!(first.len() >= apps.len());
    daemon.wait("has the first events", || ids(&place) == first);
    assert!(daemon.metric("freshet_webhook_requests_total{outcome=\"repeated\"}").unwrap() > 0.0);
    daemon.stop();
    for app in &apps {
        change(app, false);
    }
    quiet(&heroku);
    let all = told();
    assert!(all.len() > first.len());
    assert_eq!(ids(&place), first, "these were missed, or this shows nothing");
    let (ended, report) = sync(&place, "webhook_events");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(stream(&report, "webhook_events")["new"], all.len() - first.len(), "{report}");
    assert_eq!(ids(&place), all);
    assert_eq!(
        place.number("SELECT count(*) FROM webhook_events WHERE app_id IN (SELECT id FROM apps) AND _deleted_at IS NULL"),
        all.len() as i64
    );
    let columns =
        "id, app_id, include, payload_resource, payload_action, payload_actor_email, payload_data, payload_version, created_at, _raw";
    let before = place.query(&format!("SELECT {columns} FROM webhook_events ORDER BY id"));
    // What comes late, or again, finds its row.
    let daemon = Daemon::start_at(&place, address);
    let late = before[0]["id"].as_str().unwrap();
    assert_eq!(deliver(address, SECRET, &event(late, 9)).unwrap(), 200);
    change(&apps[0], true);
    quiet(&heroku);
    daemon.wait("has the new event", || ids(&place).len() > all.len());
    daemon.stop();
    let known = all.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    assert_eq!(place.query(&format!("SELECT {columns} FROM webhook_events WHERE id IN ({known}) ORDER BY id")), before);
    sync(&place, "webhook_events");
    let (_, again) = sync(&place, "webhook_events");
    assert_eq!((&stream(&again, "webhook_events")["new"], &stream(&again, "webhook_events")["changed"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(ids(&place), told());
    let (_, list) = webhooks(&place, "list");
    let sum = |field: &str| list["webhooks"].as_array().unwrap().iter().map(|webhook| webhook[field].as_u64().unwrap()).sum::<u64>();
    assert!(sum("delivered") > 0 && sum("failed") > 0, "{list}");
}
