//! A logfmt line of the app: keys are unique and begin with a letter.
#![no_main]

use freshet_parse::{AppFormat, Line};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("app", "web.1", text, |line| {
        let Line::AppEvent(event) = line else { return };
        assert!(event.fields.len() <= freshet_parse::PAIRS_MAX);
        if event.format == AppFormat::Logfmt {
            let keys: std::collections::BTreeSet<_> = event.fields.iter().map(|(key, _)| &event.buffer[key.clone()]).collect();
            assert!(keys.len() == event.fields.len() && !keys.is_empty());
            assert!(keys.iter().all(|key| key[0].is_ascii_alphabetic() || matches!(key[0], b'_' | b'@')));
        }
    });
});
