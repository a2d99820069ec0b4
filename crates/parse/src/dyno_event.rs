//! Changes in a dyno's life: `State changed from starting to up`, `Process exited with status 137`, …

use std::borrow::Cow;

use memchr::memmem;

use crate::line::{DynoEvent, DynoEventKind};
use crate::number::leading_integer;
use crate::redact::{command_range, redact_command};
use crate::words::{filled, split_while};

/// How a line begins, and the event that it then tells of.
const BEGINNINGS: [(&[u8], DynoEventKind); 13] = [
    (b"State changed from ", DynoEventKind::StateChanged),
    (b"Starting process with command", DynoEventKind::ProcessStarted),
    (b"Process exited", DynoEventKind::ProcessExited),
    (b"Process running mem=", DynoEventKind::MemoryReport),
    (b"Stopping all processes", DynoEventKind::Stopping),
    (b"Stopping remaining processes", DynoEventKind::Stopping),
    (b"Stopping process", DynoEventKind::Stopping),
    (b"Restarting", DynoEventKind::Restarting),
    (b"Cycling", DynoEventKind::Cycling),
    (b"Idling", DynoEventKind::Idling),
    (b"Unidling", DynoEventKind::Unidling),
    (b"Awaiting client", DynoEventKind::AwaitingClient),
    (b"Client connection closed", DynoEventKind::ClientClosed),
];

/// Reads a line that the platform wrote about a dyno.
pub(crate) fn read(text: &[u8]) -> Option<DynoEvent<'_>> {
    let text = text.trim_ascii();
    let (event, rest) = BEGINNINGS.iter().find_map(|(beginning, event)| Some((*event, text.strip_prefix(*beginning)?)))?;
    let mut line = DynoEvent { event, from_state: None, to_state: None, exit_status: None, command: None };
    match event {
        DynoEventKind::StateChanged => {
            let (from, rest) = split_state(rest);
            line.from_state = Some(filled(from)?);
            line.to_state = Some(filled(split_state(rest.strip_prefix(b" to ")?).0)?);
        }
        DynoEventKind::ProcessStarted => {
            let command = command_range(text).map_or(rest, |range| &text[range]);
            line.command = filled(command).map(|command| redact_command(command).map_or(Cow::Borrowed(command), Cow::Owned));
        }
        DynoEventKind::ProcessExited => line.exit_status = rest.strip_prefix(b" with status ").and_then(leading_integer),
        DynoEventKind::Stopping if memmem::find(rest, b"SIGKILL").is_some() => line.event = DynoEventKind::Killed,
        _ => {}
    }
    Some(line)
}

/// A state's name; what a web page or a shell has added behind it is not part of it.
fn split_state(text: &[u8]) -> (&[u8], &[u8]) {
    split_while(text, |byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: DynoEventKind) -> DynoEvent<'static> {
        DynoEvent { event, from_state: None, to_state: None, exit_status: None, command: None }
    }

    fn check(text: &str, expected: DynoEvent<'_>) {
        assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
    }

    #[test]
    fn states() {
        let changed = |from: &'static str, to: &'static str| DynoEvent {
            from_state: Some(from.as_bytes()),
            to_state: Some(to.as_bytes()),
            ..event(DynoEventKind::StateChanged)
        };
        check("State changed from starting to up", changed("starting", "up"));
        check("State changed from starting to up\r", changed("starting", "up"));
        check("State changed from starting to up...", changed("starting", "up"));
        check("State changed from starting to up</code></pre>", changed("starting", "up"));
        check("State changed from up to crashed", changed("up", "crashed"));
        for text in ["State changed from ", "State changed from up", "State changed from up to ", "State changed from up to Down"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn processes() {
        let started =
            |command: &'static str| DynoEvent { command: Some(Cow::Borrowed(command.as_bytes())), ..event(DynoEventKind::ProcessStarted) };
        check("Starting process with command `bundle exec rails server -p 22020`", started("bundle exec rails server -p 22020"));
        check("Starting process with command: `bash`", started("bash"));
        check("Starting process with command `bash` by user a@example.com", started("bash"));
        check("Starting process with command `echo `date``", started("echo `date`"));
        check("Starting process with command `if true; then", started("if true; then"));
        check("Starting process with command bash", started("bash"));
        check("Starting process with command ``", event(DynoEventKind::ProcessStarted));
        check(
            "Starting process with command `TOKEN=abc run`",
            DynoEvent { command: Some(Cow::Owned(b"TOKEN=[redacted] run".to_vec())), ..event(DynoEventKind::ProcessStarted) },
        );
        let exited = |exit_status| DynoEvent { exit_status, ..event(DynoEventKind::ProcessExited) };
        check("Process exited with status 137", exited(Some(137)));
        check("Process exited with status 0\r", exited(Some(0)));
        check("Process exited", exited(None));
    }

    #[test]
    fn the_rest_by_their_beginning() {
        for (text, expected) in [
            ("Stopping all processes with SIGTERM", DynoEventKind::Stopping),
            ("Stopping process with SIGTERM", DynoEventKind::Stopping),
            ("Stopping process with SIGKILL", DynoEventKind::Killed),
            ("Stopping all processes with SIGKILL", DynoEventKind::Killed),
            ("Stopping remaining processes with SIGKILL", DynoEventKind::Killed),
            ("Restarting", DynoEventKind::Restarting),
            ("Cycling", DynoEventKind::Cycling),
            ("Idling", DynoEventKind::Idling),
            ("Unidling", DynoEventKind::Unidling),
            ("Awaiting client", DynoEventKind::AwaitingClient),
            ("Client connection closed. Sending SIGHUP to all processes", DynoEventKind::ClientClosed),
            ("Process running mem=870M(170.1%)", DynoEventKind::MemoryReport),
        ] {
            check(text, event(expected));
        }
        for text in ["", "Slug compilation finished", "Stopping", "restarting", "request_id=30f1"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
