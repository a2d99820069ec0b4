//! Numbers at the start of a field. What follows them (a unit, a stray quote) is the caller's.

use crate::words::split_while;

/// The digits at the start of `text` as a number, where it fits the type.
#[inline]
pub(crate) fn leading_integer<Number: TryFrom<u64>>(text: &[u8]) -> Option<Number> {
    let (digits, _) = split_while(text, |byte| byte.is_ascii_digit());
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Number::try_from(number).ok()
}

/// The whole of `text` as a number.
pub(crate) fn integer<Number: TryFrom<u64>>(text: &[u8]) -> Option<Number> {
    text.iter().all(u8::is_ascii_digit).then(|| leading_integer(text)).flatten()
}

/// The finite decimal number at the start of `text`, and what follows it.
#[inline]
pub(crate) fn leading_float(text: &[u8]) -> Option<(f64, &[u8])> {
    let (number, rest) = text.split_at(float_length(text)?);
    let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    number.is_finite().then_some((number, rest))
}

/// The bytes that `[+-]digits[.digits][e[+-]digits]` takes. An `e` without digits belongs to the unit.
#[inline]
pub(crate) fn float_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let whole = digits(sign);
    let mut end = sign + whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let exponent_sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + exponent_sign).min(text.len()));
        if exponent > 0 {
            end += 1 + exponent_sign + exponent;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_leading_digits_that_fit() {
        let check = |text: &str, expected: Option<i32>| assert_eq!(leading_integer::<i32>(text.as_bytes()), expected, "{text}");
        check("30001ms", Some(30_001));
        check("0", Some(0));
        check("828\\n", Some(828));
        check("007", Some(7));
        check("2147483647", Some(i32::MAX));
        check("2147483648", None);
        check("99999999999999999999999", None);
        check("", None);
        check("-5", None);
        check("ms", None);
        assert_eq!(integer::<i32>(b"12x"), None);
        assert_eq!(integer::<i32>(b"12"), Some(12));
    }

    #[test]
    fn floats_stop_where_the_unit_begins() {
        let check = |text: &str, expected: Option<(f64, &str)>| {
            let found = leading_float(text.as_bytes()).map(|(number, rest)| (number, std::str::from_utf8(rest).unwrap()));
            assert_eq!(found, expected, "{text}");
        };
        check("8945836.0bytes", Some((8_945_836.0, "bytes")));
        check("-1.5e3ms", Some((-1500.0, "ms")));
        check("+2", Some((2.0, "")));
        check(".5", Some((0.5, "")));
        check("5.", Some((5.0, "")));
        check("3E", Some((3.0, "E")));
        check("3e+", Some((3.0, "e+")));
        check("3e-2%", Some((0.03, "%")));
        check("1.2.3", Some((1.2, ".3")));
        check("1e999", None);
        check("NaN", None);
        check("inf", None);
        check(".", None);
        check("-", None);
        check("-.", None);
        check("", None);
    }
}
