//! Objects that are merged into managed tables: against a model, again, late, and by several.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use freshet_core::{
    ColumnDef, ColumnType, Complete, DELETED_AT, Destination, IS_CURRENT, LoadId, Merge, MergeMode, Merged, Micros, Mirror, SYNCED_AT,
    ShardId, TableDef, TableKind, VALID_FROM, VALID_TO,
};
use freshet_destinations::databricks::{Managed, ManagedOptions};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{FAULTS, TestTables, workspace};
use crate::rigs::Rig;

const ID: ColumnDef = ColumnDef { name: "id", column_type: ColumnType::Text, nullable: false, comment: "Key" };
const PARENT: ColumnDef = ColumnDef { name: "app_id", column_type: ColumnType::Text, nullable: true, comment: "Parent" };
const SIZE: ColumnDef = ColumnDef { name: "size", column_type: ColumnType::Long, nullable: true, comment: "A value" };
const CONFIG: ColumnDef = ColumnDef { name: "config", column_type: ColumnType::TextMap, nullable: true, comment: "Values by name" };

static THINGS: TableDef = TableDef {
    name: "things",
    comment: "Objects with a key",
    kind: TableKind::Platform,
    columns: &[
        ID,
        PARENT,
        SIZE,
        CONFIG,
        ColumnDef { name: SYNCED_AT, column_type: ColumnType::Timestamp, nullable: false, comment: "When" },
        ColumnDef { name: DELETED_AT, column_type: ColumnType::Timestamp, nullable: true, comment: "Gone since" },
    ],
};

static VERSIONS: TableDef = TableDef {
    name: "things_history",
    comment: "Versions of objects",
    kind: TableKind::Platform,
    columns: &[
        ID,
        PARENT,
        SIZE,
        ColumnDef { name: "note", column_type: ColumnType::Text, nullable: true, comment: "Makes no version" },
        ColumnDef { name: VALID_FROM, column_type: ColumnType::Timestamp, nullable: false, comment: "Since when" },
        ColumnDef { name: VALID_TO, column_type: ColumnType::Timestamp, nullable: true, comment: "Until when" },
        ColumnDef { name: IS_CURRENT, column_type: ColumnType::Boolean, nullable: false, comment: "Whether it holds" },
    ],
};

/// Values by name, in one order or in the other.
fn config(objects: &[(u32, Option<i64>)], is_turned: bool) -> ArrayRef {
    let names = arrow_array::builder::MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let text = arrow_array::builder::StringBuilder::new;
    let mut builder = arrow_array::builder::MapBuilder::new(Some(names), text(), text());
    for (id, _) in objects {
        let mut entries = [("A", format!("a{id}")), ("B", "b".to_owned())];
        if is_turned {
            entries.reverse();
        }
        for (name, value) in entries {
            builder.keys().append_value(name);
            builder.values().append_value(value);
        }
        builder.append(true).unwrap();
    }
    Arc::new(builder.finish())
}

fn merge_into(table: &'static TableDef, objects: &[(u32, Option<i64>)], complete: Complete, at: i64) -> Merge {
    let schema = table.arrow_schema();
    let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
        match field.name().as_str() {
            "id" => Arc::new(objects.iter().map(|(id, _)| Some(format!("id-{id}"))).collect::<StringArray>()),
            "app_id" => Arc::new(objects.iter().map(|(id, _)| Some(format!("app-{}", id % 3))).collect::<StringArray>()),
            "size" => Arc::new(objects.iter().map(|(_, size)| *size).collect::<Int64Array>()),
            "config" => config(objects, at % 2 == 0),
            "note" => Arc::new(objects.iter().map(|_| Some(format!("at {at}"))).collect::<StringArray>()),
            SYNCED_AT => Arc::new(TimestampMicrosecondArray::from_value(at, objects.len()).with_timezone("UTC")),
            _ => new_null_array(field.data_type(), objects.len()),
        }
    };
    let batch = RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect()).unwrap();
    // As a run brings them: in the shape of the objects' own table, without the columns of versions.
    let is_own = |name: &str| ![VALID_FROM, VALID_TO, IS_CURRENT].contains(&name);
    let places: Vec<usize> = (0..schema.fields().len()).filter(|place| is_own(schema.field(*place).name())).collect();
    let batch = batch.project(&places).unwrap();
    // Two batches, because one is the easy case.
    let half = objects.len() / 2;
    Merge {
        table,
        mode: if table.name == THINGS.name { MergeMode::Replace } else { MergeMode::Versions { ignored: vec!["note"] } },
        load_id: LoadId(u128::from(at.unsigned_abs())),
        key: vec!["id"],
        batches: vec![batch.slice(0, half), batch.slice(half, objects.len() - half)],
        complete,
        at: Micros(at),
        bookmarks: Vec::new(),
    }
}

fn merge(objects: &[(u32, i64)], complete: Complete, at: i64) -> Merge {
    let objects: Vec<(u32, Option<i64>)> = objects.iter().map(|(id, size)| (*id, Some(*size))).collect();
    merge_into(&THINGS, &objects, complete, at)
}

/// Value, since when as it is, and since when gone, by id.
type Things = BTreeMap<u32, (Option<i64>, i64, Option<i64>)>;

fn number(id: &str) -> u32 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

async fn things(test: &TestTables) -> Things {
    test.quiet().await;
    let mut found = BTreeMap::new();
    for batch in test.rows(&THINGS) {
        let (ids, sizes) = (batch.column(0).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        let time = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let object =
                (sizes.is_valid(row).then(|| sizes.value(row)), time(4).value(row), time(5).is_valid(row).then(|| time(5).value(row)));
            assert_eq!(found.insert(number(ids.value(row)), object), None, "{} is there twice", ids.value(row));
        }
    }
    found
}

/// Id, value, since when, until when.
type Version = (u32, Option<i64>, i64, Option<i64>);

async fn versions(test: &TestTables) -> Vec<Version> {
    test.quiet().await;
    let mut found = Vec::new();
    for batch in test.rows(&VERSIONS) {
        let (ids, sizes) = (batch.column(0).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        let time = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            assert_eq!(batch.column(6).as_boolean().value(row), time(5).is_null(row));
            let until = time(5).is_valid(row).then(|| time(5).value(row));
            found.push((number(ids.value(row)), sizes.is_valid(row).then(|| sizes.value(row)), time(4).value(row), until));
        }
    }
    found.sort_unstable();
    found
}

fn counts(merged: &Merged) -> (u64, u64, u64, u64) {
    (merged.inserted, merged.updated, merged.deleted, merged.unchanged)
}

/// What the list makes of the table, and how many objects it changes.
fn model(table: &mut Things, objects: &BTreeMap<u32, Option<i64>>, complete: &Complete, at: i64) -> u64 {
    let mut changes = 0;
    for (id, size) in objects {
        if table.get(id).is_none_or(|known| known.0 != *size || known.2.is_some()) {
            table.insert(*id, (*size, at, None));
            changes += 1;
        }
    }
    for (id, known) in table.iter_mut().filter(|(id, known)| !objects.contains_key(id) && known.2.is_none()) {
        let is_covered = match complete {
            Complete::No => false,
            Complete::All => true,
            Complete::Below { parents, .. } => parents.contains(&format!("app-{}", id % 3)),
        };
        if is_covered {
            *known = (known.0, at, Some(at));
            changes += 1;
        }
    }
    changes
}

fn complete() -> impl Strategy<Value = Complete> {
    let below = prop::collection::btree_set(0_u8..3, 0..3).prop_map(|parents| Complete::Below {
        column: "app_id",
        parents: parents.into_iter().map(|parent| format!("app-{parent}")).collect::<BTreeSet<_>>(),
    });
    prop_oneof![Just(Complete::No), Just(Complete::All), below]
}

fn lists() -> impl Strategy<Value = Vec<(BTreeMap<u32, Option<i64>>, Complete, bool)>> {
    let objects = prop::collection::btree_map(0_u32..12, prop::option::of(0_i64..3), 0..10);
    prop::collection::vec((objects, complete(), any::<bool>()), 1..7)
}

/// Tables follow lists that chance makes. Every other process dies in the middle of its work, and another goes on.
async fn follow(test: &TestTables, runner: &mut TestRunner, can_die: bool) {
    let (mut expected, mut past): (Things, Vec<Version>) = (BTreeMap::new(), Vec::new());
    let mut tables = test.other();
    for (at, (objects, complete, dies)) in (1_i64..).zip(lists().new_tree(runner).unwrap().current()) {
        let given: Vec<(u32, Option<i64>)> = objects.iter().map(|(id, size)| (*id, *size)).collect();
        let is_all = matches!(complete, Complete::All);
        for version in past.iter_mut().filter(|version| version.3.is_none()) {
            let holds = objects.get(&version.0).map_or(!is_all, |size| *size == version.1);
            version.3 = (!holds).then_some(at);
        }
        for (id, size) in &objects {
            if !past.iter().any(|version| version.0 == *id && version.3.is_none()) {
                past.push((*id, *size, at, None));
            }
        }
        past.sort_unstable();
        let changes = model(&mut expected, &objects, &complete, at);
        let things_merge = merge_into(&THINGS, &given, complete, at);
        let versions_merge = merge_into(&VERSIONS, &given, if is_all { Complete::All } else { Complete::No }, at);
        if can_die && dies {
            for merge in [&things_merge, &versions_merge] {
                let life = Duration::from_millis(37 * u64::try_from(at).unwrap() % 200);
                let _ = tokio::time::timeout(life, tables.merge(merge)).await;
                tables = test.other();
            }
        }
        let merged = tables.merge(&things_merge).await.unwrap();
        tables.merge(&versions_merge).await.unwrap();
        if !can_die {
            assert_eq!(merged.inserted + merged.updated + merged.deleted, changes);
            assert_eq!(merged.inserted + merged.updated + merged.unchanged, given.len() as u64);
            assert_eq!(merged.committed.is_some(), changes > 0);
        }
        let again = tables.merge(&things_merge).await.unwrap();
        assert_eq!((again.inserted + again.updated + again.deleted, again.committed), (0, None));
        assert_eq!(things(test).await, expected, "after list {at}");
        assert_eq!(versions(test).await, past, "after list {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_what_the_lists_said() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), seeded());
    for _ in 0..6 {
        follow(&TestTables::fresh(&rig), &mut runner, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_what_the_lists_said_though_processes_die() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), seeded());
    rig.tell("settings", r#"{"statement_ms": [0, 40]}"#);
    let rounds = if std::env::var_os("FRESHET_FULL").is_some() { 30 } else { 3 };
    for round in 0..rounds {
        rig.tell("faults", &format!(r#"{{"seed": {round}, {FAULTS}}}"#));
        follow(&TestTables::fresh(&rig), &mut runner, true).await;
    }
}

fn seeded() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_of_a_dead_process_does_not_undo_what_came_after() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    test.tables.merge(&merge(&[(1, 10), (2, 20)], Complete::All, 1)).await.unwrap();
    // Its MERGE is on its way when it dies, and begins when another process has long gone on.
    rig.tell("faults", r#"{"zombie": 1, "zombie_ms": [900, 901], "only": "AS t USING"}"#);
    let (dying, old) = (test.other(), merge(&[(1, 11), (3, 30)], Complete::All, 2));
    let ended = tokio::time::timeout(Duration::from_millis(500), dying.merge(&old)).await;
    assert!(ended.is_err() && test.state()["busy"] != 0, "{ended:?}");
    rig.tell("faults", "{}");
    let quick = ManagedOptions { merge_patience: Duration::ZERO, ..ManagedOptions::new("main", &test.schema) };
    Managed::new(workspace(&rig), quick).merge(&merge(&[(1, 12)], Complete::All, 3)).await.unwrap();
    assert!(test.state()["busy"] != 0, "it has come before");
    let now = things(&test).await;
    assert_eq!(now[&1].0, Some(12), "{now:?}");
    assert!(now.iter().all(|(id, object)| *id == 1 || object.2.is_some()), "{now:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_before_its_objects_are_in_moves_no_bookmark() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    let shard = ShardId::new("freshet/sync/things/a");
    let with =
        |objects: &[(u32, i64)], at, position| Merge { bookmarks: vec![(shard.clone(), position)], ..merge(objects, Complete::No, at) };
    test.tables.merge(&with(&[(1, 10)], 1, 5)).await.unwrap();
    rig.tell("faults", r#"{"zombie": 1, "zombie_ms": [4000, 4001], "only": "AS t USING"}"#);
    let dying = test.other();
    let ended = tokio::time::timeout(Duration::from_millis(800), dying.merge(&with(&[(2, 20)], 2, 9))).await;
    assert!(ended.is_err() && test.state()["busy"] != 0, "{ended:?}");
    rig.tell("faults", "{}");
    let after = test.other();
    assert_eq!(after.bookmarks(&THINGS, "freshet/sync/things/").await.unwrap().into_values().collect::<Vec<_>>(), [5]);
    assert!(test.state()["busy"] != 0, "it has come before");
    // So it is read again, and merged.
    let quick = ManagedOptions { merge_patience: Duration::ZERO, ..ManagedOptions::new("main", &test.schema) };
    Managed::new(workspace(&rig), quick).merge(&with(&[(2, 20)], 3, 9)).await.unwrap();
    assert_eq!(test.other().bookmarks(&THINGS, "freshet/sync/things/").await.unwrap().into_values().collect::<Vec<_>>(), [9]);
    assert_eq!(things(&test).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_once_is_added_and_never_changed() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    let told = |objects: &[(u32, i64)], at| Merge { mode: MergeMode::IfNew, ..merge(objects, Complete::No, at) };
    // Of two with one key the later counts.
    assert_eq!(counts(&test.tables.merge(&told(&[(1, 9), (2, 20), (1, 10)], 1)).await.unwrap()), (2, 0, 0, 0));
    test.tables.merge(&merge(&[(2, 21)], Complete::No, 2)).await.unwrap();
    let form = test.tables.standing(THINGS.name).await.unwrap();
    let again = test.other().merge(&told(&[(2, 20), (1, 11)], 3)).await.unwrap();
    assert_eq!((counts(&again), test.tables.standing(THINGS.name).await.unwrap()), ((0, 0, 0, 2), form), "nothing was written");
    assert_eq!(counts(&test.tables.merge(&told(&[(1, 11), (3, 30)], 4)).await.unwrap()), (1, 0, 0, 1));
    let sizes: Vec<Option<i64>> = things(&test).await.values().map(|object| object.0).collect();
    assert_eq!(sizes, [Some(10), Some(21), Some(30)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bookmark_lands_after_the_rows_and_only_goes_forward() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    let at = |app: &str| ShardId::new(&format!("freshet/sync/things/{app}"));
    let with = |merge: Merge, bookmarks: &[(&str, u64)]| Merge {
        bookmarks: bookmarks.iter().map(|(app, position)| (at(app), *position)).collect(),
        ..merge
    };
    let marks = async |tables: &Managed| tables.bookmarks(&THINGS, "freshet/sync/things/").await.unwrap().into_values().collect::<Vec<_>>();
    let tables = &test.tables;
    assert_eq!(marks(tables).await, [0_u64; 0]);
    assert!(tables.set_bookmarks(&THINGS, &[(at("a"), 0)]).await.is_err(), "there is no table yet");
    tables.merge(&with(merge(&[(1, 10)], Complete::No, 1), &[("a", 5), ("b", 7)])).await.unwrap();
    assert_eq!(marks(tables).await, [5, 7]);
    let again = tables.merge(&with(merge(&[(1, 10)], Complete::No, 2), &[("a", 5), ("b", 6)])).await.unwrap();
    assert_eq!((again.committed, marks(tables).await), (None, vec![5, 7]));
    // Nothing but a bookmark has moved.
    tables.merge(&with(merge(&[], Complete::No, 3), &[("a", 6)])).await.unwrap();
    assert_eq!(marks(&test.other()).await, [6, 7]);
    tables.set_bookmarks(&THINGS, &[(at("a"), 0)]).await.unwrap();
    assert_eq!((marks(tables).await, marks(&test.other()).await), (vec![0, 7], vec![0, 7]));
    assert_eq!(tables.history(&THINGS, None).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_that_merge_lose_nothing() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"statement_ms": [0, 10]}"#);
    let test = TestTables::fresh(&rig);
    test.tables.prepare(&THINGS).await.unwrap();
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let tables = test.other();
            tokio::spawn(async move {
                for round in 0..4_u32 {
                    // Objects of its own, and one that all write.
                    let own = (100 * (writer + 1) + round, 0);
                    let mine = merge(&[own, (7, i64::from(10 * round + writer))], Complete::No, i64::from(round + 1));
                    while let Err(error) = tables.merge(&mine).await {
                        assert!(error.is_transient(), "{error:?}");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let found = things(&test).await;
    assert_eq!(found.len(), 17);
    assert!((30..=33).contains(&found[&7].0.unwrap()), "the last round of somebody: {:?}", found[&7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_for_one_answer_comes_in_parts() {
    static NOTES: TableDef = TableDef {
        name: "notes",
        comment: "",
        kind: TableKind::Platform,
        columns: &[ID, ColumnDef { name: "text", nullable: true, ..ID }],
    };
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    let text = "x".repeat(1 << 20);
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..40).map(|id| Some(format!("id-{id}"))).collect::<StringArray>()),
        Arc::new((0..40).map(|id| Some(format!("{id}{text}"))).collect::<StringArray>()),
    ];
    let batches = vec![RecordBatch::try_new(NOTES.arrow_schema(), columns).unwrap()];
    let merge = Merge { table: &NOTES, batches, ..merge(&[], Complete::No, 1) };
    test.tables.merge(&merge).await.unwrap();
    let found = test.tables.objects(&NOTES, &["id", "text", "no_such_column"]).await.unwrap();
    let ids: BTreeSet<String> =
        found.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned())).collect();
    let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((ids.len(), rows), (40, 40));
    assert!(found.len() > 1);
    assert_eq!(test.tables.objects(&THINGS, &["id"]).await.unwrap(), vec![], "no such table");
}
