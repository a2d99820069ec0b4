//! Times and dates as the API writes them.

use freshet_core::Micros;

/// Microseconds since 1970-01-01 of a moment by RFC 3339.
pub(super) fn micros(text: &str) -> Option<i64> {
    freshet_parse::timestamp(text.as_bytes())
}

/// Days since 1970-01-01 of a day such as `2026-01-31`.
pub(super) fn days(text: &str) -> Option<i32> {
    // Ten characters: what follows would make it a moment.
    if text.len() != 10 {
        return None;
    }
    micros(&format!("{text}T00:00:00Z")).map(|at| Micros(at).days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days_are_read() {
        assert_eq!(micros("1970-01-02T00:00:01Z"), Some(86_401_000_000));
        assert_eq!(micros("2026-11-20T13:07:11.021+02:00"), micros("2026-11-20T11:07:11.021Z"));
        assert_eq!((days("1970-01-11"), days("1970-01-01")), (Some(10), Some(0)));
        for wrong in ["", "today", "2026-13-01", "2026-01-31T00:00:00Z", "2026-1-1", "1764000000"] {
            assert_eq!(days(wrong), None, "{wrong}");
        }
    }
}
