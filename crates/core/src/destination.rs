//! The open set of places that tables live in.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::{Merge, Merged, Micros, Package, Position, ShardId, TableDef};

/// A place that holds tables and can say how much of each shard it has.
///
/// Every destination passes the same conformance suite. The rule behind all methods: the rows and the positions they
/// stand for become visible in one step, and after any doubt the destination is asked.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Makes `table` exist with at least its columns. Harmless when it does already.
    async fn prepare(&self, table: &'static TableDef) -> Result<(), DestinationError>;

    /// For each of `shards`, the last position that is safely in `table`, read afresh. A table that does not exist has none.
    async fn checkpoint(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, DestinationError>;

    /// Writes the rows and moves the checkpoints of all spans to their ends in one step, unless that has happened before.
    ///
    /// After an error it is unknown whether the package is there: call again with the same package, which finds out.
    async fn commit(&self, package: &Package) -> Result<CommitOutcome, DestinationError>;

    /// Brings objects with a key into their table, in one step. No checkpoint moves: applied again, it changes nothing, so after an
    /// error the same objects are simply merged again.
    async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError>;

    /// The commits to `table` with a version above `after`, oldest first.
    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, DestinationError>;
}

/// A destination that keeps objects as they are elsewhere and can be asked for them: what `freshet sync` goes by, since a run relies on
/// nothing but the tables.
#[async_trait]
pub trait Mirror: Destination {
    /// Those of `columns` that `table` has, of all its rows, in any number of batches; nothing when the table does not exist.
    async fn objects(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError>;

    /// A name and a number of the table's present form: as long as both are the same, so are its rows. Nothing when there is no such
    /// table. It may differ although nothing changed, which only costs requests.
    async fn standing(&self, table: &str) -> Result<Option<(String, u64)>, DestinationError>;

    /// The bookmarks of `table` that begin with `prefix`, as [`Merge::bookmarks`] and [`Destination::commit`] have set them: how far
    /// each source was read, by the table's own word. None when the table does not exist.
    async fn bookmarks(&self, table: &'static TableDef, prefix: &str) -> Result<BTreeMap<String, Position>, DestinationError>;

    /// Sets bookmarks of `table` to what is wanted, also backwards, for a person who wants a stream read again. An error when the
    /// table does not exist.
    async fn set_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError>;
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The rows are in the table now.
    Committed(Committed),
    /// They were there before: the checkpoint of every span is at or beyond its end.
    AlreadyThere,
    /// Somebody else moved a checkpoint into one of the spans. Nothing was written: read the checkpoints and cut again.
    Overtaken,
}

/// What one commit did: a row of `_loads`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The load id, as text.
    pub load_id: String,
    /// Rows written.
    pub rows: i64,
    /// Files written.
    pub files: i64,
    /// Bytes in those files.
    pub bytes: i64,
    /// The earliest and latest `ts` of the rows, where the table has one.
    pub ts_range: Option<(Micros, Micros)>,
    /// When.
    pub committed_at: Micros,
    /// The table version it made.
    pub version: i64,
}

/// What a destination could not do, named for what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// Trying again later may help: a network, a busy server, a full disk.
    #[error("{doing}")]
    Transient {
        /// What was being done, and to which table.
        doing: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Trying again will not help until a person changes something.
    #[error("{problem}")]
    Refused {
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// As [`DestinationError::Refused`], because we may not do it there.
    #[error("{problem}")]
    NotPermitted {
        /// What is not permitted and what to do about it.
        problem: String,
    },
}

impl DestinationError {
    /// What was being done and why it failed, in one line for a person; as text alone, an error does not tell its cause.
    #[must_use]
    pub fn with_cause(&self) -> String {
        match self {
            Self::Transient { doing, cause } => format!("{doing}: {cause}"),
            Self::Refused { problem } | Self::NotPermitted { problem } => problem.clone(),
        }
    }

    /// Whether the same call may succeed later without a person's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}
