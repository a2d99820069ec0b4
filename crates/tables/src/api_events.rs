//! `api_events`: what people and add-ons did through the Platform API.

use freshet_parse::Line;

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as ApiEvents, "api_events", "One thing done through the Platform API" {
        action: Text(required), "release, deploy, build_started, build_succeeded, build_failed, scale, config_set, config_removed, attach, detach, rollback, run, stack_changed or other";
        actor: Text, "Who did it";
        release_version: Int, "The N of release vN";
        commit: Text, "What was deployed";
        names: TextList, "Config vars or add-ons by name; never their values";
        formation: TextMap, "Process type to QUANTITY:SIZE";
        text: Text(required), "The line, secrets redacted";
    }
}

impl Table for ApiEvents {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::ApiEvent(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::ApiEvent(api)) = event else { return };
        self.shared.push(message);
        self.action.push(api.action.as_str().as_bytes());
        self.actor.push_field(api.actor);
        self.release_version.push(api.release_version);
        self.commit.push_field(api.commit);
        self.names.push(api.names.iter().copied());
        let sizes: Vec<(&[u8], Vec<u8>)> =
            api.formation.iter().map(|(process, quantity, size)| (*process, quantity_and_size(quantity, size))).collect();
        let pairs: Vec<(&[u8], &[u8])> = sizes.iter().map(|(process, size)| (*process, size.as_slice())).collect();
        self.formation.push(crate::router_requests::unique(&pairs));
        self.text.push(message.text);
    }
}

fn quantity_and_size(quantity: &[u8], size: &[u8]) -> Vec<u8> {
    if size.is_empty() { quantity.to_vec() } else { [quantity, b":", size].concat() }
}
