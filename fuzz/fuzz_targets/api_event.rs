//! A line of the API: every text that is not blank is one.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("app", "api", text, |line| {
        let Line::ApiEvent(event) = line else { return assert!(text.trim_ascii().is_empty()) };
        assert!(event.names.len() <= freshet_parse::API_NAMES_MAX && event.names.iter().all(|name| !name.is_empty()));
    });
});
