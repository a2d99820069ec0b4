//! `_loss`: what we know was lost or may have been.

use freshet_parse::{Line, PlatformError};

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    system table TABLE as LossRows, "_loss", "Messages that were lost, or may have been" {
        ts: Timestamp(required), "The time in the line that tells of it, else when it was noticed";
        app: Text, "The Heroku app's name";
        kind: Text(required), "l10, l11, l12, l13, count_mismatch, intake_closed (the spool could take nothing) or spool_damaged";
        messages: Long, "How many; an over-estimate for l10";
        frame_id: Text, "The delivery that tells of it";
        text: Text, "In words";
    }
}

impl Table for LossRows {
    table_methods!(TABLE, ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Message(_, Line::PlatformError(error)) => kind(error).is_some(),
            Event::Loss(..) => true,
            _ => false,
        }
    }

    fn add(&mut self, event: &Event<'_>) {
        let (ts, delivery, kind, messages, text) = match event {
            Event::Message(message, Line::PlatformError(error)) => {
                (message.ts, &message.delivery, kind(error).unwrap_or_default(), error.messages_lost, message.text)
            }
            Event::Loss(delivery, loss) => (delivery.received_at, *delivery, loss.kind, loss.messages, loss.text.as_bytes()),
            _ => return,
        };
        self.ts.push(Some(ts));
        self.app.push_field(delivery.app.map(str::as_bytes));
        self.kind.push(kind.as_bytes());
        self.messages.push(messages);
        self.frame_id.push_field(Some(delivery.frame_id.as_bytes()));
        self.text.push_field(Some(text));
    }
}

fn kind(error: &PlatformError<'_>) -> Option<&'static str> {
    match error.code {
        b"L10" => Some("l10"),
        b"L11" => Some("l11"),
        b"L12" => Some("l12"),
        b"L13" => Some("l13"),
        _ => None,
    }
}
