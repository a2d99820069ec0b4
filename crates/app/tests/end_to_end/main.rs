//! The binary from outside: files, sockets, signals and full disks on one side, rows by key on the other.
//!
//! Chance comes from a seed, which every test that uses it prints; `FRESHET_SEED=n` repeats it. `FRESHET_FULL=1` runs the
//! full tier: many more kills, and the other readers of the tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod audit;
mod chance;
mod check;
mod daemon;
mod databricks;
mod databricks_under_fire;
mod demo;
mod drain_protocol;
mod drains;
mod external;
mod freshet;
mod heroku;
mod http;
mod import_faults;
mod import_files;
mod import_kills;
mod init;
mod keys;
mod oauth;
mod readers;
#[path = "../../../destinations/tests/rigs/mod.rs"]
mod rigs;
mod run_faults;
mod run_kills;
mod senders;
mod small_disk;
mod stores;
mod sync;
mod sync_account;
mod sync_under_fire;
mod tail;
mod terminal;
mod under_fire;
mod upkeep;
mod verbs;
mod webhooks;
mod zerobus;
