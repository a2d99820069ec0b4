//! The catalogue of tables: parsed lines to Arrow columns.
//!
//! [`Rows`] takes deliveries apart and fills the columns of every table; [`TABLES`] says what those tables are. To add a
//! table, write one file like `router_requests.rs` and name it in the list in `catalogue.rs`. The tables of Heroku's
//! Platform API are in [`platform`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod catalogue;
mod column;
mod drift;
mod event;
mod loads;
mod metrics;
pub mod platform;
mod rows;
#[cfg(test)]
mod rows_tests;
mod runs;
mod table;

mod api_events;
mod app_events;
mod dyno_events;
mod dyno_metrics;
mod logs;
mod loss;
mod metric_samples;
mod pgbouncer_metrics;
mod platform_errors;
mod postgres_logs;
mod postgres_metrics;
mod redis_metrics;
mod rejects;
mod router_requests;

pub use catalogue::{SYNC_TABLES, TABLES, find};
pub use drift::{DRIFT, DRIFT_KEY, drift_rows};
pub use loads::{LOADS, load_rows};
pub use rejects::{REJECTS, REJECTS_KEY};
pub use rows::{Counts, Delivery, PositionOf, Rows, TableRows};
pub use runs::{RUNS, RunRow, run_rows};

/// Goes up whenever the same bytes would make different rows, so that a load id never stands for two contents.
pub const SCHEMA_VERSION: u32 = 1;
