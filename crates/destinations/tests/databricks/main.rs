//! Databricks: the client against a server that says what a test wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(unreachable_pub, missing_docs)]

mod client;
