//! A router line: numbers are never negative, and an error has a known letter.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("heroku", "router", text, |line| {
        let Line::Router(line) = line else { return };
        assert!(
            [line.connect_ms, line.service_ms, line.status, line.queue_ms, line.wait_ms].into_iter().flatten().all(|number| number >= 0)
        );
        assert!(line.extra.len() <= freshet_parse::EXTRA_MAX);
        if let Some(error) = line.platform_error() {
            assert!(!error.title.is_empty() && error.code.starts_with(error.family.as_str().as_bytes()));
        }
    });
});
