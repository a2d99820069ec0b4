//! A line that is one JSON object.
//!
//! Fields are flattened: `{"a":{"b":1}}` gives `a.b` = `1`. Strings are unescaped, numbers and truth values stay as
//! written, arrays are their JSON text, `null` gives no field. What is past a limit is in the body alone. The text must be UTF-8,
//! as JSON is.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::value::RawValue;

use crate::line::Scratch;

/// How deep objects are flattened; a deeper one is its JSON text. Each level is read once more.
const DEPTH_MAX: usize = 8;

/// How long a flattened name may be; a field with a longer one is left out.
const NAME_BYTES_MAX: usize = 512;

/// Fills `scratch` with the fields of a line that is one JSON object, and gives the object's text.
pub(crate) fn scan<'t>(text: &'t [u8], scratch: &mut Scratch) -> Option<&'t [u8]> {
    let body = text.trim_ascii();
    // Most lines that begin with a brace and are not JSON are told apart by the next byte.
    let [b'{', inside @ .., b'}'] = body else { return None };
    if !matches!(inside.trim_ascii_start().first(), None | Some(b'"')) {
        return None;
    }
    let object = std::str::from_utf8(body).ok()?;
    if read_object(object, &(0..0), 0, scratch).is_err() {
        scratch.clear_fields();
        return None;
    }
    Some(body)
}

/// Appends what a JSON string stands for, when `quoted` is one.
pub(crate) fn append_unescaped(quoted: &str, scratch: &mut Scratch) -> Option<Range<usize>> {
    let mut parser = serde_json::Deserializer::from_str(quoted);
    let range = parser.deserialize_str(Text(scratch)).ok()?;
    parser.end().ok()?;
    Some(range)
}

fn read_object(text: &str, prefix: &Range<usize>, depth: usize, scratch: &mut Scratch) -> serde_json::Result<()> {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.deserialize_map(Object { prefix, depth, scratch })?;
    parser.end()
}

/// Reads an object's fields, whose names begin with the `prefix` in the buffer.
struct Object<'a> {
    prefix: &'a Range<usize>,
    depth: usize,
    scratch: &'a mut Scratch,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<Map: MapAccess<'de>>(self, mut map: Map) -> Result<(), Map::Error> {
        while self.scratch.has_room() {
            let start = self.scratch.buffer.len();
            if !self.prefix.is_empty() {
                self.scratch.buffer.extend_from_within(self.prefix.clone());
                self.scratch.buffer.push(b'.');
            }
            let Some(key) = map.next_key_seed(Text(self.scratch))? else { return Ok(()) };
            let value: &RawValue = map.next_value()?;
            let name = start..key.end;
            if name.len() <= NAME_BYTES_MAX {
                add_value(name, value.get(), self.depth, self.scratch)?;
            } else {
                self.scratch.buffer.truncate(start);
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

fn add_value<Failure: de::Error>(name: Range<usize>, json: &str, depth: usize, scratch: &mut Scratch) -> Result<(), Failure> {
    let value = match json.as_bytes() {
        b"null" => return Ok(()),
        [b'{', ..] if depth < DEPTH_MAX => return read_object(json, &name, depth + 1, scratch).map_err(de::Error::custom),
        // The check for a backslash is cheaper than the parser that most strings do not need.
        [b'"', inside @ .., b'"'] if memchr::memchr(b'\\', inside).is_none() => scratch.append(inside),
        // Half a surrogate pair, as JavaScript cuts strings, is JSON but no text: it stays escaped.
        [b'"', inside @ .., b'"'] => match append_unescaped(json, scratch) {
            Some(range) => range,
            None => scratch.append(inside),
        },
        other => scratch.append(other),
    };
    scratch.add_field(name, value);
    Ok(())
}

/// Appends a string to the buffer.
struct Text<'a>(&'a mut Scratch);

impl Visitor<'_> for Text<'_> {
    type Value = Range<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<Failure>(self, text: &str) -> Result<Range<usize>, Failure> {
        Ok(self.0.append(text.as_bytes()))
    }
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Range<usize>;

    fn deserialize<Parser: Deserializer<'de>>(self, parser: Parser) -> Result<Range<usize>, Parser::Error> {
        parser.deserialize_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<(String, String)>> {
        let mut scratch = Scratch::default();
        let body = scan(text.as_bytes(), &mut scratch)?;
        assert_eq!(body, text.trim().as_bytes());
        let string = |range: &Range<usize>| String::from_utf8(scratch.buffer[range.clone()].to_vec()).unwrap();
        Some(scratch.pairs.iter().map(|(key, value)| (string(key), string(value))).collect())
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(fields(text), Some(expected), "{text}");
    }

    #[test]
    fn values_by_type() {
        check("{}", &[]);
        check("  {\"a\": 1} \r\n", &[("a", "1")]);
        check(
            r#"{"s":"x","n":1.10,"big":12345678901234567890123,"t":true,"z":null,"e":1e-7}"#,
            &[("s", "x"), ("n", "1.10"), ("big", "12345678901234567890123"), ("t", "true"), ("e", "1e-7")],
        );
        check(r#"{"a":[1, {"b":"c"}],"o":{}}"#, &[("a", r#"[1, {"b":"c"}]"#)]);
        check(r#"{"a":{"b":{"c":1},"d":2},"e":3}"#, &[("a.b.c", "1"), ("a.d", "2"), ("e", "3")]);
        check(r#"{"q":"a\"b\\c\nd\u00e9","k\"":"v"}"#, &[("q", "a\"b\\c\ndé"), ("k\"", "v")]);
        check(r#"{"":"x"}"#, &[("", "x")]);
    }

    #[test]
    fn the_first_of_two_fields_of_one_name_wins() {
        check(r#"{"a":1,"a":2,"b":{"c":3},"b.c":4}"#, &[("a", "1"), ("b.c", "3")]);
    }

    #[test]
    fn half_a_surrogate_pair_stays_escaped() {
        check(r#"{"a":"x\ud83d","b":1}"#, &[("a", r"x\ud83d"), ("b", "1")]);
    }

    #[test]
    fn what_is_not_one_object_is_not_json() {
        for text in [
            "",
            "{",
            "}",
            "[1]",
            "\"x\"",
            "{\"a\":1",
            "{\"a\":1} x",
            "{\"a\":1}{}",
            "{a:1}",
            "{\"a\":}",
            "{\"a\" 1}",
            "{\"a\":{\"b\":}}",
            "{\"a\":01}",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
        assert!(scan(b"{\"a\":\"\xff\"}", &mut Scratch::default()).is_none());
    }

    #[test]
    fn limits_leave_the_rest_in_the_body() {
        let many: String = (0..500).map(|number| format!(r#","k{number}":{number}"#)).collect();
        assert_eq!(fields(&format!("{{{}}}", &many[1..])).unwrap().len(), crate::line::PAIRS_MAX);
        assert_eq!(fields(&format!("{{{},}}", &many[1..])), None, "what is past the limit is still checked");
        check(&format!(r#"{{"{}":1,"b":2}}"#, "k".repeat(NAME_BYTES_MAX + 1)), &[("b", "2")]);
        let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
        let (name, value) = fields(&deep).unwrap().remove(0);
        assert_eq!(name, ["a"; DEPTH_MAX + 1].join("."));
        assert!(value.starts_with("{\"a\":{"));
    }
}
