//! Measurements: `sample#memory_total=180.43MB` and its kin, among plain tags.
//!
//! A pair whose value is no finite number with a unit stays a tag under its full key (`sample#x`), so nothing is lost;
//! `sample#333`, which has no value at all, is nothing.

use memchr::memchr_iter;

use crate::line::{MetricType, Sample, Samples, Scratch};
use crate::number::leading_float;
use crate::pairs::Words;
use crate::words::filled;

/// Fills `scratch` with the samples and tags of `text`. Whether there was a sample.
pub(crate) fn scan(text: &[u8], scratch: &mut Scratch) -> bool {
    scratch.samples.clear();
    scratch.pairs.clear();
    for word in Words::of(text) {
        let Some(key) = word.key else { continue };
        let name_start = key.start + prefix(&text[key.clone()]).map_or(0, |(_, length)| length);
        match prefix(&text[key.clone()]).zip(measurement(&text[word.value.clone()])) {
            Some(((metric_type, _), (value, unit))) if !word.quoted && name_start < key.end => {
                let unit_start = word.value.start + unit.start;
                scratch.samples.push(Sample { metric_type, name: name_start..key.end, value, unit: unit_start..unit_start + unit.len() });
            }
            _ => scratch.add_tag(text, key, word.value),
        }
    }
    !scratch.samples.is_empty()
}

/// The line whose samples and tags [`scan`] has left in `scratch`.
pub(crate) fn of<'t>(text: &'t [u8], scratch: &'t Scratch) -> Samples<'t> {
    let tag = |name: &[u8]| {
        let found = scratch.pairs.iter().find(|(key, _)| &text[key.clone()] == name);
        found.and_then(|(_, value)| filled(&text[value.clone()]))
    };
    Samples { source: tag(b"source"), addon: tag(b"addon"), dyno: tag(b"dyno"), samples: &scratch.samples, tags: &scratch.pairs, text }
}

/// Whether a line that may be anything holds a sample; cheap enough to ask of every line of an app.
pub(crate) fn has_prefix(text: &[u8]) -> bool {
    memchr_iter(b'#', text).any(|at| {
        let word = text[..at].iter().rev().take(PREFIX_MAX + 1).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        prefix(&text[at - word..=at]).is_some()
    })
}

impl Samples<'_> {
    /// The value of `sample` in the unit `wanted`, whichever related unit it was sent in. A value sent without a unit is
    /// in the wanted one already. `None` when the units measure different things.
    #[must_use]
    pub fn value_in(&self, sample: &Sample, wanted: &[u8]) -> Option<f64> {
        let sent = self.slice(&sample.unit);
        if sent.is_empty() { Some(sample.value) } else { unit_factor(sent, wanted).map(|factor| sample.value * factor) }
    }
}

/// What a value in the unit `sent` is multiplied by to be in `wanted`: sizes in steps of 1024, as Heroku counts them, and
/// times. Any unit converts to itself; other pairs are `None`.
#[must_use]
pub fn unit_factor(sent: &[u8], wanted: &[u8]) -> Option<f64> {
    if sent == wanted {
        return Some(1.0);
    }
    let factor = |size: fn(&[u8]) -> Option<f64>| Some(size(sent)? / size(wanted)?);
    factor(size_in_bytes).or_else(|| factor(time_in_ms))
}

/// The longest of the prefixes, without its `#`.
const PREFIX_MAX: usize = "measure".len();

/// The prefix that `key` begins with, and its length with the `#`.
fn prefix(key: &[u8]) -> Option<(MetricType, usize)> {
    let prefixes: [(&[u8], MetricType); 4] = [
        (b"sample#", MetricType::Sample),
        (b"measure#", MetricType::Measure),
        (b"count#", MetricType::Count),
        (b"unique#", MetricType::Unique),
    ];
    prefixes.into_iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(prefix, metric_type)| (metric_type, prefix.len()))
}

/// The number in `value` and where its unit is. Punctuation may follow (a bracket, a literal `\n`), a word or a second
/// number may not: `1.2.3.4` and `2024-01-02` measure nothing.
fn measurement(value: &[u8]) -> Option<(f64, std::ops::Range<usize>)> {
    let (number, rest) = leading_float(value)?;
    let start = value.len() - rest.len();
    let length = rest.iter().take_while(|&&byte| byte.is_ascii_alphabetic() || matches!(byte, b'%' | b'/' | 0x80..)).count();
    let ends = rest.get(length).is_none_or(|&byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'+' | b':' | b'_'));
    ends.then_some((number, start..start + length))
}

fn size_in_bytes(unit: &[u8]) -> Option<f64> {
    let power = match unit {
        b"bytes" | b"byte" | b"B" | b"b" => 0,
        b"kB" | b"KB" | b"KiB" | b"k" | b"K" => 1,
        b"MB" | b"MiB" | b"M" => 2,
        b"GB" | b"GiB" | b"G" => 3,
        b"TB" | b"TiB" | b"T" => 4,
        _ => return None,
    };
    Some(1024_f64.powi(power))
}

fn time_in_ms(unit: &[u8]) -> Option<f64> {
    match unit {
        b"ns" => Some(1e-6),
        b"us" | [0xc2, 0xb5, b's'] => Some(1e-3),
        b"ms" => Some(1.0),
        b"s" | b"sec" => Some(1e3),
        b"min" => Some(60e3),
        b"h" => Some(3600e3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, samples: &[(&str, &str, f64, &str)], tags: &[(&str, &str)]) {
        let mut scratch = Scratch::default();
        assert_eq!(scan(text.as_bytes(), &mut scratch), !samples.is_empty(), "{text}");
        let line = of(text.as_bytes(), &scratch);
        let found: Vec<_> = (line.samples.iter())
            .map(|sample| (sample.metric_type.as_str(), &text[sample.name.clone()], sample.value, &text[sample.unit.clone()]))
            .collect();
        assert_eq!(found, samples, "{text}");
        let found: Vec<_> = line.tags.iter().map(|(key, value)| (&text[key.clone()], &text[value.clone()])).collect();
        assert_eq!(found, tags, "{text}");
    }

    #[test]
    fn samples_and_tags_come_apart() {
        check(
            "source=web.1 dyno=heroku.7.ab-c sample#memory_total=180.43MB sample#memory_pgpgin=84329pages",
            &[("sample", "memory_total", 180.43, "MB"), ("sample", "memory_pgpgin", 84_329.0, "pages")],
            &[("source", "web.1"), ("dyno", "heroku.7.ab-c")],
        );
        check("sample#db_size=8945836.0bytes", &[("sample", "db_size", 8_945_836.0, "bytes")], &[]);
        check("sample#hit=99.5% measure#t=-1e3", &[("sample", "hit", 99.5, "%"), ("measure", "t", -1000.0, "")], &[]);
        check(
            "served in measure#db.latency=12ms count#hits=1 at=done",
            &[("measure", "db.latency", 12.0, "ms"), ("count", "hits", 1.0, "")],
            &[("at", "done")],
        );
        check("unique#user=7", &[("unique", "user", 7.0, "")], &[]);
        check("sample#rows=1.5M", &[("sample", "rows", 1.5, "M")], &[]);
    }

    #[test]
    fn what_measures_nothing_is_a_tag() {
        check("source=testsource sample#333", &[], &[("source", "testsource")]);
        check(
            "sample#a=NaN sample#b=1e999 sample#c=x sample#d=",
            &[],
            &[("sample#a", "NaN"), ("sample#b", "1e999"), ("sample#c", "x"), ("sample#d", "")],
        );
        check(
            "sample#ip=1.2.3.4 sample#day=2024-01-02 sample#=1 sample#q=\"1\"",
            &[],
            &[("sample#ip", "1.2.3.4"), ("sample#day", "2024-01-02"), ("sample#", "1"), ("sample#q", "1")],
        );
    }

    #[test]
    fn trailing_rubbish_is_not_part_of_the_unit() {
        check("sample#a=0.00MB} }", &[("sample", "a", 0.0, "MB")], &[]);
        check("sample#a=0.03\\n", &[("sample", "a", 0.03, "")], &[]);
        check("sample#a=0`, \"\\n\")", &[("sample", "a", 0.0, "")], &[]);
        check("sample#a=181644kB\"", &[("sample", "a", 181_644.0, "kB")], &[]);
    }

    #[test]
    fn the_first_of_two_tags_of_one_name_wins() {
        check("a=1 a=2 sample#x=1", &[("sample", "x", 1.0, "")], &[("a", "1")]);
    }

    #[test]
    fn known_tags_are_found_and_empty_ones_absent() {
        let mut scratch = Scratch::default();
        assert!(scan(b"source=DATABASE addon=postgresql-x-1 dyno= sample#x=1", &mut scratch));
        let line = of(b"source=DATABASE addon=postgresql-x-1 dyno= sample#x=1", &scratch);
        assert_eq!((line.source, line.addon, line.dyno), (Some(&b"DATABASE"[..]), Some(&b"postgresql-x-1"[..]), None));
    }

    #[test]
    fn prefixes_are_whole_words() {
        for (text, expected) in
            [("x count#a=1", true), ("measure#", true), ("recount#a=1", false), ("# #", false), ("issue #12", false), ("#", false)]
        {
            assert_eq!(has_prefix(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn units_convert_within_what_they_measure() {
        let check = |sent: &str, wanted: &str, expected: Option<f64>| {
            assert_eq!(unit_factor(sent.as_bytes(), wanted.as_bytes()), expected, "{sent} {wanted}");
        };
        check("MB", "bytes", Some(1_048_576.0));
        check("bytes", "kB", Some(1.0 / 1024.0));
        check("GB", "MB", Some(1024.0));
        check("s", "ms", Some(1000.0));
        check("pages", "pages", Some(1.0));
        check("pages", "bytes", None);
        check("MB", "ms", None);
    }
}
