//! What the fuzz targets assert of a body's pieces and of a line.

mod lines;

use freshet_parse::{BodyFormat, Piece, cut, detect, first_record, pieces};

pub use lines::{assert_line, assert_redacted};

/// The pieces cover the body exactly, and each text stands in the body where its piece does.
pub fn assert_covers(format: BodyFormat, body: &[u8]) {
    let mut at = 0;
    for piece in pieces(format, body) {
        let range = piece.range();
        assert!(range.start == at && range.end > at, "a piece at {range:?}, the one before ended at {at}");
        at = range.end;
        if let Piece::Message(message) = piece {
            assert!(!message.source.is_empty(), "a message without a source");
            let bytes = &body[range];
            let exact = message.raw.unwrap_or(&message.text);
            let is_there = bytes.strip_suffix(b"\n").unwrap_or(bytes).ends_with(exact);
            assert!(is_there || format == BodyFormat::JsonLines, "a text that is not in its piece");
        }
    }
    assert_eq!(at, body.len(), "where the pieces end");
    assert!(first_record(format, body) <= body.len());
    let _ = detect(body);
}

/// The ranges of the pieces, and which are messages, for a reader that gets `step` bytes at a time and splits off what it can.
pub fn outline_by_chunks(format: BodyFormat, body: &[u8], step: usize) -> Vec<(usize, usize, bool)> {
    let (mut all, mut from) = (Vec::new(), 0);
    for read in (0..body.len()).step_by(step.max(1)) {
        let length = cut(format, &body[from..read.max(from)]);
        all.extend(outline(format, &body[from..from + length], from));
        from += length;
    }
    all.extend(outline(format, &body[from..], from));
    all
}

/// The ranges of the pieces, moved by `from`, and which are messages.
pub fn outline(format: BodyFormat, body: &[u8], from: usize) -> impl Iterator<Item = (usize, usize, bool)> {
    pieces(format, body).map(move |piece| {
        let range = piece.range();
        (range.start + from, range.end + from, matches!(piece, Piece::Message(_)))
    })
}

/// All that holds for a body of lines.
pub fn assert_lines(format: BodyFormat, body: &[u8]) {
    assert_covers(format, body);
    let whole: Vec<_> = outline(format, body, 0).collect();
    assert_eq!(outline_by_chunks(format, body, body.len() / 7 + 1), whole, "pieces by chunks");
}
