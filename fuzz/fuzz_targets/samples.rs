//! Metrics: each value is finite and has a name.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for (source, dyno) in [("heroku", "web.1"), ("app", "heroku-postgres"), ("app", "web.1")] {
        freshet_fuzz::assert_line(source, dyno, text, |line| {
            let (Line::DynoMetrics(line) | Line::PostgresMetrics(line) | Line::MetricSamples(line)) = line else { return };
            assert!(!line.samples.is_empty() && line.tags.len() <= freshet_parse::PAIRS_MAX);
            for sample in line.samples {
                assert!(sample.value.is_finite() && !sample.name.is_empty());
                let _ = line.value_in(sample, b"MB");
            }
        });
    }
});
