//! Freshet under fire.
//!
//! The fake Heroku's Logplex, the real spool on a disk in memory, the real loader and a destination in memory run together in one
//! thread, on a time that passes only when everybody waits. Each of them fails as the seed says. When all has come to rest,
//! the tables are compared with what was sent.
//!
//! ```text
//! Logplex ── network ──▶ spool ──▶ loader ──▶ destination
//!               every arrow and every box can fail; all chance follows from the seed
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod check;
mod destination;
mod fault;
mod lake;
mod life;
mod panics;
mod plan;
mod rows;
mod run;
mod sender;
mod story;
mod summary;
mod time;
mod wire;
mod world;

pub use check::Found;
pub use fault::{Fault, Tally};
pub use plan::{Mutant, Plan};
pub use run::{Level, Report, run, run_lake, shrink};
pub use summary::Summary;
