//! From payloads to committed packages: cut, commit, advance the checkpoint, trim the spool.
//!
//! [`SpoolLoader`] follows the spool for as long as `freshet run` lives; [`FileLoader`] takes the chunks of an import. Both
//! fill [`freshet_tables::Rows`], cut packages and give them to a [`Committer`], which knows how to try again. Which
//! destination that is, nobody here knows.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod closures;
mod commit;
mod cut;
mod file;
mod file_position;
mod loads;
mod machine;
mod spool;
mod stats;

pub use closures::tell_of_closures;
pub use commit::{CommitError, Committer, Retry};
pub use cut::PackageLimits;
pub use file::{ChunkReport, FileChunk, FileLoader, TableTotals};
pub use machine::{Lost, Machine};
pub use spool::{BeginError, SpoolLoader};
pub use stats::{LoaderSnapshot, LoaderStats};
