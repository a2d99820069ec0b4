//! `_rejects`: bytes that could not become a row.

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    system table TABLE as Rejects, "_rejects", "Bytes that could not become a row; freshet rejects replay tries them again" {
        received_at: Timestamp(required), "When they were durable here";
        app: Text, "The Heroku app's name";
        source_name: Text(required), "drain, file, ...";
        frame_id: Text, "The delivery they came in";
        frame_index: Int, "How many messages of that delivery came before them";
        reason: Text(required), "framing, header, no_time, blank, json or continues_imported";
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
