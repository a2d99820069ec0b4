//! What objects change in a table, row by row and without I/O.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use freshet_core::{Complete, DELETED_AT, IS_CURRENT, Merge, MergeMode, Merged, Micros, SYNCED_AT, VALID_FROM, VALID_TO};

/// What a merge comes to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The files, by their place in the list, that have a row which changes.
    pub(super) touched: Vec<usize>,
    /// Everything that is to stand in their place, new objects included.
    pub(super) rows: Vec<RecordBatch>,
    /// Of a table of versions those that hold no more: in files of their own, which no later merge has to read.
    pub(super) past: Vec<RecordBatch>,
    /// How many objects are what.
    pub(super) counts: Merged,
}

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Another takes its place.
    Goes,
    /// Its object is gone; the row stays and says so.
    IsDeleted,
    /// A version that ends now.
    Ends,
    /// A version that has ended before.
    HasEnded,
}

/// Compares the rows of each file with `merge`. All batches have `schema`.
pub(super) fn compare(files: &[Vec<RecordBatch>], merge: &Merge, schema: &SchemaRef) -> Result<Compared, ArrowError> {
    let key = Projection::new(schema, |name| merge.key.contains(&name))?;
    let ignored: &[&str] = match &merge.mode {
        MergeMode::Versions { ignored } => ignored,
        MergeMode::Replace | MergeMode::IfNew => &[],
    };
    let own = [SYNCED_AT, DELETED_AT, VALID_FROM, VALID_TO, IS_CURRENT];
    let content = Projection::new(schema, |name| !own.contains(&name) && !ignored.contains(&name))?;
    let mut incoming = Incoming::new(&merge.batches, &key, &content)?;
    let mut compared = Compared::default();
    for (index, batches) in files.iter().enumerate() {
        let mut fates = Vec::with_capacity(batches.len());
        for batch in batches {
            fates.push(incoming.judge(batch, &key, &content, merge, &mut compared.counts)?);
        }
        if fates.iter().flatten().all(|fate| matches!(fate, Fate::Stays | Fate::HasEnded)) {
            continue;
        }
        compared.touched.push(index);
        for (batch, fates) in batches.iter().zip(&fates) {
            compared.rows.push(pick(batch, fates, Fate::Stays)?);
            let deleted = pick(batch, fates, Fate::IsDeleted)?;
            if matches!(merge.mode, MergeMode::Versions { .. }) {
                compared.past.push(pick(batch, fates, Fate::HasEnded)?);
                compared.past.push(ended(&pick(batch, fates, Fate::Ends)?, merge.at)?);
                compared.past.push(ended(&with(&deleted, &[(DELETED_AT, stamp(merge.at, deleted.num_rows()))])?, merge.at)?);
            } else {
                let now = stamp(merge.at, deleted.num_rows());
                compared.rows.push(with(&deleted, &[(SYNCED_AT, Arc::clone(&now)), (DELETED_AT, now)])?);
            }
        }
    }
    incoming.finish(merge, &mut compared)?;
    compared.rows.retain(|batch| batch.num_rows() > 0);
    compared.past.retain(|batch| batch.num_rows() > 0);
    Ok(compared)
}

/// What of a merge is new, by the keys alone that the table has.
pub(super) struct Unknown {
    merge: Merge,
    key: Projection,
    /// Batch and row of each object that is not known yet.
    rows: HashMap<Box<[u8]>, (usize, usize)>,
    counts: Merged,
}

impl Unknown {
    /// Of the objects of `merge`, all of whose batches have `schema`, none is known yet.
    pub(super) fn new(merge: Merge, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let key = Projection::new(schema, |name| merge.key.contains(&name))?;
        let mut rows = HashMap::new();
        for (batch, objects) in merge.batches.iter().enumerate() {
            for (row, key) in key.of(objects)?.iter().enumerate() {
                rows.insert(key.data().into(), (batch, row));
            }
        }
        Ok(Self { merge, key, rows, counts: Merged::default() })
    }

    /// The columns of the key, in which the table's keys are to be told.
    pub(super) fn key_schema(&self, schema: &Schema) -> Result<SchemaRef, ArrowError> {
        Ok(Arc::new(schema.project(&self.key.columns)?))
    }

    /// The table has these keys.
    pub(super) fn known(&mut self, keys: &RecordBatch) -> Result<(), ArrowError> {
        for key in &self.key.converter.convert_columns(keys.columns())? {
            if self.rows.remove(key.data()).is_some() {
                self.counts.unchanged += 1;
            }
        }
        Ok(())
    }

    /// What it comes to, when all keys are told.
    pub(super) fn finish(self) -> Result<Compared, ArrowError> {
        let mut wanted: Vec<Vec<u64>> = vec![Vec::new(); self.merge.batches.len()];
        for (batch, row) in self.rows.values() {
            wanted[*batch].push(*row as u64);
        }
        let mut compared = Compared { counts: self.counts, ..Compared::default() };
        compared.counts.inserted = self.rows.len() as u64;
        for (batch, mut rows) in self.merge.batches.iter().zip(wanted).filter(|(_, rows)| !rows.is_empty()) {
            rows.sort_unstable();
            compared.rows.push(take_record_batch(batch, &UInt64Array::from(rows))?);
        }
        Ok(compared)
    }
}

/// Some columns of a table as bytes that are equal when the values are.
struct Projection {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Projection {
    fn new(schema: &Schema, is_wanted: impl Fn(&str) -> bool) -> Result<Self, ArrowError> {
        let columns: Vec<usize> = (0..schema.fields().len()).filter(|index| is_wanted(schema.field(*index).name())).collect();
        let fields = columns.iter().map(|index| SortField::new(schema.field(*index).data_type().clone())).collect();
        Ok(Self { columns, converter: RowConverter::new(fields)? })
    }

    fn of(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        self.converter.convert_columns(&columns)
    }
}

/// The objects by key.
struct Incoming {
    contents: Vec<Rows>,
    by_key: HashMap<Box<[u8]>, Object>,
}

struct Object {
    batch: usize,
    row: usize,
    seen: Seen,
}

/// What the table was found to have of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Same,
    Other,
}

impl Incoming {
    fn new(batches: &[RecordBatch], key: &Projection, content: &Projection) -> Result<Self, ArrowError> {
        let mut incoming = Self { contents: Vec::with_capacity(batches.len()), by_key: HashMap::new() };
        for (batch, rows) in batches.iter().enumerate() {
            for (row, key) in key.of(rows)?.iter().enumerate() {
                incoming.by_key.insert(key.data().into(), Object { batch, row, seen: Seen::Nothing });
            }
            incoming.contents.push(content.of(rows)?);
        }
        Ok(incoming)
    }

    /// What becomes of each row of `batch`.
    fn judge(
        &mut self,
        batch: &RecordBatch,
        key: &Projection,
        content: &Projection,
        merge: &Merge,
        counts: &mut Merged,
    ) -> Result<Vec<Fate>, ArrowError> {
        let (keys, contents, covered) = (key.of(batch)?, content.of(batch)?, Covered::new(batch, &merge.complete)?);
        let deleted = batch.column_by_name(DELETED_AT);
        let is_current = batch.column_by_name(IS_CURRENT).and_then(|column| column.as_boolean_opt());
        let keeps_versions = matches!(merge.mode, MergeMode::Versions { .. });
        let replaced = if keeps_versions { Fate::Ends } else { Fate::Goes };
        let mut fates = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            if keeps_versions && is_current.is_some_and(|current| !(current.is_valid(row) && current.value(row))) {
                fates.push(Fate::HasEnded);
                continue;
            }
            let is_deleted = deleted.is_some_and(|deleted| deleted.is_valid(row));
            fates.push(match self.by_key.get_mut(keys.row(row).data()) {
                Some(object) => {
                    let is_equal = || self.contents[object.batch].row(object.row) == contents.row(row);
                    let is_same = !is_deleted && is_equal();
                    match (object.seen, is_same) {
                        // A second row of one object, which somebody else has written, goes.
                        (Seen::Same, _) => replaced,
                        (_, true) => {
                            object.seen = Seen::Same;
                            Fate::Stays
                        }
                        (_, false) => {
                            object.seen = Seen::Other;
                            replaced
                        }
                    }
                }
                None if !is_deleted && covered.has(row) => {
                    counts.deleted += 1;
                    Fate::IsDeleted
                }
                None => Fate::Stays,
            });
        }
        Ok(fates)
    }

    /// Adds the objects that are new or otherwise to what is to be written.
    fn finish(self, merge: &Merge, compared: &mut Compared) -> Result<(), ArrowError> {
        let mut wanted: Vec<Vec<u64>> = vec![Vec::new(); merge.batches.len()];
        for object in self.by_key.values() {
            match object.seen {
                Seen::Same => compared.counts.unchanged += 1,
                Seen::Other => compared.counts.updated += 1,
                Seen::Nothing => compared.counts.inserted += 1,
            }
            if object.seen != Seen::Same {
                wanted[object.batch].push(object.row as u64);
            }
        }
        for (batch, mut rows) in merge.batches.iter().zip(wanted) {
            rows.sort_unstable();
            let new = take_record_batch(batch, &UInt64Array::from(rows))?;
            let now = (VALID_FROM, stamp(merge.at, new.num_rows()));
            let current: (&str, ArrayRef) = (IS_CURRENT, Arc::new(BooleanArray::from(vec![true; new.num_rows()])));
            compared.rows.push(if matches!(merge.mode, MergeMode::Versions { .. }) { with(&new, &[now, current])? } else { new });
        }
        Ok(())
    }
}

/// Which rows would be among the objects if they still existed.
enum Covered<'a> {
    None,
    All,
    Below(&'a arrow_array::StringArray, &'a std::collections::BTreeSet<String>),
}

impl<'a> Covered<'a> {
    fn new(batch: &'a RecordBatch, complete: &'a Complete) -> Result<Self, ArrowError> {
        Ok(match complete {
            Complete::No => Self::None,
            Complete::All => Self::All,
            Complete::Below { column, parents } => {
                let values = batch.column_by_name(column).and_then(|values| values.as_string_opt::<i32>());
                Self::Below(values.ok_or_else(|| ArrowError::SchemaError(format!("there is no text column {column}")))?, parents)
            }
        })
    }

    fn has(&self, row: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Below(values, parents) => values.is_valid(row) && parents.contains(values.value(row)),
        }
    }
}

fn pick(batch: &RecordBatch, fates: &[Fate], wanted: Fate) -> Result<RecordBatch, ArrowError> {
    filter_record_batch(batch, &fates.iter().map(|fate| Some(*fate == wanted)).collect::<BooleanArray>())
}

/// The versions, which hold until `at`.
fn ended(batch: &RecordBatch, at: Micros) -> Result<RecordBatch, ArrowError> {
    let current: ArrayRef = Arc::new(BooleanArray::from(vec![false; batch.num_rows()]));
    with(batch, &[(VALID_TO, stamp(at, batch.num_rows())), (IS_CURRENT, current)])
}

fn stamp(at: Micros, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(at.0, rows).with_timezone("UTC"))
}

/// The rows with other values in some columns, where the table has them.
fn with(batch: &RecordBatch, others: &[(&str, ArrayRef)]) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let other = others.iter().find(|(name, _)| name == field.name()).map(|(_, other)| other);
        Arc::clone(other.unwrap_or(column))
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect())
}

#[cfg(test)]
mod tests;
