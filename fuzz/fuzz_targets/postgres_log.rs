//! A PostgreSQL server line.
#![no_main]

use freshet_parse::Line;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    freshet_fuzz::assert_line("app", "postgres.123", text, |line| {
        let Line::PostgresLog(line) = line else { return };
        assert_eq!(line.pid, Some(123));
        assert!(line.line.is_some() || line.sql_error_code.is_some());
        assert!(line.fields.len() <= freshet_parse::POSTGRES_FIELDS_MAX);
    });
});
