//! What exists: every object of the Platform API, as JSON, and a journal of how it came to be.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::event::{Action, Actor, Change};

/// The ids of what an object belongs to: the app of a release; the app and the team of an add-on.
pub type Parents = Vec<String>;

/// All objects, by resource and id.
#[derive(Default)]
pub struct Objects {
    tables: HashMap<&'static str, Table>,
    journal: Vec<Change>,
}

#[derive(Default)]
struct Table {
    /// In order of creation: the number is given when the object is made.
    objects: BTreeMap<u64, Object>,
    by_id: HashMap<String, u64>,
    by_parent: HashMap<String, Vec<u64>>,
    next: u64,
}

struct Object {
    value: Value,
    parents: Parents,
}

impl Objects {
    /// The object with this id.
    #[must_use]
    pub fn get(&self, resource: &str, id: &str) -> Option<&Value> {
        let table = self.tables.get(resource)?;
        table.objects.get(table.by_id.get(id)?).map(|object| &object.value)
    }

    /// The object whose id or name (or version, hostname, url, token, e-mail address) is `identity`, among those of `parent` where one is given.
    #[must_use]
    pub fn find(&self, resource: &str, parent: Option<&str>, identity: &str) -> Option<&Value> {
        match parent {
            None => self.get(resource, identity).or_else(|| self.all(resource).find(|value| is_called(value, identity))),
            Some(parent) => self.of(resource, parent).find(|value| is_called(value, identity)),
        }
    }

    /// All objects of a resource, the oldest first.
    pub fn all<'a>(&'a self, resource: &str) -> impl Iterator<Item = &'a Value> {
        self.tables.get(resource).into_iter().flat_map(|table| table.objects.values()).map(|object| &object.value)
    }

    /// The objects that belong to `parent`, the oldest first.
    pub fn of<'a>(&'a self, resource: &str, parent: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let table = self.tables.get(resource);
        let numbers = table.and_then(|table| table.by_parent.get(parent)).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(move |number| table?.objects.get(number)).map(|object| &object.value)
    }

    /// Everything that ever happened to objects, in order: what a copy of their history must agree with.
    #[must_use]
    pub fn journal(&self) -> &[Change] {
        &self.journal
    }

    /// Puts a new object in place. `value` must have an `id`.
    pub(crate) fn create(&mut self, at: Timestamp, resource: &'static str, parents: Parents, actor: &Actor, value: Value) -> Change {
        let id = id_of(&value);
        let table = self.tables.entry(resource).or_default();
        let number = table.next;
        table.next += 1;
        table.by_id.insert(id.clone(), number);
        for parent in &parents {
            table.by_parent.entry(parent.clone()).or_default().push(number);
        }
        table.objects.insert(number, Object { value: value.clone(), parents });
        self.note(at, resource, id, Action::Create, actor, value, Value::Null)
    }

    /// Gives fields of an object other values. `None` when there is no such object or nothing is different.
    pub(crate) fn update(
        &mut self,
        at: Timestamp,
        resource: &'static str,
        id: &str,
        actor: &Actor,
        fields: Map<String, Value>,
    ) -> Option<Change> {
        let table = self.tables.get_mut(resource)?;
        let object = table.objects.get_mut(table.by_id.get(id)?)?;
        let map = object.value.as_object_mut()?;
        let mut previous = Map::new();
        for (name, value) in fields {
            let before = map.insert(name.clone(), value);
            if before.as_ref() != map.get(&name) {
                previous.insert(name, before.unwrap_or(Value::Null));
            }
        }
        if previous.is_empty() {
            return None;
        }
        let data = object.value.clone();
        Some(self.note(at, resource, id.to_owned(), Action::Update, actor, data, Value::Object(previous)))
    }

    /// Takes an object away.
    pub(crate) fn destroy(&mut self, at: Timestamp, resource: &'static str, id: &str, actor: &Actor) -> Option<Change> {
        let table = self.tables.get_mut(resource)?;
        let number = table.by_id.remove(id)?;
        let object = table.objects.remove(&number)?;
        for parent in &object.parents {
            if let Some(numbers) = table.by_parent.get_mut(parent) {
                numbers.retain(|other| *other != number);
            }
        }
        Some(self.note(at, resource, id.to_owned(), Action::Destroy, actor, object.value, Value::Null))
    }

    fn note(
        &mut self,
        at: Timestamp,
        resource: &'static str,
        id: String,
        action: Action,
        actor: &Actor,
        data: Value,
        previous: Value,
    ) -> Change {
        let app = match resource {
            "app" => Some(id.clone()),
            _ => data["app"]["id"].as_str().map(str::to_owned),
        };
        let change = Change { at, resource, id, app, action, actor: actor.clone(), data, previous };
        self.journal.push(change.clone());
        change
    }
}

fn id_of(value: &Value) -> String {
    match &value["id"] {
        Value::String(id) => id.clone(),
        other => other.to_string(),
    }
}

/// The fields by which the API lets an object be called.
const NAMES: [&str; 9] = ["id", "name", "version", "hostname", "url", "token", "email", "type", "fingerprint"];

fn is_called(value: &Value, identity: &str) -> bool {
    NAMES.iter().any(|name| match &value[*name] {
        Value::String(text) => text == identity,
        Value::Number(number) => number.to_string() == identity || identity.strip_prefix('v') == Some(&number.to_string()),
        _ => false,
    })
}
