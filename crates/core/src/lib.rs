//! The words every stage of Freshet shares, and the open traits of sources and destinations.
//!
//! Nothing here does I/O or needs a runtime. A stage that wants another stage's work asks for it through a type of
//! this crate; only the `app` crate knows all of them by name.

mod destination;
mod inbox;
mod merge;
mod package;
mod payload;
mod secret;
mod shard;
mod source;
mod stream;
mod table;
mod time;

pub use destination::{CommitOutcome, Committed, Destination, DestinationError, Mirror};
pub use inbox::{Inbox, InboxError, Receipt};
pub use merge::{Complete, DELETED_AT, IS_CURRENT, Merge, MergeMode, Merged, SYNCED_AT, VALID_FROM, VALID_TO};
pub use package::{LoadId, Package};
pub use payload::{EnvelopeError, Format, Payload, SourceKind};
pub use secret::Secret;
pub use shard::{Position, ShardId, Span};
pub use source::{Source, SourceError, Stop};
pub use stream::{
    Ask, Every, FieldDef, FieldKind, LeftOut, ListDef, Origin, Parent, Read, SecretDef, SecretRule, Shape, StreamDef, Trailing, Unit,
};
pub use table::{ColumnDef, ColumnType, TableDef, TableKind};
pub use time::{Clock, Micros, SystemClock};
