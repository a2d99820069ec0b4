//! Databricks: the client against a server that says what a test wants; managed and external tables in a workspace of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(unreachable_pub, missing_docs)]

mod client;
#[path = "../conformance/mod.rs"]
mod conformance;
mod external;
mod managed;
#[path = "../rigs/mod.rs"]
mod rigs;
mod zerobus;
