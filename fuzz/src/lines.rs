//! What the fuzz targets assert of a text.

use freshet_parse::{Line, Scratch, read_line, redact};

#[path = "../../crates/parse/tests/lines/slices.rs"]
mod slices;

/// Reads `text` as if `source` and `dyno` had sent it; what comes out are slices of it. `look` sees the line.
pub fn assert_line(source: &str, dyno: &str, text: &[u8], look: impl FnOnce(&Line<'_>)) {
    let mut scratch = Scratch::default();
    let line = read_line(source.as_bytes(), dyno.as_bytes(), text, &mut scratch);
    slices::assert_slices(&line, text);
    look(&line);
}

/// What is redacted has changed, and does not change again.
pub fn assert_redacted(source: &str, dyno: &str, text: &[u8]) {
    if let Some(once) = redact(source.as_bytes(), dyno.as_bytes(), text) {
        assert_ne!(once, text);
        let twice = redact(source.as_bytes(), dyno.as_bytes(), &once);
        assert_eq!(twice, None, "{}", String::from_utf8_lossy(&once));
    }
}
