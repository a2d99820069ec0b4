//! `app_events`: lines of the apps themselves that have structure.

use freshet_parse::Line;

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as AppEvents, "app_events", "One structured line of an app" {
        format: Text(required), "json, logfmt or rails";
        level: Text, "The line's own level";
        text: Text, "The line's own message";
        request_id: Text, "The request, as router_requests knows it";
        fields: TextMap, "All fields; nested names joined by a dot";
        body: Text, "The JSON text, when it was JSON";
    }
}

impl Table for AppEvents {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::AppEvent(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::AppEvent(app)) = event else { return };
        self.shared.push(message);
        self.format.push(app.format.as_str().as_bytes());
        self.level.push_field(app.level);
        self.text.push_field(app.text);
        self.request_id.push_field(app.request_id);
        let slice = |range: &std::ops::Range<usize>| app.buffer.get(range.clone()).unwrap_or_default();
        self.fields.push(app.fields.iter().map(|(key, value)| (slice(key), slice(value))));
        self.body.push_field(app.body);
    }
}
