//! A time, however broken: if it is one it lies in the years 1970 to 9999, give or take its zone.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    const DAY_US: i64 = 86_400_000_000;
    if let Some(us) = freshet_parse::timestamp(text) {
        assert!((-DAY_US..253_402_300_800_000_000 + DAY_US).contains(&us), "{us}");
        assert!(text.is_ascii() && (20..=35).contains(&text.len()));
    }
});
