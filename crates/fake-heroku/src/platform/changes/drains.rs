//! What carries an app's news away: log drains, telemetry drains, webhooks.

use serde_json::{Map, Value, json};

use super::{Changed, Subject, created, done};
use crate::world::Refusal;

/// Static headers of a telemetry drain.
const HEADERS_MAX: usize = 20;

pub(super) fn change(subject: &mut Subject<'_>) -> Option<Changed> {
    let by = subject.by.clone();
    let last = subject.last();
    Some(match (subject.call.route.method, subject.call.route.path) {
        ("POST", "/apps/{app}/log-drains") => add_log_drain(subject),
        ("DELETE", "/apps/{app}/log-drains/{log-drain}") => subject.world.destroy_plain(&by, "log-drain", &last).map(done),
        ("PUT", "/spaces/{space}/log-drain") => set_space_drain(subject),
        ("POST", "/telemetry-drains") => add_telemetry_drain(subject),
        ("PATCH", "/telemetry-drains/{telemetry-drain}") => change_telemetry_drain(subject, &last),
        ("DELETE", "/telemetry-drains/{telemetry-drain}") => subject.world.destroy_plain(&by, "telemetry-drain", &last).map(done),
        ("POST", "/apps/{app}/webhooks") => add_webhook(subject),
        ("PATCH", "/apps/{app}/webhooks/{app-webhook}") => change_webhook(subject, &last),
        ("DELETE", "/apps/{app}/webhooks/{app-webhook}") => subject.world.destroy_plain(&by, "app-webhook", &last).map(done),
        _ => return None,
    })
}

fn add_log_drain(subject: &mut Subject<'_>) -> Changed {
    let (app, url) = (subject.id(0), subject.call.required("url")?);
    subject.world.add_log_drain(&subject.by, &app, url).map(created)
}

fn set_space_drain(subject: &mut Subject<'_>) -> Changed {
    let (space, url) = (subject.id(0), subject.call.required("url")?);
    let is_there = subject.world.objects().of("log-drain", &space).next().is_some();
    let drain = subject.world.set_space_drain(&subject.by, &space, url)?;
    Ok(if is_there { done(drain) } else { created(drain) })
}

fn add_telemetry_drain(subject: &mut Subject<'_>) -> Changed {
    let owner = subject.call.body.get("owner").unwrap_or(&Value::Null);
    let kind = match owner["type"].as_str() {
        Some("app") => "app",
        Some("space") => "space",
        _ => return Err(Refusal::invalid("Owner must be an app or a space.")),
    };
    let found = owner["id"].as_str().and_then(|id| subject.world.objects().find(kind, None, id)).ok_or_else(|| Refusal::not_found(kind))?;
    if found["generation"] != "fir" {
        return Err(Refusal::invalid("Telemetry drains are for Fir apps and spaces."));
    }
    let id = found["id"].clone();
    let (exporter, signals) = (checked_exporter(subject)?, checked_signals(subject)?);
    let parents = id.as_str().map(str::to_owned).into_iter().collect();
    let fields = json!({ "owner": { "id": id, "type": kind }, "exporter": exporter, "signals": signals });
    subject.create("telemetry-drain", parents, fields)
}

fn change_telemetry_drain(subject: &mut Subject<'_>, id: &str) -> Changed {
    let mut fields = Map::new();
    if subject.call.body.contains_key("exporter") {
        fields.insert("exporter".to_owned(), checked_exporter(subject)?);
    }
    if subject.call.body.contains_key("signals") {
        fields.insert("signals".to_owned(), checked_signals(subject)?);
    }
    subject.world.update_plain(&subject.by, "telemetry-drain", id, fields).map(done)
}

fn checked_exporter(subject: &Subject<'_>) -> Result<Value, Refusal> {
    let mut exporter = subject.call.body.get("exporter").cloned().unwrap_or_default();
    let is_good = matches!(exporter["type"].as_str(), Some("otlp" | "otlphttp")) && exporter["endpoint"].is_string();
    if !is_good {
        return Err(Refusal::invalid("Exporter must have an endpoint and the type otlp or otlphttp."));
    }
    if exporter["headers"].is_null() {
        exporter["headers"] = json!({});
    }
    match exporter["headers"].as_object() {
        Some(headers) if headers.len() <= HEADERS_MAX && headers.values().all(Value::is_string) => Ok(exporter),
        _ => Err(Refusal::invalid(format!("Headers must be text, {HEADERS_MAX} at most."))),
    }
}

fn checked_signals(subject: &Subject<'_>) -> Result<Value, Refusal> {
    let signals = subject.call.body.get("signals").and_then(Value::as_array).filter(|signals| !signals.is_empty());
    let is_signal = |signal: &Value| matches!(signal.as_str(), Some("traces" | "metrics" | "logs"));
    match signals {
        Some(signals) if signals.iter().all(is_signal) => Ok(json!(signals)),
        _ => Err(Refusal::invalid("Signals must be some of traces, metrics and logs.")),
    }
}

fn add_webhook(subject: &mut Subject<'_>) -> Changed {
    let (app, mut fields) = (subject.id(0), checked_webhook(subject)?);
    if let Some(missing) = ["url", "include", "level"].iter().find(|name| !fields.contains_key(**name)) {
        return Err(Refusal::invalid(format!("{missing} must be specified.")));
    }
    if !fields.contains_key("_secret") {
        fields.insert("_secret".to_owned(), json!(subject.world.chance.hex(64)));
    }
    subject.create("app-webhook", vec![app], Value::Object(fields))
}

fn change_webhook(subject: &mut Subject<'_>, id: &str) -> Changed {
    let fields = checked_webhook(subject)?;
    subject.world.update_plain(&subject.by, "app-webhook", id, fields).map(done)
}

/// What the body says of a webhook, under the names by which the world keeps it. A secret that is null is none.
fn checked_webhook(subject: &Subject<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut fields = Map::new();
    for (name, value) in &subject.call.body {
        let is_text = value.as_str().is_some_and(|text| !text.is_empty());
        let (kept_as, is_good, wanted) = match name.as_str() {
            "url" => ("url", is_text, "an address"),
            "include" => ("include", is_list_of_texts(value), "a list of entities such as api:release"),
            "level" => ("level", matches!(value.as_str(), Some("notify" | "sync")), "notify or sync"),
            "secret" if value.is_null() => continue,
            "secret" => ("_secret", is_text, "text"),
            "authorization" => ("_authorization", is_text || value.is_null(), "text or null"),
            _ => continue,
        };
        if !is_good {
            return Err(Refusal::invalid(format!("{name} must be {wanted}.")));
        }
        fields.insert(kept_as.to_owned(), value.clone());
    }
    Ok(fields)
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string))
}
