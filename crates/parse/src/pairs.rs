//! `key=value` words, as logfmt and l2met write them.

use std::ops::Range;

use crate::words::key_length;

/// One word of a line.
pub(crate) struct Word {
    /// The key, when the word is a pair.
    pub(crate) key: Option<Range<usize>>,
    /// The value without its quotes, or the whole word.
    pub(crate) value: Range<usize>,
    /// Whether the value stood in quotes; it may then hold escapes.
    pub(crate) quoted: bool,
}

/// The words of `text` from left to right. A quoted value is one word with its key.
pub(crate) struct Words<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Words<'t> {
    pub(crate) fn of(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    #[inline]
    fn next(&mut self) -> Option<Word> {
        let start = self.at + self.text[self.at..].iter().position(|byte| !byte.is_ascii_whitespace())?;
        let key = key_length(&self.text[start..]).map(|length| start..start + length);
        let value_start = key.as_ref().map_or(start, |key| key.end + 1);
        if key.is_some()
            && let Some(end) = quoted_end(self.text, value_start)
        {
            self.at = end + 1;
            return Some(Word { key, value: value_start + 1..end, quoted: true });
        }
        let end = self.text[value_start..].iter().position(u8::is_ascii_whitespace).map_or(self.text.len(), |length| value_start + length);
        self.at = end;
        Some(Word { key, value: value_start..end, quoted: false })
    }
}

/// Where the closing quote is, when a quoted value begins at `start`. Only the first quote without a backslash may close
/// it: looking further would make a line of stray quotes cost the square of its length.
#[inline]
fn quoted_end(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            let closes = text.get(at + 1).is_none_or(u8::is_ascii_whitespace);
            return closes.then_some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_pairs_or_bare() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let words: Vec<_> = Words::of(text.as_bytes()).map(|word| (word.key.map_or("", |key| &text[key]), &text[word.value])).collect();
            assert_eq!(words, expected, "{text}");
        };
        check("", &[]);
        check("  \t", &[]);
        check("a=1 b=\"x y\" c", &[("a", "1"), ("b", "x y"), ("", "c")]);
        check(r#"a="x \" y" b="#, &[("a", r#"x \" y"#), ("b", "")]);
        check(r#"a="x"y z"#, &[("a", r#""x"y"#), ("", "z")]);
        check(r#"a="open b=2"#, &[("a", "\"open"), ("b", "2")]);
        check(r#"a="end\"#, &[("a", r#""end\"#)]);
        check("http://h/?a=b&c=d", &[("", "http://h/?a=b&c=d")]);
        check("x = y", &[("", "x"), ("", "="), ("", "y")]);
        check("=x measure#db.latency=1ms", &[("", "=x"), ("measure#db.latency", "1ms")]);
    }
}
