//! A JSON object of the app: a parser that builds the whole value agrees that it is one.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("app", "web.1", text, |line| {
        let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
        let Line::AppEvent(event) = line else { return assert!(!is_object) };
        assert!(event.fields.len() <= freshet_parse::PAIRS_MAX);
        assert!(event.body.is_some() || !is_object);
        let keys: std::collections::BTreeSet<_> = event.fields.iter().map(|(key, _)| &event.buffer[key.clone()]).collect();
        assert_eq!(keys.len(), event.fields.len());
    });
});
