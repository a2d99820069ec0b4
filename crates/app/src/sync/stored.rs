//! What the tables have of a stream before it is read.

use std::collections::HashSet;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch};
use freshet_core::{DELETED_AT, StreamDef};
use serde_json::Value;

const RAW: &str = "_raw";

/// The objects of a stream as its table has them.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Those that exist, without their secrets.
    pub(super) objects: Vec<Value>,
    /// Those that do not exist any more.
    pub(super) gone: Vec<Value>,
}

impl Stored {
    /// The columns that [`Stored::of`] wants.
    pub(super) const COLUMNS: [&str; 2] = [RAW, DELETED_AT];

    /// The objects in rows of a stream's table.
    pub(super) fn of(batches: &[RecordBatch]) -> Self {
        let mut stored = Self::default();
        for batch in batches {
            let raw = batch.column_by_name(RAW).and_then(|column| column.as_string_opt::<i32>());
            let (Some(raw), Some(deleted)) = (raw, batch.column_by_name(DELETED_AT)) else { continue };
            for (row, text) in raw.iter().enumerate() {
                let Some(object) = text.and_then(|text| serde_json::from_str(text).ok()) else { continue };
                if deleted.is_null(row) { &mut stored.objects } else { &mut stored.gone }.push(object);
            }
        }
        stored
    }
}

/// What matters of a stream's own table before the stream is read.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Whether there is nothing in it.
    pub(super) is_empty: bool,
    /// The parents below which it has objects that exist; `None` where it does not matter, or objects do not tell their parent.
    pub(super) inhabited: Option<HashSet<String>>,
}

impl Own {
    /// The columns that [`Own::of`] wants.
    pub(super) fn columns(stream: &StreamDef) -> Vec<&'static str> {
        stream.own_parent().map(|(field, _)| field.column.name).into_iter().chain([DELETED_AT]).collect()
    }

    /// What the rows of the table of `stream` say.
    pub(super) fn of(stream: &StreamDef, batches: &[RecordBatch]) -> Self {
        let inhabited = stream.own_parent().map(|(field, _)| batches.iter().flat_map(|batch| existing(batch, field.column.name)).collect());
        Self { is_empty: batches.iter().all(|batch| batch.num_rows() == 0), inhabited }
    }
}

/// The values of `column` in rows of objects that exist.
fn existing(batch: &RecordBatch, column: &str) -> Vec<String> {
    let values = batch.column_by_name(column).and_then(|values| values.as_string_opt::<i32>());
    let (Some(values), Some(deleted)) = (values, batch.column_by_name(DELETED_AT)) else { return Vec::new() };
    let existing = values.iter().enumerate().filter(|(row, _)| deleted.is_null(*row));
    existing.filter_map(|(_, value)| value.map(str::to_owned)).collect()
}
