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
    Merge { table: &TABLE, load_id: LoadId(1), key: vec!["id"], batches: vec![batch(objects)], complete, only_new: false, at: Micros(at) }
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
