//! Structured lines of the app itself: JSON, logfmt and what Rails writes.

use memchr::memrchr;

use crate::line::{AppEvent, AppFormat, Scratch};
use crate::rails::{Prefix, split_prefix};
use crate::words::filled;
use crate::{json, logfmt, rails};

/// What a structured line has besides the fields that are then in the scratch space.
pub(crate) struct Found<'t> {
    format: AppFormat,
    prefix: Prefix<'t>,
    /// Rails: the words.
    text: Option<&'t [u8]>,
    body: Option<&'t [u8]>,
}

/// Fills `scratch` with the fields of `text` when it has structure. `None` comes cheaply for plain text: after its first
/// few words, or after one search for `=`.
pub(crate) fn scan<'t>(text: &'t [u8], scratch: &mut Scratch) -> Option<Found<'t>> {
    scratch.clear_fields();
    let (prefix, text) = split_prefix(text);
    let found = |format, text, body| Some(Found { format, prefix, text, body });
    if let Some(body) = json::scan(text, scratch) {
        return found(AppFormat::Json, None, Some(body));
    }
    if rails::scan(text, scratch) {
        return found(AppFormat::Rails, Some(text.trim_ascii()), None);
    }
    if logfmt::scan(text, scratch) {
        return found(AppFormat::Logfmt, None, None);
    }
    if prefix.is_some() { found(AppFormat::Rails, filled(text.trim_ascii()), None) } else { None }
}

/// The event whose fields [`scan`] has left in `scratch`.
pub(crate) fn of<'t>(found: Found<'t>, scratch: &'t Scratch) -> AppEvent<'t> {
    // Rails' fields are named here, and none of them is one of these.
    let named = if found.format == AppFormat::Rails { WellKnown::default() } else { WellKnown::among(scratch) };
    AppEvent {
        format: found.format,
        level: found.prefix.level.or(named.level.value),
        text: found.text.or(named.text.value),
        request_id: found.prefix.request_id.or(named.request_id.value),
        fields: &scratch.pairs,
        buffer: &scratch.buffer,
        body: found.body,
    }
}

/// The names of a level, the likeliest first. Their values stay as sent: bunyan's and pino's `30` is `30`.
const LEVEL_NAMES: [&[u8]; 9] =
    [b"level", b"severity", b"lvl", b"log_level", b"loglevel", b"log.level", b"levelname", b"severity_text", b"@level"];

/// The names of the words of an event.
const TEXT_NAMES: [&[u8]; 6] = [b"message", b"msg", b"event", b"text", b"@message", b"short_message"];

/// The names of a request's id. Loggers also put it into an object of the request: `http.request_id`.
const REQUEST_ID_NAMES: [&[u8]; 6] = [b"request_id", b"requestid", b"request-id", b"x-request-id", b"req_id", b"reqid"];

/// The objects whose `id` is a request's: pino writes `req: {id: …}`.
const REQUEST_NAMES: [&[u8]; 3] = [b"req.id", b"request.id", b"http.request.id"];

/// The fields that most loggers have, under whichever name and in any case of letters.
#[derive(Default)]
struct WellKnown<'t> {
    level: Best<'t>,
    text: Best<'t>,
    request_id: Best<'t>,
}

impl<'t> WellKnown<'t> {
    fn among(scratch: &'t Scratch) -> Self {
        let mut known = Self::default();
        for (key, value) in &scratch.pairs {
            let (name, value) = (&scratch.buffer[key.clone()], &scratch.buffer[value.clone()]);
            // All names end in one of a few letters, which spares most fields the comparisons.
            match name.last().map(u8::to_ascii_lowercase) {
                Some(b'd') => {
                    known.request_id.offer(name, &REQUEST_ID_NAMES, 0, value);
                    if let Some(dot) = memrchr(b'.', name) {
                        known.request_id.offer(&name[dot + 1..], &REQUEST_ID_NAMES, REQUEST_ID_NAMES.len(), value);
                        known.request_id.offer(name, &REQUEST_NAMES, 2 * REQUEST_ID_NAMES.len(), value);
                    }
                }
                Some(b'l' | b'y' | b'e' | b't' | b'g') => {
                    known.level.offer(name, &LEVEL_NAMES, 0, value);
                    known.text.offer(name, &TEXT_NAMES, 0, value);
                }
                _ => {}
            }
        }
        known
    }
}

/// The filled field with the best name so far.
#[derive(Default)]
struct Best<'t> {
    value: Option<&'t [u8]>,
    rank: usize,
}

impl<'t> Best<'t> {
    /// Takes the value when its name is one of `names` and better than what there is; `handicap` is the rank of the first.
    fn offer(&mut self, name: &[u8], names: &[&[u8]], handicap: usize, value: &'t [u8]) {
        if value.is_empty() || self.value.is_some() && self.rank <= handicap {
            return;
        }
        if let Some(place) = names.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            let rank = handicap + place;
            if self.value.is_none() || rank < self.rank {
                *self = Self { value: Some(value), rank };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Format; level, text and request id; all fields as `key=value`.
    type Expected<'e> = Option<(AppFormat, [Option<&'e str>; 3], &'e [&'e str])>;

    fn check(text: &str, expected: Expected<'_>) {
        let mut scratch = Scratch::default();
        let found = scan(text.as_bytes(), &mut scratch);
        let event = found.map(|found| of(found, &scratch));
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = event.map(|event| {
            let fields: Vec<_> = (event.fields.iter())
                .map(|(key, value)| format!("{}={}", string(&event.buffer[key.clone()]), string(&event.buffer[value.clone()])))
                .collect();
            (event.format, [event.level, event.text, event.request_id].map(|field| field.map(string)), fields)
        });
        let expected = expected.map(|(format, three, fields)| {
            (format, three.map(|field| field.map(str::to_owned)), fields.iter().map(|&field| field.to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn well_known_names_are_found_whatever_their_case_and_place() {
        fn json<'e>(three: [Option<&'e str>; 3], fields: &'e [&'e str]) -> Expected<'e> {
            Some((AppFormat::Json, three, fields))
        }
        check(
            r#"{"Level":"WARN","Msg":"slow","RequestId":"r-1"}"#,
            json([Some("WARN"), Some("slow"), Some("r-1")], &["Level=WARN", "Msg=slow", "RequestId=r-1"]),
        );
        check(r#"{"msg":"b","message":"a","level":30}"#, json([Some("30"), Some("a"), None], &["msg=b", "message=a", "level=30"]));
        check(r#"{"message":"","msg":"b"}"#, json([None, Some("b"), None], &["message=", "msg=b"]));
        check(
            r#"{"http":{"request_id":"in"},"request_id":"out"}"#,
            json([None, None, Some("out")], &["http.request_id=in", "request_id=out"]),
        );
        check(r#"{"req":{"id":7,"level":"deep"}}"#, json([None, None, Some("7")], &["req.id=7", "req.level=deep"]));
        check(r#"{"log":{"level":"info"}}"#, json([Some("info"), None, None], &["log.level=info"]));
    }

    #[test]
    fn a_logger_prefix_gives_level_and_request_id() {
        let id = "fdcf3bf3-97d3-48a5-8eff-3b28789e36ee";
        check(
            &format!("I, [2024-01-02T03:04:05.123456 #4]  INFO -- : [{id}] method=GET status=200"),
            Some((AppFormat::Logfmt, [Some("INFO"), None, Some(id)], &["method=GET", "status=200"])),
        );
        check(&format!("[{id}] Rendered layout in 3ms"), Some((AppFormat::Rails, [None, Some("Rendered layout in 3ms"), Some(id)], &[])));
        check(r#"E, [2024-01-02T03:04:05 #4] ERROR -- app: {"a":1}"#, Some((AppFormat::Json, [Some("ERROR"), None, None], &["a=1"])));
        check("W, [2024-01-02T03:04:05 #4]  WARN -- : ", Some((AppFormat::Rails, [Some("WARN"), None, None], &[])));
    }

    #[test]
    fn plain_text_has_no_structure() {
        for text in ["", " ", "Listening on 0.0.0.0:5000", "x = y", "{", "[Worker(host:x pid:1)] done", "a=1", "I, Robot"] {
            check(text, None);
        }
    }
}
