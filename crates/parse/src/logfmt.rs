//! logfmt, as lograge and many loggers write it: `method=GET path=/x status=200 msg="all well"`.
//!
//! A line is taken for logfmt when it has two pairs or more and more pairs than other words. A key begins with a letter,
//! and a value without quotes does not end in a comma: `x=1, y=2` is how programs print structures.

use std::ops::Range;

use memchr::memchr;

use crate::json::append_unescaped;
use crate::line::Scratch;
use crate::pairs::{Word, Words};

/// How many words may be no pairs before the first pairs come; plain text is given up after so many.
const BARE_WORDS_AHEAD: usize = 3;

/// Fills `scratch` with the fields of a logfmt line.
pub(crate) fn scan(text: &[u8], scratch: &mut Scratch) -> bool {
    if memchr(b'=', text).is_none() {
        return false;
    }
    let (mut pairs, mut bare) = (0_usize, 0_usize);
    for word in Words::of(text) {
        match pair(text, word) {
            Some((key, value, quoted)) => {
                pairs += 1;
                add(text, &key, &value, quoted, scratch);
            }
            None => bare += 1,
        }
        if bare > pairs + BARE_WORDS_AHEAD {
            break;
        }
    }
    let is_logfmt = pairs >= 2 && pairs > bare;
    if !is_logfmt {
        scratch.clear_fields();
    }
    is_logfmt
}

fn pair(text: &[u8], word: Word) -> Option<(Range<usize>, Range<usize>, bool)> {
    let key = word.key?;
    let value = &text[word.value.clone()];
    let is_name = text[key.start].is_ascii_alphabetic() || matches!(text[key.start], b'_' | b'@');
    let is_value = word.quoted || !(value.starts_with(b"=") || value.starts_with(b"\"") || matches!(value.last(), Some(b',' | b';')));
    (is_name && is_value).then_some((key, word.value, word.quoted))
}

fn add(text: &[u8], key: &Range<usize>, value: &Range<usize>, quoted: bool, scratch: &mut Scratch) {
    if !scratch.has_room() {
        return;
    }
    let name = scratch.append(&text[key.clone()]);
    let bytes = &text[value.clone()];
    // Loggers escape as JSON does, or nearly: what is not JSON stays as it is.
    let escaped = if quoted && memchr(b'\\', bytes).is_some() { text.get(value.start - 1..=value.end) } else { None };
    let unescaped = escaped.and_then(|escaped| append_unescaped(std::str::from_utf8(escaped).ok()?, scratch));
    let value = unescaped.unwrap_or_else(|| scratch.append(bytes));
    scratch.add_field(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<(String, String)>> {
        let mut scratch = Scratch::default();
        if !scan(text.as_bytes(), &mut scratch) {
            assert!(scratch.pairs.is_empty());
            return None;
        }
        let string = |range: &Range<usize>| String::from_utf8(scratch.buffer[range.clone()].to_vec()).unwrap();
        Some(scratch.pairs.iter().map(|(key, value)| (string(key), string(value))).collect())
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(fields(text), Some(expected), "{text}");
    }

    #[test]
    fn logfmt_lines() {
        check(
            "method=GET path=/x?a=b format=html status=200 duration=83.2",
            &[("method", "GET"), ("path", "/x?a=b"), ("format", "html"), ("status", "200"), ("duration", "83.2")],
        );
        check(
            r#"level=info msg="all \"well\" \u003c3" empty="" none="#,
            &[("level", "info"), ("msg", "all \"well\" <3"), ("empty", ""), ("none", "")],
        );
        check(r#"a="not json \x1b" b=1"#, &[("a", r"not json \x1b"), ("b", "1")]);
        check("2024-01-02T03:04:05Z level=info at=start", &[("level", "info"), ("at", "start")]);
        check("a=1 b=2 a=3", &[("a", "1"), ("b", "2")]);
        check("log.level=info @timestamp=1 trace-id=x", &[("log.level", "info"), ("@timestamp", "1"), ("trace-id", "x")]);
    }

    #[test]
    fn prose_and_code_are_not_logfmt() {
        for text in [
            "",
            "a=1",
            "x = y and z = w",
            "GET http://example.com/?a=b&c=d done in x=1",
            "if (a == b) c=1",
            "Point(x=1, y=2, z=3)",
            "x=1, y=2, z=3",
            "the quick brown fox jumps over a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8",
            "1=2 3=4",
            "a== b==",
            "== Seed from (/app/db/seeds.rb) ==",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
    }

    #[test]
    fn fields_are_bounded() {
        let many: String = (0..500).map(|number| format!("k{number}={number} ")).collect();
        assert_eq!(fields(&many).unwrap().len(), crate::line::PAIRS_MAX);
    }
}
