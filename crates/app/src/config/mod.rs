//! Configuration in three lives: raw text with places, valid settings, and what `run` builds of them.

mod keys;
mod raw;
mod settings;
mod units;

pub(crate) use keys::{reference, schema};
pub(crate) use settings::{Settings, load};
pub(crate) use units::{duration, format_bytes, format_duration};
