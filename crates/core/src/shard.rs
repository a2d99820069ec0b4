//! Where a payload lies in the flow, so that a destination can say how far it has come.

use std::fmt;
use std::sync::Arc;

/// A place in a shard. Later payloads have larger positions; positions may have gaps. It fits a signed 64-bit integer,
/// because that is what a Delta `txn` version is.
pub type Position = u64;

/// An ordered sequence of payloads: the disk spool of one installation, or one chunk of an imported file.
///
/// The text is the Delta `txn` application id, so it is stable for ever and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// A shard named `id`.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The payloads of one shard after `from`, up to and including `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The shard.
    pub shard: ShardId,
    /// Exclusive start; 0 is the beginning of the shard.
    pub from: Position,
    /// Inclusive end.
    pub to: Position,
}
