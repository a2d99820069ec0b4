//! What is counted, not stored: usage by day and month, and the audit trail.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::AUTHORIZATION;
use jiff::civil::Date;
use jiff::{Span, Timestamp, Zoned, tz::TimeZone};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::answer::Answer;
use super::lists::{Listed, last, resolve};
use super::route::Call;
use crate::catalogue::api_time;
use crate::http::Request;
use crate::world::{Chance, Entry, Refusal, World};

/// Where the archives of the audit trail lie.
pub(super) const ARCHIVES_PATH: &str = "/audit-trail-archives/";

/// What an archive's address ends with, before the signature.
const SIGNED: &str = "X-Amz-Signature=";

/// The most days or months of one answer.
const SPANS_MAX: usize = 400;

/// The computed list of `call`, if it is one.
pub(super) fn list<'a>(world: &'a World, call: &Call<'_>) -> Result<Option<Listed<'a>>, Refusal> {
    let rows = match call.route.path {
        "/teams/{team}/usage/daily" | "/enterprise-accounts/{enterprise-account}/usage/daily" => spans(world, call, true)?,
        "/teams/{team}/usage/monthly" | "/enterprise-accounts/{enterprise-account}/usage/monthly" => spans(world, call, false)?,
        "/apps/{app}/usage" | "/teams/{team}/usage" | "/teams/{team}/apps/{team-app}/usage" => addon_usage(world, call)?,
        "/resource/{resource}/usage-history" => usage_history(world, call)?,
        "/enterprise-accounts/{enterprise-account}/events" => events(world, call)?,
        "/enterprise-accounts/{enterprise-account}/archives" => archives(world, call)?,
        "/addon-attachments/{add-on-attachment}/telemetry-ingress-info" => resolve(world, call).map(|_| Vec::new())?,
        _ => return Ok(None),
    };
    Ok(Some(rows.into_iter().map(Cow::Owned).collect()))
}

/// One row for each day or month from `start` to `end`, both included.
fn spans(world: &World, call: &Call<'_>, is_daily: bool) -> Result<Vec<Value>, Refusal> {
    let (kind, owner) = last(world, call)?;
    let owner = world.objects().get(kind, &owner).unwrap_or(&Value::Null);
    let today = zoned(world.now()).date();
    let start = date_of(call.query.get("start").ok_or_else(|| Refusal::invalid("start must be specified."))?)?;
    let end = call.query.get("end").map_or(Ok(today), |end| date_of(end))?.min(today);
    let start = if is_daily { start } else { start.first_of_month() };
    let step = if is_daily { Span::new().days(1) } else { Span::new().months(1) };
    let days = start.series(step).take_while(|day| *day <= end).take(SPANS_MAX);
    Ok(days.map(|day| span_row(world, owner, kind, day, is_daily)).collect())
}

fn span_row(world: &World, owner: &Value, kind: &str, day: Date, is_daily: bool) -> Value {
    let objects = world.objects();
    let id = owner["id"].as_str().unwrap_or_default();
    let mut row = match kind {
        "team" => {
            let mut row = team_row(world, id, day, is_daily);
            row["name"] = owner["name"].clone();
            row
        }
        _ => {
            let teams: Vec<_> = objects
                .of("team", id)
                .map(|team| {
                    let mut row = team_row(world, team["id"].as_str().unwrap_or_default(), day, is_daily);
                    row["name"] = team["name"].clone();
                    row
                })
                .collect();
            let sum = |field: &str| teams.iter().filter_map(|team| team[field].as_f64()).sum::<f64>();
            json!({
                "id": id, "name": owner["name"], "addons": sum("addons"), "data": sum("data"), "dynos": sum("dynos"),
                "partner": 0.0, "space": sum("space"), "teams": teams,
            })
        }
    };
    if is_daily {
        row["date"] = json!(day.to_string());
    } else {
        row["month"] = json!(day.strftime("%Y-%m").to_string());
        row["connect"] = json!(0.0);
    }
    row
}

/// What a team's apps used in a day or month. The running one grows: values are restated until it is over.
fn team_row(world: &World, team: &str, day: Date, is_daily: bool) -> Value {
    let now = zoned(world.now());
    let days = if is_daily { 1.0 } else { f64::from(day.days_in_month()) };
    let is_running = if is_daily { now.date() == day } else { now.date().first_of_month() == day.first_of_month() };
    let passed_days = f64::from(now.hour()) / 24.0 + if is_daily { 0.0 } else { f64::from(now.day()) - 1.0 };
    let days = if is_running { passed_days } else { days };
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let end = format!("{}T99", if is_daily { day } else { day.last_of_month() });
    let apps = world.objects().of("app", team).filter(|app| app["created_at"].as_str().is_some_and(|made| made <= end.as_str()));
    let apps: Vec<_> = apps
        .map(|app| {
            let id = app["id"].as_str().unwrap_or_default();
            let dynos = world.objects().of("formation", id).filter_map(|formation| formation["quantity"].as_f64()).sum::<f64>();
            let price = |is_data: bool| {
                let addons = world.objects().of("add-on", id).filter(|addon| is_data_service(&addon["addon_service"]["name"]) == is_data);
                addons.filter_map(|addon| addon["billed_price"]["cents"].as_f64()).sum::<f64>() / 100.0 / 30.0
            };
            // No day is like another, and each is the same whenever it is asked for.
            let share = 0.9 + 0.1 * Chance::new(0).of(id).of(&day.to_string()).fraction();
            json!({
                "app_name": app["name"], "dynos": rounded(dynos * days * share / 30.0), "addons": rounded(price(false) * days),
                "data": rounded(price(true) * days), "partner": 0.0,
            })
        })
        .collect();
    let sum = |field: &str| rounded(apps.iter().filter_map(|app| app[field].as_f64()).sum());
    let spaces = world.objects().of("space", team).count() as f64;
    json!({
        "id": team, "addons": sum("addons"), "data": sum("data"), "dynos": sum("dynos"), "partner": 0.0,
        "space": rounded(spaces * days / 30.0), "apps": apps,
    })
}

fn is_data_service(name: &Value) -> bool {
    matches!(name.as_str(), Some("heroku-postgresql" | "heroku-redis" | "heroku-kafka"))
}

/// What the add-ons of an app, or of each app of a team, have used this month.
fn addon_usage(world: &World, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
    let (kind, id) = last(world, call)?;
    let objects = world.objects();
    let apps = if kind == "app" { vec![id] } else { ids(objects.of("app", &id)) };
    let hours = f64::from(zoned(world.now()).day()) * 24.0;
    let of_app = |app: &String| {
        let addons =
            objects.of("add-on", app).map(|addon| json!({ "id": addon["id"], "meters": { "instance-hours": { "quantity": hours } } }));
        json!({ "addons": addons.collect::<Vec<_>>() })
    };
    Ok(apps.iter().map(of_app).collect())
}

fn ids<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<String> {
    objects.filter_map(|object| object["id"].as_str().map(str::to_owned)).collect()
}

/// The daily use of one add-on, three days back unless `duration` (`P3D` …) says otherwise.
fn usage_history(world: &World, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
    let (_, id) = last(world, call)?;
    world.objects().get("add-on", &id).ok_or_else(|| Refusal::not_found("resource"))?;
    let duration = call.query.get("duration").map_or(Ok(Span::new().days(3)), |text| text.parse::<Span>());
    let duration = duration.map_err(|_| Refusal::invalid("duration must look like P3D."))?;
    let today = zoned(world.now()).date();
    let start = call.query.get("start").map(|start| date_of(start.get(..10).unwrap_or(start))).transpose()?;
    let start = start.unwrap_or_else(|| today.saturating_sub(duration));
    let end = start.saturating_add(duration).min(today);
    let days: Vec<_> = start.series(Span::new().days(1)).take_while(|day| *day < end).take(SPANS_MAX).collect();
    let stamps: Vec<_> = days.iter().map(|day| format!("{day}T00:00:00Z")).collect();
    let values: Vec<_> = days.iter().map(|_| 24).collect();
    Ok(vec![json!({
        "resource_id": id, "bucket_resolution": "P1D", "usage_timestamps": stamps,
        "usage": [{ "meter": "instance-hours", "values": values }],
    })])
}

/// The audit trail of one day, today unless `day` says otherwise.
fn events(world: &World, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
    let (_, account) = last(world, call)?;
    let day = call.query.get("day").map_or_else(|| Ok(zoned(world.now()).date()), |day| date_of(day))?;
    let is_wanted = |event: &Value| {
        let fits = |name: &str, value: &Value| call.query.get(name).is_none_or(|wanted| value.as_str() == Some(wanted));
        fits("type", &event["type"]) && fits("action", &event["action"]) && fits("actor", &event["actor"]["email"])
    };
    let mut events = trail(world, &account, &span(day, Span::new().days(1)));
    events.retain(is_wanted);
    Ok(events)
}

/// What the audit trail tells of: what people do, not what comes of it by itself.
const AUDITED: [&str; 10] =
    ["add-on", "add-on-attachment", "app", "app-webhook", "build", "collaborator", "domain", "formation", "log-drain", "release"];

/// The moments from the beginning of `first` on, for `length`.
fn span(first: Date, length: Span) -> Range<Timestamp> {
    // A day at the end of the calendar has no end.
    let begin = |day: Date| day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |begin| begin.timestamp());
    begin(first)..begin(first.saturating_add(length))
}

/// The events of a span. Moments are compared and not days: a year of a thousand apps has a million entries.
fn trail(world: &World, account: &str, wanted: &Range<Timestamp>) -> Vec<Value> {
    let account = world.objects().get("enterprise-account", account).map(reference);
    let team = world.objects().all("team").next().map(reference);
    let entries = world.objects().journal().iter().enumerate();
    let wanted = entries.filter(|(_, entry)| wanted.contains(&entry.at) && AUDITED.contains(&entry.resource));
    wanted.map(|(number, entry)| event(world, number, entry, &account, &team)).collect()
}

fn event(world: &World, number: usize, entry: &Entry, account: &Option<Value>, team: &Option<Value>) -> Value {
    let actor = json!({ "id": entry.actor.id, "email": entry.actor.email });
    let app = entry
        .app
        .as_deref()
        .map(|id| json!({ "id": id, "name": world.objects().get("app", id).map_or("", |app| app["name"].as_str().unwrap_or("")) }));
    let mut chance = Chance::new(number as u64).of("audit");
    json!({
        "id": chance.uuid(), "type": entry.resource, "action": entry.action.as_str(), "actor": actor, "owner": actor,
        "app": app, "created_at": api_time(entry.at), "enterprise_account": account, "team": team,
        "request": { "ip_address": format!("203.0.113.{}", chance.between(1, 254)) },
        "data": { "id": entry.id },
    })
}

fn reference(object: &Value) -> Value {
    json!({ "id": object["id"], "name": object["name"] })
}

/// One archive for each month that is over and had events.
fn archives(world: &World, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
    let (_, account) = last(world, call)?;
    let this_month = zoned(world.now()).date().first_of_month();
    let audited = || world.objects().journal().iter().filter(|entry| AUDITED.contains(&entry.resource));
    let first = audited().map(|entry| entry.at).min().map_or(this_month, |first| zoned(first).date().first_of_month());
    let months = first.series(Span::new().months(1)).take_while(|month| *month < this_month);
    let has_events = |month: &Date| {
        let span = span(*month, Span::new().months(1));
        audited().any(|entry| span.contains(&entry.at))
    };
    Ok(months.filter(has_events).map(|month| archive_row(world, call.base_url, &account, month)).collect())
}

/// One archive, by year and month.
pub(super) fn archive(world: &World, call: &Call<'_>) -> Result<Value, Refusal> {
    let path = resolve(world, call)?;
    let [(_, account), (_, year), (_, month)] = path.as_slice() else { return Err(super::no_route()) };
    let month = date_of(&format!("{year}-{month}"))?;
    if month >= zoned(world.now()).date().first_of_month() {
        return Err(Refusal::not_found("archive"));
    }
    Ok(archive_row(world, call.base_url, account, month))
}

fn archive_row(world: &World, base_url: &str, account: &str, month: Date) -> Value {
    let (file, path) = (archive_bytes(world, account, month), format!("{account}/{}", month.strftime("%Y/%m")));
    let made = month.saturating_add(Span::new().months(1));
    json!({
        "year": month.year(), "month": month.strftime("%m").to_string(), "size": file.len(), "created_at": format!("{made}T00:10:00Z"),
        "url": format!("{base_url}{ARCHIVES_PATH}{path}?{SIGNED}{}", signature_of(&path)),
        // Which kind Heroku's is, it does not say.
        "checksum": hex(digest(&SHA256, &file).as_ref()),
    })
}

/// The file of an archive: `ACCOUNT/YEAR/MONTH`. As where Heroku keeps its files, the signature alone opens it, and whoever brings a
/// token besides is turned away.
pub(super) fn archive_file(world: &World, path: &str, request: &Request) -> Result<Answer, Refusal> {
    let is_signed = request.uri().query().and_then(|query| query.strip_prefix(SIGNED)).is_some_and(|signed| signed == signature_of(path));
    if request.headers().get(AUTHORIZATION).is_some_and(|token| !token.is_empty()) {
        return Err(super::refusal(400, "bad_request", "Only one way to be let in is allowed: the signature or a header."));
    }
    if !is_signed {
        return Err(super::refusal(403, "forbidden", "The signature is not that of this address."));
    }
    let (account, month) = path.split_once('/').ok_or_else(super::no_route)?;
    let month = date_of(&month.replace('/', "-"))?;
    world.objects().get("enterprise-account", account).ok_or_else(|| Refusal::not_found("archive"))?;
    Ok(Answer::file(archive_bytes(world, account, month)))
}

/// The archive of a month. Its entries are not in order of time, as Heroku's are not.
fn archive_text(world: &World, account: &str, month: Date) -> String {
    let mut entries = trail(world, account, &span(month, Span::new().months(1)));
    entries.sort_by(|left, right| left["id"].as_str().cmp(&right["id"].as_str()));
    json!({ "entries": entries }).to_string()
}

/// The same, packed.
fn archive_bytes(world: &World, account: &str, month: Date) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let written = packed.write_all(archive_text(world, account, month).as_bytes());
    written.and_then(|()| packed.finish()).unwrap_or_default()
}

/// What opens one archive and no other.
fn signature_of(path: &str) -> String {
    hex(digest(&SHA256, format!("archive {path}").as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn zoned(moment: Timestamp) -> Zoned {
    moment.to_zoned(TimeZone::UTC)
}

/// `YYYY-MM-DD`, or the first day of `YYYY-MM`.
fn date_of(text: &str) -> Result<Date, Refusal> {
    let whole = if text.len() == "2026-01".len() { format!("{text}-01") } else { text.to_owned() };
    whole.parse().map_err(|_| Refusal::invalid(format!("{text:?} is no date like 2026-01-31.")))
}
