//! Routes that change something.

mod apps;
mod drains;
mod plain;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::lists::resolve;
use super::route::Call;
use super::views::view;
use super::{Api, no_route};
use crate::world::{Actor, Refusal, World};

/// What a change is answered with.
type Changed = Result<(StatusCode, Value), Refusal>;

/// Does what `call` asks for, as the owner of the token.
pub(super) fn change(world: &mut World, api: &Api, call: &Call<'_>) -> Result<Answer, Refusal> {
    let by = world.owner().cloned().ok_or_else(no_route)?;
    let ids: Vec<String> = resolve(world, call)?.into_iter().map(|(_, id)| id).collect();
    if call.route.path == "/apps/{app}/log-sessions" {
        return super::sessions::open(world, api, call, ids.first().map_or("", String::as_str));
    }
    let mut subject = Subject { world, by, call, ids };
    let changed = apps::change(&mut subject).or_else(|| drains::change(&mut subject)).or_else(|| plain::change(&mut subject));
    // Each part answers `None` to routes that are not its own.
    let (status, value) = changed.unwrap_or_else(|| Err(no_route()))?;
    let mut secret = None;
    let value = match value {
        Value::Array(values) => Value::Array(values.iter().map(|value| view(call.route.answers, value).into_owned()).collect()),
        value => {
            // The only time that a webhook's secret is told.
            secret = value["_secret"].as_str().filter(|_| status == StatusCode::CREATED).map(str::to_owned);
            view(call.route.answers, &value).into_owned()
        }
    };
    let mut answer = Answer::one(status, &value);
    if let Some(secret) = secret.and_then(|secret| secret.parse().ok()) {
        answer.headers.insert("heroku-webhook-secret", secret);
    }
    Ok(answer)
}

/// A change on its way.
struct Subject<'a> {
    world: &'a mut World,
    by: Actor,
    call: &'a Call<'a>,
    /// What the variable parts of the path mean.
    ids: Vec<String>,
}

impl Subject<'_> {
    fn id(&self, index: usize) -> String {
        self.ids.get(index).cloned().unwrap_or_default()
    }

    /// The id of what the last variable part of the path means.
    fn last(&self) -> String {
        self.ids.last().cloned().unwrap_or_default()
    }

    /// The id of the object that a field of the body names, as text or as an object with `id` or `name`.
    fn named(&self, resource: &str, field: &str) -> Result<String, Refusal> {
        let value = self.call.body.get(field).unwrap_or(&Value::Null);
        let identity = value.as_str().or(value["id"].as_str()).or(value["name"].as_str()).or(value["email"].as_str());
        let identity = identity.ok_or_else(|| Refusal::invalid(format!("{field} must be specified.")))?;
        let found = self.world.objects().find(resource, None, identity).ok_or_else(|| Refusal::not_found(&resource.replace('-', " ")))?;
        Ok(found["id"].as_str().unwrap_or_default().to_owned())
    }

    /// The fields of the body that are among `names`.
    fn given(&self, names: &[&str]) -> Map<String, Value> {
        let given = self.call.body.iter().filter(|(name, _)| names.contains(&name.as_str()));
        given.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn create(&mut self, resource: &'static str, parents: Vec<String>, fields: Value) -> Changed {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        self.world.create_plain(&self.by, resource, parents, fields).map(created)
    }
}

fn created(value: Value) -> (StatusCode, Value) {
    (StatusCode::CREATED, value)
}

fn done(value: Value) -> (StatusCode, Value) {
    (StatusCode::OK, value)
}

/// Something that goes on after the answer.
fn accepted() -> (StatusCode, Value) {
    (StatusCode::ACCEPTED, json!({}))
}
