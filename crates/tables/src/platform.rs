//! Heroku's Platform API as streams: what they are, and which tables they fill.

mod catalogue;
mod read;
mod section;

pub use catalogue::{Summary, left_out, stream, streams, summaries, tables};
