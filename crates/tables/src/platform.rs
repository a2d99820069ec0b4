//! Heroku's Platform API as streams: what they are, and which tables they fill.

mod catalogue;
mod moment;
mod objects;
mod read;
mod schema;
mod secrets;
mod section;
mod webhook;

pub use catalogue::{Summary, left_out, stream, streams, summaries, tables};
pub use objects::{Drift, Listed, ObjectRows, Objects, at_path, moment};
pub use schema::{Change, Difference, differences, paths_of};
pub use secrets::redacted;
pub(crate) use webhook::WebhookEvents;
pub use webhook::{EventRows, EventsError};
