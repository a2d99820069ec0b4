//! What exists: every object of the Platform API, as JSON, and a journal of how it came to be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::event::{Action, Actor, Change};

/// The ids of what an object belongs to: the app of a release; the app and the team of an add-on.
pub type Parents = Vec<String>;

/// All objects, by resource and id.
///
/// Fields whose name begins with `_` are known here only (a webhook's secret): the API never shows them.
#[derive(Default)]
pub struct Objects {
    // Ordered, so that what is done to all of them is done in the same order in every run.
    tables: BTreeMap<&'static str, Table>,
    journal: Vec<Entry>,
    actors: HashMap<String, Arc<Actor>>,
}

/// One step in an object's life. Kept as text: a world has hundreds of thousands of them.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in the story's time.
    pub at: Timestamp,
    /// The resource by its API name.
    pub resource: &'static str,
    /// The id of the object.
    pub id: Box<str>,
    /// The app it belongs to (or is).
    pub app: Option<Box<str>>,
    /// What happened.
    pub action: Action,
    /// Who did it.
    pub actor: Arc<Actor>,
    fields: Box<str>,
}

#[derive(Default)]
struct Table {
    /// In order of creation: the number is given when the object is made.
    objects: BTreeMap<u64, Object>,
    by_id: HashMap<String, u64>,
    by_name: HashMap<String, u64>,
    by_parent: HashMap<String, Vec<u64>>,
    next: u64,
    /// Objects that are kept from everybody, by id.
    hidden: HashMap<String, (u64, Object)>,
}

struct Object {
    value: Value,
    parents: Parents,
}

/// Resources with many objects whose names are unique, and by which they are called all the time.
const NAMED: [&str; 4] = ["add-on", "add-on-service", "app", "plan"];

impl Entry {
    /// The whole object at its creation, the fields that have another value after an update, null for a destruction.
    #[must_use]
    pub fn fields(&self) -> Value {
        serde_json::from_str(&self.fields).unwrap_or(Value::Null)
    }
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
        if let Some(parent) = parent {
            return self.of(resource, parent).find(|value| is_called(resource, value, identity));
        }
        let by_id = self.get(resource, identity);
        if by_id.is_some() {
            return by_id;
        }
        if NAMED.contains(&resource) {
            let table = self.tables.get(resource)?;
            return table.objects.get(table.by_name.get(identity)?).map(|object| &object.value);
        }
        self.all(resource).find(|value| is_called(resource, value, identity))
    }

    /// All objects of a resource, the oldest first.
    pub fn all<'a>(&'a self, resource: &str) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
        self.tables.get(resource).into_iter().flat_map(|table| table.objects.values()).map(|object| &object.value)
    }

    /// The objects that belong to `parent`, the oldest first.
    pub fn of<'a>(&'a self, resource: &str, parent: &str) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
        let table = self.tables.get(resource);
        let numbers = table.and_then(|table| table.by_parent.get(parent)).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(move |number| table?.objects.get(number)).map(|object| &object.value)
    }

    /// Everything that ever happened to objects, in order: what a copy of their history must agree with.
    #[must_use]
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// What belongs to `parent`: resource and id of each object, the newest first within a resource.
    pub(crate) fn belongings(&self, parent: &str) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (resource, table) in &self.tables {
            let numbers = table.by_parent.get(parent).map_or(&[][..], Vec::as_slice);
            let objects = numbers.iter().rev().filter_map(|number| Some((*number, table.objects.get(number)?)));
            found.extend(objects.map(|(number, object)| (*resource, key_of(&object.value, number))));
        }
        found
    }

    /// Puts a new object in place, and tells of it.
    pub(crate) fn create(&mut self, at: Timestamp, resource: &'static str, parents: Parents, actor: &Actor, value: Value) -> Change {
        let (data, app) = (value.clone(), app_of(resource, &value));
        let id = self.insert(at, resource, parents, actor, value);
        Change { at, resource, id, app, action: Action::Create, actor: actor.clone(), data, previous: Value::Null }
    }

    /// Puts a new object in place; answers with its id. One without an `id` of its own is known by its number.
    pub(crate) fn insert(&mut self, at: Timestamp, resource: &'static str, parents: Parents, actor: &Actor, value: Value) -> String {
        let next = self.tables.get(resource).map_or(0, |table| table.next);
        let id = key_of(&value, next);
        self.note(at, resource, &id, app_of(resource, &value), Action::Create, actor, &value);
        let table = self.tables.entry(resource).or_default();
        let number = table.next;
        table.next += 1;
        table.put(resource, &id, number, Object { value, parents });
        id
    }

    /// Gives fields of an object other values, and tells of it. `None` when there is no such object or nothing is different.
    pub(crate) fn update(
        &mut self,
        at: Timestamp,
        resource: &'static str,
        id: &str,
        actor: &Actor,
        fields: Map<String, Value>,
    ) -> Option<Change> {
        let previous = Value::Object(self.amend(at, resource, id, actor, fields)?);
        let data = self.get(resource, id)?.clone();
        let app = app_of(resource, &data);
        Some(Change { at, resource, id: id.to_owned(), app, action: Action::Update, actor: actor.clone(), data, previous })
    }

    /// Gives fields of an object other values; answers with those that are different now, as they were before.
    pub(crate) fn amend(
        &mut self,
        at: Timestamp,
        resource: &'static str,
        id: &str,
        actor: &Actor,
        fields: Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let table = self.tables.get_mut(resource)?;
        let number = *table.by_id.get(id)?;
        let map = table.objects.get_mut(&number)?.value.as_object_mut()?;
        let (mut previous, mut present) = (Map::new(), Map::new());
        for (name, value) in fields {
            if map.get(&name) != Some(&value) {
                present.insert(name.clone(), value.clone());
                previous.insert(name.clone(), map.insert(name, value).unwrap_or(Value::Null));
            }
        }
        if previous.is_empty() {
            return None;
        }
        if let (true, Some(before), Some(after)) = (NAMED.contains(&resource), previous.get("name"), present.get("name")) {
            table.by_name.remove(before.as_str().unwrap_or_default());
            table.by_name.insert(after.as_str().unwrap_or_default().to_owned(), number);
        }
        let app = app_of(resource, &table.objects.get(&number)?.value);
        self.note(at, resource, id, app, Action::Update, actor, &Value::Object(present));
        Some(previous)
    }

    /// Takes an object away.
    pub(crate) fn destroy(&mut self, at: Timestamp, resource: &'static str, id: &str, actor: &Actor) -> Option<Change> {
        let (_, Object { value, .. }) = self.tables.get_mut(resource)?.take(resource, id)?;
        let app = app_of(resource, &value);
        self.note(at, resource, id, app.clone(), Action::Destroy, actor, &Value::Null);
        let (id, actor) = (id.to_owned(), actor.clone());
        Some(Change { at, resource, id, app, action: Action::Destroy, actor, data: value, previous: Value::Null })
    }

    /// Keeps an object from everybody until [`Self::show`]. To the journal it is destroyed. Says whether there was one.
    pub(crate) fn hide(&mut self, at: Timestamp, resource: &str, id: &str, actor: &Actor) -> bool {
        let Some((resource, table)) = self.tables.iter_mut().find(|(name, _)| **name == resource) else { return false };
        let (resource, Some((number, object))) = (*resource, table.take(resource, id)) else { return false };
        let app = app_of(resource, &object.value);
        table.hidden.insert(id.to_owned(), (number, object));
        self.note(at, resource, id, app, Action::Destroy, actor, &Value::Null);
        true
    }

    /// Brings back what was hidden, as it was and in its old place. To the journal it is created. Says whether there was such a thing.
    pub(crate) fn show(&mut self, at: Timestamp, resource: &str, id: &str, actor: &Actor) -> bool {
        let Some((resource, table)) = self.tables.iter_mut().find(|(name, _)| **name == resource) else { return false };
        let (resource, Some((number, object))) = (*resource, table.hidden.remove(id)) else { return false };
        let value = object.value.clone();
        table.put(resource, id, number, object);
        self.note(at, resource, id, app_of(resource, &value), Action::Create, actor, &value);
        true
    }

    #[expect(clippy::too_many_arguments, reason = "an entry's fields, one by one: it is made nowhere else")]
    fn note(
        &mut self,
        at: Timestamp,
        resource: &'static str,
        id: &str,
        app: Option<String>,
        action: Action,
        actor: &Actor,
        fields: &Value,
    ) {
        let known = self.actors.get(&actor.id).map(Arc::clone);
        let actor = known.unwrap_or_else(|| {
            let new = Arc::new(actor.clone());
            self.actors.insert(actor.id.clone(), Arc::clone(&new));
            new
        });
        // A Value always has a text.
        let fields = serde_json::to_string(fields).unwrap_or_default().into();
        self.journal.push(Entry { at, resource, id: id.into(), app: app.map(Into::into), action, actor, fields });
    }
}

impl Table {
    fn put(&mut self, resource: &str, id: &str, number: u64, object: Object) {
        self.by_id.insert(id.to_owned(), number);
        if let (true, Some(name)) = (NAMED.contains(&resource), object.value["name"].as_str()) {
            self.by_name.insert(name.to_owned(), number);
        }
        for parent in &object.parents {
            let numbers = self.by_parent.entry(parent.clone()).or_default();
            // A team's app belongs to the team twice: as its owner, and as its team.
            if let Err(place) = numbers.binary_search(&number) {
                numbers.insert(place, number);
            }
        }
        self.objects.insert(number, object);
    }

    fn take(&mut self, resource: &str, id: &str) -> Option<(u64, Object)> {
        let number = self.by_id.remove(id)?;
        let object = self.objects.remove(&number)?;
        if let (true, Some(name)) = (NAMED.contains(&resource), object.value["name"].as_str()) {
            self.by_name.remove(name);
        }
        for parent in &object.parents {
            if let Some(numbers) = self.by_parent.get_mut(parent) {
                numbers.retain(|other| *other != number);
            }
        }
        Some((number, object))
    }
}

fn app_of(resource: &str, value: &Value) -> Option<String> {
    let id = if resource == "app" { &value["id"] } else { &value["app"]["id"] };
    id.as_str().map(str::to_owned)
}

fn key_of(value: &Value, number: u64) -> String {
    match &value["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => format!("#{number}"),
    }
}

/// The fields by which the API lets an object be called.
const NAMES: [&str; 8] = ["id", "name", "version", "hostname", "url", "token", "email", "fingerprint"];

fn is_called(resource: &str, value: &Value, identity: &str) -> bool {
    // A process type names a formation. Dynos and teams have a type too, but there it names none of them.
    if resource == "formation" && value["type"] == identity {
        return true;
    }
    let by_field = NAMES.iter().any(|name| match &value[*name] {
        Value::String(text) => text == identity,
        Value::Number(number) => {
            let number = number.to_string();
            number == identity || identity.strip_prefix('v') == Some(&number)
        }
        _ => false,
    });
    // A collaborator, member or access goes by its user's name.
    by_field || ["id", "email"].iter().any(|name| value["user"][*name].as_str() == Some(identity))
}
