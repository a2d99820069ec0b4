//! What people do: each action changes objects, writes the log lines that Heroku writes for it, and makes a release where Heroku does.
//!
//! Both the story and the API's routes go through here, so that a release shows in the API, in `app[api]` lines and in webhooks alike.

mod addons;
mod apps;
mod config;
mod drains;
mod dynos;
mod found;
mod furnish;
mod plain;
mod releases;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::World;
use super::event::{Actor, Event, Line, Refusal};
use crate::catalogue::{api_time, blank};

pub(super) use config::ConfigVars;
pub(crate) use dynos::{RUN_IS_UP_MS, Scale};
pub(super) use found::{FOUNDED_DAYS, memory_gb};

/// What Heroku says about a dyno: syslog's own facility, notice (a captured `State changed` line has it).
const DYNO_PRIORITY: u8 = 45;

/// What the API tells in an app's log: local7, info, as the app's own lines.
const API_PRIORITY: u8 = 190;

/// The owner of a team's apps in the API's eyes.
const TEAM_MANAGER: &str = "herokumanager.com";

// Every method takes the id of the app, never its name, and answers with the object as the API shows it.
impl World {
    /// The people of the company: the first is the owner, whose token the API takes.
    #[must_use]
    pub fn people(&self) -> Vec<Actor> {
        self.people.clone()
    }

    /// The owner, without a copy of everybody.
    pub(crate) fn owner(&self) -> Option<&Actor> {
        self.people.first()
    }

    /// Whoever does what nobody asked for: boots, ends, provisions.
    pub(super) fn platform(&self) -> Actor {
        Actor { id: "f0f0f0f0-0000-4000-8000-000000000000".to_owned(), email: "platform@heroku.example".to_owned() }
    }

    /// A new object: the blank of the catalogue with `given` over it. Answers with its id.
    pub(super) fn add(&mut self, by: &Actor, resource: &'static str, parents: Vec<String>, given: Map<String, Value>) -> String {
        let mut object = blank(resource, self.now, &mut self.chance);
        object.extend(given);
        let object = Value::Object(object);
        if self.is_founding {
            return self.objects.insert(self.now, resource, parents, by, object);
        }
        let change = self.objects.create(self.now, resource, parents, by, object);
        let id = change.id.clone();
        self.events.push(Event::Changed(change));
        id
    }

    /// Other values for fields of an object, and a new `updated_at` where it has one. Nothing happens when nothing is different.
    pub(super) fn set(&mut self, by: &Actor, resource: &'static str, id: &str, mut given: Map<String, Value>) {
        let Some(object) = self.objects.get(resource, id) else { return };
        if given.iter().all(|(name, value)| object.get(name) == Some(value)) {
            return;
        }
        if object.get("updated_at").is_some() {
            given.insert("updated_at".to_owned(), json!(api_time(self.now)));
        }
        if self.is_founding {
            self.objects.amend(self.now, resource, id, by, given);
        } else {
            let change = self.objects.update(self.now, resource, id, by, given);
            self.events.extend(change.map(Event::Changed));
        }
    }

    /// Takes an object away; answers with what it was.
    pub(super) fn remove(&mut self, by: &Actor, resource: &'static str, id: &str) -> Option<Value> {
        let change = self.objects.destroy(self.now, resource, id, by)?;
        if self.is_founding {
            return Some(change.data);
        }
        let data = change.data.clone();
        self.events.push(Event::Changed(change));
        Some(data)
    }

    /// An object, as it is to be answered with.
    pub(super) fn shown(&self, resource: &str, id: &str) -> Result<Value, Refusal> {
        self.objects.get(resource, id).cloned().ok_or_else(|| Refusal::not_found(&resource.replace('-', " ")))
    }

    /// The app of this id.
    pub(super) fn app(&self, app: &str) -> Result<&Value, Refusal> {
        self.objects.get("app", app).ok_or_else(|| Refusal::not_found("app"))
    }

    /// `{id, name}` of an app, as other objects show it.
    pub(super) fn app_reference(&self, app: &str) -> Result<Value, Refusal> {
        self.app(app).map(reference)
    }

    /// Something the API tells in the app's log, about what somebody did.
    pub(super) fn say_of_api(&mut self, app: &str, text: &str) {
        self.say(app, "app", "api", API_PRIORITY, text);
    }

    /// Something Heroku says about a dyno.
    pub(super) fn say_of_dyno(&mut self, app: &str, dyno: &str, text: &str) {
        self.say(app, "heroku", dyno, DYNO_PRIORITY, text);
    }

    fn say(&mut self, app: &str, source: &'static str, process: &str, priority: u8, text: &str) {
        if self.is_founding {
            return;
        }
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.events.push(Event::Line(Line { at: self.now, app: app.to_owned(), priority, source, process: process.to_owned(), text }));
    }
}

/// The fields of a JSON object; of anything else, none.
pub(super) fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `{id, name}` of an object that has both.
fn reference(object: &Value) -> Value {
    json!({ "id": object["id"], "name": object["name"] })
}

/// A text field of an object; empty where it is something else.
fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// Who did it, as the API shows it.
fn user(by: &Actor) -> Value {
    json!({ "id": by.id, "email": by.email })
}
