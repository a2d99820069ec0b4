//! Objects as they are now, and what of a table they replace.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;

use crate::{Committed, LoadId, Micros, TableDef};

/// The column that says when the row's present form was first seen.
pub const SYNCED_AT: &str = "_synced_at";

/// The column that says since when an object is gone.
pub const DELETED_AT: &str = "_deleted_at";

/// Rows of a table with a key, to take the place of those with the same key. Applied twice, it changes nothing the second time.
#[derive(Clone, Debug)]
pub struct Merge {
    /// Which table. It has the columns [`SYNCED_AT`] and [`DELETED_AT`].
    pub table: &'static TableDef,
    /// What the change is known by in `_loads` and in the table's own history.
    pub load_id: LoadId,
    /// The columns that name an object.
    pub key: Vec<&'static str>,
    /// The objects, in the shape of [`TableDef::arrow_schema`]. Of two with one key the later counts.
    pub batches: Vec<RecordBatch>,
    /// What the objects are all of.
    pub complete: Complete,
    /// Whether an object that the table has already stays as it is, whatever the rows say: for what is told once and never changes.
    pub only_new: bool,
    /// When they were read: [`SYNCED_AT`] of what changes and [`DELETED_AT`] of what is gone.
    pub at: Micros,
}

/// Whether an object that is not among the rows is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complete {
    /// No: not all were read.
    No,
    /// Yes, every one.
    All,
    /// Yes, where this text column has one of these values: all objects below some parents were read.
    Below {
        /// The column.
        column: &'static str,
        /// The parents.
        parents: BTreeSet<String>,
    },
}

/// What a merge did. `inserted + updated + deleted` of zero wrote nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Objects that the table did not have.
    pub inserted: u64,
    /// Objects that were otherwise, or gone, before.
    pub updated: u64,
    /// Objects that are gone now.
    pub deleted: u64,
    /// Objects that are as they were.
    pub unchanged: u64,
    /// The commit, if there was one.
    pub committed: Option<Committed>,
}
