//! `dyno_events`: changes in a dyno's life.

use freshet_parse::Line;

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as DynoEvents, "dyno_events", "One change in a dyno's life" {
        event: Text(required), "state_changed, process_started, process_exited, stopping, killed, restarting, cycling, idling, unidling, awaiting_client, client_closed or memory_report";
        from_state: Text, "State before";
        to_state: Text, "State after";
        exit_status: Int, "Exit status of the process";
        command: Text, "Command that was started, secrets redacted";
        text: Text, "The line, secrets redacted";
    }
}

impl Table for DynoEvents {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::DynoEvent(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::DynoEvent(dyno)) = event else { return };
        self.shared.push(message);
        self.event.push(dyno.event.as_str().as_bytes());
        self.from_state.push_field(dyno.from_state);
        self.to_state.push_field(dyno.to_state);
        self.exit_status.push(dyno.exit_status);
        self.command.push_field(dyno.command.as_deref());
        self.text.push_field(Some(message.text));
    }
}
