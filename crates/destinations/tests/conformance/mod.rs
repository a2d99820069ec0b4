//! What every destination promises, as tests over the trait. The tests read the tables by a way of their own.

#![allow(dead_code, reason = "a destination's own tests use what they need")]

pub mod rows;

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, RecordBatch, new_null_array};
use arrow_cast::parse::Parser;
use freshet_core::{CommitOutcome, Committed, Destination, DestinationError, Package, Position, ShardId, TableDef};
use futures::future::BoxFuture;

use self::rows::{CHANGED_EVENTS, EVENTS, KEYS, WIDER_EVENTS, by_key, keys_of, package, rows};

/// A fresh, empty destination, and a way to read its tables that is not the destination's.
pub trait Subject: Sync {
    fn destination(&self) -> &dyn Destination;
    /// All rows of `table`, in any order, in the shape of its definition.
    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>>;
}

/// Runs the whole suite, each part in a subject of its own.
pub async fn run(fresh: impl Fn() -> Box<dyn Subject>) {
    knows_nothing_of_tables_that_are_not_there(fresh().as_ref()).await;
    commits_once(fresh().as_ref()).await;
    refuses_packages_cut_from_old_checkpoints(fresh().as_ref()).await;
    moves_all_shards_or_none(fresh().as_ref()).await;
    lands_once_when_committed_at_once(fresh().as_ref()).await;
    moves_checkpoints_without_rows(fresh().as_ref()).await;
    keeps_every_value(fresh().as_ref()).await;
    widens_tables(fresh().as_ref()).await;
    refuses_other_types(fresh().as_ref()).await;
    refuses_packages_that_could_land_twice(fresh().as_ref()).await;
    tells_its_history(fresh().as_ref()).await;
    answers_for_thousands_of_shards(fresh().as_ref()).await;
}

pub async fn checkpoint(destination: &dyn Destination, table: &'static TableDef, shard: &str) -> Option<Position> {
    destination.checkpoint(table, &[ShardId::new(shard)]).await.unwrap()[0]
}

pub async fn commit(destination: &dyn Destination, package: &Package) -> Committed {
    match destination.commit(package).await.unwrap() {
        CommitOutcome::Committed(committed) => committed,
        other => panic!("{other:?} for {:?}", package.spans),
    }
}

/// Asserts that `table` has each of `keys` once, with every value as it was made.
pub async fn assert_rows(subject: &dyn Subject, table: &'static TableDef, keys: impl IntoIterator<Item = i64>) {
    let mut keys: Vec<i64> = keys.into_iter().collect();
    keys.sort_unstable();
    let found = by_key(table, &subject.read(table).await);
    assert_eq!(keys_of(&found), keys);
    let expected = rows(table, &keys);
    for (column, field) in expected.schema().fields().iter().enumerate() {
        assert_eq!(found.column(column), expected.column(column), "column {}", field.name());
    }
}

async fn knows_nothing_of_tables_that_are_not_there(subject: &dyn Subject) {
    let destination = subject.destination();
    assert_eq!(checkpoint(destination, &EVENTS, "a").await, None);
    assert_eq!(destination.history(&EVENTS, None).await.unwrap(), vec![]);
    destination.prepare(&EVENTS).await.unwrap();
    destination.prepare(&EVENTS).await.unwrap();
    assert_eq!(checkpoint(destination, &EVENTS, "a").await, None);
    assert_eq!(destination.history(&EVENTS, None).await.unwrap(), vec![]);
    assert_rows(subject, &EVENTS, []).await;
}

async fn commits_once(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&EVENTS).await.unwrap();
    let package = package(&EVENTS, 0..40, &[("a", 0, 10)]);
    let committed = commit(destination, &package).await;
    assert_eq!((committed.rows, committed.ts_range), (40, package.ts_range));
    assert_eq!(committed.load_id, package.load_id.to_string());
    assert!(committed.files > 0 && committed.bytes > 0 && committed.committed_at.0 > 0, "{committed:?}");
    assert_eq!(checkpoint(destination, &EVENTS, "a").await, Some(10));
    for _ in 0..2 {
        assert_eq!(destination.commit(&package).await.unwrap(), CommitOutcome::AlreadyThere);
    }
    assert_eq!(destination.history(&EVENTS, None).await.unwrap(), vec![committed]);
    assert_rows(subject, &EVENTS, 0..40).await;
}

async fn refuses_packages_cut_from_old_checkpoints(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    commit(destination, &package(&KEYS, 0..5, &[("a", 0, 10)])).await;
    for spans in [("a", 0, 11), ("a", 5, 15), ("a", 9, 11)] {
        assert_eq!(destination.commit(&package(&KEYS, 90..95, &[spans])).await.unwrap(), CommitOutcome::Overtaken, "{spans:?}");
    }
    assert_eq!(checkpoint(destination, &KEYS, "a").await, Some(10));
    commit(destination, &package(&KEYS, 5..9, &[("a", 10, 15)])).await;
    assert_rows(subject, &KEYS, 0..9).await;
}

async fn moves_all_shards_or_none(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    let both = package(&KEYS, 0..3, &[("a", 0, 4), ("b", 0, 7), ("a", 4, 9)]);
    commit(destination, &both).await;
    assert_eq!(
        destination.checkpoint(&KEYS, &[ShardId::new("b"), ShardId::new("c"), ShardId::new("a")]).await.unwrap(),
        [Some(7), None, Some(9)]
    );
    assert_eq!(destination.commit(&both).await.unwrap(), CommitOutcome::AlreadyThere);
    assert_eq!(destination.commit(&package(&KEYS, 3..6, &[("a", 0, 9), ("c", 0, 1)])).await.unwrap(), CommitOutcome::Overtaken);
    assert_eq!(checkpoint(destination, &KEYS, "c").await, None);
    commit(destination, &package(&KEYS, 3..6, &[("a", 9, 12), ("c", 0, 1)])).await;
    assert_rows(subject, &KEYS, 0..6).await;
}

async fn lands_once_when_committed_at_once(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    let package = package(&KEYS, 0..10, &[("a", 0, 10)]);
    let outcomes = futures::future::join_all((0..4).map(|_| destination.commit(&package))).await;
    let outcomes: Vec<CommitOutcome> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed(_))).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitOutcome::AlreadyThere).count(), 3, "{outcomes:?}");
    assert_rows(subject, &KEYS, 0..10).await;
}

async fn moves_checkpoints_without_rows(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&EVENTS).await.unwrap();
    let committed = commit(destination, &package(&EVENTS, [], &[("a", 0, 10)])).await;
    assert_eq!((committed.rows, committed.files, committed.bytes, committed.ts_range), (0, 0, 0, None));
    assert_eq!(checkpoint(destination, &EVENTS, "a").await, Some(10));
    assert_rows(subject, &EVENTS, []).await;
}

async fn keeps_every_value(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&EVENTS).await.unwrap();
    commit(destination, &package(&EVENTS, 0..60, &[("a", 0, 1)])).await;
    // Only NULLs, so that files have columns without a minimum.
    commit(destination, &package(&EVENTS, 100..120, &[("a", 1, 2)])).await;
    commit(destination, &package(&EVENTS, [i64::from(i32::MAX), 71], &[("a", 2, u64::from(u32::MAX))])).await;
    assert_rows(subject, &EVENTS, (0..60).chain(100..120).chain([i64::from(i32::MAX), 71])).await;
}

async fn widens_tables(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&EVENTS).await.unwrap();
    commit(destination, &package(&EVENTS, 100..120, &[("a", 0, 1)])).await;
    destination.prepare(&WIDER_EVENTS).await.unwrap();
    commit(destination, &package(&WIDER_EVENTS, 0..9, &[("a", 1, 2)])).await;
    // A process of the version before goes on.
    destination.prepare(&EVENTS).await.unwrap();
    commit(destination, &package(&EVENTS, 200..209, &[("a", 2, 3)])).await;
    assert_rows(subject, &EVENTS, (0..9).chain(100..120).chain(200..209)).await;
    let wider = by_key(&WIDER_EVENTS, &subject.read(&WIDER_EVENTS).await);
    let later = wider.column_by_name("later").unwrap();
    let expected = rows(&WIDER_EVENTS, &(0..9).collect::<Vec<_>>());
    assert_eq!(&later.slice(0, 9), expected.column_by_name("later").unwrap());
    assert_eq!(later.slice(9, 29).null_count(), 29, "rows from before have a value");
}

async fn refuses_other_types(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&EVENTS).await.unwrap();
    let error = destination.prepare(&CHANGED_EVENTS).await.unwrap_err();
    assert!(matches!(error, DestinationError::Refused { .. }), "{error:?}");
    let says = error.to_string();
    assert!(says.contains("status") && says.contains("INT") && says.contains("STRING"), "{says}");
}

async fn refuses_packages_that_could_land_twice(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    for spans in [&[][..], &[("a", 0, u64::MAX)]] {
        let error = destination.commit(&package(&KEYS, 0..3, spans)).await.unwrap_err();
        assert!(matches!(error, DestinationError::Refused { .. }), "{error:?}");
    }
    assert_rows(subject, &KEYS, []).await;
}

async fn tells_its_history(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    let mut all = Vec::new();
    for at in 0..5_u64 {
        all.push(commit(destination, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await);
    }
    assert_eq!(destination.history(&KEYS, None).await.unwrap(), all);
    for (at, committed) in all.iter().enumerate() {
        assert_eq!(destination.history(&KEYS, Some(committed.version)).await.unwrap(), all[at + 1..]);
    }
    assert_eq!(destination.history(&KEYS, Some(i64::MAX)).await.unwrap(), vec![]);
}

async fn answers_for_thousands_of_shards(subject: &dyn Subject) {
    let destination = subject.destination();
    destination.prepare(&KEYS).await.unwrap();
    let names: Vec<String> = (0..3000).map(|at| format!("file/{at:05}")).collect();
    let spans: Vec<(&str, u64, u64)> = names.iter().map(|name| (name.as_str(), 0, 7)).collect();
    commit(destination, &package(&KEYS, 0..3, &spans)).await;
    let shards: Vec<ShardId> = names.iter().map(|name| ShardId::new(name)).collect();
    assert_eq!(destination.checkpoint(&KEYS, &shards).await.unwrap(), vec![Some(7); 3000]);
}

/// The rows of one file in the shape of `table`; `date` is that of its folder.
pub fn fit(table: &TableDef, batch: &RecordBatch, date: Option<&str>) -> RecordBatch {
    let schema = table.arrow_schema();
    let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
        match (batch.column_by_name(field.name()), date) {
            (Some(column), _) => Arc::clone(column),
            (None, Some(date)) if field.name() == "date" => {
                let days = arrow_array::types::Date32Type::parse(date).unwrap();
                Arc::new(Date32Array::from_value(days, batch.num_rows()))
            }
            (None, _) => new_null_array(field.data_type(), batch.num_rows()),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}
