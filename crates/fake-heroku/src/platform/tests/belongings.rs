//! What comes with what, and goes with it.

use serde_json::json;

use super::*;

#[tokio::test]
async fn addons_come_with_vars_and_attachments() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let made = bench.ask("POST", "/apps/shop/addons", json!({ "plan": "heroku-redis" })).await;
    assert_eq!(
        (made.status, &made.body["plan"]["name"], &made.body["config_vars"]),
        (201, &"heroku-redis:mini".into(), &json!(["REDIS_URL"]))
    );
    let name = made.body["name"].as_str().unwrap().to_owned();
    assert_eq!(bench.news().0[0], format!("api: Attach REDIS (@ref:{name}) by user {email}"));
    let vars = async || bench.get("/apps/shop/config-vars").await.body["REDIS_URL"].clone();
    assert!(vars().await.is_string());
    let second = bench.ask("POST", "/apps/shop/addons", json!({ "plan": "heroku-postgresql:standard-0" })).await;
    assert_eq!(second.body["config_vars"], json!(["HEROKU_POSTGRESQL_AMBER_URL"]));
    let resolved = bench.ask("POST", "/actions/addons/resolve", json!({ "app": "shop", "addon": "REDIS" })).await;
    assert_eq!(resolved.list()[0]["id"], made.body["id"]);
    let attached = bench.ask("POST", "/addon-attachments", json!({ "addon": name, "app": "billing", "name": "CACHE" })).await;
    assert_eq!(
        (attached.status, &attached.body["app"]["name"], &attached.body["addon"]["app"]["name"]),
        (201, &"billing".into(), &"shop".into())
    );
    let cache = async || bench.get("/apps/billing/config-vars").await.body["CACHE_URL"].clone();
    assert_eq!(cache().await, vars().await);
    let path = format!("/apps/shop/addons/{name}");
    assert_eq!(bench.ask("PATCH", &path, json!({ "plan": "heroku-redis:premium-0" })).await.body["plan"]["name"], "heroku-redis:premium-0");
    let gone = bench.ask("DELETE", &path, Value::Null).await;
    assert_eq!((gone.status, &gone.body["state"]), (200, &"deprovisioned".into()));
    assert_eq!((vars().await, cache().await), (Value::Null, Value::Null));
    let attachments = bench.get("/apps/billing/addon-attachments").await;
    assert!(attachments.list().iter().all(|attachment| attachment["name"] != "CACHE"));
    assert_eq!(bench.ask("POST", "/apps/shop/addons", json!({ "plan": "nothing:free" })).await.status, 404);
}

#[tokio::test]
async fn an_app_takes_everything_with_it() {
    let bench = Bench::new();
    let id = bench.get("/apps/shop").await.body["id"].as_str().unwrap().to_owned();
    let releases = bench.get("/apps/shop/releases").await;
    assert_eq!(bench.ask("DELETE", "/apps/shop", Value::Null).await.status, 200);
    let (_, changes) = bench.news();
    for resource in ["release", "dyno", "formation", "add-on", "add-on-attachment", "domain", "collaborator", "app", "pipeline-coupling"] {
        assert!(changes.contains(&format!("destroy {resource}")), "{resource}");
    }
    let world = bench.world.lock().unwrap();
    assert!(world.objects().belongings(&id).is_empty());
    assert!(releases.list().iter().all(|release| world.release_config_vars(release["id"].as_str().unwrap()).is_empty()));
    let mut alive: BTreeMap<(&str, Box<str>), i64> = BTreeMap::new();
    for entry in world.objects().journal() {
        let step = match entry.action {
            Action::Create => 1,
            Action::Update => 0,
            Action::Destroy => -1,
        };
        *alive.entry((entry.resource, entry.id.clone())).or_default() += step;
    }
    for ((resource, id), count) in alive {
        assert_eq!(count, i64::from(world.objects().get(resource, &id).is_some()), "{resource} {id}");
    }
}

#[tokio::test]
async fn an_app_that_goes_takes_its_addons_from_others() {
    let bench = Bench::new();
    let email = bench.owner.email.clone();
    let addon = bench.ask("POST", "/apps/shop/addons", json!({ "plan": "heroku-redis" })).await;
    let name = addon.body["name"].as_str().unwrap().to_owned();
    assert_eq!(bench.ask("POST", "/addon-attachments", json!({ "addon": name, "app": "billing", "name": "CACHE" })).await.status, 201);
    bench.news();
    assert_eq!(bench.ask("DELETE", "/apps/shop", Value::Null).await.status, 200);
    let (lines, changes) = bench.news();
    assert!(lines.contains(&format!("api: Detach CACHE (@ref:{name}) by user {email}")), "{lines:?}");
    assert!(changes.contains(&"create release".to_owned()));
    let vars = bench.get("/apps/billing/config-vars").await.body;
    assert!(vars["CACHE_URL"].is_null() && vars["DATABASE_URL"].is_string(), "{vars}");
    let attachments = bench.get("/apps/billing/addon-attachments").await;
    assert_eq!(attachments.list().iter().map(|attachment| attachment["name"].as_str().unwrap()).collect::<Vec<_>>(), ["DATABASE"]);
}

#[tokio::test]
async fn a_pipeline_takes_everything_with_it() {
    let bench = Bench::new();
    let id = bench.get("/pipelines/storefront").await.body["id"].as_str().unwrap().to_owned();
    let below: Vec<_> = bench.world.lock().unwrap().objects().belongings(&id);
    assert!(below.len() > 4, "{below:?}");
    assert_eq!(bench.ask("DELETE", "/pipelines/storefront", Value::Null).await.status, 200);
    assert_eq!(bench.get("/apps/shop/pipeline-couplings").await.status, 404);
    let other = bench.get("/pipelines/back-office").await.body["id"].as_str().unwrap().to_owned();
    let world = bench.world.lock().unwrap();
    assert!(world.objects().belongings(&id).is_empty());
    for (resource, id) in below {
        assert!(world.objects().get(resource, &id).is_none() && world.objects().belongings(&id).is_empty(), "{resource}");
    }
    // What is another pipeline's stays.
    assert!(!world.objects().belongings(&other).is_empty());
    assert!(
        world
            .objects()
            .all("pipeline-promotion-target")
            .all(|target| { world.objects().get("pipeline-promotion", target["pipeline_promotion"]["id"].as_str().unwrap()).is_some() })
    );
}
