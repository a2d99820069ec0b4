//! Objects as the API shows them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::catalogue::fields_of;

/// Resources that are other resources seen from elsewhere.
pub(super) fn stored_as(resource: &'static str) -> &'static str {
    match resource {
        "team-app" => "app",
        "team-app-collaborator" => "collaborator",
        "pipeline-build" => "build",
        resource => resource,
    }
}

/// The object as `resource`, without what is only known here.
pub(super) fn view<'a>(resource: &str, object: &'a Value) -> Cow<'a, Value> {
    match object {
        Value::Object(app) if resource == "team-app" => Cow::Owned(team_app(app)),
        Value::Object(build) if resource == "pipeline-build" => Cow::Owned(only_fields(resource, build)),
        Value::Object(map) if map.keys().any(|name| name.starts_with('_')) => {
            let shown = map.iter().filter(|(name, _)| !name.starts_with('_'));
            Cow::Owned(Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        object => Cow::Borrowed(object),
    }
}

fn only_fields(resource: &str, object: &Map<String, Value>) -> Value {
    let names = fields_of(resource).iter().map(|field| field.name);
    Value::Object(names.filter_map(|name| Some((name.to_owned(), object.get(name)?.clone()))).collect())
}

fn team_app(app: &Map<String, Value>) -> Value {
    let mut shown = only_fields("team-app", app);
    shown["joined"] = json!(true);
    shown["locked"] = app.get("_locked").cloned().unwrap_or(Value::Bool(false));
    shown
}
