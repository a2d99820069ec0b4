//! Messages as bytes, in the forms in which Heroku gives them out.

use jiff::Timestamp;

use crate::text::{Text, push_number};

/// How messages are written one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As `heroku logs` prints them: one line each, `TIME SOURCE[DYNO]: TEXT`.
    Cli,
    /// As the body of an HTTPS drain's request: `LEN <PRI>1 TIME host SOURCE DYNO - TEXT`, with LEN in bytes.
    Frames,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'n> {
    /// The syslog priority that Logplex gives such a message.
    pub priority: u64,
    /// `app` or `heroku`.
    pub source: &'n str,
    /// `web.1`, `router`, `api`, `heroku-postgres`, …
    pub name: &'n str,
}

impl<'n> Process<'n> {
    /// The app's own output.
    #[must_use]
    pub const fn app(name: &'n str) -> Self {
        Self { priority: 190, source: "app", name }
    }

    /// The dyno manager.
    #[must_use]
    pub const fn dyno(name: &'n str) -> Self {
        Self { priority: 45, source: "heroku", name }
    }

    /// The router.
    pub const ROUTER: Process<'static> = Process { priority: 158, source: "heroku", name: "router" };
    /// The Platform API.
    pub const API: Process<'static> = Process { priority: 45, source: "app", name: "api" };
    /// Logplex itself.
    pub const LOGPLEX: Process<'static> = Process { priority: 172, source: "heroku", name: "logplex" };

    /// An add-on (`heroku-postgres`, `postgres.1843`, …).
    #[must_use]
    pub const fn addon(name: &'n str) -> Self {
        Self { priority: 134, source: "app", name }
    }
}

/// Appends messages to a buffer that the caller empties when it likes.
#[derive(Debug)]
pub struct Writer {
    form: Form,
    out: Vec<u8>,
    head: Text,
    text: Text,
    stamp: Stamp,
    messages: u64,
    key_places: Vec<usize>,
}

/// Logplex cuts lines longer than this into chunks of this many bytes.
pub const CHUNK_BYTES: usize = 10_000;

impl Writer {
    /// A writer of `form`; with `first_key`, messages that can carry a key get consecutive ones from there.
    #[must_use]
    pub fn new(form: Form, first_key: Option<u64>) -> Self {
        Self {
            form,
            out: Vec::new(),
            head: Text::new(None),
            text: Text::new(first_key),
            stamp: Stamp::default(),
            messages: 0,
            key_places: Vec::new(),
        }
    }

    /// The form in which this writer writes.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// How many messages were written in all.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// The bytes since the last [`Writer::clear`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Where in [`Writer::bytes`] the digits of each key begin, in order.
    #[must_use]
    pub fn key_places(&self) -> &[usize] {
        &self.key_places
    }

    /// The key the next message that carries one will get.
    #[must_use]
    pub const fn next_key(&self) -> Option<u64> {
        self.text.next_key()
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.out.clear();
        self.key_places.clear();
    }

    /// Appends one message of `process` at `time_us` (microseconds since 1970); a text over [`CHUNK_BYTES`] is cut as Logplex cuts it.
    pub fn message(&mut self, time_us: i64, process: Process<'_>, write: impl FnOnce(&mut Text)) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        write(&mut text);
        let mut rest = text.bytes();
        while rest.len() > CHUNK_BYTES {
            let (chunk, after) = rest.split_at(CHUNK_BYTES);
            self.append(Some(time_us), process, chunk, false);
            rest = after;
        }
        let start = self.append(Some(time_us), process, rest, true);
        if let Some(place) = text.key_at()
            && text.bytes().len() <= CHUNK_BYTES
        {
            self.key_places.push(start + place);
        }
        self.text = text;
    }

    /// Appends Logplex's own word on messages it dropped. Its time has no fraction, and in a frame no newline ends it.
    pub fn overflow(&mut self, time_us: i64, dropped: u64) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.str("Error L10 (output buffer overflow): ").number(dropped).str(" messages dropped since ");
        text.raw(self.stamp.seconds(time_us)).str("+00:00.");
        self.append(None, Process::LOGPLEX, text.bytes(), false);
        self.text = text;
    }

    /// Appends bytes that are no message.
    pub fn junk(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends one line or frame and returns where its text begins. Without a time it takes the second of the last stamp.
    fn append(&mut self, time_us: Option<i64>, process: Process<'_>, text: &[u8], newline: bool) -> usize {
        self.messages += 1;
        let head = &mut self.head;
        head.clear();
        if self.form == Form::Frames {
            head.str("<").number(process.priority).str(">1 ");
        }
        match time_us {
            Some(time_us) => {
                head.raw(self.stamp.seconds(time_us)).str(".").padded(time_us.rem_euclid(1_000_000).unsigned_abs(), 6);
            }
            None => _ = head.raw(&self.stamp.text),
        }
        head.str("+00:00 ");
        match self.form {
            Form::Cli => head.str(process.source).str("[").str(process.name).str("]: "),
            Form::Frames => head.str("host ").str(process.source).str(" ").str(process.name).str(" - "),
        };
        let newline = newline || self.form == Form::Cli;
        if self.form == Form::Frames {
            let length = head.bytes().len() + text.len() + usize::from(newline);
            push_number(&mut self.out, length as u64);
            self.out.push(b' ');
        }
        self.out.extend_from_slice(self.head.bytes());
        let start = self.out.len();
        self.out.extend_from_slice(text);
        if newline {
            self.out.push(b'\n');
        }
        start
    }
}

/// The last second that was rendered: most neighbours share it.
#[derive(Debug)]
struct Stamp {
    second: i64,
    text: Vec<u8>,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { second: i64::MIN, text: Vec::new() }
    }
}

impl Stamp {
    /// `2026-11-20T09:00:00` for `time_us`; a time outside the calendar is 1970.
    fn seconds(&mut self, time_us: i64) -> &[u8] {
        let second = time_us.div_euclid(1_000_000);
        if second != self.second {
            self.second = second;
            let moment = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            self.text = moment.strftime("%Y-%m-%dT%H:%M:%S").to_string().into_bytes();
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Form, Process, Writer};

    const NINE: i64 = 1_795_165_200_000_000;

    fn check(form: Form, write: impl Fn(&mut Writer), expected: &str) {
        let mut writer = Writer::new(form, Some(5));
        write(&mut writer);
        assert_eq!(String::from_utf8_lossy(writer.bytes()), expected);
    }

    #[test]
    fn writes_both_forms() {
        let state = |writer: &mut Writer| writer.message(NINE + 7, Process::dyno("web.1"), |text| _ = text.str("Idling"));
        check(Form::Cli, state, "2026-11-20T09:00:00.000007+00:00 heroku[web.1]: Idling\n");
        check(Form::Frames, state, "66 <45>1 2026-11-20T09:00:00.000007+00:00 host heroku web.1 - Idling\n");
    }

    #[test]
    fn the_overflow_line_has_no_newline_in_a_frame() {
        let overflow = |writer: &mut Writer| writer.overflow(NINE + 999_999, 12);
        let text = "Error L10 (output buffer overflow): 12 messages dropped since 2026-11-20T09:00:00+00:00.";
        check(Form::Cli, overflow, &format!("2026-11-20T09:00:00+00:00 heroku[logplex]: {text}\n"));
        check(Form::Frames, overflow, &format!("143 <172>1 2026-11-20T09:00:00+00:00 host heroku logplex - {text}"));
    }

    #[test]
    fn a_long_line_is_cut_into_chunks_of_one_time() {
        let mut writer = Writer::new(Form::Frames, None);
        writer.message(NINE, Process::app("web.1"), |text| _ = text.raw(&[b'x'; 2 * CHUNK_BYTES + 5]));
        assert_eq!(writer.messages(), 3);
        assert_eq!(writer.bytes().iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(writer.bytes().iter().filter(|byte| **byte == b'x').count(), 2 * CHUNK_BYTES + 5);
    }

    #[test]
    fn key_places_point_at_the_digits() {
        for form in [Form::Cli, Form::Frames] {
            let mut writer = Writer::new(form, Some(41));
            writer.message(NINE, Process::app("web.1"), |text| _ = text.str("one").key(" "));
            writer.message(NINE, Process::dyno("web.1"), |text| _ = text.str("Idling"));
            writer.message(NINE, Process::app("web.1"), |text| _ = text.key("/?").str(" two"));
            let keys: Vec<&[u8]> = writer.key_places().iter().map(|place| &writer.bytes()[*place..*place + 12]).collect();
            assert_eq!(keys, [b"000000000041", b"000000000042"]);
            assert_eq!(writer.next_key(), Some(43));
        }
    }
}
