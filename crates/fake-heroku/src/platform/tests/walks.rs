//! What is made, changed and destroyed through the API shows in the API, in the lines and in the changes.

use serde_json::json;

use super::*;

/// A resource that is made, changed and destroyed.
struct Walk {
    list: &'static str,
    create: (&'static str, Value),
    /// Fields that the new object must have.
    made: Value,
    /// The path below which the object is reached.
    below: &'static str,
    change: Option<(Value, Value)>,
}

/// What hangs on an app.
fn walks_below_apps() -> Vec<Walk> {
    vec![
        Walk {
            list: "/apps/shop/log-drains",
            create: ("/apps/shop/log-drains", json!({ "url": "https://u:p@127.0.0.1:1/drain" })),
            made: json!({ "url": "https://u:p@127.0.0.1:1/drain", "addon": null, "app": null }),
            below: "/apps/shop/log-drains",
            change: None,
        },
        Walk {
            list: "/apps/shop/webhooks",
            create: (
                "/apps/shop/webhooks",
                json!({ "url": "http://127.0.0.1:1/", "level": "sync", "include": ["api:release"], "secret": "s" }),
            ),
            made: json!({ "url": "http://127.0.0.1:1/", "level": "sync", "include": ["api:release"] }),
            below: "/apps/shop/webhooks",
            change: Some((json!({ "level": "notify" }), json!({ "level": "notify" }))),
        },
        Walk {
            list: "/apps/spruce/telemetry-drains",
            create: (
                "/telemetry-drains",
                json!({ "exporter": { "endpoint": "http://127.0.0.1:1", "type": "otlphttp" }, "owner": { "id": "spruce", "type": "app" }, "signals": ["logs"] }),
            ),
            made: json!({ "signals": ["logs"], "exporter": { "endpoint": "http://127.0.0.1:1", "type": "otlphttp", "headers": {} } }),
            below: "/telemetry-drains",
            change: Some((json!({ "signals": ["traces", "logs"] }), json!({ "signals": ["traces", "logs"] }))),
        },
        Walk {
            list: "/apps/shop/domains",
            create: ("/apps/shop/domains", json!({ "hostname": "www.example.com", "sni_endpoint": null })),
            made: json!({ "hostname": "www.example.com", "kind": "custom", "status": "pending" }),
            below: "/apps/shop/domains",
            change: Some((json!({ "sni_endpoint": "aardvark-1234" }), json!({}))),
        },
        Walk {
            list: "/apps/shop/collaborators",
            create: ("/apps/shop/collaborators", json!({ "user": "new@example.com" })),
            made: json!({ "role": "collaborator" }),
            below: "/apps/shop/collaborators",
            change: None,
        },
    ]
}

/// What stands alone.
fn walks_of_the_company() -> Vec<Walk> {
    vec![
        Walk {
            list: "/pipelines",
            create: ("/pipelines", json!({ "name": "depot" })),
            made: json!({ "name": "depot" }),
            below: "/pipelines",
            change: Some((json!({ "name": "yard" }), json!({ "name": "yard" }))),
        },
        Walk {
            list: "/apps",
            create: ("/apps", json!({ "name": "depot", "region": "eu" })),
            made: json!({ "name": "depot", "maintenance": false, "team": null }),
            below: "/apps",
            change: Some((
                json!({ "name": "yard", "maintenance": true }),
                json!({ "name": "yard", "git_url": "https://git.heroku.com/yard.git" }),
            )),
        },
    ]
}

#[tokio::test]
async fn plain_resources_walk_from_birth_to_end() {
    for walk in walks_below_apps().into_iter().chain(walks_of_the_company()) {
        let bench = Bench::new();
        let before = bench.get(walk.list).await.list().len();
        let made = bench.ask("POST", walk.create.0, walk.create.1).await;
        assert_eq!(made.status, 201, "{}: {}", walk.list, made.body);
        let id = made.body["id"].as_str().unwrap();
        agree(&made.body, &walk.made);
        assert_eq!(bench.get(walk.list).await.list().len(), before + 1);
        assert_eq!(bench.get(&format!("{}/{id}", walk.below)).await.body, made.body);
        let (_, changes) = bench.news();
        assert!(changes.iter().any(|change| change.starts_with("create")), "{changes:?}");
        assert!(made.body.as_object().unwrap().keys().all(|name| !name.starts_with('_')));
        if let Some((body, expected)) = walk.change {
            let changed = bench.ask("PATCH", &format!("{}/{id}", walk.below), body).await;
            assert_eq!(changed.status, 200, "{}", changed.body);
            agree(&changed.body, &expected);
            assert_eq!(bench.get(&format!("{}/{id}", walk.below)).await.body, changed.body);
            let (_, changes) = bench.news();
            assert!(changes.iter().any(|change| change.starts_with("update")), "{changes:?}");
        }
        assert_eq!(bench.ask("DELETE", &format!("{}/{id}", walk.below), Value::Null).await.status, 200);
        assert_eq!(bench.get(&format!("{}/{id}", walk.below)).await.status, 404);
        assert_eq!(bench.get(walk.list).await.list().len(), before);
        let (_, changes) = bench.news();
        assert!(changes.iter().any(|change| change.starts_with("destroy")), "{changes:?}");
    }
}

fn agree(object: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        if name == "app" {
            assert!(object["app"]["id"].is_string(), "{object}");
        } else {
            assert_eq!(&object[name], value, "{name} of {object}");
        }
    }
}

#[tokio::test]
async fn an_app_is_changed_to_what_there_is() {
    let bench = Bench::new();
    let before = bench.get("/apps/shop").await.body;
    for (body, status) in [
        (json!({ "build_stack": null }), 422),
        (json!({ "build_stack": 24 }), 422),
        (json!({ "build_stack": "heroku-1" }), 404),
        (json!({ "maintenance": "yes" }), 422),
        (json!({ "name": "billing" }), 422),
    ] {
        assert_eq!(bench.ask("PATCH", "/apps/shop", body.clone()).await.status, status, "{body}");
        assert_eq!(bench.get("/apps/shop").await.body, before);
    }
    let changed = bench.ask("PATCH", "/apps/shop", json!({ "build_stack": "heroku-22" })).await;
    assert_eq!(changed.body["build_stack"]["name"], "heroku-22");
}

#[tokio::test]
async fn a_log_drain_is_found_by_id_token_and_url() {
    let bench = Bench::new();
    let url = "https://user:pass@127.0.0.1/drain?a=b";
    let drain = bench.ask("POST", "/apps/shop/log-drains", json!({ "url": url })).await.body;
    let token = drain["token"].as_str().unwrap();
    assert!(token.starts_with("d.") && uuid::Uuid::parse_str(&token[2..]).is_ok());
    let encoded = percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC).to_string();
    for name in [drain["id"].as_str().unwrap(), token, &encoded] {
        assert_eq!(bench.get(&format!("/apps/shop/log-drains/{name}")).await.body, drain, "{name}");
    }
    for (bad, status) in [("ftp://x/", 422), ("nonsense", 422), (url, 422), ("syslog+tls://logs.example.com:514", 201)] {
        assert_eq!(bench.ask("POST", "/apps/shop/log-drains", json!({ "url": bad })).await.status, status, "{bad}");
    }
}

#[tokio::test]
async fn a_webhook_tells_its_secret_once() {
    let bench = Bench::new();
    let body = json!({ "url": "http://127.0.0.1:1/", "level": "notify", "include": ["api:app"] });
    let made = bench.ask("POST", "/apps/shop/webhooks", body).await;
    assert_eq!(made.header("heroku-webhook-secret").len(), 64);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(bench.world.lock().unwrap().objects().get("app-webhook", id).unwrap()["_secret"], made.header("heroku-webhook-secret"));
    let read = bench.get(&format!("/apps/shop/webhooks/{id}")).await;
    assert!(read.header("heroku-webhook-secret").is_empty());
    assert!(read.body.get("_secret").is_none());
    assert!(bench.get("/apps/shop/webhooks").await.list()[0].get("_secret").is_none());
}

#[tokio::test]
async fn a_webhook_is_checked_when_it_is_made_and_when_it_is_changed() {
    let bench = Bench::new();
    let good = json!({ "url": "http://127.0.0.1:1/", "level": "notify", "include": ["api:app"] });
    let made = bench.ask("POST", "/apps/shop/webhooks", good.clone()).await;
    let path = format!("/apps/shop/webhooks/{}", made.body["id"].as_str().unwrap());
    for wrong in [
        json!({ "level": 5 }),
        json!({ "level": "often" }),
        json!({ "url": null }),
        json!({ "include": [] }),
        json!({ "include": [1] }),
        json!({ "secret": 7 }),
        json!({ "authorization": {} }),
    ] {
        assert_eq!(bench.ask("PATCH", &path, wrong.clone()).await.status, 422, "{wrong}");
        let mut whole = good.clone();
        whole.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(bench.ask("POST", "/apps/shop/webhooks", whole).await.status, 422, "{wrong}");
    }
    for missing in ["url", "level", "include"] {
        let mut partly = good.clone();
        partly.as_object_mut().unwrap().remove(missing);
        assert_eq!(bench.ask("POST", "/apps/shop/webhooks", partly).await.status, 422, "{missing}");
    }
    assert_eq!(bench.get(&path).await.body, made.body);
}

#[tokio::test]
async fn config_vars_make_releases() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let before = bench.get("/apps/shop/config-vars").await.body;
    assert!(before["DATABASE_URL"].as_str().unwrap().starts_with("postgres://"));
    let set = bench.ask("PATCH", "/apps/shop/config-vars", json!({ "A": "1", "B": "2" })).await;
    assert_eq!((set.status, &set.body["A"]), (200, &"1".into()));
    let (lines, changes) = bench.news();
    assert_eq!(lines[..2], [format!("api: Set A, B config vars by user {email}"), format!("api: Release v5 created by user {email}")]);
    assert!(changes.contains(&"create release".to_owned()) && changes.contains(&"create dyno".to_owned()));
    // The same again is no news.
    bench.ask("PATCH", "/apps/shop/config-vars", json!({ "A": "1" })).await;
    assert_eq!(bench.news(), (Vec::new(), Vec::new()));
    bench.ask("PATCH", "/apps/shop/config-vars", json!({ "A": null })).await;
    assert_eq!(bench.news().0[0], format!("api: Remove A config vars by user {email}"));
    let vars = async |path: &str| bench.get(path).await.body["A"].clone();
    assert_eq!(vars("/apps/shop/config-vars").await, Value::Null);
    assert_eq!(vars("/apps/shop/releases/5/config-vars").await, "1");
    assert_eq!(vars("/apps/shop/releases/v4/config-vars").await, Value::Null);
    assert_eq!(bench.ask("PATCH", "/apps/shop/config-vars", json!({ "A": 1 })).await.status, 422);
}

#[tokio::test]
async fn a_formation_is_scaled() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let body = json!({ "updates": [{ "type": "web", "quantity": 3, "size": "standard-2x" }, { "type": "worker", "quantity": 1 }] });
    let scaled = bench.ask("PATCH", "/apps/shop/formation", body).await;
    assert_eq!((scaled.status, scaled.list()[0]["quantity"].as_u64(), &scaled.list()[0]["size"]), (200, Some(3), &"Standard-2X".into()));
    let (lines, _) = bench.news();
    assert_eq!(lines[0], format!("api: Scaled to web@3:Standard-2X worker@1:Standard-1X by user {email}"));
    let names = async || -> Vec<String> {
        let reply = bench.get("/apps/shop/dynos").await;
        let mut names: Vec<_> =
            reply.list().iter().map(|dyno| format!("{} {}", dyno["name"].as_str().unwrap(), dyno["state"].as_str().unwrap())).collect();
        names.sort();
        names
    };
    assert_eq!(names().await, ["web.1 starting", "web.2 starting", "web.3 starting", "worker.1 starting"]);
    bench.advance(400);
    assert_eq!(names().await, ["web.1 up", "web.2 up", "web.3 up", "worker.1 up"]);
    let (lines, changes) = bench.news();
    for line in
        ["web.1: Stopping all processes with SIGTERM", "web.1: Process exited with status 143", "web.3: State changed from starting to up"]
    {
        assert_eq!(lines.iter().filter(|said| *said == line).count(), 1, "{line} in {lines:#?}");
    }
    assert_eq!(changes, ["update dyno"; 4]);
    let one = bench.ask("PATCH", "/apps/shop/formation/web", json!({ "quantity": "-2" })).await;
    assert_eq!(one.body["quantity"], 1);
    assert_eq!(names().await, ["web.1 up", "worker.1 up"]);
    for (path, body, status) in [
        ("/apps/shop/formation/clock", json!({ "quantity": 1 }), 404),
        ("/apps/shop/formation/web", json!({ "size": "Gigantic" }), 404),
        ("/apps/shop/formation/web", json!({ "quantity": 1_000 }), 422),
        ("/apps/shop/formation/web", json!({ "quantity": "many" }), 422),
        ("/apps/shop/formation", json!({}), 422),
    ] {
        assert_eq!(bench.ask("PATCH", path, body).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_dyno_that_was_replaced_keeps_its_number() {
    let bench = Bench::new();
    let scaled_to = async |quantity: u64| -> Vec<String> {
        assert_eq!(bench.ask("PATCH", "/apps/shop/formation/web", json!({ "quantity": quantity })).await.status, 200);
        let reply = bench.get("/apps/shop/dynos").await;
        let mut names: Vec<_> = reply.list().iter().map(|dyno| dyno["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(scaled_to(3).await, ["web.1", "web.2", "web.3"]);
    assert_eq!(bench.ask("DELETE", "/apps/shop/dynos/web.1", Value::Null).await.status, 202);
    assert_eq!(scaled_to(2).await, ["web.1", "web.2"]);
    assert_eq!(scaled_to(3).await, ["web.1", "web.2", "web.3"]);
}

#[tokio::test]
async fn dynos_run_restart_and_end() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let web = bench.get("/apps/shop/dynos/web.1").await.body;
    assert_eq!(bench.ask("DELETE", "/apps/shop/dynos/web.1", Value::Null).await.status, 202);
    let again = bench.get("/apps/shop/dynos/web.1").await.body;
    assert_ne!(web["id"], again["id"]);
    assert_eq!(bench.news().0, ["web.1: Restarting", "web.1: State changed from up to starting"]);
    bench.advance(400);
    assert_eq!(bench.get("/apps/shop/dynos/web.1").await.body["state"], "up");
    bench.news();
    let run = bench.ask("POST", "/apps/shop/dynos", json!({ "attach": false, "command": "echo hi", "env": { "TERM": "xterm" } })).await;
    let name = run.body["name"].as_str().unwrap().to_owned();
    assert_eq!((run.status, &run.body["type"], &run.body["attach_url"]), (201, &"run".into(), &Value::Null));
    assert!(name.starts_with("run.") && name.len() == "run.1234".len());
    bench.advance(600);
    let expected = [
        format!("api: Starting process with command `echo hi` by user {email}"),
        format!("{name}: Starting process with command `echo hi`"),
        format!("{name}: State changed from starting to up"),
        format!("{name}: Process exited with status 0"),
        format!("{name}: State changed from up to complete"),
    ];
    assert_eq!(bench.news(), (expected.to_vec(), ["create dyno", "update dyno", "destroy dyno"].map(str::to_owned).to_vec()));
    assert_eq!(bench.get(&format!("/apps/shop/dynos/{name}")).await.status, 404);
    assert_eq!(bench.ask("DELETE", "/apps/shop/dynos", Value::Null).await.status, 202);
    assert_eq!(bench.ask("DELETE", "/apps/shop/dynos/web.9", Value::Null).await.status, 404);
    let fir = bench.get("/apps/spruce/dynos").await;
    let name = fir.list()[0]["name"].as_str().unwrap();
    let parts: Vec<_> = name.split('-').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("web", 9, 5), "{name}");
}

#[tokio::test]
async fn builds_end_and_releases_roll_back() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let source = json!({ "source_blob": { "url": "https://example.com/source.tgz", "version": "feedfacecafe" } });
    let build = bench.ask("POST", "/apps/shop/builds", source.clone()).await;
    assert_eq!((build.status, &build.body["status"]), (201, &"pending".into()));
    bench.advance(500);
    let path = format!("/apps/shop/builds/{}", build.body["id"].as_str().unwrap());
    let built = bench.get(&path).await.body;
    assert_eq!(built["status"], "succeeded");
    let release = bench.get(&format!("/apps/shop/releases/{}", built["release"]["id"].as_str().unwrap())).await.body;
    assert_eq!((&release["version"], &release["description"], &release["slug"]), (&5.into(), &"Deploy feedface".into(), &built["slug"]));
    let said = bench.news().0;
    let of_api: Vec<_> = said.iter().filter(|line| line.starts_with("api: ")).cloned().collect();
    let expected = [
        format!("api: Build started by user {email}"),
        format!("api: Deploy feedface by user {email}"),
        format!("api: Release v5 created by user {email}"),
        "api: Build succeeded".to_owned(),
    ];
    assert_eq!(of_api, expected);
    let currents = bench.get("/apps/shop/releases").await.list().iter().filter(|release| release["current"] == true).count();
    assert_eq!(currents, 1);
    let back = bench.ask("POST", "/apps/shop/releases", json!({ "release": "v4" })).await;
    assert_eq!((back.status, &back.body["description"], &back.body["version"]), (201, &"Rollback to v4".into(), &6.into()));
    let slug = bench.get("/apps/shop/releases/4").await.body["slug"].clone();
    assert_eq!(back.body["slug"], slug);
    assert_eq!(bench.ask("POST", "/apps/shop/releases", json!({ "release": "1" })).await.status, 422);
    assert_eq!(bench.ask("POST", "/apps/shop/releases", json!({ "release": "99" })).await.status, 404);
    let cancelled = bench.ask("POST", "/apps/shop/builds", source).await;
    let path = format!("/apps/shop/builds/{}", cancelled.body["id"].as_str().unwrap());
    assert_eq!(bench.ask("DELETE", &path, Value::Null).await.body["status"], "failed");
    bench.advance(900);
    assert_eq!(bench.get(&path).await.body["status"], "failed");
    assert_eq!(bench.ask("DELETE", &path, Value::Null).await.status, 409);
}

#[tokio::test]
async fn a_build_that_fails_releases_nothing() {
    let bench = Bench::new();
    let id = bench.get("/apps/shop").await.body["id"].as_str().unwrap().to_owned();
    let build = bench.world.lock().unwrap().build(&bench.owner, &id, "badbadbad", false).unwrap();
    bench.advance(500);
    let last = bench.news().0.pop().unwrap();
    let place = format!("https://dashboard.heroku.com/apps/{id}/activity/builds/{}", build["id"].as_str().unwrap());
    assert_eq!(last, format!("api: Build failed -- check your build output: {place}"));
    assert_eq!(bench.get("/apps/shop/releases").await.list().len(), 4);
}

#[tokio::test]
async fn the_journal_makes_the_objects_again() {
    let bench = Bench::new();
    bench.ask("PATCH", "/apps/shop", json!({ "name": "store", "maintenance": true })).await;
    bench.advance(700);
    let world = bench.world.lock().unwrap();
    let mut copy: BTreeMap<(&str, Box<str>), Value> = BTreeMap::new();
    for entry in world.objects().journal() {
        let key = (entry.resource, entry.id.clone());
        match (entry.action, entry.fields()) {
            (Action::Create, object) => drop(copy.insert(key, object)),
            (Action::Update, Value::Object(fields)) => copy.get_mut(&key).unwrap().as_object_mut().unwrap().extend(fields),
            _ => drop(copy.remove(&key)),
        }
    }
    for ((resource, id), object) in copy {
        assert_eq!(world.objects().get(resource, &id), Some(&object), "{resource} {id}");
    }
    let renamed = world.objects().all("dyno").filter(|dyno| dyno["app"]["name"] == "store").count();
    assert!(renamed > 0 && world.objects().find("app", None, "shop").is_none());
}

#[tokio::test]
async fn usage_and_audit_are_told_by_day() {
    let bench = Bench::new();
    let daily = bench.get("/teams/harbor-goods/usage/daily?start=2026-11-20&end=2026-11-22").await;
    let dates: Vec<_> = daily.list().iter().map(|row| row["date"].as_str().unwrap()).collect();
    assert_eq!(dates, ["2026-11-20", "2026-11-21", "2026-11-22"]);
    let dynos = |reply: &Reply| reply.list().last().unwrap()["dynos"].as_f64().unwrap();
    bench.advance(6 * 3_600);
    let later = bench.get("/teams/harbor-goods/usage/daily?start=2026-11-20&end=2026-11-22").await;
    assert!(dynos(&later) > dynos(&daily), "{} {}", dynos(&later), dynos(&daily));
    // A month has the apps that were made in it, from whichever of its days it is asked for.
    let month = bench.get("/teams/harbor-goods/usage/monthly?start=2026-11-20").await;
    let row = &month.list()[0];
    let apps: Vec<_> = row["apps"].as_array().unwrap().iter().map(|app| app["app_name"].as_str().unwrap()).collect();
    assert_eq!((month.list().len(), &row["month"], apps), (1, &"2026-11".into(), vec!["shop", "search", "spruce"]));
    let month = bench.get("/enterprise-accounts/harbor-goods-enterprise/usage/monthly?start=2026-10").await;
    assert_eq!(month.list().iter().map(|row| row["month"].as_str().unwrap()).collect::<Vec<_>>(), ["2026-10", "2026-11"]);
    assert_eq!(bench.get("/teams/harbor-goods/usage/daily").await.status, 422);
    assert_eq!(bench.get("/teams/harbor-goods/usage/daily?start=soon").await.status, 422);
    let events = bench.get("/enterprise-accounts/harbor-goods-enterprise/events?day=2026-11-22&type=app&action=create").await;
    assert_eq!(events.list().len(), 4);
    assert!(bench.get("/enterprise-accounts/harbor-goods-enterprise/events?day=2026-11-21").await.list().is_empty());
}

#[tokio::test]
async fn archives_hold_what_they_say() {
    let bench = Bench::new();
    // A month later the month of the founding is over.
    bench.advance(40 * 86_400);
    let archives = bench.get("/enterprise-accounts/harbor-goods-enterprise/archives").await;
    let archive = archives.list().last().unwrap();
    assert_eq!((&archive["year"], &archive["month"]), (&2026.into(), &"11".into()));
    let path = archive["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:1").unwrap();
    let (status, _, body) = bench.ask_raw("GET", path, &Value::Null, &[("authorization", "")]).await;
    let body = body.unwrap();
    assert_eq!((status, archive["size"].as_u64()), (200, Some(body.len() as u64)));
    let entries: Value = serde_json::from_reader(flate2::read::GzDecoder::new(&body[..])).unwrap();
    assert!(entries["entries"].as_array().is_some_and(|entries| entries.len() > 20));
    // The signature opens it, and nothing else does.
    let unsigned = path.split('?').next().unwrap();
    assert_eq!(bench.ask_raw("GET", unsigned, &Value::Null, &[("authorization", "")]).await.0, 403);
    assert_eq!(bench.ask_raw("GET", path, &Value::Null, &[("authorization", "Bearer any")]).await.0, 400);
}

#[tokio::test]
async fn log_sessions_are_opened() {
    let bench = Bench::new();
    for (app, body) in
        [("shop", json!({ "lines": 100, "tail": true })), ("spruce", json!({ "source": "app", "type": "web" })), ("shop", json!({}))]
    {
        let reply = bench.ask("POST", &format!("/apps/{app}/log-sessions"), body).await;
        assert_eq!(reply.status, 201);
        assert!(reply.body["logplex_url"].as_str().unwrap().starts_with("http://127.0.0.1:1"));
    }
    assert_eq!(bench.ask("POST", "/apps/shop/log-sessions", json!({ "lines": "x" })).await.status, 422);
    assert_eq!(bench.ask("POST", "/apps/none/log-sessions", json!({})).await.status, 404);
}

#[tokio::test]
async fn what_the_official_cli_asks_for() {
    let bench = Bench::new();
    for path in [
        "/users/~/apps",
        "/account",
        "/apps/shop/addons",
        "/apps/shop",
        "/apps/shop/collaborators",
        "/apps/shop/dynos",
        "/apps/shop/pipeline-couplings",
        "/apps/shop/log-drains",
        "/apps/spruce/telemetry-drains",
        "/apps/shop/webhooks",
        "/apps/shop/config-vars",
        "/apps/shop/releases",
        "/apps/shop/domains",
        "/addon-attachments",
        "/spaces/harbor-private/log-drain",
        "/apps/shop/formation",
    ] {
        assert_eq!(bench.get(path).await.status, 200, "{path}");
    }
    let filtered = bench.ask("POST", "/filters/apps", json!({ "in": { "name": ["shop", "none", "billing"] } })).await;
    assert_eq!(filtered.list().iter().map(|app| app["name"].as_str().unwrap()).collect::<Vec<_>>(), ["shop", "billing"]);
    let all = bench.get("/users/~/apps").await;
    assert_eq!(all.list().len(), 4);
}
