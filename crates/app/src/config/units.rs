//! Sizes and time spans as people write them.

use std::time::Duration;

/// Reads `90`, `30s`, `15m`, `2h`, `7d`, `250ms`.
#[must_use]
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// Reads `1048576`, `64MiB`, `1GiB`, `500MB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

/// `1.5 MiB`: a size for people.
#[must_use]
pub(crate) fn format_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `1.2 s`, `3 min`, `2 h`, `5 d`: a time span for people.
#[must_use]
pub(crate) fn format_duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.0 => "0 s".to_owned(),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("7 d"), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("1.5h"), None);
        assert_eq!(duration("s"), None);
        assert_eq!(duration("99999999999999999999s"), None);
        assert_eq!(bytes("64MiB"), Some(67_108_864));
        assert_eq!(bytes("500MB"), Some(500_000_000));
        assert_eq!(bytes("5 parsecs"), None);
        assert_eq!(format_bytes(1_572_864), "1.5 MiB");
        assert_eq!(format_bytes(12), "12 B");
        assert_eq!(format_duration(3.21), "3.2 s");
    }
}
