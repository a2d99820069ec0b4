//! Objects as they are now, and what of a table they replace.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;

use crate::{Committed, LoadId, Micros, Position, ShardId, TableDef};

/// The column that says when the row's present form was first seen.
pub const SYNCED_AT: &str = "_synced_at";

/// The column that says since when an object is gone.
pub const DELETED_AT: &str = "_deleted_at";

/// The column that says since when a version of an object held.
pub const VALID_FROM: &str = "valid_from";

/// The column that says until when it held.
pub const VALID_TO: &str = "valid_to";

/// The column that says whether it still holds.
pub const IS_CURRENT: &str = "is_current";

/// Rows of a table with a key, to take the place of those with the same key. Applied twice, it changes nothing the second time.
#[derive(Clone, Debug)]
pub struct Merge {
    /// Which table. [`SYNCED_AT`] and [`DELETED_AT`] count as no content of an object, where the table has them.
    pub table: &'static TableDef,
    /// What becomes of what is there.
    pub mode: MergeMode,
    /// What the change is known by in `_loads` and in the table's own history.
    pub load_id: LoadId,
    /// The columns that name an object.
    pub key: Vec<&'static str>,
    /// The objects, in the shape of [`TableDef::arrow_schema`]. Of two with one key the later counts.
    pub batches: Vec<RecordBatch>,
    /// What the objects are all of.
    pub complete: Complete,
    /// When they were read: [`SYNCED_AT`] of what changes and [`DELETED_AT`] of what is gone.
    pub at: Micros,
    /// How far their sources are read with them. Each only ever goes forward.
    pub bookmarks: Vec<(ShardId, Position)>,
}

/// What becomes of the rows that a table has of the same objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeMode {
    /// The new row takes their place.
    Replace,
    /// They stay, closed by [`VALID_TO`], and the new row is the one that [`IS_CURRENT`].
    Versions {
        /// Columns whose change alone makes no new version.
        ignored: Vec<&'static str>,
    },
    /// They stay as they are, and the new row is dropped.
    IfNew,
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
