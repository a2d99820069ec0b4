//! Heroku logs of our own making, and a client that sends them as Logplex would.
//!
//! Everything here comes from a seed: the same options give the same bytes on every machine, so that a test or a
//! benchmark can be repeated. No line was taken from anybody's app; hosts and addresses are the documentation ones.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod client;
pub mod generate;
pub mod histogram;
pub mod lines;
pub mod pool;
pub mod random;
pub mod sample;
pub mod text;
pub mod writer;
