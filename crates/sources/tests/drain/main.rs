//! The drain receiver over real sockets, spoken to byte by byte as Logplex does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod client;
mod frames;
mod limits;
mod listener;
mod pages;
mod scripted;
mod tls;
mod webhooks;
