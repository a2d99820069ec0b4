//! The client against the fake Heroku, fault by fault.

use std::collections::BTreeSet;
use std::time::Duration;

use freshet_sources::platform::{Range, Timer as _};
use serde_json::json;

use super::*;

/// Reads the list at `path` in pages of three.
async fn list(bench: &Bench, path: &str) -> Result<Vec<Page>, ApiError> {
    read(bench.api.pages(path, &Range::by("id").max(3))).await
}

/// The ids of all objects of `resource`, in the order of a list by id.
fn stored(fake: &FakeHeroku, resource: &str) -> Vec<String> {
    let ids: BTreeSet<String> = fake.world().objects().all(resource).map(|object| text(&object["id"])).collect();
    ids.into_iter().collect()
}

#[tokio::test]
async fn lists_are_what_heroku_has() {
    let fake = standing(7, |options| options.token = Some(TOKEN.to_owned())).await;
    let bench = Bench::plain(&fake.url());
    for (path, resource) in [("/apps", "app"), ("/addons", "add-on"), ("/stacks", "stack"), ("/regions", "region")] {
        let (pages, stored) = (list(&bench, path).await.unwrap(), stored(&fake, resource));
        assert_eq!(ids(&pages), stored, "{path}");
        assert_eq!(pages.len(), stored.len().div_ceil(3).max(1), "{path}");
        assert!(pages.iter().all(|page| page.attributes.iter().any(|attribute| attribute == "id")), "{path}");
    }
    let app = &fake.apps()[0].0;
    let path = format!("/apps/{app}/releases");
    let versions = |pages: &[Page]| -> Vec<u64> {
        pages.iter().flat_map(|page| &page.objects).map(|release| release["version"].as_u64().unwrap()).collect()
    };
    let down = read(bench.api.pages(&path, &Range::by("version").descending().max(2))).await.unwrap();
    let all = versions(&down);
    assert!(all.len() > 2 && all.is_sorted_by(|left, right| left > right), "{all:?}");
    let newest = read(bench.api.pages(&path, &Range::by("version").after(&all[1].to_string()))).await.unwrap();
    assert_eq!(versions(&newest), all[..1]);
    let some = read(bench.api.pages(&path, &Range::by("version").from(&all[2].to_string()).until(&all[1].to_string()))).await.unwrap();
    assert_eq!(versions(&some), [all[2], all[1]]);
    // By something that this list cannot be read by: it comes whole.
    let whole = read(bench.api.pages(&path, &Range::by("updated_at").after("2020-01-01T00:00:00Z"))).await.unwrap();
    assert!(whole[0].is_range_refused && versions(&whole).len() == all.len());
    assert_eq!(bench.api.object(&format!("/apps/{app}")).await.unwrap()["id"], app.as_str());
    assert_eq!(bench.api.requests_left().await.unwrap().unwrap() / 1_000, 999);
    assert_eq!(bench.timer.waits(), [Duration::ZERO; 0]);
}

#[tokio::test]
async fn faults_that_end_are_lived_through() {
    let fake = standing(7, |_| ()).await;
    let apps = stored(&fake, "app");
    for fault in [Fault::Api429, Fault::Api500, Fault::Api503, Fault::ApiTruncated, Fault::ApiReset] {
        let bench = Bench::plain(&fake.url());
        strike(&fake, &[(fault, 4)]);
        assert_eq!(ids(&list(&bench, "/apps").await.unwrap()), apps, "{fault}");
        let counts = bench.api.counts();
        assert_eq!((counts.requests, counts.retries, counts.errors), (3 + 4, 4, 0), "{fault}");
        assert_eq!(counts.rate_limited, if fault == Fault::Api429 { 4 } else { 0 });
        assert_eq!(bench.timer.waits().len(), 4, "{fault}");
        assert_eq!(counts.waited > Duration::ZERO, fault == Fault::Api429, "{fault}");
    }
    // And those that do not end, not.
    let bench = Bench::plain(&fake.url());
    strike(&fake, &[(Fault::Api500, u64::MAX)]);
    let error = list(&bench, "/apps").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)) && error.is_temporary(), "{error:?}");
    assert_eq!(bench.api.counts().requests, u64::from(ApiLimits::default().tries_max));
}

#[tokio::test]
async fn objects_are_made_changed_and_removed() {
    let fake = standing(7, |_| ()).await;
    let bench = Bench::plain(&fake.url());
    let made = bench.api.create("/apps", &json!({ "name": "newcomer" })).await.unwrap();
    assert_eq!(made["name"], "newcomer");
    let changed = bench.api.update("/apps/newcomer", &json!({ "maintenance": true })).await.unwrap();
    assert_eq!((&changed["id"], &changed["maintenance"]), (&made["id"], &json!(true)));
    // What is done twice with the same end is asked again; what would be there twice is not.
    strike(&fake, &[(Fault::Api500, 1)]);
    bench.api.update("/apps/newcomer", &json!({ "maintenance": false })).await.unwrap();
    strike(&fake, &[(Fault::Api500, 1)]);
    let error = bench.api.create("/apps", &json!({ "name": "another" })).await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)), "{error:?}");
    strike(&fake, &[(Fault::Api429, 1), (Fault::Api503, 1)]);
    bench.api.create("/apps", &json!({ "name": "another" })).await.unwrap();
    bench.api.delete("/apps/another").await.unwrap();
    assert!(matches!(bench.api.delete("/apps/another").await, Err(ApiError::NotFound(_))));
    let error = bench.api.create("/apps", &json!({ "name": "newcomer" })).await.unwrap_err();
    assert!(matches!(&error, ApiError::Refused(refusal) if refusal.status == 422), "{error:?}");
}

#[tokio::test]
async fn drift_is_passed_on() {
    let fake = standing(7, |_| ()).await;
    let bench = Bench::plain(&fake.url());
    strike(&fake, &[(Fault::ApiUnknownField, 1), (Fault::ApiOtherType, 1)]);
    let pages = list(&bench, "/apps").await.unwrap();
    assert_eq!(pages[0].objects[0]["field_of_tomorrow"], json!({ "since": "3.tomorrow", "values": [1, 2.5, null] }));
    assert_eq!(ids(&pages), stored(&fake, "app"));
    assert_eq!(bench.api.counts().retries, 0);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    async fn check(adjust: impl FnOnce(&mut FakeOptions), path: &str, expected: fn(&ApiError) -> bool) {
        let fake = standing(1, adjust).await;
        let error = list(&Bench::plain(&fake.url()), path).await.unwrap_err();
        assert!(expected(&error), "{error:?}");
        check_words(&error, path);
    }
    check(|options| options.token = Some("other".to_owned()), "/apps", |error| matches!(error, ApiError::Unauthorized(_))).await;
    check(|options| options.two_factor = Some("123456".to_owned()), "/apps", |error| matches!(error, ApiError::TwoFactor(_))).await;
    check(|options| options.maintenance = true, "/apps", |error| matches!(error, ApiError::Maintenance(_))).await;
    check(|_| (), "/apps/gone/releases", |error| matches!(error, ApiError::NotFound(_))).await;
    check(|_| (), "/teams/gone/members", |error| matches!(error, ApiError::NotFound(_))).await;
}

#[tokio::test]
async fn a_parent_that_vanishes_between_pages_is_not_there() {
    let fake = standing(1, |_| ()).await;
    let bench = Bench::plain(&fake.url());
    let app = fake.apps()[0].0.clone();
    let mut pages = bench.api.pages(&format!("/apps/{app}/releases"), &Range::by("version").max(1));
    assert!(matches!(pages.next().await, Ok(Some(Part::Page(page))) if !page.is_last()));
    let owner = fake.world().people()[0].clone();
    fake.world().destroy_app(&owner, &app).unwrap();
    assert!(matches!(pages.next().await, Err(ApiError::NotFound(refusal)) if refusal.status == 404));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let fake = standing(7, |_| ()).await;
    let bench = Bench::plain(&fake.url());
    let whole = Range::by("id");
    let tag = read(bench.api.pages("/apps", &whole)).await.unwrap()[0].etag.clone().unwrap();
    let received = bench.api.counts().bytes;
    let asked = || bench.api.pages("/apps", &whole).unless(Some(&tag));
    assert_eq!(asked().next().await, Ok(Some(Part::NotModified)));
    assert_eq!((bench.api.counts().not_modified, bench.api.counts().bytes), (1, received));
    // A fault in between does not change that.
    strike(&fake, &[(Fault::Api500, 2)]);
    assert_eq!(asked().next().await, Ok(Some(Part::NotModified)));
    let owner = fake.world().people()[0].clone();
    let app = fake.apps()[3].0.clone();
    fake.world().update_app(&owner, &app, json!({ "maintenance": true }).as_object().unwrap()).unwrap();
    let changed = read(asked()).await.unwrap();
    assert!(changed[0].objects.len() == 7 && changed[0].etag.as_ref().is_some_and(|other| *other != tag));
}

#[tokio::test]
async fn a_small_account_is_not_run_dry() {
    // Its bucket fills on our own time, which does not pass here: so what was there is all that there is.
    let small = |left| standing(7, move |options| options.rate_limit = left);
    let fake = small(10).await;
    let bench = Bench::new(&fake.url(), |options| {
        options.limits.requests_per_hour = 10;
        options.limits.reserve_percent = 30;
        options.limits.patience = Duration::from_secs(60);
    });
    list(&bench, "/apps").await.unwrap();
    list(&bench, "/apps").await.unwrap();
    assert!(bench.api.object("/account").await.unwrap().is_object());
    let error = bench.api.object("/account").await.unwrap_err();
    assert!(matches!(error, ApiError::RateLimited { refusal: None, .. }), "{error:?}");
    assert_eq!((bench.api.counts().requests, bench.api.counts().rate_limited, bench.timer.now()), (7, 0, Duration::ZERO));
    assert_eq!(bench.api.requests_left().await, Ok(Some(3)));

    // Whoever takes it for a large one is told otherwise, waits, and gives up in the end.
    let fake = small(2).await;
    let bench = Bench::new(&fake.url(), |options| options.limits.patience = Duration::from_secs(60));
    let error = list(&bench, "/apps").await.unwrap_err();
    assert!(matches!(&error, ApiError::RateLimited { refusal: Some(_), .. }), "{error:?}");
    check_words(&error, "429 rate_limit");
    assert!(bench.timer.now() <= Duration::from_secs(60) && bench.api.counts().rate_limited > 2, "{:?}", bench.api.counts());
}
