use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Int64Array, StringArray};
use arrow_schema::{DataType, Field, TimeUnit};
use freshet_core::{ColumnDef, ColumnType, LoadId, TableDef, TableKind};
use proptest::prelude::*;

use super::*;

static TABLE: TableDef = TableDef {
    name: "things",
    comment: "",
    kind: TableKind::System,
    columns: &[
        ColumnDef { name: "id", column_type: ColumnType::Text, nullable: false, comment: "" },
        ColumnDef { name: "parent", column_type: ColumnType::Text, nullable: true, comment: "" },
        ColumnDef { name: "value", column_type: ColumnType::Long, nullable: true, comment: "" },
        ColumnDef { name: SYNCED_AT, column_type: ColumnType::Timestamp, nullable: false, comment: "" },
        ColumnDef { name: DELETED_AT, column_type: ColumnType::Timestamp, nullable: true, comment: "" },
    ],
};

/// An object as a table has it: parent, value, since when, gone since.
type Row = (u8, Option<i64>, i64, Option<i64>);

fn batch(rows: &[(u8, Row)]) -> RecordBatch {
    let stamps = |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(id, _)| Some(format!("id-{id}"))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(_, row)| Some(format!("p-{}", row.0))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(_, row)| row.1).collect::<Int64Array>()),
        stamps(rows.iter().map(|(_, row)| Some(row.2)).collect()),
        stamps(rows.iter().map(|(_, row)| row.3).collect()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn schema() -> SchemaRef {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("parent", DataType::Utf8),
        field("value", DataType::Int64),
        field(SYNCED_AT, stamp.clone()),
        field(DELETED_AT, stamp),
    ]))
}

fn rows(batches: &[RecordBatch]) -> Vec<(u8, Row)> {
    let mut rows = Vec::new();
    for batch in batches {
        let number = |text: &str| text.rsplit_once('-').unwrap().1.parse().unwrap();
        let (ids, parents) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        let values = batch.column(2).as_primitive::<arrow_array::types::Int64Type>();
        let stamp = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let optional = |column: usize| stamp(column).is_valid(row).then(|| stamp(column).value(row));
            let value = values.is_valid(row).then(|| values.value(row));
            rows.push((number(ids.value(row)), (number(parents.value(row)), value, stamp(3).value(row), optional(4))));
        }
    }
    rows
}

/// The files as they are after the merge.
fn apply(files: &[Vec<RecordBatch>], merge: &Merge) -> (Vec<Vec<RecordBatch>>, Merged) {
    let compared = compare(files, merge, &schema()).unwrap();
    let mut after: Vec<Vec<RecordBatch>> =
        files.iter().enumerate().filter(|(index, _)| !compared.touched.contains(index)).map(|(_, file)| file.clone()).collect();
    if !compared.rows.is_empty() {
        after.push(compared.rows);
    }
    (after, compared.counts)
}

fn merge(objects: &[(u8, Row)], complete: Complete, at: i64) -> Merge {
    let batches = vec![batch(objects)];
    let mode = MergeMode::Replace;
    Merge { table: &TABLE, mode, load_id: LoadId(1), key: vec!["id"], batches, complete, at: Micros(at), bookmarks: Vec::new() }
}

/// What a table of objects should be after one merge, said in the simplest way.
fn model(table: &mut BTreeMap<u8, Row>, objects: &BTreeMap<u8, (u8, Option<i64>)>, complete: &Complete, at: i64) -> u64 {
    let mut changes = 0;
    for (id, (parent, value)) in objects {
        let is_same = table.get(id).is_some_and(|row| (row.0, row.1, row.3) == (*parent, *value, None));
        if !is_same {
            table.insert(*id, (*parent, *value, at, None));
            changes += 1;
        }
    }
    for (_, row) in table.iter_mut().filter(|(id, row)| !objects.contains_key(id) && row.3.is_none()) {
        let is_gone = match complete {
            Complete::No => false,
            Complete::All => true,
            Complete::Below { parents, .. } => parents.contains(&format!("p-{}", row.0)),
        };
        if is_gone {
            (row.2, row.3) = (at, Some(at));
            changes += 1;
        }
    }
    changes
}

fn complete() -> impl Strategy<Value = Complete> {
    prop_oneof![
        Just(Complete::No),
        Just(Complete::All),
        prop::collection::btree_set(0_u8..3, 0..3).prop_map(|parents| Complete::Below {
            column: "parent",
            parents: parents.into_iter().map(|parent| format!("p-{parent}")).collect::<BTreeSet<_>>(),
        }),
    ]
}

proptest! {
    #[test]
    fn a_table_is_what_the_lists_said(
        lists in prop::collection::vec((prop::collection::btree_map(0_u8..12, (0_u8..3, prop::option::of(0_i64..3)), 0..10), complete()), 1..8)
    ) {
        let mut table = BTreeMap::new();
        let mut files: Vec<Vec<RecordBatch>> = Vec::new();
        for (at, (objects, complete)) in (1_i64..).zip(lists) {
            let changes = model(&mut table, &objects, &complete, at);
            let given: Vec<(u8, Row)> = objects.iter().map(|(id, (parent, value))| (*id, (*parent, *value, at, None))).collect();
            let merge = merge(&given, complete, at);
            let (after, counts) = apply(&files, &merge);
            prop_assert_eq!(counts.inserted + counts.updated + counts.deleted, changes);
            prop_assert_eq!(counts.inserted + counts.updated + counts.unchanged, objects.len() as u64);
            let mut found = rows(&after.concat());
            found.sort_unstable();
            prop_assert_eq!(&found, &table.iter().map(|(id, row)| (*id, *row)).collect::<Vec<_>>());
            // Once more, and nothing is to be written.
            let again = compare(&after, &merge, &schema()).unwrap();
            prop_assert!(again.touched.is_empty() && again.rows.is_empty());
            files = after;
        }
    }
}

#[test]
fn what_is_there_stays_when_only_new_objects_are_wanted() {
    let there = batch(&[(1, (0, Some(7), 1, None)), (2, (0, None, 1, Some(1)))]);
    let objects = merge(&[(1, (0, Some(8), 2, None)), (2, (0, Some(8), 2, None)), (3, (0, None, 2, None))], Complete::No, 2);
    let mut unknown = Unknown::new(Merge { mode: MergeMode::IfNew, ..objects }, &schema()).unwrap();
    let key = unknown.key_schema(&schema()).unwrap();
    assert_eq!(key.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["id"]);
    unknown.known(&there.project(&[schema().index_of("id").unwrap()]).unwrap()).unwrap();
    let compared = unknown.finish().unwrap();
    assert_eq!((compared.touched.len(), rows(&compared.rows)), (0, vec![(3, (0, None, 2, None))]));
    assert_eq!((compared.counts.inserted, compared.counts.unchanged), (1, 2));
}

/// A version of an object: value, since when, until when.
type Version = (u8, Option<i64>, i64, Option<i64>);

/// The columns of a table of versions; `note` makes none.
fn versions_schema() -> SchemaRef {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = schema().fields().to_vec();
    for (name, data_type) in [("note", DataType::Int64), (VALID_FROM, stamp.clone()), (VALID_TO, stamp), (IS_CURRENT, DataType::Boolean)] {
        fields.push(Arc::new(Field::new(name, data_type, true)));
    }
    Arc::new(Schema::new(fields))
}

fn versions_merge(objects: &BTreeMap<u8, Option<i64>>, complete: Complete, at: i64) -> Merge {
    let given: Vec<(u8, Row)> = objects.iter().map(|(id, value)| (*id, (0, *value, at, None))).collect();
    let merge = merge(&given, complete, at);
    let wide = |batch: &RecordBatch| {
        let schema = versions_schema();
        let column = |field: &arrow_schema::FieldRef| match (batch.column_by_name(field.name()), field.name().as_str()) {
            (Some(column), _) => Arc::clone(column),
            (None, "note") => Arc::new(Int64Array::from_value(at, batch.num_rows())) as ArrayRef,
            (None, _) => arrow_array::new_null_array(field.data_type(), batch.num_rows()),
        };
        RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect()).unwrap()
    };
    Merge { mode: MergeMode::Versions { ignored: vec!["note"] }, batches: merge.batches.iter().map(wide).collect(), ..merge }
}

fn versions(batches: &[RecordBatch]) -> Vec<Version> {
    let mut versions = Vec::new();
    for batch in batches {
        let ended = batch.column_by_name(VALID_TO).unwrap().as_primitive::<TimestampMicrosecondType>();
        let began = batch.column_by_name(VALID_FROM).unwrap().as_primitive::<TimestampMicrosecondType>();
        let current = batch.column_by_name(IS_CURRENT).unwrap().as_boolean();
        for (row, (id, (_, value, ..))) in rows(std::slice::from_ref(batch)).into_iter().enumerate() {
            assert_eq!(current.value(row), ended.is_null(row));
            versions.push((id, value, began.value(row), ended.is_valid(row).then(|| ended.value(row))));
        }
    }
    versions.sort_unstable();
    versions
}

proptest! {
    #[test]
    fn every_version_is_kept_and_none_is_made_up(
        lists in prop::collection::vec((prop::collection::btree_map(0_u8..8, prop::option::of(0_i64..3), 0..6), any::<bool>()), 1..10)
    ) {
        let mut expected: Vec<Version> = Vec::new();
        let mut files: Vec<Vec<RecordBatch>> = Vec::new();
        for (at, (objects, is_all)) in (1_i64..).zip(lists) {
            for version in expected.iter_mut().filter(|version| version.3.is_none()) {
                let holds = objects.get(&version.0).map_or(!is_all, |value| *value == version.1);
                version.3 = (!holds).then_some(at);
            }
            for (id, value) in &objects {
                if !expected.iter().any(|version| version.0 == *id && version.3.is_none()) {
                    expected.push((*id, *value, at, None));
                }
            }
            expected.sort_unstable();
            let complete = if is_all { Complete::All } else { Complete::No };
            let merge = versions_merge(&objects, complete, at);
            let compared = compare(&files, &merge, &versions_schema()).unwrap();
            let touched = compared.touched;
            files = files.into_iter().enumerate().filter(|(index, _)| !touched.contains(index)).map(|(_, file)| file).collect();
            // Versions that have ended are together, apart from those that hold.
            prop_assert!(versions(&compared.rows).iter().all(|version| version.3.is_none()));
            prop_assert!(versions(&compared.past).iter().all(|version| version.3.is_some()));
            files.extend([compared.rows, compared.past].into_iter().filter(|batches| !batches.is_empty()));
            prop_assert_eq!(versions(&files.concat()), expected.clone());
            let again = compare(&files, &merge, &versions_schema()).unwrap();
            prop_assert!(again.touched.is_empty() && again.rows.is_empty() && again.past.is_empty());
        }
    }
}

#[test]
fn only_files_with_a_change_are_touched() {
    let file = |ids: std::ops::Range<u8>| vec![batch(&ids.map(|id| (id, (0, Some(0), 1, None))).collect::<Vec<_>>())];
    let files = [file(0..4), file(4..8), file(8..12)];
    let compared = compare(&files, &merge(&[(5, (0, Some(1), 2, None)), (20, (0, None, 2, None))], Complete::No, 2), &schema()).unwrap();
    assert_eq!(compared.touched, [1]);
    assert_eq!(compared.rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    assert_eq!((compared.counts.inserted, compared.counts.updated, compared.counts.deleted), (1, 1, 0));
}

#[test]
fn of_two_rows_of_one_object_one_stays() {
    let files = [vec![batch(&[(1, (0, Some(7), 1, None))])], vec![batch(&[(1, (0, Some(7), 1, None)), (2, (0, None, 1, None))])]];
    let (after, _) = apply(&files, &merge(&[(1, (0, Some(7), 2, None))], Complete::No, 2));
    let mut found = rows(&after.concat());
    found.sort_unstable();
    assert_eq!(found, [(1, (0, Some(7), 1, None)), (2, (0, None, 1, None))]);
}
