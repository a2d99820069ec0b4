//! The control endpoint: what a test, or a person, may ask of a Heroku that is not real.
//!
//! ```text
//! GET  /_control/status             story time, lines told, API requests, the counts of drains, webhooks and telemetry drains, faults that struck
//! POST /_control/pause, /go-on      stops the story and lets it go on; the front doors stay open
//! POST /_control/settle?seconds=N   waits until no drain has anything waiting
//! GET  /_control/faults             the faults in force; PUT sets them: {"drain-reset": {"probability": 0.1, "times": 5}}
//! GET  /_control/objects/RESOURCE   every object there is, without pages or limits
//! POST /_control/hide/RESOURCE/ID   keeps an object from everybody; /show/RESOURCE/ID brings it back as it was
//! POST /_control/spend?requests=N   makes the rate limit smaller by N requests, as if others had made them
//! GET  /_control/journal            everything that ever happened to objects; ?resource=NAME for one kind of them
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fake::{Shared, lock};
use crate::faults::{Fault, Strike};
use crate::http::{Body, Request, json as json_answer};
use crate::platform::Api;

/// How long `settle` waits when it is not told.
const SETTLE_SECONDS: u64 = 30;

pub(crate) async fn answer(request: &Request, shared: &Shared, api: &Api) -> Response<Body> {
    let path = request.uri().path().trim_start_matches("/_control/").to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "status") => json_answer(StatusCode::OK, &status(shared, api)),
        (&Method::POST, "pause") => {
            lock(&shared.clock).pause();
            json_answer(StatusCode::OK, &status(shared, api))
        }
        (&Method::POST, "go-on") => {
            lock(&shared.clock).go_on();
            json_answer(StatusCode::OK, &status(shared, api))
        }
        (&Method::POST, "settle") => {
            let seconds = asked(request, "seconds=").and_then(|seconds| seconds.parse().ok()).unwrap_or(SETTLE_SECONDS);
            let settled = shared.settled(Duration::from_secs(seconds)).await;
            json_answer(if settled { StatusCode::OK } else { StatusCode::GATEWAY_TIMEOUT }, &status(shared, api))
        }
        (&Method::GET, "faults") => json_answer(StatusCode::OK, &json!(shared.faults.get())),
        (&Method::PUT, "faults") => match serde_json::from_slice::<BTreeMap<Fault, Strike>>(request.body()) {
            Ok(strikes) => {
                shared.faults.set(strikes);
                json_answer(StatusCode::OK, &json!(shared.faults.get()))
            }
            Err(error) => json_answer(StatusCode::BAD_REQUEST, &json!({ "id": "bad_request", "message": error.to_string() })),
        },
        (&Method::GET, "journal") => json_answer(StatusCode::OK, &journal(shared, asked(request, "resource="))),
        (&Method::POST, "spend") => {
            api.spend(asked(request, "requests=").and_then(|count| count.parse().ok()).unwrap_or(u32::MAX));
            json_answer(StatusCode::OK, &status(shared, api))
        }
        (&Method::GET, path) if path.starts_with("objects/") => {
            let world = lock(&shared.world);
            let objects: Vec<&Value> = world.objects().all(path.trim_start_matches("objects/")).collect();
            json_answer(StatusCode::OK, &json!(objects))
        }
        (&Method::POST, path) if hide_or_show(path, shared) => json_answer(StatusCode::OK, &status(shared, api)),
        _ => json_answer(StatusCode::NOT_FOUND, &json!({ "id": "not_found", "message": "see the control module for what can be asked" })),
    }
}

/// The value of the one parameter, which begins with `name`.
fn asked<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.uri().query()?.strip_prefix(name)
}

/// Does what `hide/RESOURCE/ID` or `show/RESOURCE/ID` asks for, if there is such a thing.
fn hide_or_show(path: &str, shared: &Shared) -> bool {
    let mut parts = path.splitn(3, '/');
    let (verb, Some(resource), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let mut world = lock(&shared.world);
    match verb {
        Some("hide") => world.hide(resource, id),
        Some("show") => world.show(resource, id),
        _ => false,
    }
}

fn status(shared: &Shared, api: &Api) -> Value {
    let clock = *lock(&shared.clock);
    json!({
        "story_time": clock.now().to_string(),
        "is_running": clock.is_running(),
        "lines": shared.lines.load(Relaxed),
        "api_requests": api.requests(),
        "changes": lock(&shared.world).objects().journal().len(),
        "drains": shared.logplex.counts(),
        "webhooks": shared.webhooks.counts(),
        "telemetry": shared.telemetry.counts(),
        "faults_struck": shared.faults.struck(),
    })
}

fn journal(shared: &Shared, resource: Option<&str>) -> Value {
    let world = lock(&shared.world);
    let entries =
        world.objects().journal().iter().enumerate().filter(|(_, change)| resource.is_none_or(|resource| change.resource == resource));
    json!(
        entries
            .map(|(number, change)| json!({
                "number": number, "at": change.at.to_string(), "resource": change.resource, "id": change.id, "app": change.app,
                "action": change.action.as_str(), "actor": change.actor.email, "fields": change.fields(),
            }))
            .collect::<Vec<_>>()
    )
}
