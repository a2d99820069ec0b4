//! Log archives of one JSON object per line: any object with a time and a message under one of their usual names.
//!
//! Papertrail's and Vector's names are among them. A `program` such as `heroku/router` is source and dyno in one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::piece::{Message, RejectReason, without_newline};
use crate::time::{epoch_decimal_us, epoch_us};

/// The source of a message that names none.
const DEFAULT_SOURCE: &str = "app";

/// Reads one line; `range` is where it stands in the body.
pub(crate) fn read(line: &[u8], range: Range<usize>) -> Result<Message<'_>, RejectReason> {
    let record: Record<'_> = serde_json::from_slice(line).map_err(|_| RejectReason::Json)?;
    let (text, raw) = text(record.text.best.ok_or(RejectReason::Json)?);
    let ts_us = record.time.best.ok_or(RejectReason::NoTime)?;
    let (program_source, program_dyno) = record.program.best.map(split_program).unwrap_or_default();
    Ok(Message {
        range,
        ts_us,
        facility: record.facility.best,
        severity: record.severity.best,
        hostname: b"",
        source: bytes(program_source.or(record.source.best).unwrap_or(Cow::Borrowed(DEFAULT_SOURCE))),
        dyno: bytes(record.dyno.best.unwrap_or(program_dyno)),
        text,
        raw,
        short: false,
    })
}

/// What a field means, with its rank among the fields that mean the same: the lowest that can be read is taken.
enum Meaning {
    Time(u8),
    Text(u8),
    Source(u8),
    Dyno(u8),
    Program,
    Facility,
    Severity,
}

fn meaning(key: &str) -> Option<Meaning> {
    Some(match key {
        "timestamp" => Meaning::Time(0),
        "time" => Meaning::Time(1),
        "ts" => Meaning::Time(2),
        "@timestamp" => Meaning::Time(3),
        "generated_at" => Meaning::Time(4),
        "date" => Meaning::Time(5),
        "datetime" => Meaning::Time(6),
        "_time" => Meaning::Time(7),
        "received_at" => Meaning::Time(8),
        "message" => Meaning::Text(0),
        "msg" => Meaning::Text(1),
        "text" => Meaning::Text(2),
        "log" => Meaning::Text(3),
        "body" => Meaning::Text(4),
        "line" => Meaning::Text(5),
        "source" => Meaning::Source(0),
        "app_source" => Meaning::Source(1),
        "app_name" => Meaning::Source(2),
        "appname" => Meaning::Source(3),
        "dyno" => Meaning::Dyno(0),
        "process" => Meaning::Dyno(1),
        "procid" => Meaning::Dyno(2),
        "proc_id" => Meaning::Dyno(3),
        "program" => Meaning::Program,
        "facility" => Meaning::Facility,
        "severity" => Meaning::Severity,
        _ => return None,
    })
}

#[derive(Default)]
struct Record<'a> {
    time: Best<i64>,
    text: Best<Cow<'a, str>>,
    source: Best<Cow<'a, str>>,
    dyno: Best<Cow<'a, str>>,
    program: Best<Cow<'a, str>>,
    facility: Best<u8>,
    severity: Best<u8>,
}

impl<'a> Record<'a> {
    fn take(&mut self, meaning: Meaning, value: Scalar<'a>) {
        match meaning {
            Meaning::Time(rank) => self.time.offer(rank, value.time_us()),
            Meaning::Text(rank) => self.text.offer(rank, value.text()),
            Meaning::Source(rank) => self.source.offer(rank, value.name()),
            Meaning::Dyno(rank) => self.dyno.offer(rank, value.name()),
            Meaning::Program => self.program.offer(0, value.name()),
            Meaning::Facility => self.facility.offer(0, value.code(&FACILITIES)),
            Meaning::Severity => self.severity.offer(0, value.code(&SEVERITIES)),
        }
    }
}

/// The value of lowest rank that was offered; of equals the last, as is usual for repeated JSON keys.
struct Best<T> {
    best: Option<T>,
    rank: u8,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self { best: None, rank: u8::MAX }
    }
}

impl<T> Best<T> {
    fn offer(&mut self, rank: u8, value: Option<T>) {
        if value.is_some() && rank <= self.rank {
            *self = Self { best: value, rank };
        }
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Record<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key::<Scalar<'de>>()? {
                    match key.text().as_deref().and_then(meaning) {
                        Some(meaning) => record.take(meaning, map.next_value()?),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A JSON value, as far as it can be a field of a message.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Integer(u64),
    Decimal(f64),
    Other,
}

impl<'a> Scalar<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn name(self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !text.is_empty())
    }

    fn time_us(self) -> Option<i64> {
        match self {
            Self::Text(text) => crate::timestamp(text.as_bytes()).or_else(|| match text.parse() {
                Ok(epoch) => epoch_us(epoch),
                Err(_) => epoch_decimal_us(text.parse().ok()?),
            }),
            Self::Integer(epoch) => epoch_us(epoch),
            Self::Decimal(epoch) => epoch_decimal_us(epoch),
            Self::Other => None,
        }
    }

    /// The place of a syslog name among `names`, or the number itself.
    fn code(self, names: &[&[&str]]) -> Option<u8> {
        let code = match self {
            Self::Text(text) => names.iter().position(|names| names.iter().any(|name| text.eq_ignore_ascii_case(name)))?,
            Self::Integer(code) => usize::try_from(code).ok()?,
            _ => return None,
        };
        u8::try_from(code).ok().filter(|code| usize::from(*code) < names.len())
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Decimal(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

const SEVERITIES: [&[&str]; 8] = [
    &["emerg", "emergency", "panic"],
    &["alert"],
    &["crit", "critical"],
    &["err", "error"],
    &["warning", "warn"],
    &["notice"],
    &["info", "informational"],
    &["debug"],
];

const FACILITIES: [&[&str]; 24] = [
    &["kern", "kernel"],
    &["user"],
    &["mail"],
    &["daemon", "system"],
    &["auth", "security"],
    &["syslog"],
    &["lpr"],
    &["news"],
    &["uucp"],
    &["cron", "clock"],
    &["authpriv"],
    &["ftp"],
    &["ntp"],
    &["audit"],
    &["console"],
    &["cron2", "solaris-cron"],
    &["local0"],
    &["local1"],
    &["local2"],
    &["local3"],
    &["local4"],
    &["local5"],
    &["local6"],
    &["local7"],
];

/// `heroku/router` to source and dyno. Without a `/` it is a dyno.
fn split_program(program: Cow<'_, str>) -> (Option<Cow<'_, str>>, Cow<'_, str>) {
    let (source, dyno): (Cow<'_, str>, _) = match program {
        Cow::Borrowed(program) => {
            let (source, dyno) = program.split_once('/').unwrap_or(("", program));
            (source.into(), dyno.into())
        }
        Cow::Owned(program) => {
            let (source, dyno) = program.split_once('/').unwrap_or(("", &program));
            (source.to_owned().into(), dyno.to_owned().into())
        }
    };
    (Some(source).filter(|source| !source.is_empty()), dyno)
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Text and raw of a message.
fn text(message: Cow<'_, str>) -> (Cow<'_, [u8]>, Option<&[u8]>) {
    match bytes(message) {
        Cow::Borrowed(message) => {
            let (text, raw) = without_newline(message);
            (Cow::Borrowed(text), raw)
        }
        Cow::Owned(mut message) => {
            message.truncate(without_newline(&message).0.len());
            (Cow::Owned(message), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time, source, dyno and text, with `|` between.
    fn fields(line: &str) -> String {
        match read(line.as_bytes(), 0..line.len()) {
            Ok(message) => {
                let fields = [&message.source, &message.dyno, &message.text].map(|field| String::from_utf8_lossy(field)).join("|");
                format!("{}|{fields}", message.ts_us)
            }
            Err(reason) => reason.as_str().into(),
        }
    }

    #[test]
    fn objects() {
        let check = |line: &str, expected: &str| assert_eq!(fields(line), expected, "{line}");
        check(r#"{"time":"1970-01-01T00:00:01Z","message":"hi"}"#, "1000000|app||hi");
        check(" {\"time\":\"1970-01-01T00:00:01Z\",\"message\":\"hi\"} \r\n", "1000000|app||hi");
        check(
            r#"{"msg":"a \"b\"\n","ts":1700000000,"level":"info","x":[{}],"y":{"time":1,"message":"no"}}"#,
            "1700000000000000|app||a \"b\"",
        );
        check(r#"{"message":"","timestamp":"1970-01-01T00:00:01Z","source":"heroku","dyno":"router"}"#, "1000000|heroku|router|");
        check(
            r#"{"message":"x","timestamp":"1970-01-01T00:00:01Z","app_name":"heroku","proc_id":"web.1","host":"d.1"}"#,
            "1000000|heroku|web.1|x",
        );
        check(
            r#"{"id":"7","source_ip":"192.0.2.1","program":"heroku/router","message":"at=info","received_at":"1970-01-01T00:00:09Z",
                "generated_at":"1970-01-01T00:00:01Z","display_received_at":"Jan 01","source_name":"shop","hostname":"shop","severity":"Info"}"#,
            "1000000|heroku|router|at=info",
        );
        check(r#"{"program":"app\/web.1","message":"x","received_at":"1970-01-01T00:00:01Z"}"#, "1000000|app|web.1|x");
        check(r#"{"program":"web.1","source":"heroku","message":"x","received_at":"1970-01-01T00:00:01Z"}"#, "1000000|heroku|web.1|x");
        check(r#"{"program":"","source":"","dyno":"","message":"x","received_at":"1970-01-01T00:00:01Z"}"#, "1000000|app||x");
        check(r#"{"log":{"level":"x"},"line":"x","time":"12:00","date":"1970-01-01T00:00:01Z"}"#, "1000000|app||x");
        check(r#"{"line":"x","message":"y","time":1700000001,"timestamp":1700000000}"#, "1700000000000000|app||y");
        check(r#"{"message":"x","message":"y","time":1700000000}"#, "1700000000000000|app||y");
        check(r#"{"message":"x"}"#, "no_time");
        check(r#"{"message":"x","time":83}"#, "no_time");
        check(r#"{"time":1700000000}"#, "json");
        check(r#"{"message":7,"time":1700000000}"#, "json");
        check(r#"["message"]"#, "json");
        check("text", "json");
        check(r#"{"message":"x","time":1700000000"#, "json");
        check(r#"{"message":"x","time":1700000000}{"#, "json");
        check(&format!(r#"{{"message":"x","time":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000)), "no_time");
    }

    #[test]
    fn epochs() {
        let check = |time: &str, expected: Option<i64>| {
            let line = format!(r#"{{"message":"","time":{time}}}"#);
            assert_eq!(read(line.as_bytes(), 0..0).map(|message| message.ts_us).ok(), expected, "{time}");
        };
        check("1700000000", Some(1_700_000_000_000_000));
        check("1700000000123", Some(1_700_000_000_123_000));
        check("1700000000123456", Some(1_700_000_000_123_456));
        check("1700000000123456789", Some(1_700_000_000_123_456));
        check("1700000000.123456", Some(1_700_000_000_123_456));
        check("1.7e9", Some(1_700_000_000_000_000));
        check("1700000000123.5", Some(1_700_000_000_123_500));
        check("\"1700000000\"", Some(1_700_000_000_000_000));
        check("\"1700000000.5\"", Some(1_700_000_000_500_000));
        check("99999999", None);
        check("100000000", Some(100_000_000_000_000));
        check("9223372036854775807", None);
        check("18446744073709551615", None);
        check("1e300", None);
        check("-1700000000", None);
        check("\"NaN\"", None);
        check("\"inf\"", None);
        check("null", None);
        check("true", None);
    }

    #[test]
    fn syslog_names() {
        let check = |facility: &str, severity: &str, expected: (Option<u8>, Option<u8>)| {
            let line = format!(r#"{{"message":"","time":1700000000,"facility":{facility},"severity":{severity}}}"#);
            let message = read(line.as_bytes(), 0..0).unwrap();
            assert_eq!((message.facility, message.severity), expected, "{line}");
        };
        check("\"Local7\"", "\"Info\"", (Some(23), Some(6)));
        check("\"user\"", "\"WARN\"", (Some(1), Some(4)));
        check("23", "7", (Some(23), Some(7)));
        check("24", "8", (None, None));
        check("\"x\"", "null", (None, None));
    }
}
