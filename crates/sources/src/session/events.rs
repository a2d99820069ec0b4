//! Server-sent events, byte by byte: what a log session answers with when it is asked to.

/// Bytes of one event, and of one line of it. Logplex cuts log lines at 10,000 bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event: a log line and its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// The last id that was sent, where it is a number: the line's time in seconds.
    pub(super) id: Option<i64>,
    /// The data, its lines joined by newlines.
    pub(super) data: Vec<u8>,
}

/// Finds events in bytes that come in any pieces. An event that its stream does not finish is none.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return, so that a newline after it ends no other line.
    after_return: bool,
    /// Whether a line has ended yet: only before the first there may be a byte order mark.
    is_begun: bool,
    data: Option<Vec<u8>>,
    id: Option<i64>,
}

impl Events {
    /// Takes the next bytes; complete events go to `found`.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Event>) {
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line(found),
                _ => self.line.push(byte),
            }
            if self.line.len() >= EVENT_BYTES_MAX {
                self.end_line(found);
                self.end_event(found);
                // The rest of an endless line is more of the same.
                self.line.extend(b"data:");
            }
        }
    }

    fn end_line(&mut self, found: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(&line);
        if line.is_empty() {
            return self.end_event(found);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"id" => self.id = std::str::from_utf8(value).ok().and_then(|id| id.parse().ok()),
            // Comments, which are signs of life, and fields that nobody needs.
            _ => {}
        }
        if self.data.as_ref().is_some_and(|data| data.len() >= EVENT_BYTES_MAX) {
            self.end_event(found);
        }
    }

    fn end_event(&mut self, found: &mut Vec<Event>) {
        if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
            found.push(Event { id: self.id, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(parts: &[&[u8]]) -> Vec<Event> {
        let (mut machine, mut found) = (Events::default(), Vec::new());
        for part in parts {
            machine.push(part, &mut found);
        }
        found
    }

    fn event(id: Option<i64>, data: &str) -> Event {
        Event { id, data: data.as_bytes().to_vec() }
    }

    fn check(stream: &str, expected: &[Event]) {
        assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
    }

    #[test]
    fn events_are_read_as_the_standard_has_them() {
        check("id: 7\ndata: a line\n\n", &[event(Some(7), "a line")]);
        check("id: 7\r\ndata: a\r\rdata: b\n\n", &[event(Some(7), "a"), event(Some(7), "b")]);
        check("\u{feff}data: x\n\n", &[event(None, "x")]);
        check(":\n\n: alive\n\ndata:x\n\n", &[event(None, "x")]);
        check("data: one\ndata:  two\ndata\ndata:\n\n", &[event(None, "one\n two\n\n")]);
        check("event: log\nretry: 5\ndata: x:y: z\n\n", &[event(None, "x:y: z")]);
        check("id: 5\ndata: x\n\nid: none\ndata: y\n\n", &[event(Some(5), "x"), event(None, "y")]);
        check("id: 5\n\ndata\n\n", &[]);
        check("data: not finished\n", &[]);
        check("data: not finished", &[]);
    }

    #[test]
    fn an_endless_line_is_handed_out_in_pieces() {
        let long = "x".repeat(3 * EVENT_BYTES_MAX);
        let found = events(&[format!("data: {long}\n\n").as_bytes()]);
        assert!(found.len() > 3 && found.iter().all(|event| event.data.len() <= EVENT_BYTES_MAX));
        assert_eq!(found.iter().flat_map(|event| &event.data).count(), long.len());
        let many = events(&["data: y\n".repeat(EVENT_BYTES_MAX).as_bytes()]);
        assert!(many.iter().all(|event| event.data.len() <= EVENT_BYTES_MAX + 8) && !many.is_empty());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            lines in prop::collection::vec("(data|id|event|:)?:? ?[a-z0-9\u{e9}\u{20ac}:]{0,6}(\n|\r|\r\n)(\n|\r\n)?", 0..30),
            cuts in prop::collection::vec(0usize..400, 0..20),
        ) {
            let stream = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(events(&parts), events(&[&stream]));
        }

        #[test]
        fn what_a_server_says_comes_out(said in prop::collection::vec((0i64..2_000_000_000, "[^\r\n]{1,40}"), 0..20), cut in 1usize..9) {
            let stream: String = said.iter().map(|(id, text)| format!("id: {id}\ndata: {text}\n\n:\n\n")).collect();
            let parts: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();
            let expected: Vec<Event> = said.iter().map(|(id, text)| event(Some(*id), text)).collect();
            prop_assert_eq!(events(&parts), expected);
        }
    }
}
