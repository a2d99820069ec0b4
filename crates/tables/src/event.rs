//! What tables are offered, and the columns that all log tables share.

use arrow_array::ArrayRef;
use freshet_core::Micros;
use freshet_parse::{Line, Reject};

use crate::column::{Column, Date, Int, Text, Timestamp};

/// Something that may make rows.
pub(crate) enum Event<'a> {
    /// A log message and what its text turned out to be.
    Message(&'a MessageRow<'a>, &'a Line<'a>),
    /// Bytes that could not become a message.
    Reject(&'a DeliveryRow<'a>, &'a Reject, &'a [u8]),
    /// Something about a delivery as a whole that tells of lost messages.
    Loss(&'a DeliveryRow<'a>, Loss<'a>),
}

/// A known or likely loss that no log line tells of.
pub(crate) struct Loss<'a> {
    pub(crate) kind: &'a str,
    pub(crate) messages: Option<i64>,
    pub(crate) text: &'a str,
}

/// What is known of the delivery that an event came in.
pub(crate) struct DeliveryRow<'a> {
    pub(crate) app: Option<&'a str>,
    pub(crate) source_name: &'static str,
    pub(crate) drain_token: Option<&'a str>,
    pub(crate) frame_id: &'a str,
    pub(crate) frame_index: i32,
    pub(crate) received_at: Micros,
}

/// A message as the tables see it: text is UTF-8 and redacted.
pub(crate) struct MessageRow<'a> {
    pub(crate) delivery: DeliveryRow<'a>,
    pub(crate) ts: Micros,
    pub(crate) facility: Option<u8>,
    pub(crate) severity: Option<u8>,
    pub(crate) hostname: &'a [u8],
    pub(crate) source: &'a [u8],
    pub(crate) dyno: &'a [u8],
    pub(crate) text: &'a [u8],
    /// The exact bytes, where `text` is not them and they hold no secret.
    pub(crate) raw: Option<&'a [u8]>,
    /// The typed table that also holds the message, else `app`.
    pub(crate) kind: &'static str,
}

/// The columns that every log table begins with.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) ts: Timestamp,
    app: Text,
    source: Text,
    dyno: Text,
    frame_id: Text,
    frame_index: Int,
    received_at: Timestamp,
    date: Date,
}

impl Shared {
    /// Adds one row with the process that wrote the line as `dyno`.
    pub(crate) fn push(&mut self, message: &MessageRow<'_>) {
        self.push_for_dyno(message, Some(message.dyno));
    }

    /// Adds one row about another dyno than the one that wrote the line.
    pub(crate) fn push_for_dyno(&mut self, message: &MessageRow<'_>, dyno: Option<&[u8]>) {
        self.ts.push(Some(message.ts));
        self.app.push_field(message.delivery.app.map(str::as_bytes));
        self.source.push(message.source);
        self.dyno.push_field(dyno);
        self.frame_id.push(message.delivery.frame_id.as_bytes());
        self.frame_index.push(Some(message.delivery.frame_index));
        self.received_at.push(Some(message.delivery.received_at));
        self.date.push(Some(message.ts.days()));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ts.bytes() + self.app.bytes() + self.source.bytes() + self.dyno.bytes() + self.frame_id.bytes() + 16 * self.ts.len()
    }

    /// The columns in the order of the catalogue.
    pub(crate) fn finish(&mut self, columns: &mut Vec<ArrayRef>) {
        columns.extend([
            self.ts.finish(),
            self.app.finish(),
            self.source.finish(),
            self.dyno.finish(),
            self.frame_id.finish(),
            self.frame_index.finish(),
            self.received_at.finish(),
            self.date.finish(),
        ]);
    }
}
