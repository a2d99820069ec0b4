//! Deliveries to rows of every table.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use freshet_core::{Format, Micros, Payload, Position, TableDef};
use freshet_parse::{BodyFormat, Message, Piece, Reject, RejectReason, Scratch};

use crate::catalogue::{self, COUNT, TABLES};
use crate::event::{DeliveryRow, Event, Loss, MessageRow};
use crate::platform::{EventRows, EventsError, WebhookEvents};
use crate::table::Table;

/// One payload and how its messages are named.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The bytes and what is known of them.
    pub payload: &'a Payload,
    /// The frame id as sent, or a content id.
    pub frame_id: &'a str,
    /// Where it lies in its shard.
    pub position: PositionOf,
    /// Offsets in the body at which an earlier import of the same bytes ended, in ascending order. The same messages get
    /// the same `frame_index` whether or not the body had grown in between.
    pub resumed_at: &'a [usize],
}

/// How a message's position in the shard follows from the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionOf {
    /// All messages of the delivery share one position.
    Delivery(Position),
    /// A message's position is the offset of its end in the body.
    MessageEnd,
}

/// What became of a delivery's bytes. The two byte counts add up to the body's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages read.
    pub messages: u64,
    /// Rejects.
    pub rejects: u64,
    /// Bytes in messages.
    pub message_bytes: u64,
    /// Bytes in rejects.
    pub reject_bytes: u64,
    /// Messages whose frame was shorter than its length said.
    pub short: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.rejects += other.rejects;
        self.message_bytes += other.message_bytes;
        self.reject_bytes += other.reject_bytes;
        self.short += other.short;
    }
}

/// The finished rows of one table.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// Which table.
    pub table: &'static TableDef,
    /// The rows; at least one.
    pub batch: RecordBatch,
    /// The earliest and the latest `ts` among them.
    pub ts_range: Option<(Micros, Micros)>,
}

/// Rows of every table under construction.
pub struct Rows {
    tables: [Box<dyn Table>; COUNT],
    /// Rows at or below this position are in the table already, by index in [`TABLES`].
    skip: [Position; COUNT],
    scratch: Scratch,
    /// What webhooks told, if anything. These rows have a key instead of a position, so none is left out: their table knows them.
    events: Option<WebhookEvents>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { tables: catalogue::empty(), skip: [0; COUNT], scratch: Scratch::default(), events: None }
    }
}

impl Rows {
    /// The tables that log lines fill.
    #[must_use]
    pub fn tables() -> &'static [&'static TableDef] {
        &TABLES[..COUNT]
    }

    /// From here on, leaves out of `table` what lies at or below `position`, because the table has it.
    pub fn skip_to(&mut self, table: &TableDef, position: Position) {
        if let Some(index) = Self::tables().iter().position(|known| known.name == table.name) {
            self.skip[index] = position;
        }
    }

    /// About how much memory the rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes()).sum::<usize>() + self.events.as_ref().map_or(0, WebhookEvents::bytes)
    }

    /// Rows in all tables, events of webhooks included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.len()).sum::<usize>() + self.events.as_ref().map_or(0, WebhookEvents::len)
    }

    /// Rows of each table, in the order of [`Rows::tables`].
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.tables.iter().map(|table| table.len()).collect()
    }

    /// Whether no table has a row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands over what there is and starts anew; the positions to skip stay.
    pub fn finish(&mut self) -> Vec<TableRows> {
        let finish = |table: &mut Box<dyn Table>| {
            let (def, ts_range) = (table.def(), table.ts_range());
            table.finish().map(|batch| TableRows { table: def, batch, ts_range })
        };
        self.tables.iter_mut().filter_map(finish).collect()
    }

    /// Hands over the events of webhooks there are, as seen at `at`.
    ///
    /// # Errors
    /// They cannot be made rows, which only a bug can cause. They are gone from here; where they came from they still are.
    pub fn finish_events(&mut self, at: Micros) -> Result<Option<EventRows>, EventsError> {
        self.events.take().map(|events| events.finish(at)).transpose()
    }

    /// Takes a delivery apart. Every byte of its body ends in a message or in a reject.
    pub fn add(&mut self, delivery: &Delivery<'_>) -> Counts {
        let payload = delivery.payload;
        if payload.format == Format::Webhook {
            return self.add_event(delivery);
        }
        let Some(format) = body_format(payload.format) else {
            let notice = String::from_utf8_lossy(&payload.body);
            let (kind, text) = notice.split_once(": ").unwrap_or(("notice", &notice));
            self.offer_loss(delivery, &Loss { kind, messages: None, text });
            return Counts { messages: 1, message_bytes: payload.body.len() as u64, ..Counts::default() };
        };
        let mut counts = Counts::default();
        let mut index = 0;
        let mut start = 0;
        for end in delivery.resumed_at.iter().copied().chain([payload.body.len()]) {
            if end > start {
                self.add_part(delivery, format, start..end, &mut index, &mut counts);
                start = end;
            }
        }
        debug_assert_eq!(counts.message_bytes + counts.reject_bytes, payload.body.len() as u64, "every byte is accounted for");
        self.check_count(delivery, counts);
        counts
    }

    /// Takes the event that a webhook's delivery tells. What is none is a reject as a whole.
    fn add_event(&mut self, delivery: &Delivery<'_>) -> Counts {
        let body = &delivery.payload.body;
        let mut events = self.events.take().or_else(WebhookEvents::new);
        let is_event = events.as_mut().is_some_and(|events| events.add(body));
        self.events = events.filter(|events| events.len() > 0);
        if is_event {
            return Counts { messages: 1, message_bytes: body.len() as u64, ..Counts::default() };
        }
        let mut counts = Counts::default();
        let reject = Reject { range: 0..body.len(), reason: RejectReason::Json };
        self.offer_reject(delivery, &reject, body, 0, &mut counts);
        counts
    }

    /// Reads the part of the body that one import added.
    fn add_part(
        &mut self,
        delivery: &Delivery<'_>,
        format: BodyFormat,
        part: std::ops::Range<usize>,
        index: &mut i32,
        counts: &mut Counts,
    ) {
        let body = &delivery.payload.body[part.clone()];
        let mut offset = part.start;
        let mut rest = body;
        if let Some(length) = unfinished_line(format, &delivery.payload.body, &part) {
            let reject = Reject { range: offset..offset + length, reason: RejectReason::ContinuesImported };
            self.offer_reject(delivery, &reject, &rest[..length], *index, counts);
            (offset, rest) = (offset + length, &rest[length..]);
        }
        for piece in freshet_parse::pieces(format, rest) {
            match piece {
                Piece::Message(message) => {
                    counts.messages += 1;
                    counts.message_bytes += message.range.len() as u64;
                    counts.short += u64::from(message.short);
                    self.offer_message(delivery, &message, offset + message.range.end, *index);
                    // Rejects do not count: how they are grouped depends on where an earlier import ended.
                    *index = index.saturating_add(1);
                }
                Piece::Reject(reject) => {
                    let bytes = rest.get(reject.range.clone()).unwrap_or_default();
                    let placed = Reject { range: offset + reject.range.start..offset + reject.range.end, reason: reject.reason };
                    self.offer_reject(delivery, &placed, bytes, *index, counts);
                }
            }
        }
    }

    fn offer_message(&mut self, delivery: &Delivery<'_>, message: &Message<'_>, end: usize, frame_index: i32) {
        let exact = message.raw.unwrap_or(&message.text);
        let mut text = utf8(&message.text);
        let mut raw = if matches!(text, Cow::Owned(_)) { Some(exact) } else { message.raw };
        let (source, dyno) = (utf8(&message.source), utf8(&message.dyno));
        if let Some(redacted) = freshet_parse::redact(&source, &dyno, &text) {
            // The exact bytes would bring the secret back.
            (text, raw) = (Cow::Owned(redacted), None);
        }
        let line = freshet_parse::read_line(&source, &dyno, &text, &mut self.scratch);
        let mut row = MessageRow {
            delivery: delivery_row(delivery, frame_index),
            ts: Micros(message.ts_us),
            facility: message.facility,
            severity: message.severity,
            hostname: message.hostname,
            source: &source,
            dyno: &dyno,
            text: &text,
            raw,
            kind: "app",
        };
        let position = position_of(delivery.position, end);
        let mut kind = None;
        let (logs, typed) = self.tables.split_at_mut(1);
        let event = Event::Message(&row, &line);
        for (table, skip) in typed.iter_mut().zip(&self.skip[1..]) {
            if table.wants(&event) {
                kind.get_or_insert(table.def().name);
                if position > *skip {
                    table.add(&event);
                }
            }
        }
        row.kind = kind.unwrap_or("app");
        if position > self.skip[0] {
            logs[0].add(&Event::Message(&row, &line));
        }
    }

    fn offer_reject(&mut self, delivery: &Delivery<'_>, reject: &Reject, bytes: &[u8], frame_index: i32, counts: &mut Counts) {
        counts.rejects += 1;
        counts.reject_bytes += bytes.len() as u64;
        let row = delivery_row(delivery, frame_index);
        self.offer(&Event::Reject(&row, reject, bytes), position_of(delivery.position, reject.range.end));
    }

    fn offer_loss(&mut self, delivery: &Delivery<'_>, loss: &Loss<'_>) {
        let row = delivery_row(delivery, 0);
        let loss = Loss { kind: loss.kind, messages: loss.messages, text: loss.text };
        self.offer(&Event::Loss(&row, loss), position_of(delivery.position, delivery.payload.body.len()));
    }

    fn offer(&mut self, event: &Event<'_>, position: Position) {
        for (table, skip) in self.tables.iter_mut().zip(&self.skip) {
            if position > *skip && table.wants(event) {
                table.add(event);
            }
        }
    }

    /// A sender that announced another number of messages than it sent has lost some, or a proxy has.
    fn check_count(&mut self, delivery: &Delivery<'_>, counts: Counts) {
        let Some(announced) = delivery.payload.msg_count else { return };
        let found = counts.messages + counts.rejects;
        if u64::from(announced) != found {
            let messages = i64::from(announced).saturating_sub(i64::try_from(found).unwrap_or(i64::MAX));
            let text = format!("Logplex-Msg-Count said {announced}, the body holds {found}");
            self.offer_loss(delivery, &Loss { kind: "count_mismatch", messages: Some(messages).filter(|lost| *lost > 0), text: &text });
        }
    }
}

fn position_of(position: PositionOf, end: usize) -> Position {
    match position {
        PositionOf::Delivery(position) => position,
        PositionOf::MessageEnd => end as Position,
    }
}

fn delivery_row<'a>(delivery: &Delivery<'a>, frame_index: i32) -> DeliveryRow<'a> {
    DeliveryRow {
        app: delivery.payload.app.as_deref(),
        source_name: delivery.payload.source.as_str(),
        drain_token: delivery.payload.drain_token.as_deref(),
        frame_id: delivery.frame_id,
        frame_index,
        received_at: delivery.payload.received_at,
    }
}

fn body_format(format: Format) -> Option<BodyFormat> {
    match format {
        Format::Frames => Some(BodyFormat::Frames),
        Format::Cli => Some(BodyFormat::Cli),
        Format::Syslog => Some(BodyFormat::Syslog),
        Format::JsonLines => Some(BodyFormat::JsonLines),
        Format::Notice | Format::Webhook => None,
    }
}

/// How much of `part` still belongs to the line that an earlier import ended in. Frames need no such care: reading them
/// from the middle rejects everything up to the next frame.
fn unfinished_line(format: BodyFormat, body: &[u8], part: &std::ops::Range<usize>) -> Option<usize> {
    let before = body.get(part.start.checked_sub(1)?)?;
    if format == BodyFormat::Frames || *before == b'\n' {
        return None;
    }
    let rest = body.get(part.clone())?;
    Some(rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |newline| newline + 1))
}

fn utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Cow::Borrowed(bytes),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into_bytes()),
    }
}
