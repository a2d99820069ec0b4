//! Heroku log bytes to messages and typed lines: pure functions that cannot fail.
//!
//! Two steps. [`pieces`] splits a body into [`Piece`]s, each a message with its header or a run of bytes that is none; the
//! pieces cover the body without gap or overlap, so every input byte ends in a row or in a reject. [`read_line`] then
//! looks at one message's text and says which of Heroku's kinds of line it is, with its fields as slices of that text.

mod line;
mod piece;

pub use line::{
    ApiAction, ApiEvent, AppEvent, AppFormat, DynoEvent, DynoEventKind, ErrorFamily, Line, MetricType, PlatformError, PostgresLog, Router,
    Sample, Samples, Scratch,
};
pub use piece::{BodyFormat, Message, Piece, Reject, RejectReason};
