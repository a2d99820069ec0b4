//! What Rails and Ruby's `Logger` write.
//!
//! `Started GET "/x" for IP at TIME`, `Processing by X#y as HTML`, `Parameters: {…}`, `Completed 200 OK in 83ms (Views: 48.7ms | …)`,
//! each perhaps behind `I, [2024-01-02T03:04:05.678901 #4]  INFO -- : ` and the tag `[request-uuid] `.

use memchr::memchr;

use crate::line::Scratch;
use crate::number::float_length;
use crate::words::{filled, rsplit_once, split_once, split_while, split_word};

/// How long a progname or time in the prefix may be.
const PREFIX_PART_BYTES_MAX: usize = 64;

/// What stood before the words of a line.
#[derive(Clone, Copy, Default)]
pub(crate) struct Prefix<'t> {
    pub(crate) level: Option<&'t [u8]>,
    pub(crate) request_id: Option<&'t [u8]>,
}

impl Prefix<'_> {
    pub(crate) fn is_some(self) -> bool {
        self.level.is_some() || self.request_id.is_some()
    }
}

/// Splits off the logger's prefix and the tag with the request's id.
pub(crate) fn split_prefix(text: &[u8]) -> (Prefix<'_>, &[u8]) {
    let (level, text) = split_level(text).map_or((None, text), |(level, rest)| (Some(level), rest));
    let (request_id, text) = split_request_id(text).map_or((None, text), |(id, rest)| (Some(id), rest));
    (Prefix { level, request_id }, text)
}

/// Fills `scratch` with the fields of one of Rails' own lines.
pub(crate) fn scan(text: &[u8], scratch: &mut Scratch) -> bool {
    let text = text.trim_ascii();
    let fields = match text.first() {
        Some(b'S') => started(text),
        Some(b'P') => processing(text).or_else(|| parameters(text)),
        Some(b'C') => return completed(text, scratch).is_some(),
        _ => None,
    };
    for (name, value) in fields.into_iter().flatten().filter(|(_, value)| !value.is_empty()) {
        add(scratch, name, value);
    }
    fields.is_some()
}

/// The fields of a line, at most four of them.
type Fields<'t> = [(&'static str, &'t [u8]); 4];

const NONE: (&str, &[u8]) = ("", b"");

fn started(text: &[u8]) -> Option<Fields<'_>> {
    let (method, rest) = split_while(text.strip_prefix(b"Started ")?, |byte| byte.is_ascii_uppercase());
    // The path is the client's and may hold anything; the address and the time are Rails' own.
    let (rest, time) = rsplit_once(rest.strip_prefix(b" \"")?, b" at ")?;
    let (path, ip) = rsplit_once(rest, b"\" for ")?;
    Some([("method", method), ("path", path), ("ip", ip), ("time", time)])
}

fn processing(text: &[u8]) -> Option<Fields<'_>> {
    let (target, format) = rsplit_once(text.strip_prefix(b"Processing by ")?, b" as ")?;
    let (controller, action) = split_once(target, b"#")?;
    Some([("controller", controller), ("action", action), ("format", format), NONE])
}

fn parameters(text: &[u8]) -> Option<Fields<'_>> {
    let parameters = text.strip_prefix(b"Parameters: ")?;
    parameters.starts_with(b"{").then_some([("parameters", parameters), NONE, NONE, NONE])
}

/// `Completed 200 OK in 83ms (Views: 48.7ms | ActiveRecord: 32.2ms (3 queries, 0 cached) | Allocations: 12345)`.
fn completed(text: &[u8], scratch: &mut Scratch) -> Option<()> {
    let (status, rest) = split_while(text.strip_prefix(b"Completed ")?, |byte| byte.is_ascii_digit());
    let (_, rest) = split_once(rest, b" in ")?;
    let (duration, unit) = split_number(rest)?;
    let details = unit.strip_prefix(b"ms")?;
    add(scratch, "status", filled(status)?);
    add(scratch, "duration_ms", duration);
    let (_, details) = split_while(details, |byte| matches!(byte, b' ' | b'('));
    for part in details.split(|byte| *byte == b'|') {
        add_detail(part, scratch);
    }
    Some(())
}

/// `Views: 48.7ms` → `views_ms`, `Allocations: 12` → `allocations`, `ActiveRecord: 1ms (3 queries, 0 cached)` → `activerecord_ms`.
fn add_detail(part: &[u8], scratch: &mut Scratch) {
    let Some((name, rest)) = split_once(part.trim_ascii(), b": ") else { return };
    let Some((number, unit)) = split_number(rest) else { return };
    if !scratch.has_room() || name.is_empty() || name.len() > PREFIX_PART_BYTES_MAX {
        return;
    }
    let key = scratch.append(name);
    scratch.buffer[key.clone()].make_ascii_lowercase();
    let end = if unit.starts_with(b"ms") { scratch.append(b"_ms").end } else { key.end };
    let value = scratch.append(number);
    scratch.add_field(key.start..end, value);
}

fn split_number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    Some(text.split_at(float_length(text)?))
}

fn add(scratch: &mut Scratch, name: &str, value: &[u8]) {
    let name = scratch.append(name.as_bytes());
    let value = scratch.append(value);
    scratch.add_field(name, value);
}

/// The level in `I, [2024-01-02T03:04:05.678901 #4]  INFO -- progname: `, and what stands behind it.
fn split_level(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b'D' | b'I' | b'W' | b'E' | b'F' | b'A', b',', b' ', b'[', rest @ ..] = text else { return None };
    let time = memchr(b']', &rest[..rest.len().min(PREFIX_PART_BYTES_MAX)])?;
    let (level, rest) = split_word(&rest[time + 1..]);
    let rest = rest.strip_prefix(b" -- ")?;
    if !matches!(level, b"DEBUG" | b"INFO" | b"WARN" | b"ERROR" | b"FATAL" | b"ANY") || level[0] != text[0] {
        return None;
    }
    let name_end = memchr(b':', &rest[..rest.len().min(PREFIX_PART_BYTES_MAX)])?;
    let behind = &rest[name_end + 1..];
    Some((level, behind.strip_prefix(b" ").unwrap_or(behind)))
}

/// The id in `[fdcf3bf3-97d3-48a5-8eff-3b28789e36ee] `: a UUID with or without its dashes.
fn split_request_id(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (id, rest) = split_while(text.strip_prefix(b"[")?, |byte| byte.is_ascii_hexdigit() || byte == b'-');
    let digits = id.iter().filter(|byte| **byte != b'-').count();
    (digits == 32 && matches!(id.len(), 32 | 36)).then_some((id, rest.strip_prefix(b"] ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<(String, String)>> {
        let mut scratch = Scratch::default();
        if !scan(text.as_bytes(), &mut scratch) {
            return None;
        }
        let string = |range: &std::ops::Range<usize>| String::from_utf8(scratch.buffer[range.clone()].to_vec()).unwrap();
        Some(scratch.pairs.iter().map(|(key, value)| (string(key), string(value))).collect())
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(fields(text), Some(expected), "{text}");
    }

    #[test]
    fn requests() {
        check(
            "Started GET \"/articles/git\" for 203.0.113.5 at 2012-03-16 14:03:05 +0000",
            &[("method", "GET"), ("path", "/articles/git"), ("ip", "203.0.113.5"), ("time", "2012-03-16 14:03:05 +0000")],
        );
        check(
            "Started GET \"/a\" for 1 at x\" for ::1 at noon",
            &[("method", "GET"), ("path", "/a\" for 1 at x"), ("ip", "::1"), ("time", "noon")],
        );
        check(
            "Processing by Admin::UsersController#show as HTML",
            &[("controller", "Admin::UsersController"), ("action", "show"), ("format", "HTML")],
        );
        check("  Parameters: {\"id\"=>\"1\"}", &[("parameters", "{\"id\"=>\"1\"}")]);
        check(
            "Completed 200 OK in 83ms (Views: 48.7ms | ActiveRecord: 32.2ms)",
            &[("status", "200"), ("duration_ms", "83"), ("views_ms", "48.7"), ("activerecord_ms", "32.2")],
        );
        check(
            "Completed 204 No Content in 5ms (ActiveRecord: 0.5ms (2 queries, 0 cached) | GC: 0.1ms | Allocations: 1234)",
            &[("status", "204"), ("duration_ms", "5"), ("activerecord_ms", "0.5"), ("gc_ms", "0.1"), ("allocations", "1234")],
        );
        check("Completed 500 Internal Server Error in 1.5ms", &[("status", "500"), ("duration_ms", "1.5")]);
    }

    #[test]
    fn other_lines_are_none() {
        for text in [
            "",
            "Started",
            "Started worker",
            "Started GET \"/\" for ",
            "Completed in 74ms (View: 31, DB: 40) | 200 OK [http://myapp.heroku.com/]",
            "Completed 200 jobs in total",
            "Processing by hand",
            "Processing by X as HTML",
            "Parameters: none",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
    }

    #[test]
    fn prefixes() {
        let check = |text: &str, level: Option<&str>, id: Option<&str>, rest: &str| {
            let (prefix, behind) = split_prefix(text.as_bytes());
            assert_eq!(
                (prefix.level, prefix.request_id, behind),
                (level.map(str::as_bytes), id.map(str::as_bytes), rest.as_bytes()),
                "{text}"
            );
        };
        let id = "fdcf3bf397d348a58eff3b28789e36ee";
        check("I, [2024-01-02T03:04:05.678901 #4]  INFO -- : hello", Some("INFO"), None, "hello");
        check(&format!("F, [2024-01-02 #4] FATAL -- web: [{id}] hello"), Some("FATAL"), Some(id), "hello");
        check(&format!("[{id}] x"), None, Some(id), "x");
        check("[fdcf3bf3] x", None, None, "[fdcf3bf3] x");
        check("I, [x] WARN -- : y", None, None, "I, [x] WARN -- : y");
        check("I, [x", None, None, "I, [x");
        check("A, [x] ANY -- : y", Some("ANY"), None, "y");
    }
}
