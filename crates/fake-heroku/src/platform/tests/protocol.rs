//! Tokens, versions, ranges, tags, limits, errors and faults.

use super::*;

/// Method, path, headers; status and id of the error.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

#[tokio::test]
async fn refusals_have_heroku_s_words() {
    let bench = Bench::with(|options| options.token = Some("secret".to_owned()));
    let none = Value::Null;
    let cases: [Case; 17] = [
        ("GET", "/apps", &[("authorization", "")], 401, "unauthorized"),
        ("GET", "/apps", &[("authorization", "Bearer other")], 401, "unauthorized"),
        ("GET", "/apps", &[("authorization", "Basic c2VjcmV0")], 401, "unauthorized"),
        ("GET", "/apps", &[("accept", "*/*")], 406, "not_acceptable"),
        ("GET", "/apps", &[("accept", "application/vnd.heroku+json")], 406, "not_acceptable"),
        ("GET", "/apps", &[("accept", "application/vnd.heroku+json; version=2")], 406, "not_acceptable"),
        ("GET", "/apps/none", &[], 404, "not_found"),
        ("GET", "/apps/shop/releases/999", &[], 404, "not_found"),
        ("GET", "/apps/shop/dynos/web", &[], 404, "not_found"),
        ("GET", "/teams/enterprise", &[], 404, "not_found"),
        ("GET", "/nothing", &[], 404, "not_found"),
        ("PATCH", "/apps", &[], 404, "not_found"),
        ("GET", "/apps", &[("range", "bytes=0-99")], 416, "requested_range_not_satisfiable"),
        ("GET", "/apps", &[("range", "color ..")], 416, "requested_range_not_satisfiable"),
        ("GET", "/apps", &[("range", "id ..; max=0")], 416, "requested_range_not_satisfiable"),
        ("GET", "/apps/shop/releases", &[("range", "version ]x..")], 416, "requested_range_not_satisfiable"),
        ("POST", "/apps/shop/dynos", &[], 422, "invalid_params"),
    ];
    for (method, path, headers, status, id) in cases {
        let reply = bench.ask_with(method, path, &none, headers).await;
        assert_eq!((reply.status, &reply.body["id"]), (status, &id.into()), "{method} {path} {headers:?}");
        assert!(reply.body["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert_eq!(reply.header("content-type"), "application/json");
    }
    for accept in ["3", "3.sdk", "3.webhooks", "3.dogwood"] {
        let accept = format!("application/json, application/vnd.heroku+json; version={accept}");
        assert_eq!(bench.ask_with("GET", "/apps", &none, &[("accept", &accept)]).await.status, 200, "{accept}");
    }
    let garbage = hyper::Request::builder().method("POST").uri("/apps").header("authorization", "Bearer secret");
    let garbage = garbage.header("accept", "application/vnd.heroku+json; version=3").body(Bytes::from_static(b"[1,")).unwrap();
    assert_eq!(bench.api.answer(garbage).await.status(), 400);
}

#[tokio::test]
async fn requests_are_known_by_their_chain() {
    let bench = Bench::new();
    let reply = bench.ask_with("GET", "/apps", &Value::Null, &[("request-id", "newer, older")]).await;
    let ids: Vec<_> = reply.header("request-id").split(',').collect();
    assert_eq!(ids.len(), 3);
    assert!(uuid::Uuid::parse_str(ids[0]).is_ok());
    assert_eq!(ids[1..], ["newer", "older"]);
    assert_ne!(bench.get("/apps").await.header("request-id"), bench.get("/apps").await.header("request-id"));
}

#[tokio::test]
async fn tags_save_the_body_until_something_changes() {
    let bench = Bench::new();
    let first = bench.get("/apps/shop").await;
    let tag = first.header("etag").to_owned();
    let again = bench.ask_with("GET", "/apps/shop", &Value::Null, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, &again.body), (304, &Value::Null));
    assert_eq!(again.header("etag"), tag);
    bench.ask("PATCH", "/apps/shop", serde_json::json!({ "maintenance": true })).await;
    let changed = bench.ask_with("GET", "/apps/shop", &Value::Null, &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, &changed.body["maintenance"]), (200, &true.into()));
}

#[tokio::test]
async fn the_rate_limit_counts_all_but_itself() {
    let bench = Bench::with(|options| options.rate_limit = 3);
    assert_eq!(bench.get("/account/rate-limits").await.body["remaining"], 3);
    for left in ["2", "1", "0"] {
        assert_eq!(bench.get("/account").await.header("ratelimit-remaining"), left);
    }
    let refused = bench.get("/account").await;
    assert_eq!((refused.status, &refused.body["id"]), (429, &"rate_limit".into()));
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert!(refused.header("retry-after").is_empty());
    let free = bench.get("/account/rate-limits").await;
    assert_eq!((free.status, &free.body["remaining"]), (200, &0.into()));
}

#[tokio::test]
async fn an_oauth_client_fetches_tokens() {
    let mut oauth = OAuthOptions::new("a+secret&", "refresh");
    for rotates in [false, true] {
        oauth.rotates = rotates;
        let bench = Bench::with(|options| options.oauth = Some(oauth.clone()));
        let fetch = async |form: &str| {
            let request = hyper::Request::post("/oauth/token").body(Bytes::from(form.to_owned())).unwrap();
            let response = bench.api.answer(request).await;
            let status = response.status().as_u16();
            let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
            (status, body)
        };
        let with_token = async |token: &Value| {
            let bearer = format!("Bearer {}", token.as_str().unwrap());
            bench.ask_with("GET", "/apps", &Value::Null, &[("authorization", &bearer)]).await
        };
        assert_eq!(bench.get("/apps").await.status, 401, "a token of one's own will not do");
        for (form, status, id) in [
            ("", 401, "unauthorized"),
            ("grant_type=refresh_token&refresh_token=refresh&client_secret=other", 401, "unauthorized"),
            ("grant_type=refresh_token&refresh_token=other&client_secret=a%2Bsecret%26", 401, "unauthorized"),
            ("grant_type=password&refresh_token=refresh&client_secret=a%2Bsecret%26", 400, "bad_request"),
        ] {
            let (found, body) = fetch(form).await;
            assert_eq!((found, &body["id"]), (status, &id.into()), "{form}");
        }
        let form = "grant_type=refresh_token&refresh_token=refresh&client_secret=a%2Bsecret%26";
        let (status, first) = fetch(form).await;
        assert_eq!((status, &first["token_type"], &first["expires_in"]), (200, &"Bearer".into(), &28_799.into()), "{first}");
        assert_eq!(first["refresh_token"] == "refresh", !rotates, "{first}");
        assert_eq!(with_token(&first["access_token"]).await.status, 200);
        let (again, second) = fetch(form).await;
        assert_eq!(again, if rotates { 401 } else { 200 }, "{second}");
    }
    oauth.access_within = Some(Duration::ZERO);
    let mut tokens = Tokens::new(OAuthOptions { rotates: false, ..oauth });
    let now = Instant::now();
    let form = Bytes::from_static(b"grant_type=refresh_token&refresh_token=refresh&client_secret=a%2Bsecret%26");
    let answer = tokens.answer(&form, &mut Chance::new(1), now).ok().unwrap();
    let given: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(!tokens.takes(given["access_token"].as_str().unwrap(), now), "{given}");
}

#[tokio::test]
async fn second_factor_maintenance_and_standing() {
    let bench = Bench::with(|options| options.two_factor = Some("123456".to_owned()));
    for (code, status) in [("", 403), ("000000", 403), ("123456", 200)] {
        let reply = bench.ask_with("GET", "/apps", &Value::Null, &[("heroku-two-factor-code", code)]).await;
        assert_eq!(reply.status, status, "{code}");
    }
    let bench = Bench::with(|options| options.maintenance = true);
    let reply = bench.get("/apps").await;
    assert_eq!((reply.status, &reply.body["id"]), (503, &"maintenance".into()));
    for (field, status, id) in [("suspended_at", 403, "suspended"), ("delinquent_at", 402, "delinquent")] {
        let bench = Bench::new();
        let fields = serde_json::json!({ field: "2026-11-22T10:00:00Z" });
        bench.world.lock().unwrap().update_plain(&bench.owner, "account", &bench.owner.id, fields.as_object().unwrap().clone()).unwrap();
        let reply = bench.get("/apps").await;
        assert_eq!((reply.status, &reply.body["id"]), (status, &id.into()));
    }
}

#[tokio::test]
async fn faults_strike_as_often_as_asked() {
    let bench = Bench::new();
    for (fault, status) in [(Fault::Api429, 429), (Fault::Api500, 500), (Fault::Api503, 503)] {
        bench.strike(fault, 2);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(bench.get("/apps").await.status);
        }
        assert_eq!(seen, [status, status, 200]);
    }
    let whole = bench.ask_raw("GET", "/apps", &Value::Null, &[]).await.2.unwrap();
    for fault in [Fault::ApiTruncated, Fault::ApiReset] {
        bench.strike(fault, 1);
        let (_, headers, body) = bench.ask_raw("GET", "/apps", &Value::Null, &[]).await;
        assert!(body.is_err());
        if fault == Fault::ApiTruncated {
            assert_eq!(headers["content-length"], whole.len().to_string());
        }
    }
    bench.strike(Fault::ApiUnknownField, 1);
    assert!(bench.get("/apps").await.list()[0]["field_of_tomorrow"].is_object());
    let before = bench.get("/apps").await;
    bench.strike(Fault::ApiOtherType, 1);
    let after = bench.get("/apps").await;
    let kind = |value: &Value| std::mem::discriminant(value);
    let names = before.list()[0].as_object().unwrap().keys();
    let other: Vec<_> = names.filter(|name| kind(&before.list()[0][*name]) != kind(&after.list()[0][*name])).collect();
    assert_eq!(other.len(), 1, "{other:?}");
    bench.strike(Fault::ApiNoId, 1);
    assert!(bench.get("/apps").await.list()[0].get("id").is_none());
}

#[tokio::test]
async fn an_object_vanishes_between_pages() {
    let bench = Bench::new();
    for number in 0..10 {
        let body = serde_json::json!({ "hostname": format!("www{number}.example.com"), "sni_endpoint": null });
        assert_eq!(bench.ask("POST", "/apps/shop/domains", body).await.status, 201);
    }
    bench.strike(Fault::ApiVanish, 1);
    let first = bench.ask_with("GET", "/apps/shop/domains", &Value::Null, &[("range", "id ..; max=5")]).await;
    assert_eq!((first.status, first.list().len()), (206, 5));
    let second = bench.ask_with("GET", "/apps/shop/domains", &Value::Null, &[("range", first.header("next-range"))]).await;
    let left = bench.get("/apps/shop/domains").await;
    let gone = first.list().iter().filter(|domain| !left.list().contains(domain)).count();
    assert_eq!((gone, left.list().len()), (1, 10));
    assert!(second.list().iter().all(|domain| left.list().contains(domain)));
    assert_eq!(bench.journal("domain", Action::Destroy), 1);
}

/// Reads a list to its end, as a client does; answers with the ids in order.
async fn read_all(bench: &Bench, path: &str, range: &str) -> Vec<String> {
    let (mut ids, mut range) = (Vec::new(), range.to_owned());
    loop {
        let reply = bench.ask_with("GET", path, &Value::Null, &[("range", &range)]).await;
        assert!(matches!(reply.status, 200 | 206), "{path} {range}: {}", reply.body);
        ids.extend(reply.list().iter().map(|object| object["id"].as_str().unwrap().to_owned()));
        assert_eq!(reply.status == 206, !reply.header("next-range").is_empty());
        if reply.status == 200 {
            return ids;
        }
        assert!(reply.header("content-range").starts_with(range.split(' ').next().unwrap()));
        range = reply.header("next-range").to_owned();
    }
}

#[tokio::test]
async fn every_object_is_on_one_page() {
    let bench = Bench::new();
    {
        let mut world = bench.world.lock().unwrap();
        for number in 0..57 {
            let wanted = serde_json::json!({ "name": format!("app-{number}"), "personal": true });
            world.create_app(&bench.owner, wanted.as_object().unwrap()).unwrap();
            if number % 5 == 0 {
                let later = world.now() + jiff::SignedDuration::from_secs(1);
                world.advance(later);
            }
        }
        let shop = world.objects().find("app", None, "shop").unwrap()["id"].as_str().unwrap().to_owned();
        for number in 0..40 {
            let vars = Map::from_iter([(format!("A{number}"), Value::from("1"))]);
            world.set_config(&bench.owner, &shop, &vars).unwrap();
        }
    }
    for (path, field) in [
        ("/apps", "id"),
        ("/apps", "name"),
        ("/apps", "updated_at"),
        ("/apps/shop/releases", "version"),
        ("/apps/shop/releases", "id"),
        ("/teams/harbor-goods/members", "email"),
        ("/teams/harbor-goods/apps", "name"),
    ] {
        let up = read_all(&bench, path, &format!("{field} ..")).await;
        let mut sorted = up.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), up.len(), "{path} {field}");
        let mut down = up.clone();
        down.reverse();
        for max in [1, 2, 3, 7, 20, 57, 1_000, 9_999] {
            let found = read_all(&bench, path, &format!("{field} ..; max={max}")).await;
            assert_eq!(found, up, "{path} {field} {max}");
            for range in [format!("{field} ..; order=desc,max={max}"), format!("{field} ..; max={max}, order=desc")] {
                let mut found = read_all(&bench, path, &range).await;
                if field == "updated_at" {
                    // Those of one second come in either order.
                    found.sort();
                    assert_eq!(found, sorted, "{path} {range}");
                } else {
                    assert_eq!(found, down, "{path} {range}");
                }
            }
        }
    }
}

#[tokio::test]
async fn ranges_have_ends() {
    let bench = Bench::new();
    let versions = async |range: &str| -> Vec<u64> {
        let reply = bench.ask_with("GET", "/apps/shop/releases", &Value::Null, &[("range", range)]).await;
        reply.list().iter().map(|release| release["version"].as_u64().unwrap()).collect()
    };
    for (range, expected) in [
        ("version 2..3", vec![2, 3]),
        ("version ]2..3", vec![3]),
        ("version 2..3[", vec![2]),
        ("version 2..", vec![2, 3, 4]),
        ("version ..; max=15, order=desc", vec![4, 3, 2, 1]),
        ("version 3..; order=desc", vec![3, 2, 1]),
        ("version ]3..; max=1,order=desc", vec![2]),
        ("version ..;order=desc;max=2;", vec![4, 3]),
    ] {
        assert_eq!(versions(range).await, expected, "{range}");
    }
    let reply = bench.ask_with("GET", "/apps/shop/releases", &Value::Null, &[("range", "version ..; max=2, order=desc")]).await;
    assert_eq!(reply.header("accept-ranges"), "id, version");
    assert_eq!(reply.header("content-range"), "version 4..3; order=desc,max=2");
    assert_eq!(reply.header("next-range"), "version ]3..; order=desc,max=2");
}

#[tokio::test]
async fn the_schema_is_open_and_whole() {
    let bench = Bench::new();
    let reply = bench.ask_with("GET", "/schema", &Value::Null, &[("authorization", ""), ("accept", "*/*")]).await;
    assert_eq!(reply.status, 200);
    let app = &reply.body["definitions"]["app"];
    assert_eq!(app["properties"]["archived_at"], serde_json::json!({ "type": ["string", "null"], "format": "date-time" }));
    assert_eq!(app["properties"]["owner"]["properties"]["email"]["format"], "email");
    assert_eq!(reply.body["definitions"]["dyno-size"]["properties"]["generation"]["properties"]["id"]["format"], "uuid");
    let links: usize =
        reply.body["definitions"].as_object().unwrap().values().map(|definition| definition["links"].as_array().unwrap().len()).sum();
    assert_eq!(links, crate::catalogue::ROUTES.len());
}
