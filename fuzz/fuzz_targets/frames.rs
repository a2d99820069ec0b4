//! A body of frames, however broken: every byte is in a piece, whole or by chunks.
#![no_main]

use freshet_fuzz::{assert_covers, outline_by_chunks};
use freshet_parse::BodyFormat;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    assert_covers(BodyFormat::Frames, body);
    let mut at = 0;
    for (start, end, _) in outline_by_chunks(BodyFormat::Frames, body, body.len() / 7 + 1) {
        assert_eq!(start, at);
        at = end;
    }
    assert_eq!(at, body.len());
});
