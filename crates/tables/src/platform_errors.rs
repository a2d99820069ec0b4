//! `platform_errors`: every H, R and L code wherever it appears, router lines included.

use freshet_parse::{Line, PlatformError};

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as PlatformErrors, "platform_errors", "One error with a Heroku error code" {
        code: Text(required), "H12, R14, L10, ...";
        family: Text(required), "H (HTTP), R (runtime) or L (logging)";
        title: Text(required), "What the code means, in Heroku's words";
        detail: Text, "More about this one";
        request_id: Text, "The request, for errors in router lines";
        messages_lost: Long, "L10 to L13: how many messages the line says were lost; L10 counts too many";
    }
}

impl PlatformErrors {
    fn push(&mut self, error: &PlatformError<'_>) {
        self.code.push(error.code);
        self.family.push(error.family.as_str().as_bytes());
        self.title.push(error.title);
        self.detail.push_field(error.detail);
        self.request_id.push_field(error.request_id);
        self.messages_lost.push(error.messages_lost);
    }
}

impl Table for PlatformErrors {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Message(_, Line::PlatformError(_)) => true,
            Event::Message(_, Line::Router(router)) => router.code.is_some() && router.platform_error().is_some(),
            _ => false,
        }
    }

    fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message, Line::PlatformError(error)) => {
                self.shared.push(message);
                self.push(error);
            }
            Event::Message(message, Line::Router(router)) => {
                let Some(error) = router.platform_error() else { return };
                self.shared.push_for_dyno(message, router.dyno);
                self.push(&error);
            }
            _ => {}
        }
    }
}
