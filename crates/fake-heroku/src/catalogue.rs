//! What the Platform API's objects and routes look like. The two data files hold names and types only, as Heroku's public
//! schema gives them (variant `3.sdk`, 2026-05).

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::world::Chance;

/// A field of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The resource: `app`, `release`, …
    pub resource: &'static str,
    /// Its name; nested ones are joined by `.`.
    pub name: &'static str,
    /// `uuid`, `time`, `text`, `integer`, `one of a|b`, `array of text`, … without the `?` of those that may be null.
    pub kind: &'static str,
    /// Whether it may be null.
    pub is_nullable: bool,
}

/// A route of the API.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET`, `POST`, `PATCH`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, with the resources that name its variable parts: `/apps/{app}/dynos/{dyno}`.
    pub path: &'static str,
    /// The resource it answers with.
    pub answers: &'static str,
    /// Whether the answer is a list.
    pub is_list: bool,
    /// The fields by which the list may be read in ranges.
    pub ranges: &'static str,
}

/// Every field, resource by resource, each before the fields nested in it.
pub static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    rows(include_str!("../data/resources.tsv"))
        .map(|row| Field { resource: row[0], name: row[1], kind: row[2].trim_end_matches('?'), is_nullable: row[2].ends_with('?') })
        .collect()
});

/// Every route.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    rows(include_str!("../data/routes.tsv"))
        .map(|row| Route { method: row[0], path: row[1], answers: row[2], is_list: row[3] == "list", ranges: row[4] })
        .collect()
});

static FIELDS_OF: LazyLock<HashMap<&'static str, &'static [Field]>> =
    LazyLock::new(|| FIELDS.chunk_by(|left, right| left.resource == right.resource).map(|fields| (fields[0].resource, fields)).collect());

/// The fields of one resource; none for one that no route answers with an object of named fields.
#[must_use]
pub fn fields_of(resource: &str) -> &'static [Field] {
    FIELDS_OF.get(resource).copied().unwrap_or_default()
}

fn rows(data: &'static str) -> impl Iterator<Item = [&'static str; 5]> {
    data.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.split('\t');
        std::array::from_fn(|_| cells.next().unwrap_or(""))
    })
}

/// An object of `resource` with every field there is: its own id and times, null where that is allowed, and plain values elsewhere.
#[must_use]
pub fn blank(resource: &str, now: Timestamp, chance: &mut Chance) -> Map<String, Value> {
    let mut object = Value::Object(Map::new());
    for field in fields_of(resource) {
        let slot = field.name.split('.').try_fold(&mut object, |slot, part| match slot {
            Value::Null => None,
            Value::Object(map) => Some(map.entry(part).or_insert(Value::Null)),
            _ => None,
        });
        // Below an object that is null there is nothing to fill.
        if let Some(slot) = slot {
            *slot = if field.is_nullable { Value::Null } else { plain(field.kind, now, chance) };
        }
    }
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn plain(kind: &str, now: Timestamp, chance: &mut Chance) -> Value {
    match kind {
        "uuid" => json!(chance.uuid()),
        "time" => json!(api_time(now)),
        "date" => json!(now.strftime("%Y-%m-%d").to_string()),
        "integer" => json!(0),
        "number" => json!(0.0),
        "boolean" => json!(false),
        "object" => json!({}),
        "email" => json!("nobody@example.com"),
        "uri" => json!("https://example.com/"),
        kind if kind.starts_with("array") => json!([]),
        kind => match kind.strip_prefix("one of ") {
            Some(choices) => json!(choices.split('|').next()),
            None => json!(""),
        },
    }
}

/// A moment as the API writes it: whole seconds, `Z`.
#[must_use]
pub fn api_time(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
