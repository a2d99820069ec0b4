//! Configuration in three lives: raw text with places, valid settings, and what `run` builds of them.

mod keys;
mod raw;
mod settings;
mod units;

pub use keys::{reference, schema};
pub use raw::Problem;
pub use settings::{Settings, TlsSettings, load};
pub use units::{duration, format_bytes, format_duration};
