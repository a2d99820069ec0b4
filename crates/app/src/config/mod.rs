//! Configuration in three lives: raw text with places, valid settings, and what `run` builds of them.

mod cadence;
mod keys;
mod netrc;
mod raw;
mod settings;
mod units;
mod window;

pub(crate) use cadence::Cadence;
pub(crate) use keys::{reference, schema};
pub(crate) use raw::Problem;
pub(crate) use settings::{DEFAULT_FILE, Examination, NoToken, RetentionSettings, ScheduleSettings, Settings, examine, examine_text, load};
pub(crate) use settings::{DatabricksMode, DatabricksSettings};
pub(crate) use units::{duration, format_bytes, format_duration};
pub(crate) use window::Window;
