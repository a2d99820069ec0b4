//! Where payloads come from: the HTTPS-drain receiver, the reader of files and standard input, Heroku's Platform API, and log sessions.
//!
//! A source knows how bytes reach Freshet and nothing of what they mean: it hands payloads to an
//! [`Inbox`](freshet_core::Inbox), or chunks to its caller, as they arrived.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod drain;
pub mod files;
pub mod platform;
pub mod session;
