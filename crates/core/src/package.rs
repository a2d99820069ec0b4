//! What commits together.

use std::fmt;

use arrow_array::RecordBatch;

use crate::{Micros, Span, TableDef};

/// The rows of one table and the spans they came from. It commits whole or not at all.
#[derive(Clone, Debug)]
pub struct Package {
    /// Which table.
    pub table: &'static TableDef,
    /// What it is known by in `_loads` and in the table's own history.
    pub load_id: LoadId,
    /// What the rows were made from; all of it is in the table once this is committed.
    pub spans: Vec<Span>,
    /// The rows, in the shape of [`TableDef::arrow_schema`].
    pub batches: Vec<RecordBatch>,
    /// The earliest and the latest `ts` among the rows, where the table has one.
    pub ts_range: Option<(Micros, Micros)>,
}

impl Package {
    /// Rows in all batches.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Hash of table, spans and schema version: same input, same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadId(pub u128);

impl fmt::Display for LoadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
