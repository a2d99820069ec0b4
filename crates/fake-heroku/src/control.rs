//! The control endpoint: what a test, or a person, may ask of a Heroku that is not real.
//!
//! ```text
//! GET  /_control/status             story time, lines told, the counts of drains, webhooks and telemetry drains, faults that struck
//! POST /_control/pause, /go-on      stops the story and lets it go on; the front doors stay open
//! POST /_control/settle?seconds=N   waits until no drain has anything waiting
//! GET  /_control/faults             the faults in force; PUT sets them: {"drain-reset": {"probability": 0.1, "times": 5}}
//! GET  /_control/objects/RESOURCE   every object there is, without pages or limits
//! GET  /_control/journal            everything that ever happened to objects
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fake::{Shared, lock};
use crate::faults::{Fault, Strike};
use crate::http::{Body, Request, json as json_answer};

/// How long `settle` waits when it is not told.
const SETTLE_SECONDS: u64 = 30;

pub(crate) async fn answer(request: &Request, shared: &Shared) -> Response<Body> {
    let path = request.uri().path().trim_start_matches("/_control/").to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "status") => json_answer(StatusCode::OK, &status(shared)),
        (&Method::POST, "pause") => {
            lock(&shared.clock).pause();
            json_answer(StatusCode::OK, &status(shared))
        }
        (&Method::POST, "go-on") => {
            lock(&shared.clock).go_on();
            json_answer(StatusCode::OK, &status(shared))
        }
        (&Method::POST, "settle") => {
            let seconds = request.uri().query().and_then(|query| query.strip_prefix("seconds=")?.parse().ok()).unwrap_or(SETTLE_SECONDS);
            let settled = shared.settled(Duration::from_secs(seconds)).await;
            json_answer(if settled { StatusCode::OK } else { StatusCode::GATEWAY_TIMEOUT }, &status(shared))
        }
        (&Method::GET, "faults") => json_answer(StatusCode::OK, &json!(shared.faults.get())),
        (&Method::PUT, "faults") => match serde_json::from_slice::<BTreeMap<Fault, Strike>>(request.body()) {
            Ok(strikes) => {
                shared.faults.set(strikes);
                json_answer(StatusCode::OK, &json!(shared.faults.get()))
            }
            Err(error) => json_answer(StatusCode::BAD_REQUEST, &json!({ "id": "bad_request", "message": error.to_string() })),
        },
        (&Method::GET, "journal") => json_answer(StatusCode::OK, &journal(shared)),
        (&Method::GET, path) if path.starts_with("objects/") => {
            let world = lock(&shared.world);
            let objects: Vec<&Value> = world.objects().all(path.trim_start_matches("objects/")).collect();
            json_answer(StatusCode::OK, &json!(objects))
        }
        _ => json_answer(StatusCode::NOT_FOUND, &json!({ "id": "not_found", "message": "see the control module for what can be asked" })),
    }
}

fn status(shared: &Shared) -> Value {
    let clock = *lock(&shared.clock);
    json!({
        "story_time": clock.now().to_string(),
        "is_running": clock.is_running(),
        "lines": shared.lines.load(Relaxed),
        "drains": shared.logplex.counts(),
        "webhooks": shared.webhooks.counts(),
        "telemetry": shared.telemetry.counts(),
        "faults_struck": shared.faults.struck(),
    })
}

fn journal(shared: &Shared) -> Value {
    let world = lock(&shared.world);
    let entries = world.objects().journal().iter();
    json!(
        entries
            .map(|change| json!({
                "at": change.at.to_string(), "resource": change.resource, "id": change.id, "app": change.app,
                "action": change.action.as_str(), "actor": change.actor.email, "fields": change.fields(),
            }))
            .collect::<Vec<_>>()
    )
}
