//! A line of Rails: what it is recognised by is there.
#![no_main]

use freshet_parse::{AppFormat, Line};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("app", "web.1", text, |line| {
        let Line::AppEvent(event) = line else { return };
        assert!(event.fields.len() <= freshet_parse::PAIRS_MAX);
        if event.format == AppFormat::Rails {
            assert!(!event.fields.is_empty() || event.level.is_some() || event.request_id.is_some());
        }
    });
});
