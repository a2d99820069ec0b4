//! Lists in pages: `Range: id ]X..; max=200` and what answers it.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::{refusal, views};
use crate::faults::{Fault, Faults};
use crate::world::Refusal;

/// Objects per page when the request does not say, and at most.
const MAX_DEFAULT: usize = 200;
const MAX_MOST: usize = 1_000;

const ACCEPT_RANGES: HeaderName = HeaderName::from_static("accept-ranges");
const CONTENT_RANGE: HeaderName = HeaderName::from_static("content-range");
const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// A page of a list.
pub(super) struct Page<'a> {
    objects: Vec<Cow<'a, Value>>,
    accepts: String,
    content: Option<String>,
    next: Option<String>,
}

/// A `Range` header.
#[derive(Debug, PartialEq, Eq)]
struct Range<'a> {
    field: &'a str,
    from: Bound<'a>,
    to: Bound<'a>,
    is_descending: bool,
    max: usize,
}

/// One end of a range; empty text is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bound<'a> {
    text: &'a str,
    is_exclusive: bool,
}

/// What a list is sorted by. Values that are missing come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Missing,
    Number(u64),
    Moment(Timestamp),
    Text(&'a str),
}

/// The page of `objects` that `range` asks for. `fields` are those by which the list may be read, joined by commas.
///
/// Objects that agree in the field are never torn apart, even if the page gets longer than it may: the next range names the
/// last value only, and the rest of them would be lost.
pub(super) fn page<'a>(mut objects: Vec<Cow<'a, Value>>, range: Option<&str>, fields: &'static str) -> Result<Page<'a>, Refusal> {
    let fields: Vec<_> = fields.split(',').collect();
    let range = Range::parse(range, &fields)?;
    let (from, to) = (range.key_of(range.from)?, range.key_of(range.to)?);
    // The start is where reading begins: the highest value, when it goes down.
    let is_within = |key: Key<'_>, bound: Option<Key<'_>>, is_exclusive: bool, goes_up: bool| {
        bound.is_none_or(|bound| if key == bound { !is_exclusive } else { (key > bound) == goes_up })
    };
    let goes_up = !range.is_descending;
    let mut order: Vec<(Key<'_>, usize)> = objects.iter().enumerate().map(|(index, object)| (key_of(object, range.field), index)).collect();
    order
        .retain(|(key, _)| is_within(*key, from, range.from.is_exclusive, goes_up) && is_within(*key, to, range.to.is_exclusive, !goes_up));
    order.sort_by(|left, right| if goes_up { left.cmp(right) } else { right.0.cmp(&left.0).then(left.1.cmp(&right.1)) });
    let mut length = range.max.min(order.len());
    while length > 0 && length < order.len() && order[length - 1].0 == order[length].0 {
        length += 1;
    }
    let has_next = length < order.len();
    let chosen: Vec<usize> = order.into_iter().take(length).map(|(_, index)| index).collect();
    let objects: Vec<_> = chosen.into_iter().map(|index| std::mem::replace(&mut objects[index], Cow::Owned(Value::Null))).collect();
    let shown = |object: Option<&Cow<'_, Value>>| object.map_or_else(String::new, |object| shown_key(object, range.field));
    let (first, last) = (shown(objects.first()), shown(objects.last()));
    let order = if range.is_descending { "order=desc," } else { "" };
    let content = (!objects.is_empty()).then(|| format!("{} {first}..{last}; {order}max={}", range.field, range.max));
    let end = if range.to.is_exclusive { "[" } else { "" };
    let next = has_next.then(|| format!("{} ]{last}..{}{end}; {order}max={}", range.field, range.to.text, range.max));
    Ok(Page { objects, accepts: fields.join(", "), content, next })
}

impl<'a> Page<'a> {
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(AsRef::as_ref)
    }

    /// The objects as `resource`, as text: 206 if there are more, and as the faults in force have it.
    pub(super) fn answer(&self, resource: &str, faults: &Faults) -> Answer {
        let mut body = String::from("[");
        for (index, object) in self.objects().enumerate() {
            let mut object = views::view(resource, object);
            if index == 0 {
                tamper(&mut object, faults);
            }
            body.push_str(if index == 0 { "" } else { "," });
            // A Value always has a text; this way it has it sooner than by its Display.
            body.push_str(&serde_json::to_string(object.as_ref()).unwrap_or_default());
        }
        body.push(']');
        Answer::text(if self.has_next() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK }, body)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let headers = [(ACCEPT_RANGES, Some(&self.accepts)), (CONTENT_RANGE, self.content.as_ref()), (NEXT_RANGE, self.next.as_ref())];
        headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?))).collect()
    }
}

/// A field that nobody expects, a value of another type, or no id.
fn tamper(object: &mut Cow<'_, Value>, faults: &Faults) {
    if faults.strikes(Fault::ApiUnknownField)
        && let Some(map) = object.to_mut().as_object_mut()
    {
        map.insert("field_of_tomorrow".to_owned(), json!({ "since": "3.tomorrow", "values": [1, 2.5, null] }));
    }
    if faults.strikes(Fault::ApiOtherType)
        && let Some(map) = object.to_mut().as_object_mut()
    {
        change_a_type(map, faults);
    }
    if faults.strikes(Fault::ApiNoId)
        && let Some(map) = object.to_mut().as_object_mut()
    {
        map.remove("id");
    }
}

/// The id stays: that it lacks is a fault of its own.
fn change_a_type(map: &mut Map<String, Value>, faults: &Faults) {
    let names: Vec<_> = map.keys().filter(|name| *name != "id").cloned().collect();
    if names.is_empty() {
        return;
    }
    let value = &mut map[faults.chance().one_of(&names).as_str()];
    *value = match value {
        Value::String(text) => json!({ "value": text }),
        Value::Object(_) | Value::Array(_) => json!("another type"),
        Value::Null | Value::Bool(_) => json!(7),
        Value::Number(number) => json!(number.to_string()),
    };
}

impl<'a> Range<'a> {
    /// `FIELD [ ] ]FROM..TO[ [ ][; NAME=VALUE …]`, where parameters are separated by `;` or `,`.
    fn parse(header: Option<&'a str>, fields: &[&'a str]) -> Result<Self, Refusal> {
        let first = fields.first().copied().unwrap_or("id");
        let mut range = Range { field: first, from: Bound::default(), to: Bound::default(), is_descending: false, max: MAX_DEFAULT };
        let Some(header) = header else { return Ok(range) };
        let mut parts = header.split([';', ',']).map(str::trim);
        let (field, bounds) = parts.next().and_then(|part| part.split_once(' ')).ok_or_else(|| bad_range(header))?;
        let (from, to) = bounds.trim().split_once("..").ok_or_else(|| bad_range(header))?;
        range.field = fields.iter().copied().find(|known| *known == field).ok_or_else(|| bad_range(header))?;
        range.from = match from.strip_prefix(']') {
            Some(text) => Bound { text, is_exclusive: true },
            None => Bound { text: from.strip_prefix('[').unwrap_or(from), is_exclusive: false },
        };
        range.to = match to.strip_suffix('[') {
            Some(text) => Bound { text, is_exclusive: true },
            None => Bound { text: to.strip_suffix(']').unwrap_or(to), is_exclusive: false },
        };
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("max", max)) => {
                    let max = max.parse().ok().filter(|max| *max > 0).ok_or_else(|| bad_range(header))?;
                    range.max = MAX_MOST.min(max);
                }
                Some(("order", "asc")) => range.is_descending = false,
                Some(("order", "desc")) => range.is_descending = true,
                _ => return Err(bad_range(header)),
            }
        }
        Ok(range)
    }

    fn key_of(&self, bound: Bound<'a>) -> Result<Option<Key<'a>>, Refusal> {
        let key = match (bound.text, self.field) {
            ("", _) => return Ok(None),
            (text, "version") => text.parse().ok().map(Key::Number),
            (text, field) if field.ends_with("_at") => text.parse().ok().map(Key::Moment),
            (text, _) => Some(Key::Text(text)),
        };
        key.map(Some).ok_or_else(|| bad_range(bound.text))
    }
}

fn key_of<'a>(object: &'a Value, field: &str) -> Key<'a> {
    match &object[field] {
        // Whoever belongs to a team or an app goes by the address of his account.
        Value::Null if field == "email" => object["user"]["email"].as_str().map_or(Key::Missing, Key::Text),
        // A build says when it started only in this field.
        Value::Null if field == "started_at" => key_of(object, "created_at"),
        Value::String(text) if field.ends_with("_at") => text.parse().map_or(Key::Missing, Key::Moment),
        Value::String(text) => Key::Text(text),
        Value::Number(number) => number.as_u64().map_or(Key::Missing, Key::Number),
        _ => Key::Missing,
    }
}

fn shown_key(object: &Value, field: &str) -> String {
    match key_of(object, field) {
        Key::Missing => String::new(),
        Key::Number(number) => number.to_string(),
        Key::Moment(moment) => crate::catalogue::api_time(moment),
        Key::Text(text) => text.to_owned(),
    }
}

fn bad_range(range: &str) -> Refusal {
    refusal(
        416,
        "requested_range_not_satisfiable",
        &format!("The range {range:?} cannot be read. Validate the `Range` header and try again."),
    )
}
