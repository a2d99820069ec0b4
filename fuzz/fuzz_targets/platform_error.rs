//! An error line of the platform.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("heroku", "logplex", text, |line| {
        let Line::PlatformError(error) = line else { return };
        assert!(!error.title.is_empty() && error.code.starts_with(error.family.as_str().as_bytes()));
        assert!(error.messages_lost.is_none_or(|count| count >= 0));
    });
});
