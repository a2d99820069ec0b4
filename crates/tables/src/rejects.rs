//! `_rejects`: bytes that could not become a row.

use arrow_array::RecordBatch;
use freshet_core::{Micros, TableDef};
use freshet_parse::RejectReason;
use xxhash_rust::xxh3::Xxh3;

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    system table TABLE as Rejects, "_rejects", "Bytes that could not become a row; freshet rejects replay tries them again" {
        received_at: Timestamp(required), "When they were durable here";
        app: Text, "The Heroku app's name";
        source_name: Text(required), "drain, webhook, file, or the stream of an object";
        frame_id: Text, "The delivery they came in; of an object, what it is known by";
        frame_index: Int, "How many messages of that delivery came before them";
        reason: Text(required), "framing, header, no_time, blank, json, continues_imported or nameless";
        detail: Text, "Where in the delivery they stood";
        bytes: Binary(required), "The bytes";
        date: Date(required), "UTC date of received_at; the partition column";
    }
}

impl Table for Rejects {
    table_methods!(TABLE, received_at);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Reject(..))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Reject(delivery, reject, bytes) = event else { return };
        self.received_at.push(Some(delivery.received_at));
        self.app.push_field(delivery.app.map(str::as_bytes));
        self.source_name.push(delivery.source_name.as_bytes());
        self.frame_id.push_field(Some(delivery.frame_id.as_bytes()));
        self.frame_index.push(Some(delivery.frame_index));
        self.reason.push(reject.reason.as_str().as_bytes());
        self.detail.push(format!("bytes {} to {} of the delivery", reject.range.start, reject.range.end).as_bytes());
        self.bytes.push(Some(bytes));
        self.date.push(Some(delivery.received_at.days()));
    }
}

/// The definition of `_rejects`.
pub static REJECTS: &TableDef = &TABLE;

/// The column by which an object among the rejects is known: the same object is there once, however often it is listed.
pub const REJECTS_KEY: [&str; 1] = ["frame_id"];

/// Objects of `stream`, as JSON, that nothing names. `None` when there are none.
pub(crate) fn object_rejects(stream: &str, objects: &[String], at: Micros) -> Option<RecordBatch> {
    let mut rows = Rejects::default();
    for object in objects {
        let mut hash = Xxh3::new();
        hash.update(stream.as_bytes());
        // No stream's name holds such a byte.
        hash.update(&[0]);
        hash.update(object.as_bytes());
        rows.received_at.push(Some(at));
        rows.app.push_field(None);
        rows.source_name.push(stream.as_bytes());
        rows.frame_id.push_field(Some(format!("object-{:032x}", hash.digest128()).as_bytes()));
        rows.frame_index.push(Some(0));
        rows.reason.push(RejectReason::Nameless.as_str().as_bytes());
        rows.detail.push(b"an object without its key");
        rows.bytes.push(Some(object.as_bytes()));
        rows.date.push(Some(at.days()));
    }
    rows.take_batch()
}
