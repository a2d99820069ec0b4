//! `logs`: every message, once, raw.

use crate::event::Event;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as Logs, "logs", "Every log message, once" {
        process_type: Text, "web of web.1";
        kind: Text(required), "The typed table that also holds the message, else app";
        facility: Int, "Syslog facility";
        severity: Int, "Syslog severity: 0 is an emergency, 7 is debugging";
        drain_token: Text, "The drain it came through";
        message: Text(required), "The text, final newline removed, invalid UTF-8 replaced";
        message_raw: Binary, "The exact bytes, only where message is not them";
    }
}

impl Table for Logs {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(..))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, _) = event else { return };
        self.shared.push(message);
        self.process_type.push_field(process_type(message.dyno));
        self.kind.push(message.kind.as_bytes());
        self.facility.push(message.facility.map(i32::from));
        self.severity.push(message.severity.map(i32::from));
        let token = message.delivery.drain_token.map_or(token_in(message.hostname), |token| Some(token.as_bytes()));
        self.drain_token.push_field(token);
        self.message.push(message.text);
        self.message_raw.push(message.raw);
    }
}

/// `web` of `web.1` and of Fir's `web-1234abcde-123ab`; the whole of a name without either mark.
fn process_type(dyno: &[u8]) -> Option<&[u8]> {
    if let Some(dot) = dyno.iter().position(|byte| *byte == b'.') {
        return Some(&dyno[..dot]);
    }
    let mut parts = dyno.rsplitn(3, |byte| *byte == b'-');
    let (last, middle, first) = (parts.next(), parts.next(), parts.next());
    let fir = |part: Option<&[u8]>, length: usize| part.is_some_and(|part| part.len() >= length && part.iter().any(u8::is_ascii_digit));
    if fir(last, 4) && fir(middle, 8) { first } else { Some(dyno) }
}

/// Syslog drains put the drain token where the host name belongs; HTTPS drains always put `host` there.
fn token_in(hostname: &[u8]) -> Option<&[u8]> {
    hostname.starts_with(b"d.").then_some(hostname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_types() {
        let check = |dyno: &str, expected: &str| assert_eq!(process_type(dyno.as_bytes()), Some(expected.as_bytes()), "{dyno}");
        check("web.1", "web");
        check("run.7699", "run");
        check("router", "router");
        check("heroku-postgres", "heroku-postgres");
        check("web-1234abcde-123ab", "web");
        check("my-worker-1234abcde-123ab", "my-worker");
    }
}
