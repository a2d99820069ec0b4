//! Heroku's own schema (`GET /schema`) beside the catalogue: what either has and the other has not.

use std::collections::BTreeMap;

use freshet_core::{FieldKind, Origin, StreamDef};
use serde_json::Value;

use super::streams;

/// What is at the end of each path of an object.
type Leaves = BTreeMap<String, FieldKind>;

/// References that are followed one after the other; more is a schema that goes round.
const REFERENCES_MAX: usize = 32;

/// A way in which Heroku's schema is not as the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The stream.
    pub stream: &'static str,
    /// Path of the value in its objects; empty for the stream's resource itself.
    pub path: String,
    /// What is the matter.
    pub change: Change,
}

/// What is the matter with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Heroku has it, the catalogue has not: it goes to `_extra`.
    New,
    /// The catalogue has it, Heroku has not any more: its column will be NULL.
    Gone,
    /// It is of another type: values that do not fit are kept in `_extra`.
    Type,
    /// Heroku knows no such resource any more.
    NoResource,
}

/// What differs between the catalogue and the `schema` that Heroku gives out.
#[must_use]
pub fn differences(schema: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for stream in streams() {
        of_stream(schema, stream, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn of_stream(schema: &Value, stream: &'static StreamDef, found: &mut Vec<Difference>) {
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    for list in stream.lists {
        let mut difference = |path: &str, change: Change| found.push(Difference { stream: stream.name, path: path.to_owned(), change });
        let Some(known) = paths_of(schema, list.resource) else {
            difference("", Change::NoResource);
            continue;
        };
        for path in known.keys().filter(|path| !stream.knows(path)) {
            difference(path, Change::New);
        }
        for field in stream.fields.iter().filter(|field| field.origin == Origin::Object && !list.lacks.contains(&field.json)) {
            let is_there = seen.entry(field.json).or_default();
            if let Some(kind) = known.get(field.json) {
                *is_there = true;
                if *kind != field.kind {
                    difference(field.json, Change::Type);
                }
            }
        }
    }
    let gone = seen.into_iter().filter(|(_, is_there)| !is_there);
    found.extend(gone.map(|(path, _)| Difference { stream: stream.name, path: path.to_owned(), change: Change::Gone }));
}

/// The paths of the objects in a list of `resource` that hold no further named properties, and what is there. Nothing when the schema
/// has no such resource.
#[must_use]
pub fn paths_of(schema: &Value, resource: &str) -> Option<BTreeMap<String, FieldKind>> {
    let mut found = Leaves::new();
    leaves(schema, objects_of(schema, resource)?, "", &mut found, 0);
    Some(found)
}

/// The schema of the objects in a list of `resource`. Two lists show their objects otherwise than the resource by itself is.
fn objects_of<'a>(schema: &'a Value, resource: &str) -> Option<&'a Value> {
    let resource = schema["definitions"].get(resource)?;
    let listed = ["list_item", "app_webhook"].into_iter().find_map(|name| resource["definitions"].get(name));
    Some(listed.unwrap_or(resource))
}

/// The paths of an object that hold no further named properties.
fn leaves(schema: &Value, object: &Value, above: &str, found: &mut Leaves, depth: usize) {
    if depth > REFERENCES_MAX {
        return;
    }
    for object in alternatives(schema, object, 0) {
        for (name, property) in object["properties"].as_object().into_iter().flatten() {
            let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            let alternatives = alternatives(schema, property, 0);
            let is_object =
                |one: &&Value| is(one, "object") && one["properties"].as_object().is_some_and(|properties| !properties.is_empty());
            if alternatives.iter().any(is_object) {
                leaves(schema, property, &path, found, depth + 1);
            } else {
                found.insert(path, alternatives.first().map_or(FieldKind::Json, |one| kind_of(one)));
            }
        }
    }
}

/// What a schema may stand for: itself, what it refers to, or any of several.
fn alternatives<'a>(schema: &'a Value, of: &'a Value, depth: usize) -> Vec<&'a Value> {
    if let Some(reference) = of["$ref"].as_str() {
        let target = schema.pointer(reference.trim_start_matches('#')).filter(|_| depth < REFERENCES_MAX);
        return target.map(|target| alternatives(schema, target, depth + 1)).unwrap_or_default();
    }
    match of["anyOf"].as_array() {
        Some(any) if depth < REFERENCES_MAX => any.iter().flat_map(|one| alternatives(schema, one, depth + 1)).collect(),
        _ => vec![of],
    }
}

fn kind_of(property: &Value) -> FieldKind {
    match property["format"].as_str() {
        Some("date-time") => FieldKind::Time,
        Some("date") => FieldKind::Date,
        _ if is(property, "integer") => FieldKind::Integer,
        _ if is(property, "number") => FieldKind::Number,
        _ if is(property, "boolean") => FieldKind::Boolean,
        _ if is(property, "string") => FieldKind::Text,
        _ => FieldKind::Json,
    }
}

fn is(property: &Value, kind: &str) -> bool {
    property["type"].as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_goes_round_ends() {
        let schema = json!({ "definitions": {
            "region": { "properties": { "id": { "$ref": "#/definitions/region/properties/id" }, "country": { "type": ["integer"] },
                "self": { "$ref": "#/definitions/region" }, "planet": { "type": ["string"] } }, "type": ["object"] },
        }});
        let found = differences(&schema);
        let of = |path: &str| found.iter().find(|difference| difference.stream == "regions" && difference.path == path);
        assert_eq!(of("planet").map(|difference| difference.change), Some(Change::New));
        assert_eq!(of("country").map(|difference| difference.change), Some(Change::Type));
        assert_eq!(of("name").map(|difference| difference.change), Some(Change::Gone));
        assert!(found.iter().any(|difference| difference.stream == "apps" && difference.change == Change::NoResource));
    }
}
