//! Numbers and times as the picture says them.

use std::time::Duration;

use crate::config::format_duration;
use crate::output::grouped;

/// `1.2 ms`, `45 ms`, `1.3 s`, or `-` when there is nothing to say yet.
pub(super) fn span(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs_f64()) {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.00995 => format!("{:.1} ms", seconds * 1000.0),
        Some(seconds) if seconds < 0.9995 => format!("{:.0} ms", seconds * 1000.0),
        Some(seconds) => format_duration(seconds),
    }
}

/// The age of something, in at most six characters: `0.4 s`, `12 s`, `99 min`. Empty when it never was.
pub(super) fn age(time: Option<Duration>) -> String {
    time.map(|time| format_duration(time.as_secs_f64())).unwrap_or_default()
}

/// `0:42`, `12:05`, `3:02:09`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A number in at most `width` characters where that can be: `1 234 567`, else `1235 k`, `1.2 M`.
pub(super) fn fitted(number: u64, width: usize) -> String {
    let whole = grouped(number);
    if whole.len() <= width {
        return whole;
    }
    let mut value = number as f64;
    for unit in ["k", "M", "G", "T", "P", "E"] {
        value /= 1000.0;
        let short = if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        if value < 999.5 && (short.len() <= width || value < 9.95) {
            return short;
        }
    }
    whole
}

/// A rate: `0`, `0.4`, `12`, `1 234`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 { format!("{per_second:.1}") } else { grouped(per_second.round() as u64) }
}

/// `60×`, `1.5×`.
pub(super) fn speed(speed: f64) -> String {
    if speed.fract().abs() < 0.05 { format!("{}×", grouped(speed.round() as u64)) } else { format!("{speed:.1}×") }
}

/// `text` in at most `width` characters, with a sign that something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// `text` in lines of at most `width` characters, broken at spaces where there is one.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if letters.len() >= room && room < width {
            lines.push(String::new());
            room = width;
        }
        while let Some(line) = lines.last_mut() {
            if room < width {
                line.push(' ');
                room -= 1;
            }
            let rest = letters.split_off(letters.len().min(room));
            room -= letters.len();
            line.extend(letters);
            if rest.is_empty() {
                break;
            }
            letters = rest;
            lines.push(String::new());
            room = width;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(cases: &[(T, T)]) {
        for (is, expected) in cases {
            assert_eq!(is, expected);
        }
    }

    #[test]
    fn times() {
        let milliseconds = |number: f64| span(Some(Duration::from_secs_f64(number / 1000.0)));
        check(&[
            (span(None), "-".to_owned()),
            (milliseconds(0.04), "0.0 ms".to_owned()),
            (milliseconds(1.24), "1.2 ms".to_owned()),
            (milliseconds(9.96), "10 ms".to_owned()),
            (milliseconds(999.4), "999 ms".to_owned()),
            (milliseconds(999.9), "1.0 s".to_owned()),
            (milliseconds(1260.0), "1.3 s".to_owned()),
            (age(None), String::new()),
            (age(Some(Duration::from_secs(75))), "75 s".to_owned()),
            (clock(Duration::from_secs(42)), "0:42".to_owned()),
            (clock(Duration::from_millis(725_900)), "12:05".to_owned()),
            (clock(Duration::from_secs(10_929)), "3:02:09".to_owned()),
        ]);
    }

    #[test]
    fn numbers() {
        check(&[
            (fitted(0, 1), "0".to_owned()),
            (fitted(1_234_567, 9), "1 234 567".to_owned()),
            (fitted(1_234_567, 8), "1.2 M".to_owned()),
            (fitted(123_456, 5), "123 k".to_owned()),
            (fitted(999_999, 5), "1.0 M".to_owned()),
            (fitted(9_999, 4), "10 k".to_owned()),
            (fitted(u64::MAX, 6), "18 E".to_owned()),
            (rate(0.0), "0".to_owned()),
            (rate(0.44), "0.4".to_owned()),
            (rate(9.96), "10".to_owned()),
            (rate(f64::NAN), "0".to_owned()),
            (speed(60.0), "60×".to_owned()),
            (speed(1.5), "1.5×".to_owned()),
        ]);
    }

    #[test]
    fn texts() {
        check(&[
            (cut("Request timeout", 15), "Request timeout".to_owned()),
            (cut("Request timeout", 8), "Request…".to_owned()),
            (cut("Request timeout", 0), String::new()),
        ]);
        check(&[
            (wrapped("", 5), vec![String::new()]),
            (wrapped("a bc def", 4), vec!["a bc".to_owned(), "def".to_owned()]),
            (wrapped("abcdefgh ij", 3), vec!["abc".to_owned(), "def".to_owned(), "gh".to_owned(), "ij".to_owned()]),
            (wrapped("ab", 0), vec!["a".to_owned(), "b".to_owned()]),
        ]);
    }
}
