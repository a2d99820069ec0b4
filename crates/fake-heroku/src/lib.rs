//! A Heroku that lives on this machine, for `freshet demo`, for our tests and for users' CI.
//!
//! A small company of apps lives in a [`World`]: everything in it follows from a seed. What happens there comes out as
//! [`Event`]s, and the front doors carry them the way Heroku does:
//!
//! ```text
//! world ──events──▶ logplex    log drains (HTTPS, syslog) and log sessions
//!   ▲               webhooks   signed, with retries
//!   │               telemetry  OTLP drains
//! platform  the API: reads the world, and changes it as the story does
//! control   for tests: counts, faults, the clock
//! ```
//!
//! The world is pure: no clock, no I/O, no chance but its seed's. Time is the story's own, and may run faster than ours.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod catalogue;
mod client;
mod clock;
mod control;
pub mod fake;
pub mod faults;
mod http;
pub mod logplex;
pub mod platform;
#[cfg(test)]
mod receiver;
mod server;
pub mod telemetry;
mod tls;
pub mod webhooks;
pub mod world;

pub use fake::{FakeHeroku, FakeOptions};
pub use faults::{Fault, Faults, Strike};
pub use platform::OAuthOptions;
pub use world::{Actor, Change, Event, Line, Refusal, World, WorldOptions};
