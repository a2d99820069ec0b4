//! Heroku log bytes to messages and typed lines: pure functions that cannot fail.
//!
//! Two steps. [`pieces`] splits a body into [`Piece`]s, each a message with its header or a run of bytes that is none; the
//! pieces cover the body without gap or overlap, so every input byte ends in a row or in a reject. [`read_line`] then
//! looks at one message's text and says which of Heroku's kinds of line it is, with its fields as slices of that text.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod ansi;
mod api_event;
mod app_event;
mod cli;
mod cut;
mod detect;
mod dyno_event;
mod frames;
mod header;
mod json;
mod json_lines;
mod line;
mod lines;
mod logfmt;
mod number;
mod pairs;
mod piece;
mod pieces;
mod platform_error;
mod postgres_log;
mod rails;
mod read;
mod redact;
mod router;
mod samples;
mod secrets;
mod time;
mod words;

pub use api_event::API_NAMES_MAX;
pub use cut::{cut, first_record};
pub use detect::{DETECT_BYTES_MAX, detect};
pub use frames::FRAME_BYTES_MAX;
pub use line::{
    ApiAction, ApiEvent, AppEvent, AppFormat, DynoEvent, DynoEventKind, ErrorFamily, Line, MetricType, PAIRS_MAX, PlatformError,
    PostgresLog, Router, Sample, Samples, Scratch,
};
pub use lines::REJECT_BYTES_MAX;
pub use piece::{BodyFormat, Message, Piece, Reject, RejectReason};
pub use pieces::{Pieces, pieces};
pub use platform_error::title_of;
pub use postgres_log::POSTGRES_FIELDS_MAX;
pub use read::read_line;
pub use redact::{REDACTED, redact, redact_command};
pub use router::EXTRA_MAX;
pub use samples::unit_factor;
pub use time::timestamp;
