//! Where tables live. Each destination takes packages and says how much of each shard it has.
//!
//! - [`delta`]: Delta Lake tables below one folder or URL.
//! - [`databricks`]: what a Databricks workspace holds.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod databricks;
pub mod delta;
mod spans;
