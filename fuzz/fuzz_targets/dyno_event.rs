//! A line of the platform about a dyno: changes of state have both states.
#![no_main]

use freshet_parse::{DynoEventKind, Line};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("heroku", "web.1", text, |line| {
        let Line::DynoEvent(line) = line else { return };
        let changed = line.event == DynoEventKind::StateChanged;
        assert!(line.from_state.is_some() == changed && line.to_state.is_some() == changed);
    });
});
