//! `freshet webhooks list`: what there is, and how deliveries go.

use std::collections::BTreeMap;

use freshet_sources::platform::{Api, ApiError};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use url::Url;

use super::{APPS_AT_ONCE, exit_of, list as objects_of, subscriptions};
use crate::exit::Exit;
use crate::output::{Paint, Printer, grouped, left, right};

/// How the deliveries of one subscription went that Heroku still knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Health {
    succeeded: u64,
    failed: u64,
    /// Pending, scheduled or to be tried again.
    waiting: u64,
    /// What the last one that failed was answered with: an HTTP status, or what went wrong.
    last_failure: Option<(String, String)>,
}

/// What is known of one app.
struct Found {
    app: String,
    webhooks: Vec<Value>,
    /// By the subscription's id; nothing where Heroku does not tell.
    health: BTreeMap<String, Health>,
    problem: Option<String>,
}

/// Prints the subscriptions of `apps`.
pub(super) async fn list(printer: Printer, api: &Api, apps: Vec<String>) -> anyhow::Result<Exit> {
    let asked: Vec<_> = apps.into_iter().map(|app| find(api, app)).collect();
    let found: Vec<Found> = stream::iter(asked).buffered(APPS_AT_ONCE).collect().await;
    let failed = found.iter().filter(|found| found.problem.is_some()).count();
    if printer.is_text() {
        let columns = [
            left("app"),
            left("webhook"),
            left("level"),
            left("include"),
            left("url"),
            right("delivered"),
            right("waiting"),
            right("failed"),
            left("last failure"),
        ];
        printer.table(&columns, found.iter().flat_map(|found| rows(printer, found)))?;
    } else {
        let all: Vec<Value> = found.iter().flat_map(documents).collect();
        printer.json(&json!({ "webhooks": all }))?;
    }
    for found in &found {
        if let Some(problem) = &found.problem {
            printer.note(&format!("{}: {problem}", found.app));
        }
    }
    Ok(exit_of(failed, found.len()))
}

async fn find(api: &Api, app: String) -> Found {
    let webhooks = match subscriptions(api, &app).await {
        Ok(webhooks) => webhooks,
        Err(error) => return Found { app, webhooks: Vec::new(), health: BTreeMap::new(), problem: Some(error.to_string()) },
    };
    if webhooks.is_empty() {
        return Found { app, webhooks, health: BTreeMap::new(), problem: None };
    }
    match objects_of(api, &format!("/apps/{app}/webhook-deliveries")).await {
        Ok(deliveries) => Found { app, webhooks, health: health(&deliveries), problem: None },
        // Some tokens may not see them; the subscriptions are there all the same.
        Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => Found { app, webhooks, health: BTreeMap::new(), problem: None },
        Err(error) => Found { app, webhooks, health: BTreeMap::new(), problem: Some(error.to_string()) },
    }
}

fn health(deliveries: &[Value]) -> BTreeMap<String, Health> {
    let mut by_webhook: BTreeMap<String, Health> = BTreeMap::new();
    for delivery in deliveries {
        let Some(webhook) = delivery["webhook"]["id"].as_str() else { continue };
        let health = by_webhook.entry(webhook.to_owned()).or_default();
        match delivery["status"].as_str() {
            Some("succeeded") => health.succeeded += 1,
            Some("failed") => health.failed += 1,
            _ => health.waiting += 1,
        }
        let attempt = &delivery["last_attempt"];
        if attempt["status"] == "failed" {
            let answer = attempt["code"].as_u64().map(|code| code.to_string());
            let answer = answer.or_else(|| attempt["error_class"].as_str().map(str::to_owned)).unwrap_or_else(|| "no answer".to_owned());
            // RFC 3339 in one time zone sorts as text; where it does not, an older failure is shown.
            let this = (attempt["updated_at"].as_str().unwrap_or_default().to_owned(), answer);
            health.last_failure = health.last_failure.take().max(Some(this));
        }
    }
    by_webhook
}

fn rows(printer: Printer, found: &Found) -> Vec<Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |webhook: &Value| {
        let health = webhook["id"].as_str().and_then(|id| found.health.get(id)).cloned().unwrap_or_default();
        let include: Vec<&str> = webhook["include"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let failed = if health.failed == 0 { "·".to_owned() } else { printer.painted(Paint::Red, &grouped(health.failed)) };
        vec![
            found.app.clone(),
            text(&webhook["id"]),
            text(&webhook["level"]),
            include.join(","),
            shown(webhook["url"].as_str().unwrap_or_default()),
            grouped(health.succeeded),
            grouped(health.waiting),
            failed,
            health.last_failure.map(|(at, answer)| format!("{answer} at {at}")).unwrap_or_default(),
        ]
    };
    found.webhooks.iter().map(row).collect()
}

fn documents(found: &Found) -> Vec<Value> {
    let document = |webhook: &Value| {
        let health = webhook["id"].as_str().and_then(|id| found.health.get(id)).cloned().unwrap_or_default();
        let failure = health.last_failure.map(|(at, answer)| json!({ "at": at, "answer": answer }));
        json!({
            "app": found.app, "webhook": webhook["id"], "level": webhook["level"], "include": webhook["include"],
            "url": shown(webhook["url"].as_str().unwrap_or_default()), "delivered": health.succeeded, "waiting": health.waiting,
            "failed": health.failed, "last_failure": failure,
        })
    };
    found.webhooks.iter().map(document).collect()
}

/// An address without what may be secret in it: somebody else's webhook may carry its password there.
fn shown(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return "[not an address]".to_owned() };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && (url.set_username("redacted").is_err() || url.set_password(None).is_err()) {
        return "[redacted]".to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("redacted"));
    }
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_what_may_be_secret() {
        assert_eq!(shown("https://logs.example.com/webhooks/shop"), "https://logs.example.com/webhooks/shop");
        assert_eq!(shown("https://ann:hunter2@x.example/a?key=hunter2#hunter2"), "https://redacted@x.example/a?redacted");
        assert_eq!(shown("hunter2"), "[not an address]");
    }

    #[test]
    fn deliveries_are_counted_by_subscription() {
        let delivery = |webhook: &str, status: &str, attempt: Value| json!({ "webhook": { "id": webhook }, "status": status, "last_attempt": attempt });
        let failed =
            |at: &str, code: Value, class: Value| json!({ "status": "failed", "updated_at": at, "code": code, "error_class": class });
        let found = health(&[
            delivery("a", "succeeded", json!({ "status": "succeeded" })),
            delivery("a", "failed", failed("2026-11-20T10:00:05Z", json!(null), json!("Timeout"))),
            delivery("a", "retrying", failed("2026-11-20T10:00:01Z", json!(503), json!(null))),
            delivery("b", "pending", json!(null)),
            json!({ "status": "failed" }),
        ]);
        let last_failure = Some(("2026-11-20T10:00:05Z".to_owned(), "Timeout".to_owned()));
        assert_eq!(found["a"], Health { succeeded: 1, failed: 1, waiting: 1, last_failure });
        assert_eq!((found["b"].waiting, found.len()), (1, 2));
    }
}
