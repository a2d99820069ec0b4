//! Heroku's own account of its objects beside the lake's: what exists, and what was when.

use std::collections::{BTreeMap, BTreeSet};

use freshet_core::{FieldDef, FieldKind, Origin, Read, StreamDef};
use freshet_tables::platform::{at_path, moment, streams};
use serde_json::{Value, json};

use crate::freshet::Place;
use crate::heroku::Heroku;

/// Objects on a page.
const PAGE: u64 = 1_000;

/// Streams that the control endpoint has no objects of: what Heroku counts and does not store, and of accounts the token sees one.
fn is_stored(stream: &StreamDef) -> bool {
    let is_of_objects = matches!(stream.read, Read::Full | Read::Since { .. });
    is_of_objects && !stream.forgets && !["accounts", "app_usage", "webhook_events", "webhook_deliveries"].contains(&stream.name)
}

/// All objects of a stream that exist.
fn objects_of(heroku: &Heroku, stream: &StreamDef) -> Vec<Value> {
    let resource = |resource: &'static str| if resource == "team-app" { "app" } else { resource };
    let resources: BTreeSet<&str> = stream.lists.iter().map(|list| resource(list.resource)).collect();
    resources.into_iter().flat_map(|resource| heroku.objects(resource)).collect()
}

/// A value as the test compares it, whether it comes from Heroku or from a table.
fn plain(kind: FieldKind, value: &Value) -> Value {
    match (kind, value) {
        (FieldKind::Time, Value::String(text)) => text.parse::<jiff::Timestamp>().map_or(Value::Null, |time| json!(time.as_microsecond())),
        (FieldKind::Number, Value::Number(number)) => json!(number.as_f64()),
        (FieldKind::Json, Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        (_, value) => value.clone(),
    }
}

/// Fields that an object has of itself and that nobody redacts.
fn fields(stream: &'static StreamDef) -> Vec<&'static FieldDef> {
    let is_within = |path: &str, above: &str| path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
    let is_redacted = |json: &str| stream.secrets.iter().any(|secret| is_within(json, secret.path) || is_within(secret.path, json));
    stream.fields.iter().filter(|field| field.origin == Origin::Object && !is_redacted(field.json)).collect()
}

fn key(stream: &'static StreamDef, of: impl Fn(&FieldDef) -> Value) -> Vec<String> {
    let parts = stream.key.iter().filter_map(|part| stream.field(part)).filter(|part| part.origin == Origin::Object);
    parts.map(|part| plain(part.kind, &of(part)).to_string()).collect()
}

fn columns<'a>(fields: impl IntoIterator<Item = &'a FieldDef>) -> String {
    let names: BTreeSet<String> = fields.into_iter().map(|field| format!("\"{}\"", field.column.name)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Compares each table with the objects that exist: the same keys, and the same values in all fields of a row that `is_compared`. Returns how
/// many streams and values were compared.
pub(crate) fn assert_same_objects(
    place: &Place,
    heroku: &Heroku,
    is_wanted: impl Fn(&StreamDef) -> bool,
    is_compared: impl Fn(&StreamDef, &FieldDef, &Value) -> bool,
) -> (usize, usize) {
    let (mut compared, mut values) = (0, 0);
    let there: BTreeSet<String> = place.rows_by_table().into_keys().collect();
    for stream in streams().iter().filter(|stream| is_stored(stream) && is_wanted(stream)) {
        let mut expected: BTreeMap<Vec<String>, Vec<Value>> = BTreeMap::new();
        for object in objects_of(heroku, stream) {
            expected.entry(key(stream, |part| at_path(&object, part.json).cloned().unwrap_or_default())).or_default().push(object);
        }
        let fields = fields(stream);
        let mut found: BTreeMap<Vec<String>, Vec<Value>> = BTreeMap::new();
        if there.contains(stream.name) {
            let parts = stream.key.iter().filter_map(|part| stream.field(part));
            let columns = columns(fields.iter().copied().chain(parts));
            for row in place.query(&format!("SELECT {columns}, _extra FROM {} WHERE _deleted_at IS NULL", stream.name)) {
                found.entry(key(stream, |part| row[part.column.name].clone())).or_default().push(row);
            }
        }
        let counts =
            |of: &BTreeMap<Vec<String>, Vec<Value>>| of.iter().map(|(key, all)| (key.clone(), all.len())).collect::<BTreeMap<_, _>>();
        let (heroku_has, lake_has) = (counts(&expected), counts(&found));
        let missing: Vec<_> = heroku_has.iter().filter(|(key, count)| lake_has.get(*key) != Some(count)).take(3).collect();
        let surplus: Vec<_> = lake_has.iter().filter(|(key, count)| heroku_has.get(*key) != Some(count)).take(3).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{}: Heroku has {} objects and the lake {}; of Heroku's the lake lacks {missing:?}; of the lake's Heroku lacks {surplus:?}: {:?}",
            stream.name,
            heroku_has.len(),
            lake_has.len(),
            surplus.first().map(|(key, _)| &found[*key])
        );
        compared += 1;
        for (key, objects) in expected.iter().filter(|(_, objects)| objects.len() == 1) {
            let (object, row) = (&objects[0], &found[key][0]);
            for field in fields.iter().filter(|field| is_compared(stream, field, row)) {
                let here = plain(field.kind, &row[field.column.name]);
                let there = plain(field.kind, at_path(object, field.json).unwrap_or(&Value::Null));
                assert_eq!(here, there, "{} of {} {key:?}, in the lake and at Heroku: {row}", field.json, stream.name);
                values += 1;
            }
        }
    }
    (compared, values)
}

/// The fewest requests in which any client can read all lists of a stream from the beginning: a page for each list and each 1,000
/// objects. Spans of time are one request each.
pub(crate) fn requests_at_least(heroku: &Heroku, stream: &StreamDef, is_first: bool) -> u64 {
    let spans = match stream.read {
        Read::Full | Read::Since { .. } => 1,
        Read::Days { trailing, first } => u64::from(if is_first { first } else { trailing }),
        Read::Window { ask: freshet_core::Ask::StartDuration, trailing, first, .. } => u64::from(if is_first { first } else { trailing }),
        Read::Window { .. } => 1,
    };
    let of_list = |list: &freshet_core::ListDef| match list.parent {
        None => (heroku.objects(list.resource).len() as u64).div_ceil(PAGE).max(1),
        Some(parent) => {
            let above = streams().iter().find(|stream| stream.name == parent.stream).unwrap();
            let pages = match parent.stream {
                // Below one of a thousand apps nothing fills a page; below the one team nearly all does.
                "teams" if is_stored(stream) => {
                    let resource = if list.resource == "team-app" { "app" } else { list.resource };
                    (heroku.objects(resource).len() as u64).div_ceil(PAGE).max(1)
                }
                _ => 1,
            };
            objects_of(heroku, above).len() as u64 * pages
        }
    };
    spans * stream.lists.iter().map(of_list).sum::<u64>()
}

/// One object through the times: each of its states, and `None` while it did not exist.
type Life = Vec<Option<Vec<Value>>>;

/// What Heroku's journal says of the objects of one stream.
pub(crate) struct Journal {
    stream: &'static StreamDef,
    entries: Vec<Value>,
}

impl Journal {
    /// Of a stream with a history.
    pub(crate) fn of(heroku: &Heroku, stream: &'static StreamDef) -> Self {
        let ask = |resource: &str| heroku.ask("GET", &format!("/_control/journal?resource={resource}"), "").as_array().unwrap().clone();
        let mut entries = ask(stream.lists[0].resource);
        if below_apps(stream) {
            // What cannot be reached any more is gone for everybody.
            entries.extend(ask("app"));
            entries.sort_by_key(|entry| entry["number"].as_u64());
        }
        Self { stream, entries }
    }

    /// The lives of the objects, as of each of the moments in `cuts` or, without any, through every change.
    fn lives(&self, cuts: Option<&[u64]>) -> BTreeMap<String, Life> {
        let fields = content(self.stream);
        let mut objects: BTreeMap<String, (Value, Option<String>)> = BTreeMap::new();
        let mut apps: BTreeMap<String, bool> = BTreeMap::new();
        let mut below: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut lives: BTreeMap<String, Life> = BTreeMap::new();
        let mut changed: BTreeSet<String> = BTreeSet::new();
        let mut settle = |changed: &mut BTreeSet<String>,
                          objects: &BTreeMap<String, (Value, Option<String>)>,
                          apps: &BTreeMap<String, bool>| {
            for id in std::mem::take(changed) {
                let (object, app) = &objects[&id];
                let is_reached = app.as_ref().is_none_or(|app| apps.get(app) != Some(&false));
                let state = (!object.is_null() && is_reached)
                    .then(|| fields.iter().map(|field| plain(field.kind, at_path(object, field.json).unwrap_or(&Value::Null))).collect());
                let life = lives.entry(id).or_default();
                if life.last() != Some(&state) && !(life.is_empty() && state.is_none()) {
                    life.push(state);
                }
            }
        };
        let mut cuts = cuts.map(|cuts| cuts.iter().copied().peekable());
        for entry in &self.entries {
            let number = entry["number"].as_u64().unwrap();
            if let Some(cuts) = &mut cuts
                && cuts.peek().is_some_and(|cut| *cut <= number)
            {
                settle(&mut changed, &objects, &apps);
                while cuts.peek().is_some_and(|cut| *cut <= number) {
                    cuts.next();
                }
            }
            let id = entry["id"].as_str().unwrap().to_owned();
            if below_apps(self.stream) && entry["resource"] == "app" {
                if entry["action"] != "update" {
                    apps.insert(id.clone(), entry["action"] == "create");
                    changed.extend(below.get(&id).into_iter().flatten().cloned());
                }
            } else {
                let (object, app) = objects.entry(id.clone()).or_default();
                match entry["action"].as_str() {
                    Some("destroy") => *object = Value::Null,
                    Some("update") => object.as_object_mut().unwrap().extend(entry["fields"].as_object().unwrap().clone()),
                    _ => *object = entry["fields"].clone(),
                }
                if below_apps(self.stream) && app.is_none() {
                    *app = entry["app"].as_str().map(str::to_owned);
                    below.entry(app.clone().unwrap_or_default()).or_default().push(id.clone());
                }
                changed.insert(id);
            }
            if cuts.is_none() {
                settle(&mut changed, &objects, &apps);
            }
        }
        settle(&mut changed, &objects, &apps);
        lives
    }
}

/// Whether all lists of the stream hang below apps.
fn below_apps(stream: &StreamDef) -> bool {
    stream.lists.iter().all(|list| list.parent.is_some_and(|parent| parent.stream == "apps"))
}

/// What makes a version.
fn content(stream: &'static StreamDef) -> Vec<&'static FieldDef> {
    fields(stream).into_iter().filter(|field| !stream.is_volatile(field.json)).collect()
}

/// Moments of the journal, for [`assert_same_history`].
pub(crate) fn journal_length(heroku: &Heroku) -> u64 {
    heroku.status()["changes"].as_u64().unwrap()
}

/// Holds a table of versions against Heroku's journal: the versions of an object follow each other without overlap, no two in a row
/// are equal, each was so at Heroku, in that order, and each object that exists has one that is current. With `cuts`, the moments of
/// all syncs, nothing else may have been and nothing may be missing. Returns how many versions there are.
pub(crate) fn assert_same_history(place: &Place, heroku: &Heroku, stream: &'static StreamDef, cuts: Option<&[u64]>) -> usize {
    let lives = Journal::of(heroku, stream).lives(cuts);
    let fields = content(stream);
    let mut versions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let sql = format!(
        "SELECT {}, valid_from, valid_to, is_current, _extra FROM {}_history ORDER BY id, valid_from",
        columns(fields.iter().copied()),
        stream.name
    );
    for row in place.query(&sql) {
        versions.entry(row["id"].as_str().unwrap().to_owned()).or_default().push(row);
    }
    let states_of = |row: &Value| fields.iter().map(|field| plain(field.kind, &row[field.column.name])).collect::<Vec<_>>();
    for (id, versions) in &versions {
        let name = format!("{} {id}", stream.name);
        let mut told: Vec<Option<&Value>> = Vec::new();
        for (index, version) in versions.iter().enumerate() {
            let (from, to) = (time(&version["valid_from"]).unwrap(), time(&version["valid_to"]));
            let next = versions.get(index + 1).map(|next| time(&next["valid_from"]).unwrap());
            let is_last = next.is_none();
            assert!(to.is_none_or(|to| from < to) && (to.is_none() == (version["is_current"] == true)), "{name}: {version}");
            assert!(is_last || to.is_some_and(|to| Some(to) <= next), "{name}: versions overlap: {versions:#?}");
            told.push(Some(version));
            if to.is_some() && to != next {
                told.push(None);
            } else if let Some(next) = versions.get(index + 1) {
                // A field that is not compared may have come with another type.
                let is_odd = !version["_extra"].is_null() || !next["_extra"].is_null();
                assert!(is_odd || states_of(version) != states_of(next), "{name}: a version without a change: {version} {next}");
            }
        }
        let life = lives.get(id).unwrap_or_else(|| panic!("{name} is in the history and was never at Heroku"));
        let show = || format!("{name}\nin the lake: {told:#?}\nat Heroku: {life:#?}");
        if cuts.is_some() {
            let told: Life = told.iter().map(|version| version.map(states_of)).collect();
            assert!(told == *life, "{}", show());
            continue;
        }
        let mut from = 0;
        // What was out of sight when the list was asked that would have told it whole.
        let is_partial = stream.lists.len() > 1;
        for version in &told {
            let lacks = |field: &FieldDef| is_partial && stream.lists.iter().any(|list| list.lacks.contains(&field.json));
            // Not from the next one on: what came with another type made a version of its own of the same state.
            let found = life[from..].iter().position(|state| match (state, version) {
                (None, None) => true,
                (Some(state), Some(version)) => is_version_of(&fields, version, state, lacks),
                _ => false,
            });
            let further =
                found.unwrap_or_else(|| panic!("what the lake tells was never so, or not in this order: {version:?}\n{}", show()));
            from += further;
        }
    }
    if cuts.is_some() {
        let missing: Vec<_> = lives.iter().filter(|(id, life)| !life.is_empty() && !versions.contains_key(*id)).take(3).collect();
        assert!(missing.is_empty(), "{}: without a version: {missing:?}", stream.name);
    }
    let differ = format!(
        "SELECT count(*) FROM (SELECT id FROM {0} WHERE _deleted_at IS NULL) t FULL OUTER JOIN \
         (SELECT id, count(*) AS versions FROM {0}_history WHERE is_current GROUP BY id) h ON t.id = h.id \
         WHERE t.id IS NULL OR h.id IS NULL OR h.versions <> 1",
        stream.name
    );
    assert_eq!(place.number(&differ), 0, "{}: objects that exist and current versions", stream.name);
    let columns = columns(fields.iter().copied());
    let differ = format!(
        "SELECT count(*) FROM (SELECT {columns} FROM {0} WHERE _deleted_at IS NULL EXCEPT SELECT {columns} FROM {0}_history WHERE is_current)",
        stream.name
    );
    assert_eq!(place.number(&differ), 0, "{}: rows and their current versions", stream.name);
    versions.values().map(Vec::len).sum()
}

/// Whether `row` tells of `state`. What came with another type is not in its column but in `_extra`; where nothing was expected a 7
/// is a number like any other, and JSON may be anything.
fn is_version_of(fields: &[&FieldDef], row: &Value, state: &[Value], lacks: impl Fn(&FieldDef) -> bool) -> bool {
    fields.iter().zip(state).all(|(field, expected)| {
        let cell = plain(field.kind, &row[field.column.name]);
        let was_of_another_type = (cell.is_null() && !row["_extra"].is_null()) || (expected.is_null() && cell.as_f64() == Some(7.0));
        cell == *expected || (cell.is_null() && lacks(field)) || was_of_another_type || field.kind == FieldKind::Json
    })
}

fn time(value: &Value) -> Option<i64> {
    moment(value.as_str()?)
}
