//! What carries an app's news away: log drains, telemetry drains, webhooks.

use serde_json::{Map, Value, json};
use url::Url;

use super::{Changed, Subject, done};
use crate::world::Refusal;

/// What a drain's address may begin with.
const DRAIN_SCHEMES: [&str; 4] = ["http", "https", "syslog", "syslog+tls"];

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

fn drain_url(subject: &Subject<'_>) -> Result<String, Refusal> {
    let url = subject.call.required("url")?;
    match Url::parse(url) {
        Ok(parsed) if DRAIN_SCHEMES.contains(&parsed.scheme()) && parsed.has_host() => Ok(url.to_owned()),
        _ => Err(Refusal::invalid("Url is invalid.")),
    }
}

fn add_log_drain(subject: &mut Subject<'_>) -> Changed {
    let (app, url) = (subject.id(0), drain_url(subject)?);
    if subject.world.objects().of("log-drain", &app).any(|drain| drain["url"] == url.as_str()) {
        return Err(Refusal::invalid("Url has already been taken."));
    }
    let token = format!("d.{}", subject.world.chance.uuid());
    subject.create("log-drain", vec![app], json!({ "url": url, "token": token, "addon": null }))
}

/// A private space has one log drain, for all its apps.
fn set_space_drain(subject: &mut Subject<'_>) -> Changed {
    let (space, url) = (subject.id(0), drain_url(subject)?);
    let present = subject.world.objects().of("log-drain", &space).next().and_then(|drain| drain["id"].as_str().map(str::to_owned));
    match present {
        Some(id) => {
            let fields = Map::from_iter([("url".to_owned(), json!(url))]);
            subject.world.update_plain(&subject.by, "log-drain", &id, fields).map(done)
        }
        None => {
            let token = format!("d.{}", subject.world.chance.uuid());
            subject.create("log-drain", vec![space], json!({ "url": url, "token": token }))
        }
    }
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
    let (app, call) = (subject.id(0), subject.call);
    let url = call.required("url")?.to_owned();
    let include = call.body.get("include").filter(|include| include.as_array().is_some_and(|include| !include.is_empty()));
    let include = include.cloned().ok_or_else(|| Refusal::invalid("Include must be specified."))?;
    let level = checked_level(call.required("level")?)?;
    let secret = call.optional("secret").map_or_else(|| subject.world.chance.hex(64), str::to_owned);
    let authorization = call.body.get("authorization").cloned().unwrap_or_default();
    let fields = json!({ "url": url, "include": include, "level": level, "_secret": secret, "_authorization": authorization });
    subject.create("app-webhook", vec![app], fields)
}

fn change_webhook(subject: &mut Subject<'_>, id: &str) -> Changed {
    if let Some(level) = subject.call.optional("level") {
        checked_level(level)?;
    }
    let mut fields = subject.given(&["include", "level", "url"]);
    for name in ["authorization", "secret"] {
        fields.extend(subject.call.body.get(name).map(|value| (format!("_{name}"), value.clone())));
    }
    subject.world.update_plain(&subject.by, "app-webhook", id, fields).map(done)
}

fn checked_level(level: &str) -> Result<&str, Refusal> {
    match level {
        "notify" | "sync" => Ok(level),
        _ => Err(Refusal::invalid("Level must be notify or sync.")),
    }
}
