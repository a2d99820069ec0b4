//! Lines of RFC 5424: every byte is in a piece, and chunks give the same pieces as the whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| freshet_fuzz::assert_lines(freshet_parse::BodyFormat::Syslog, body));
