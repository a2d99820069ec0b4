//! Reading a stream: its lists, each below the objects of its parent.

use std::collections::{HashMap, HashSet};

use freshet_core::{Ask, ListDef, Read, Shape, StreamDef, Unit};
use freshet_sources::platform::{Api, ApiError, Part, Range, Version};
use freshet_tables::platform::at_path;
use futures::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

/// Lists of one stream that are read at the same time. The API holds back what the rate limit does not allow.
const LISTS_AT_ONCE: usize = 8;

/// Objects of one stream that a run holds in memory; a stream with more is given up and told.
const OBJECTS_MAX: usize = 2_000_000;

/// What the streams before gave, for those that hang below them.
#[derive(Default)]
pub(super) struct Parents {
    objects: HashMap<&'static str, Vec<Value>>,
    /// Streams of which every object was read.
    complete: HashSet<&'static str>,
}

/// An object and where it was found.
pub(super) struct Found {
    pub(super) object: Value,
    /// Stream and place of the object that it hangs below.
    pub(super) parent: Option<(&'static str, usize)>,
    pub(super) request: Vec<(&'static str, String)>,
}

/// What reading a stream gave.
#[derive(Default)]
pub(super) struct StreamRead {
    pub(super) found: Vec<Found>,
    /// Whether these are all objects there are.
    pub(super) is_complete: bool,
    /// What could not be read, the first few of it.
    pub(super) problems: Vec<ApiError>,
    /// How many lists could not be read.
    pub(super) unread: u64,
}

/// One question.
struct Question {
    list: &'static ListDef,
    path: String,
    parent: Option<(&'static str, usize)>,
    request: Vec<(&'static str, String)>,
}

/// Problems that are kept with their words.
const PROBLEMS_KEPT: usize = 5;

impl Parents {
    /// Keeps the objects of `stream`, for the streams below it.
    pub(super) fn keep(&mut self, stream: &'static StreamDef, objects: Vec<Value>, is_complete: bool) {
        self.objects.insert(stream.name, objects);
        if is_complete {
            self.complete.insert(stream.name);
        }
    }

    /// The object that something hangs below.
    pub(super) fn get(&self, (stream, place): (&'static str, usize)) -> Option<(&'static str, &Value)> {
        Some((stream, self.objects.get(stream)?.get(place)?))
    }

    /// Reads `stream`; `is_first` when nothing of it was ever read.
    pub(super) async fn read(&self, api: &Api, stream: &'static StreamDef, is_first: bool, now: Timestamp) -> StreamRead {
        let api = if stream.sdk { api.in_version(Version::Sdk) } else { api.clone() };
        let is_whole = matches!(stream.read, Read::Full | Read::Since { .. });
        let is_below_all = stream.lists.iter().filter_map(|list| list.parent).all(|parent| self.complete.contains(parent.stream));
        let mut read = StreamRead { is_complete: is_whole && is_below_all && !stream.forgets, ..StreamRead::default() };
        let mut seen: HashSet<String> = HashSet::new();
        // The lists one after the other: of an object that several show, the first list's counts.
        for list in stream.lists {
            let asked = self.questions(list, stream, is_first, now).into_iter().map(|question| answer(api.clone(), question));
            let mut answers = stream::iter(asked.collect::<Vec<_>>()).buffered(LISTS_AT_ONCE);
            while let Some((question, answered)) = answers.next().await {
                match answered {
                    Ok(objects) => {
                        let new = objects.into_iter().filter(|object| is_new(stream, object, &question, &mut seen));
                        let found = |object| Found { object, parent: question.parent, request: question.request.clone() };
                        read.found.extend(new.map(found));
                    }
                    // What it hangs below is gone since it was listed, and with it all that hung there.
                    Err(ApiError::NotFound(_)) if question.parent.is_some() => {}
                    Err(error) => {
                        read.is_complete = false;
                        read.unread += 1;
                        let is_final = matches!(error, ApiError::Unauthorized(_) | ApiError::Suspended(_) | ApiError::TwoFactor(_));
                        if read.problems.len() < PROBLEMS_KEPT {
                            read.problems.push(error);
                        }
                        if is_final {
                            return read;
                        }
                    }
                }
                if read.found.len() > OBJECTS_MAX {
                    read.is_complete = false;
                    return read;
                }
            }
        }
        read
    }

    fn questions(&self, list: &'static ListDef, stream: &StreamDef, is_first: bool, now: Timestamp) -> Vec<Question> {
        let places: Vec<(String, Option<(&'static str, usize)>)> = match (list.parent, list.placeholder()) {
            (Some(parent), Some(placeholder)) => {
                let objects = self.objects.get(parent.stream).map(Vec::as_slice).unwrap_or_default();
                let path = |(place, object): (usize, &Value)| {
                    let value = at_path(object, parent.field)?.as_str()?;
                    Some((list.path.replace(placeholder, &segment(value)), Some((parent.stream, place))))
                };
                objects.iter().enumerate().filter_map(path).collect()
            }
            _ => vec![(list.path.to_owned(), None)],
        };
        let spans = spans(stream.read, is_first, now);
        let of_place = |(path, parent): (String, Option<(&'static str, usize)>)| {
            let question = move |request: &Vec<(&'static str, String)>| {
                let query: Vec<String> = request.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let mark = if query.is_empty() { "" } else { "?" };
                Question { list, path: format!("{path}{mark}{}", query.join("&")), parent, request: request.clone() }
            };
            spans.iter().map(question).collect::<Vec<_>>()
        };
        places.into_iter().flat_map(of_place).collect()
    }
}

async fn answer(api: Api, question: Question) -> (Question, Result<Vec<Value>, ApiError>) {
    let answered = match question.list.shape {
        Shape::One => api.object(&question.path).await.map(|object| vec![object]),
        Shape::Many => all(&api, &question).await,
    };
    (question, answered)
}

async fn all(api: &Api, question: &Question) -> Result<Vec<Value>, ApiError> {
    let range = question.list.ranges.first().map_or_else(Range::none, |attribute| Range::by(attribute));
    let mut pages = api.pages(&question.path, &range);
    let mut objects = Vec::new();
    while let Some(part) = pages.next().await? {
        if let Part::Page(page) = part {
            objects.extend(page.objects);
        }
    }
    Ok(objects)
}

/// Whether no list before has shown this object.
fn is_new(stream: &StreamDef, object: &Value, question: &Question, seen: &mut HashSet<String>) -> bool {
    if stream.lists.len() == 1 {
        return true;
    }
    let part = |json: &&str| match question.request.iter().find(|(name, _)| name == json) {
        Some((_, value)) => value.clone(),
        None => at_path(object, json).map(Value::to_string).unwrap_or_default(),
    };
    seen.insert(stream.key.iter().map(part).collect::<Vec<_>>().join("\u{1f}"))
}

/// What is asked of each list: the parameters of one request, or of several.
fn spans(read: Read, is_first: bool, now: Timestamp) -> Vec<Vec<(&'static str, String)>> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    match read {
        Read::Full | Read::Since { .. } => vec![Vec::new()],
        Read::Days { trailing, first } => {
            let count = if is_first { first } else { trailing };
            (0..count).rev().map(|back| vec![("day", day(today, back).to_string())]).collect()
        }
        Read::Window { unit, trailing, first, ask } => {
            let count = if is_first { first } else { trailing }.max(1);
            let at = |back: u32| match unit {
                Unit::Days => day(today, back),
                Unit::Months => today.first_of_month().checked_sub(i64::from(back).months()).unwrap_or(today),
            };
            let named = |date: Date| match unit {
                Unit::Days => date.to_string(),
                Unit::Months => date.strftime("%Y-%m").to_string(),
            };
            match ask {
                Ask::StartEnd => vec![vec![("start", named(at(count - 1))), ("end", named(at(0)))]],
                Ask::StartDuration => {
                    let duration = if unit == Unit::Days { "P1D" } else { "P1M" };
                    (0..count).rev().map(|back| vec![("start", at(back).to_string()), ("duration", duration.to_owned())]).collect()
                }
            }
        }
    }
}

fn day(today: Date, back: u32) -> Date {
    today.checked_sub(i64::from(back).days()).unwrap_or(today)
}

/// A value as one segment of a path.
pub(super) fn segment(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_today() {
        let now: Timestamp = "2026-03-01T23:30:00Z".parse().unwrap();
        let check = |read: Read, is_first: bool, expected: &[&str]| {
            let spans: Vec<String> = spans(read, is_first, now)
                .iter()
                .map(|span| span.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
                .collect();
            assert_eq!(spans, expected);
        };
        check(Read::Full, true, &[""]);
        check(Read::Days { trailing: 2, first: 3 }, false, &["day=2026-02-28", "day=2026-03-01"]);
        let window = |unit, ask| Read::Window { unit, trailing: 2, first: 3, ask };
        check(window(Unit::Days, Ask::StartEnd), true, &["start=2026-02-27&end=2026-03-01"]);
        check(window(Unit::Months, Ask::StartEnd), false, &["start=2026-02&end=2026-03"]);
        check(
            window(Unit::Months, Ask::StartDuration),
            true,
            &["start=2026-01-01&duration=P1M", "start=2026-02-01&duration=P1M", "start=2026-03-01&duration=P1M"],
        );
    }

    #[test]
    fn a_value_is_one_segment() {
        assert_eq!(segment("0a-b_c.d~"), "0a-b_c.d~");
        assert_eq!(segment("a/b?c d%ü"), "a%2Fb%3Fc%20d%25%C3%BC");
    }
}
