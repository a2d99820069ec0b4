//! `GET /schema`: the catalogue as JSON hyper-schema.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::catalogue::{FIELDS, Field, ROUTES, Route};

/// The schema. It says what there is and of which type; Heroku's own has descriptions and examples, too.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut links: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in ROUTES.iter() {
        links.entry(route.answers).or_default().push(route);
    }
    let mut definitions = Map::new();
    for fields in FIELDS.chunk_by(|left, right| left.resource == right.resource) {
        let resource = fields[0].resource;
        definitions.insert(resource.to_owned(), definition(resource, fields, links.remove(resource).unwrap_or_default()));
    }
    // What answers with a map of anything.
    for (resource, routes) in links {
        definitions.insert(resource.to_owned(), definition(resource, &[], routes));
    }
    let properties = definitions.keys().map(|name| (name.clone(), json!({ "$ref": format!("#/definitions/{name}") })));
    let properties: Map<_, _> = properties.collect();
    json!({
        "$schema": "http://interagent.github.io/interagent-hyper-schema", "type": ["object"], "id": "http://api.heroku.com/schema#",
        "title": "Heroku Platform API", "description": "The Platform API of a Heroku that lives on this machine.",
        "definitions": definitions, "properties": properties,
        "links": [{ "href": "/schema", "method": "GET", "rel": "self", "title": "Schema" }],
    })
});

fn definition(resource: &str, fields: &[Field], routes: Vec<&Route>) -> Value {
    let mut top = Map::new();
    for field in fields {
        put(&mut top, field.name, property(field));
    }
    json!({ "title": format!("Heroku Platform API - {resource}"), "type": ["object"], "properties": top, "links": routes.into_iter().map(link).collect::<Vec<_>>() })
}

/// Puts a property in its place; each name is preceded by those of the objects around it.
fn put(properties: &mut Map<String, Value>, name: &str, property: Value) {
    let Some((outer, inner)) = name.split_once('.') else {
        properties.insert(name.to_owned(), property);
        return;
    };
    let outer = properties.entry(outer).or_insert_with(|| json!({ "type": ["object"] }));
    let outer = if outer["type"][0] == "array" { &mut outer["items"] } else { outer };
    let mut below = match outer["properties"].take() {
        Value::Object(below) => below,
        _ => Map::new(),
    };
    put(&mut below, inner, property);
    outer["properties"] = Value::Object(below);
}

fn property(field: &Field) -> Value {
    let mut property = typed(field.kind);
    if field.is_nullable
        && let Some(types) = property["type"].as_array_mut()
    {
        types.push(json!("null"));
    }
    property
}

fn typed(kind: &str) -> Value {
    if let Some(items) = kind.strip_prefix("array") {
        let items = items.strip_prefix(" of ").map_or_else(|| json!({}), typed);
        return json!({ "type": ["array"], "items": items });
    }
    if let Some(choices) = kind.strip_prefix("one of ") {
        return json!({ "type": ["string"], "enum": choices.split('|').collect::<Vec<_>>() });
    }
    match kind {
        "integer" | "number" | "boolean" | "object" => json!({ "type": [kind] }),
        "time" => json!({ "type": ["string"], "format": "date-time" }),
        "date" | "email" | "uri" | "uuid" => json!({ "type": ["string"], "format": kind }),
        _ => json!({ "type": ["string"] }),
    }
}

fn link(route: &Route) -> Value {
    let parts = route.path.split('/').map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(resource) => format!("{{(%23%2Fdefinitions%2F{resource}%2Fdefinitions%2Fidentity)}}"),
        None => part.to_owned(),
    });
    let reference = json!({ "$ref": format!("#/definitions/{}", route.answers) });
    let target = if route.is_list { json!({ "type": ["array"], "items": reference }) } else { reference };
    let mut link = json!({ "href": parts.collect::<Vec<_>>().join("/"), "method": route.method, "targetSchema": target });
    if route.is_list {
        link["rel"] = json!("instances");
        link["ranges"] = json!(route.ranges.split(',').collect::<Vec<_>>());
    }
    link
}
