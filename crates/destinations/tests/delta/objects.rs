//! Objects that are merged into tables: by a store that fails, by several writers, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use freshet_core::{
    ColumnDef, ColumnType, Complete, DELETED_AT, Destination, DestinationError, IS_CURRENT, LoadId, Merge, MergeMode, Merged, Micros,
    SYNCED_AT, ShardId, TableDef, TableKind, VALID_FROM, VALID_TO,
};
use freshet_destinations::delta::{CompactionOptions, DurableStore, Lake, LakeOptions, Leased};

use crate::faulty::{Fault, FaultyStore, Request};
use crate::{TestLake, lint, read};

const ID: ColumnDef = ColumnDef { name: "id", column_type: ColumnType::Text, nullable: false, comment: "Key" };
const PARENT: ColumnDef = ColumnDef { name: "app_id", column_type: ColumnType::Text, nullable: true, comment: "Parent" };
const SIZE: ColumnDef = ColumnDef { name: "size", column_type: ColumnType::Long, nullable: true, comment: "A value" };

static THINGS: TableDef = TableDef {
    name: "things",
    comment: "Objects with a key",
    kind: TableKind::System,
    columns: &[
        ID,
        PARENT,
        SIZE,
        ColumnDef { name: SYNCED_AT, column_type: ColumnType::Timestamp, nullable: false, comment: "When" },
        ColumnDef { name: DELETED_AT, column_type: ColumnType::Timestamp, nullable: true, comment: "Gone since" },
    ],
};

fn merge(objects: &[(u32, i64)], complete: Complete, at: i64) -> Merge {
    let schema = THINGS.arrow_schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(objects.iter().map(|(id, _)| Some(format!("id-{id}"))).collect::<StringArray>()),
        Arc::new(objects.iter().map(|(id, _)| Some(format!("app-{}", id % 3))).collect::<StringArray>()),
        Arc::new(objects.iter().map(|(_, size)| Some(*size)).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from_value(at, objects.len()).with_timezone("UTC")),
        new_null_array(schema.field(4).data_type(), objects.len()),
    ];
    let batches = vec![RecordBatch::try_new(schema, columns).unwrap()];
    let load_id = LoadId(u128::from(at.unsigned_abs()));
    let mode = MergeMode::Replace;
    Merge { table: &THINGS, mode, load_id, key: vec!["id"], batches, complete, at: Micros(at), bookmarks: Vec::new() }
}

/// Size and whether it is there, by id.
async fn objects(lake: &Lake) -> BTreeMap<String, (i64, bool)> {
    let mut found = BTreeMap::new();
    for batch in read(lake, &THINGS).await {
        let (ids, sizes) = (batch.column(0).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let before = found.insert(ids.value(row).to_owned(), (sizes.value(row), batch.column(4).is_null(row)));
            assert_eq!(before, None, "{} is there twice", ids.value(row));
        }
    }
    found
}

fn counts(merged: &Merged) -> (u64, u64, u64, u64) {
    (merged.inserted, merged.updated, merged.deleted, merged.unchanged)
}

async fn version(lake: &Lake) -> u64 {
    version_of(lake, &THINGS).await
}

async fn version_of(lake: &Lake, table: &TableDef) -> u64 {
    lake.load(table.name).await.unwrap().unwrap().version().unwrap()
}

#[tokio::test]
async fn what_is_told_once_is_added_and_never_changed() {
    let test = TestLake::fresh();
    let lake = &test.lake;
    let told = |objects: &[(u32, i64)], at| Merge { mode: MergeMode::IfNew, ..merge(objects, Complete::No, at) };
    assert_eq!(counts(&lake.merge(&told(&[(1, 10), (2, 20)], 1)).await.unwrap()), (2, 0, 0, 0));
    lake.merge(&merge(&[(2, 21)], Complete::No, 2)).await.unwrap();
    let at = version(lake).await;
    let again = test.other().merge(&told(&[(2, 20), (1, 11)], 3)).await.unwrap();
    assert_eq!((counts(&again), version(lake).await), ((0, 0, 0, 2), at), "nothing was written");
    assert_eq!(counts(&lake.merge(&told(&[(1, 11), (3, 30)], 4)).await.unwrap()), (1, 0, 0, 1));
    let expected = [("id-1", (10, true)), ("id-2", (21, true)), ("id-3", (30, true))];
    assert_eq!(objects(lake).await, expected.map(|(id, object)| (id.to_owned(), object)).into());
}

#[tokio::test]
async fn a_table_follows_its_list() {
    let test = TestLake::fresh();
    let lake = &test.lake;
    let first = lake.merge(&merge(&[(1, 10), (2, 20), (3, 30)], Complete::All, 1)).await.unwrap();
    assert_eq!(counts(&first), (3, 0, 0, 0));
    assert_eq!(first.committed.as_ref().map(|committed| committed.rows), Some(3));
    let at = version(lake).await;
    let again = lake.merge(&merge(&[(3, 30), (2, 20), (1, 10)], Complete::All, 2)).await.unwrap();
    assert_eq!((counts(&again), again.committed), ((0, 0, 0, 3), None));
    assert_eq!(version(lake).await, at, "nothing was written");
    let third = test.other().merge(&merge(&[(2, 21), (4, 40)], Complete::All, 3)).await.unwrap();
    assert_eq!(counts(&third), (1, 1, 2, 0));
    let there = |size: i64, is_there: bool| (size, is_there);
    let expected = [("id-1", there(10, false)), ("id-2", there(21, true)), ("id-3", there(30, false)), ("id-4", there(40, true))];
    assert_eq!(objects(lake).await, expected.map(|(id, state)| (id.to_owned(), state)).into());
    // It comes back, and what is not among a part of the list stays.
    let back = lake.merge(&merge(&[(1, 10)], Complete::No, 4)).await.unwrap();
    assert_eq!(counts(&back), (0, 1, 0, 0));
    let below = Complete::Below { column: "app_id", parents: BTreeSet::from(["app-1".to_owned()]) };
    let gone = lake.merge(&merge(&[], below, 5)).await.unwrap();
    assert_eq!(counts(&gone), (0, 0, 2, 0), "1 and 4 are below app-1");
    assert_eq!(lake.history(&THINGS, None).await.unwrap().len(), 4);
    lint::log_is_sound(&lake.place().local().unwrap().join(THINGS.name));
}

#[tokio::test]
async fn a_bookmark_lands_with_the_rows_and_only_goes_forward() {
    let test = TestLake::fresh();
    let lake = &test.lake;
    let at = |app: &str| ShardId::new(&format!("freshet/sync/things/{app}"));
    let with = |merge: Merge, bookmarks: &[(&str, u64)]| Merge {
        bookmarks: bookmarks.iter().map(|(app, position)| (at(app), *position)).collect(),
        ..merge
    };
    let marks = async |lake: &Lake| lake.bookmarks(&THINGS, "freshet/sync/things/").await.unwrap().into_values().collect::<Vec<_>>();
    assert_eq!(marks(lake).await, [0_u64; 0]);
    lake.merge(&with(merge(&[(1, 10)], Complete::No, 1), &[("a", 5), ("b", 7)])).await.unwrap();
    assert_eq!((marks(lake).await, version(lake).await), (vec![5, 7], 1), "one entry of the log has both");
    let again = lake.merge(&with(merge(&[(1, 10)], Complete::No, 2), &[("a", 5), ("b", 6)])).await.unwrap();
    assert_eq!((again.committed, marks(lake).await), (None, vec![5, 7]));
    // Nothing but a bookmark has moved.
    lake.merge(&with(merge(&[], Complete::No, 3), &[("a", 6)])).await.unwrap();
    assert_eq!(marks(&test.other()).await, [6, 7]);
    lake.set_bookmarks(&THINGS, &[(at("a"), 0)]).await.unwrap();
    assert_eq!(marks(lake).await, [0, 7]);
    lint::log_is_sound(&lake.place().local().unwrap().join(THINGS.name));
}

static VERSIONS: TableDef = TableDef {
    name: "things_history",
    comment: "Versions of objects",
    kind: TableKind::System,
    columns: &[
        ID,
        PARENT,
        SIZE,
        ColumnDef { name: VALID_FROM, column_type: ColumnType::Timestamp, nullable: false, comment: "Since when" },
        ColumnDef { name: VALID_TO, column_type: ColumnType::Timestamp, nullable: true, comment: "Until when" },
        ColumnDef { name: IS_CURRENT, column_type: ColumnType::Boolean, nullable: false, comment: "Whether it holds" },
    ],
};

#[tokio::test]
async fn versions_are_kept_and_files_of_the_past_are_left_alone() {
    let test = TestLake::fresh();
    let lake = &test.lake;
    let versions = |objects: &[(u32, i64)], at: i64| Merge {
        table: &VERSIONS,
        mode: MergeMode::Versions { ignored: Vec::new() },
        ..merge(objects, Complete::All, at)
    };
    let files = || {
        let entries = std::fs::read_dir(lake.place().local().unwrap().join(VERSIONS.name)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "parquet")).count()
    };
    lake.merge(&versions(&[(1, 10), (2, 20)], 1)).await.unwrap();
    assert_eq!((counts(&lake.merge(&versions(&[(1, 11), (2, 20)], 2)).await.unwrap()), files()), ((0, 1, 0, 1), 3));
    let before = version_of(lake, &VERSIONS).await;
    assert_eq!(counts(&lake.merge(&versions(&[(1, 11), (2, 20)], 3)).await.unwrap()), (0, 0, 0, 2));
    assert_eq!(version_of(lake, &VERSIONS).await, before, "nothing was written");
    assert_eq!(counts(&lake.merge(&versions(&[(2, 20)], 4)).await.unwrap()), (0, 0, 1, 1));
    assert_eq!(counts(&lake.merge(&versions(&[(1, 11), (2, 20)], 5)).await.unwrap()), (1, 0, 0, 1));
    let mut found = Vec::new();
    for batch in read(lake, &VERSIONS).await {
        let (ids, sizes) = (batch.column(0).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        let time = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            assert_eq!(batch.column(5).as_boolean().value(row), batch.column(4).is_null(row));
            let until = time(4).is_valid(row).then(|| time(4).value(row));
            found.push((ids.value(row).to_owned(), sizes.value(row), time(3).value(row), until));
        }
    }
    found.sort_unstable();
    let version = |id: &str, size: i64, from: i64, to: Option<i64>| (id.to_owned(), size, from, to);
    let expected =
        [version("id-1", 10, 1, Some(2)), version("id-1", 11, 2, Some(4)), version("id-1", 11, 5, None), version("id-2", 20, 1, None)];
    assert_eq!(found, expected);
    lint::log_is_sound(&lake.place().local().unwrap().join(VERSIONS.name));
}

#[tokio::test]
async fn a_merge_whose_answer_is_lost_is_found_and_one_that_never_arrived_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(DurableStore::new(directory.path())), ErrorKind::TimedOut));
    let lake = Lake::with_store(directory.path(), Arc::clone(&store) as _, LakeOptions::default()).unwrap();
    lake.prepare(&THINGS).await.unwrap();
    let is_entry = |path: &object_store::path::Path| path.as_ref().contains("_delta_log") && path.as_ref().ends_with(".json");
    for (at, fault) in [(1, Fault::After), (2, Fault::Before)] {
        let mut left = 1;
        store.plan(move |request, path| {
            if request == Request::Put && is_entry(path) && left > 0 {
                left -= 1;
                return fault;
            }
            Fault::None
        });
        let merged = lake.merge(&merge(&[(1, at), (2, at)], Complete::All, at)).await.unwrap();
        assert_eq!(merged.inserted + merged.updated, 2, "{fault:?}");
        assert_eq!(merged.committed.unwrap().rows, 2);
        assert_eq!(objects(&lake).await, BTreeMap::from([("id-1".to_owned(), (at, true)), ("id-2".to_owned(), (at, true))]));
    }
    store.plan(|request, _| if request == Request::Put { Fault::Before } else { Fault::None });
    let error = lake.merge(&merge(&[(1, 7)], Complete::No, 3)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("things"), "{error:?}");
    store.plan(|_, _| Fault::None);
    assert_eq!(objects(&lake).await["id-1"], (2, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_writers_and_merges_of_files_lose_nothing() {
    let test = TestLake::fresh();
    test.lake.prepare(&THINGS).await.unwrap();
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let lake = test.other();
            tokio::spawn(async move {
                for round in 0..8_u32 {
                    // Objects of its own, and one that all write.
                    let mine =
                        merge(&[(100 * (writer + 1) + round, 0), (7, i64::from(10 * round + writer))], Complete::No, i64::from(round + 1));
                    while let Err(error) = lake.merge(&mine).await {
                        assert!(error.is_transient(), "{error:?}");
                    }
                    if round % 4 == 3 {
                        let everything = CompactionOptions { all: true, ..CompactionOptions::default() };
                        let merged = lake.compact(THINGS.name, &everything).await;
                        assert!(matches!(merged, Ok(Leased::Done(_) | Leased::Held)), "{merged:?}");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let found = objects(&test.lake).await;
    assert_eq!(found.len(), 33);
    assert!((70..=73).contains(&found["id-7"].0), "the last round of somebody: {:?}", found["id-7"]);
    lint::log_is_sound(&test.root().join(THINGS.name));
}

#[tokio::test]
async fn a_table_that_somebody_else_partitioned_is_refused() {
    static PARTITIONED: TableDef = TableDef {
        name: "things",
        comment: "",
        kind: TableKind::System,
        columns: &[
            ColumnDef { name: "id", column_type: ColumnType::Text, nullable: false, comment: "" },
            ColumnDef { name: "date", column_type: ColumnType::Date, nullable: true, comment: "" },
        ],
    };
    let test = TestLake::fresh();
    test.lake.prepare(&PARTITIONED).await.unwrap();
    test.lake.prepare(&THINGS).await.unwrap();
    let error = test.lake.merge(&merge(&[(1, 1)], Complete::No, 1)).await.unwrap_err();
    assert!(matches!(&error, DestinationError::Refused { problem } if problem.contains("partitioned")), "{error:?}");
}
