//! A lake of Delta tables under one root, a folder or a URL of an object store: table `logs` lies in `<root>/logs`.
//!
//! Exactly once rests on one rule. The rows of a package and the positions they stand for are one entry of the table's
//! log: `add` actions beside `txn` actions, one per shard. Delta-rs does not compare `txn` versions, so [`Lake`] reads
//! them afresh before each attempt, and after any error it drops what it knows about the table and reads again: an error
//! may have come after the entry landed. Files written for an entry that never landed stay behind, unreferenced and
//! invisible, until `vacuum`.
//!
//! Several processes may append to one lake at once. Merging small files, cleaning the log and vacuuming take a lease per table where
//! the lake is a folder; elsewhere two may do so at once, and the work of one is thrown away.

mod change;
mod commit;
mod compact;
mod describe;
mod durable;
pub(crate) mod encode;
mod erase;
mod expire;
mod failure;
mod history;
mod lake;
mod lease;
mod log;
mod objects;
mod place;
mod prepare;
mod probe;
mod restore;
mod split;
mod vacuum;

pub use compact::{Compaction, CompactionOptions};
pub use describe::{ColumnInfo, TableInfo};
pub use durable::DurableStore;
pub use erase::{Erasure, RowFilter};
pub use expire::{EXPIRE_AFTER_MIN, ExpireOptions, Expired};
pub use history::Version;
pub use lake::{Lake, LakeOptions, LogUpkeep};
pub use lease::Leased;
pub use objects::MERGE_BYTES_MAX;
pub use place::{Place, StorageOptions, check_location};
pub use probe::{probe, probe_store};
pub use restore::{RestoreOptions, Restored};
pub use vacuum::{RETENTION_MIN, Vacuum, VacuumOptions};
