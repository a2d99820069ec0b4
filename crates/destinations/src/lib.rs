//! Where tables live. Each destination takes packages and says how much of each shard it has.
//!
//! - [`delta`]: Delta Lake tables on a local file system.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod delta;
