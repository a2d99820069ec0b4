//! The catalogue of streams against what Heroku says of itself: the names and types that the fake Heroku is made from, and
//! the schema and the list of collections where they lie beside the repository.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may fail, and say that it was skipped")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use freshet_core::{FieldDef, FieldKind, ListDef, Origin, Shape, StreamDef};
use freshet_tables::platform::{differences, left_out, paths_of, streams};
use serde_json::Value;

/// What is at the end of each path of an object.
type Leaves = BTreeMap<String, FieldKind>;

/// What the lists of members and of webhooks show of their objects; the fake Heroku does not.
const NOT_IN_FAKE: [(&str, &str); 3] =
    [("enterprise-account-member", "last_login"), ("app-webhook", "app.id"), ("app-webhook", "app.name")];

/// Columns of `streams.tsv`.
const RESOURCE: usize = 0;
const TARGET: usize = 1;
const TITLE: usize = 2;
const PATH: usize = 3;
const CLASS: usize = 16;

fn in_repository(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn beside_repository(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heroku").join(file);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: there is no {}", path.display());
    }
    text
}

/// Every list of every stream.
fn lists() -> impl Iterator<Item = (&'static StreamDef, &'static ListDef)> {
    streams().iter().flat_map(|stream| stream.lists.iter().map(move |list| (stream, list)))
}

/// The fields that objects of a list have.
fn fields_of(stream: &'static StreamDef, list: &'static ListDef) -> impl Iterator<Item = &'static FieldDef> {
    stream.fields.iter().filter(|field| field.origin == Origin::Object && !list.lacks.contains(&field.json))
}

/// A path with all placeholders alike.
fn shape_of(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[test]
fn fields_are_those_that_the_fake_heroku_knows() {
    let mut resources: BTreeMap<String, Leaves> = BTreeMap::new();
    for row in in_repository("fake-heroku/data/resources.tsv").lines().filter(|row| !row.starts_with('#')) {
        let [resource, path, kind]: [&str; 3] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let kind = match kind.trim_end_matches('?') {
            "time" => FieldKind::Time,
            "date" => FieldKind::Date,
            "integer" => FieldKind::Integer,
            "number" => FieldKind::Number,
            "boolean" => FieldKind::Boolean,
            kind if kind.starts_with("object") || kind.starts_with("array") => FieldKind::Json,
            _ => FieldKind::Text,
        };
        resources.entry(resource.to_owned()).or_default().insert(path.to_owned(), kind);
    }
    for (stream, list) in lists() {
        let known = &resources[list.resource];
        for field in fields_of(stream, list).filter(|field| !NOT_IN_FAKE.contains(&(list.resource, field.json))) {
            assert_eq!(known.get(field.json), Some(&field.kind), "{} by {}: {}", stream.name, list.path, field.json);
        }
        for lacking in list.lacks {
            assert!(!known.contains_key(*lacking), "{} has {lacking}", list.path);
        }
    }
}

#[test]
fn paths_are_those_that_the_fake_heroku_serves() {
    let routes = in_repository("fake-heroku/data/routes.tsv");
    let routes: Vec<Vec<_>> = routes.lines().map(|row| row.split('\t').collect()).filter(|row: &Vec<_>| row[0] == "GET").collect();
    for (stream, list) in lists() {
        let route = routes.iter().find(|row| shape_of(row[1]) == shape_of(list.path));
        let route = route.unwrap_or_else(|| panic!("{}: there is no GET {}", stream.name, list.path));
        assert_eq!(route[2], list.resource, "{}", list.path);
        assert!(list.shape == Shape::One || route[3] == "list", "{}", list.path);
    }
}

#[test]
fn every_field_is_in_the_schema_and_every_property_is_a_field_or_left_out() {
    let Some(schema) = beside_repository("platform-schema.json") else { return };
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(differences(&schema), []);
    let mut problems = Vec::new();
    for (stream, list) in lists() {
        let mut problem = |path: &str, what: &str| problems.push(format!("{} by {}: {path} {what}", stream.name, list.path));
        let known = paths_of(&schema, list.resource).unwrap();
        for field in fields_of(stream, list) {
            let kind = known.get(field.json);
            if kind != Some(&field.kind) {
                problem(field.json, &format!("is {kind:?} in the schema, {:?} here", field.kind));
            }
        }
        for path in known.keys() {
            if list.lacks.contains(&path.as_str()) {
                problem(path, "is there, although it is said to lack");
            }
            if !stream.knows(path) {
                problem(path, "is neither a field nor left out");
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_is_left_out_or_secret_is_something_that_is_there() {
    let Some(schema) = beside_repository("platform-schema.json") else { return };
    let schema: Value = serde_json::from_str(&schema).unwrap();
    for stream in streams() {
        let mut known = Leaves::new();
        for list in stream.lists {
            known.extend(paths_of(&schema, list.resource).unwrap());
        }
        let left_out = stream.left_out.iter().map(|left_out| left_out.what);
        for path in left_out.chain(stream.secrets.iter().map(|secret| secret.path)) {
            // The schema does not look into open objects and arrays.
            assert!(known.keys().any(|known| is_within(known, path) || is_within(path, known)), "{}: there is no {path}", stream.name);
        }
    }
}

#[test]
fn every_core_and_reference_collection_has_a_stream() {
    let Some(collections) = beside_repository("streams.tsv") else { return };
    let resources: BTreeSet<_> = lists().map(|(_, list)| list.resource).collect();
    let paths: BTreeSet<_> = lists().map(|(_, list)| shape_of(list.path)).collect();
    let mut known = BTreeSet::new();
    let mut without = BTreeSet::new();
    for row in collections.lines().skip(1) {
        let row: Vec<_> = row.split('\t').collect();
        let (resource, class) = (row[RESOURCE], row[CLASS]);
        known.insert(resource);
        let has_stream = resources.contains(resource) || resources.contains(row[TARGET]) || paths.contains(&shape_of(row[PATH]));
        let is_left_out = left_out().iter().any(|left_out| left_out.what == resource);
        assert!(!is_left_out || !resources.contains(resource), "{resource} is both read and left out");
        // Of one object there is no collection: it may be left out, but not forgotten.
        let is_asked_for = class.starts_with(['A', 'C']) && !row[TITLE].starts_with("(GET of ONE");
        let is_skipped = is_left_out || class.starts_with('E');
        if !has_stream && (is_asked_for || !is_skipped) {
            without.insert(format!("{resource} ({class})"));
        }
    }
    assert!(without.is_empty(), "no stream reads {without:?}");
    for left_out in left_out() {
        assert!(known.contains(left_out.what), "{} is left out, but no collection", left_out.what);
    }
}
