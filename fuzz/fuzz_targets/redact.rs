//! Secrets: what is redacted once stays as it is.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for (source, dyno) in [("heroku", "web.1"), ("app", "api"), ("app", "release.1")] {
        freshet_fuzz::assert_redacted(source, dyno, text);
    }
    freshet_fuzz::assert_redacted("heroku", "run.1", &[b"Starting process with command `", text, b"` by user x"].concat());
});
