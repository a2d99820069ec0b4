//! Whatever the texts of well-formed frames hold, they come out as they went in, whole or by chunks.
#![no_main]

use freshet_fuzz::{outline, outline_by_chunks};
use freshet_parse::{BodyFormat, Piece, pieces};

const TEXT_END: u8 = b'|';

libfuzzer_sys::fuzz_target!(|texts: &[u8]| {
    const HEAD: &[u8] = b"<190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - ";
    let mut body = Vec::new();
    for text in texts.split(|byte| *byte == TEXT_END) {
        body.extend_from_slice(format!("{} ", HEAD.len() + text.len()).as_bytes());
        body.extend_from_slice(HEAD);
        body.extend_from_slice(text);
    }
    let mut found = pieces(BodyFormat::Frames, &body);
    for text in texts.split(|byte| *byte == TEXT_END) {
        let Some(Piece::Message(message)) = found.next() else { panic!("no message for a text") };
        assert_eq!(message.raw.unwrap_or(&message.text), text.strip_suffix(b"\n").unwrap_or(text));
        assert!(!message.short);
    }
    assert_eq!(found.next(), None);
    let whole: Vec<_> = outline(BodyFormat::Frames, &body, 0).collect();
    assert_eq!(outline_by_chunks(BodyFormat::Frames, &body, body.len() / 7 + 1), whole);
});
