//! Values as Databricks SQL has them.

use freshet_core::Micros;

use super::super::quoted;

/// A text, whatever it holds.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for character in text.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// A text or NULL.
pub(super) fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// A moment.
pub(super) fn moment(at: Micros) -> String {
    format!("timestamp_micros({})", at.0)
}

/// A date of the form `2026-01-31`, or NULL.
pub(super) fn date(text: Option<&String>) -> String {
    text.map_or_else(|| "NULL".to_owned(), |text| format!("DATE{}", literal(text)))
}

/// The rows of one Parquet file in a volume.
pub(super) fn parquet(path: &str) -> String {
    format!("parquet.{}", quoted(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal() {
        for (text, expected) in [("", "''"), ("it's", "'it\\'s'"), ("a\\", "'a\\\\'"), ("\n\r\0", "'\\n\\r\\0'"), ("ü\"`", "'ü\"`'")] {
            assert_eq!(literal(text), expected);
        }
        assert_eq!((optional(None), moment(Micros(-5))), ("NULL".to_owned(), "timestamp_micros(-5)".to_owned()));
    }
}
