use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::platform::{stream, streams};

fn rows(name: &str, objects: &[Value]) -> (RecordBatch, BTreeMap<Drift, u64>) {
    let mut rows = Objects::new(stream(name).unwrap());
    for object in objects {
        rows.add(Listed { object, parent: None, request: &[] });
    }
    let ObjectRows { batch, drift, .. } = rows.finish(Micros(7)).unwrap();
    (batch, drift)
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

#[test]
fn an_object_becomes_a_row() {
    let app = json!({
        "id": "01234567-89ab-cdef-0123-456789abcdef", "name": "shop", "created_at": "2026-01-31T10:00:00Z", "maintenance": false,
        "slug_size": 1234, "repo_size": null, "owner": { "id": "o", "email": "dev@example.com" }, "region": { "id": "r", "name": "eu" },
    });
    let (batch, drift) = rows("apps", &[app]);
    assert_eq!(drift, BTreeMap::new());
    assert_eq!(text(&batch, "name", 0).as_deref(), Some("shop"));
    assert_eq!(text(&batch, "owner_email", 0).as_deref(), Some("dev@example.com"));
    assert_eq!(batch.column_by_name("slug_size").unwrap().as_primitive::<Int64Type>().value(0), 1234);
    assert!(batch.column_by_name("repo_size").unwrap().is_null(0));
    assert_eq!(batch.column_by_name("created_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0), 1_769_853_600_000_000);
    assert_eq!(batch.column_by_name("_synced_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0), 7);
    assert_eq!((text(&batch, "_extra", 0), batch.column_by_name("_deleted_at").unwrap().is_null(0)), (None, true));
    assert!(text(&batch, "_raw", 0).unwrap().contains("\"shop\""));
}

#[test]
fn what_is_new_or_of_another_type_is_kept_and_told() {
    let (batch, drift) = rows(
        "apps",
        &[
            json!({ "id": "a", "name": 7, "created_at": "yesterday", "planet": "mars", "owner": { "id": "o", "shoe_size": 43 } }),
            json!({ "id": "b", "name": "fine", "owner": "me" }),
        ],
    );
    let field = |path: &str| Drift::Field { path: path.to_owned() };
    let kind = |path: &str, found: &'static str| Drift::Type { path: path.to_owned(), found };
    let expected = [field("owner"), field("owner.shoe_size"), field("planet"), kind("created_at", "text"), kind("name", "number")];
    assert_eq!(drift.keys().cloned().collect::<Vec<_>>(), expected);
    let extra: Value = serde_json::from_str(&text(&batch, "_extra", 0).unwrap()).unwrap();
    assert_eq!(extra, json!({ "planet": "mars", "owner.shoe_size": 43, "name": 7, "created_at": "yesterday" }));
    assert_eq!(text(&batch, "_extra", 1).as_deref(), Some("{\"owner\":\"me\"}"));
    assert_eq!((text(&batch, "name", 0), text(&batch, "name", 1).as_deref()), (None, Some("fine")));
}

#[test]
fn an_object_hangs_where_it_was_listed_whatever_it_says() {
    let parent = json!({ "id": "a" });
    let check = |app: Value, drifts: usize| {
        let mut rows = Objects::new(stream("releases").unwrap());
        rows.add(Listed { object: &json!({ "id": "r", "app": app }), parent: Some(("apps", &parent)), request: &[] });
        let ObjectRows { batch, drift, .. } = rows.finish(Micros(7)).unwrap();
        assert_eq!((text(&batch, "app_id", 0).as_deref(), drift.len()), (Some("a"), drifts), "{drift:?}");
    };
    check(json!({ "id": "a" }), 0);
    check(json!(null), 0);
    check(json!("another type"), 1);
    check(json!({ "id": 7 }), 1);
}

#[test]
fn what_nothing_names_is_a_reject() {
    let mut rows = Objects::new(stream("apps").unwrap());
    let nameless = [json!({ "id": null }), json!({ "name": "x" }), json!({ "id": 7 }), json!([{ "id": "b" }]), json!("c")];
    for object in nameless.iter().chain([&json!({ "id": "a" })]) {
        rows.add(Listed { object, parent: None, request: &[] });
    }
    let ObjectRows { batch, rejects, drift } = rows.finish(Micros(7)).unwrap();
    assert_eq!((batch.num_rows(), drift), (1, BTreeMap::from([(Drift::Key { path: "id".to_owned() }, 5)])));
    let rejects = rejects.unwrap();
    let bytes = rejects.column_by_name("bytes").unwrap().as_binary::<i32>();
    let kept: Vec<Value> = bytes.iter().map(|bytes| serde_json::from_slice(bytes.unwrap()).unwrap()).collect();
    assert_eq!(kept, nameless);
    let ids: std::collections::BTreeSet<_> = (0..5).map(|row| text(&rejects, "frame_id", row).unwrap()).collect();
    assert!(ids.len() == 5 && ids.iter().all(|id| id.starts_with("object-")), "{ids:?}");
    assert_eq!((text(&rejects, "source_name", 0).as_deref(), text(&rejects, "reason", 0).as_deref()), (Some("apps"), Some("nameless")));
}

/// `object` with a name, as far as that is its own.
fn named(stream: &StreamDef, mut object: Value) -> Value {
    if !object.is_object() {
        object = json!({ "x": object });
    }
    for part in stream.key.iter().filter_map(|part| stream.field(part)).filter(|part| part.origin == Origin::Object) {
        let mut at = &mut object;
        for name in part.json.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[name];
        }
        *at = match part.kind {
            FieldKind::Integer | FieldKind::Number => json!(1),
            FieldKind::Boolean => json!(true),
            FieldKind::Date => json!("2026-01-31"),
            FieldKind::Time => json!("2026-01-31T10:00:00Z"),
            FieldKind::Text | FieldKind::Json => json!("name"),
        };
    }
    object
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("2026-01-31T10:00:00Z")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(id|name|owner|app|url|token|x)", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the API sends, every object is a row: of its own table if it has a name, else of the rejects.
    #[test]
    fn anything_becomes_a_row(index in any::<prop::sample::Index>(), objects in prop::collection::vec(value(), 0..4)) {
        let stream = index.get(streams());
        let mut rows = Objects::new(stream);
        for object in &objects {
            rows.add(Listed { object, parent: None, request: &[] });
        }
        let is_own = stream.key.iter().filter_map(|part| stream.field(part)).all(|part| part.origin == Origin::Object);
        for object in &objects {
            rows.add(Listed { object: &named(stream, object.clone()), parent: None, request: &[] });
        }
        let ObjectRows { batch, rejects, .. } = rows.finish(Micros(1)).unwrap();
        let at_least = if is_own { objects.len() } else { 0 };
        prop_assert!(batch.num_rows() >= at_least, "{} rows, {at_least} at least", batch.num_rows());
        prop_assert_eq!(batch.num_rows() + rejects.map_or(0, |rejects| rejects.num_rows()), 2 * objects.len());
        prop_assert_eq!(batch.schema(), stream.table.arrow_schema());
    }

    /// A secret that the catalogue names is nowhere in the row.
    #[test]
    fn secrets_are_nowhere(index in any::<prop::sample::Index>()) {
        let stream = index.get(streams());
        let mut object = json!({});
        for secret in stream.secrets.iter().filter(|secret| secret.rule == freshet_core::SecretRule::Remove) {
            let mut at = &mut object;
            for name in secret.path.split('.') {
                at = &mut at[name];
            }
            *at = json!("s3cret-v4lue");
        }
        let mut rows = Objects::new(stream);
        rows.add(Listed { object: &named(stream, object), parent: None, request: &[] });
        let batch = rows.finish(Micros(1)).unwrap().batch;
        for column in batch.columns().iter().filter_map(|column| column.as_string_opt::<i32>()) {
            prop_assert!(!column.iter().flatten().any(|text| text.contains("s3cret-v4lue")));
        }
    }
}
