//! Reading a stream: its lists, each below the objects of its parent.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use freshet_core::{Ask, Complete, FieldKind, ListDef, Micros, Origin, Position, Read, Shape, ShardId, StreamDef, Trailing, Unit};
use freshet_sources::platform::{Api, ApiError, Part, Range, Version};
use freshet_tables::platform::{Listed, Objects, at_path, moment, redacted};
use futures::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use super::known::{Journal, ListRead, Tags};
use super::stored::{Own, Stored};

/// Lists of one stream that are read at the same time. The API holds back what the rate limit does not allow.
const LISTS_AT_ONCE: usize = 8;

/// Objects of one stream that a run holds in memory; a stream with more is given up and told.
const OBJECTS_MAX: usize = 2_000_000;

/// Problems that are kept with their words.
const PROBLEMS_KEPT: usize = 5;

/// How much of a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of it, so that what is gone shows.
    Full,
    /// What is new since the bookmarks, where Heroku can tell; all of the rest.
    New,
    /// Archives of what lies further back.
    Archives,
}

impl Mode {
    /// As `_runs` names it.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::New => "new",
            Self::Archives => "archives",
        }
    }
}

/// What was asked, and what came of it.
type Answer = (Question, Result<Answered, ApiError>);

/// What reading a stream gave.
pub(super) struct StreamRead {
    pub(super) objects: Objects,
    /// How many objects were taken.
    pub(super) count: u64,
    /// What the objects are all of.
    pub(super) complete: Complete,
    /// Whether all lists were asked in full and answered.
    pub(super) is_whole: bool,
    /// How far the lists were read that can go on from there.
    pub(super) bookmarks: Vec<(ShardId, Position)>,
    /// The tags of lists that came whole.
    pub(super) tags: Tags,
    /// Streams with objects that exist by their table and not by Heroku.
    pub(super) doubtful: BTreeSet<&'static str>,
    /// What could not be read, the first few of it.
    pub(super) problems: Vec<ApiError>,
    /// How many lists could not be read.
    pub(super) unread: u64,
    /// Lists of which a killed run had read something.
    pub(super) resumed: usize,
}

/// A stream that is to be read.
pub(super) struct Reading<'a> {
    pub(super) api: &'a Api,
    pub(super) stream: &'static StreamDef,
    pub(super) mode: Mode,
    pub(super) own: Own,
    pub(super) now: Timestamp,
    /// What the tables have of the streams that this one hangs below, and of itself if several lists tell what is new.
    pub(super) stored: &'a HashMap<&'static str, Stored>,
    /// How far its lists were read.
    pub(super) bookmarks: &'a std::collections::BTreeMap<String, Position>,
    pub(super) tags: Tags,
    pub(super) journal: &'a Mutex<Journal>,
}

/// What is known of a stream while it is read.
#[derive(Default)]
struct Taken {
    /// The parents below which all objects came.
    covered: BTreeSet<String>,
    /// The keys of objects that came, where several lists may show the same.
    seen: HashSet<String>,
}

/// One question.
struct Question {
    list: &'static ListDef,
    path: String,
    parent: Option<(&'static str, usize)>,
    /// What fills the placeholder.
    parent_value: Option<String>,
    request: Vec<(&'static str, String)>,
    range: Range,
    /// The bookmark that goes with it, where the list can be read on from one.
    shard: Option<ShardId>,
    /// Whether what comes before the bookmark is left out.
    is_since: bool,
    etag: Option<String>,
}

/// A path that is asked, and what is known of the object it hangs below.
struct Place {
    path: String,
    parent: Option<(&'static str, usize)>,
    parent_value: Option<String>,
}

/// What came of it.
enum Answered {
    NotModified,
    Objects(Vec<Value>, Option<String>),
}

/// The bookmark of `stream` below the parent `value`.
#[must_use]
pub(crate) fn bookmark(stream: &str, value: Option<&str>) -> ShardId {
    ShardId::new(&format!("{}{}", bookmarks_of(stream), value.unwrap_or_default()))
}

/// What all bookmarks of `stream` begin with.
#[must_use]
pub(crate) fn bookmarks_of(stream: &str) -> String {
    format!("freshet/sync/{stream}/")
}

impl Reading<'_> {
    /// Reads the stream.
    pub(super) async fn read(self) -> StreamRead {
        let api = if self.stream.sdk { self.api.in_version(Version::Sdk) } else { self.api.clone() };
        let mut read = StreamRead {
            objects: Objects::new(self.stream),
            count: 0,
            complete: Complete::No,
            is_whole: !self.stream.forgets && matches!(self.stream.read, Read::Full | Read::Since { .. }),
            bookmarks: Vec::new(),
            tags: Tags::default(),
            doubtful: BTreeSet::new(),
            problems: Vec::new(),
            unread: 0,
            resumed: self.journal.lock().unwrap_or_else(PoisonError::into_inner).len(),
        };
        let can_be_whole = read.is_whole;
        let mut taken = Taken::default();
        let is_all = self.ask(&api, &mut read, &mut taken).await;
        if !is_all {
            read.is_whole = false;
            return read;
        }
        read.complete = match self.below() {
            Some(column) if can_be_whole => {
                taken.covered.extend(self.gone_parents());
                Complete::Below { column, parents: taken.covered }
            }
            None if read.is_whole && self.has_all_parents() => Complete::All,
            _ => Complete::No,
        };
        read
    }

    /// Asks each list, takes what it answers, and says whether all was asked.
    ///
    /// Of an object that several lists show, the first list's counts. They are asked the other way round: what the last one shows, the
    /// first, which is asked later, shows too. Otherwise an object made in between would come from a list that lacks some of it.
    async fn ask(&self, api: &Api, read: &mut StreamRead, taken: &mut Taken) -> bool {
        let (mut of_lists, mut objects, mut is_over) = (Vec::new(), 0, false);
        for list in self.stream.lists.iter().rev() {
            let asked = self.questions(list).into_iter().map(|question| answer(api.clone(), self.stream, question, self.journal));
            let mut asked = stream::iter(asked.collect::<Vec<_>>()).buffered(LISTS_AT_ONCE);
            let mut answers = Vec::new();
            while let Some(answer) = asked.next().await {
                objects += if let Ok(Answered::Objects(objects, _)) = &answer.1 { objects.len() } else { 0 };
                is_over = objects > OBJECTS_MAX || answer.1.as_ref().is_err_and(is_final);
                if self.stream.lists.len() == 1 {
                    // An object takes five times the memory of its row: none waits for the others.
                    self.take(answer, false, read, taken);
                } else {
                    answers.push(answer);
                }
                if is_over {
                    break;
                }
            }
            of_lists.push((list, answers));
            if is_over {
                break;
            }
        }
        for (list, answers) in of_lists.into_iter().rev() {
            // Of what the lists before it would have told whole, this one would tell a part: better nothing until they can be read.
            let tells_a_part = !list.lacks.is_empty() && read.unread > 0;
            answers.into_iter().for_each(|answer| self.take(answer, tells_a_part, read, taken));
        }
        !is_over
    }

    fn take(&self, (question, answered): Answer, tells_a_part: bool, read: &mut StreamRead, taken: &mut Taken) {
        match answered {
            Ok(Answered::NotModified) => {
                // Its rows are as they are, and so they are not among those that might be gone.
                read.is_whole = false;
                read.tags.by_path.extend(question.etag.map(|etag| (question.path, etag)));
            }
            Ok(Answered::Objects(..)) if tells_a_part => {}
            Ok(Answered::Objects(objects, etag)) => {
                if question.is_since {
                    read.is_whole = false;
                } else {
                    taken.covered.extend(question.parent_value.clone());
                    read.tags.by_path.extend(etag.map(|etag| (question.path.clone(), etag)));
                }
                read.bookmarks.extend(self.bookmark(&question, &objects));
                self.keep(objects, &question, read, &mut taken.seen);
            }
            // What it hangs below is gone since it was listed, and with it all that hung there.
            Err(ApiError::NotFound(_)) if question.parent.is_some() => {
                taken.covered.extend(question.parent_value);
                read.doubtful.extend(question.parent.map(|(stream, _)| stream));
            }
            Err(error) => {
                read.is_whole = false;
                read.unread += 1;
                if read.problems.len() < PROBLEMS_KEPT {
                    read.problems.push(error);
                }
            }
        }
    }

    /// The column that tells below which parent an object is, where all of the stream's lists are below one kind of them.
    fn below(&self) -> Option<&'static str> {
        let [list] = self.stream.lists else { return None };
        let given = || self.stream.fields.iter().find(|field| list.parent.is_some_and(|parent| field.origin == Origin::Parent(parent)));
        let own = self.stream.own_parent().map(|(field, _)| field);
        own.or_else(given).filter(|field| field.kind == FieldKind::Text).map(|field| field.column.name)
    }

    /// What the placeholder was filled with for objects that are gone, and all below them with them.
    fn gone_parents(&self) -> Vec<String> {
        let Some(parent) = self.stream.lists.first().and_then(|list| list.parent) else { return Vec::new() };
        let gone = self.stored.get(parent.stream).map(|stored| stored.gone.as_slice()).unwrap_or_default();
        gone.iter().filter_map(|object| Some(at_path(object, parent.field)?.as_str()?.to_owned())).collect()
    }

    fn has_all_parents(&self) -> bool {
        self.stream.lists.iter().filter_map(|list| list.parent).all(|parent| self.stored.contains_key(parent.stream))
    }

    /// The paths of a list: one, or one below each parent.
    fn places(&self, list: &'static ListDef) -> Vec<Place> {
        let (Some(parent), Some(placeholder)) = (list.parent, list.placeholder()) else {
            return vec![Place { path: list.path.to_owned(), parent: None, parent_value: None }];
        };
        let objects = self.stored.get(parent.stream).map(|stored| stored.objects.as_slice()).unwrap_or_default();
        let place = |(place, object): (usize, &Value)| {
            let value = at_path(object, parent.field)?.as_str()?;
            let path = list.path.replace(placeholder, &segment(value));
            Some(Place { path, parent: Some((parent.stream, place)), parent_value: Some(value.to_owned()) })
        };
        objects.iter().enumerate().filter_map(place).collect()
    }

    fn questions(&self, list: &'static ListDef) -> Vec<Question> {
        let spans = spans(self.stream.read, self.own.is_empty, self.now);
        let plain = list.ranges.first().map_or_else(Range::none, |attribute| Range::by(attribute));
        let mut questions = Vec::new();
        for place in self.places(list) {
            // What hung below something that was gone and is back went with it, and comes back with it.
            let is_inhabited = |value: &str| self.own.inhabited.as_ref().is_none_or(|known| known.contains(value));
            let can_go_on = place.parent_value.as_deref().is_none_or(is_inhabited);
            for request in &spans {
                let query: Vec<String> = request.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let mark = if query.is_empty() { "" } else { "?" };
                let path = format!("{}{mark}{}", place.path, query.join("&"));
                let can_be_known = self.mode == Mode::New && self.stream.lists.len() == 1;
                let etag = self.tags.by_path.get(&path).filter(|_| can_be_known).cloned();
                let question = Question {
                    list,
                    path,
                    parent: place.parent,
                    parent_value: place.parent_value.clone(),
                    request: request.clone(),
                    range: plain.clone(),
                    shard: None,
                    is_since: false,
                    etag,
                };
                questions.push(self.since(question, can_go_on));
            }
        }
        questions
    }

    /// Leaves out what comes before the bookmark, where there is one and the list `can_go_on` from there.
    fn since(&self, question: Question, can_go_on: bool) -> Question {
        let Read::Since { range, trailing, .. } = self.stream.read else { return question };
        if !question.list.ranges.contains(&range) {
            return question;
        }
        let shard = bookmark(self.stream.name, question.parent_value.as_deref());
        let known = self.bookmarks.get(shard.as_str()).copied().filter(|known| self.mode == Mode::New && can_go_on && *known > 0);
        let whole = Range::by(range);
        let (range, is_since) = match known {
            Some(known) => (whole.from(&begin(known, trailing)), true),
            None => (whole, false),
        };
        Question { range, is_since, shard: Some(shard), etag: None, ..question }
    }

    /// The highest value among `objects` of what the list goes by.
    fn bookmark(&self, question: &Question, objects: &[Value]) -> Option<(ShardId, Position)> {
        let Read::Since { field, .. } = self.stream.read else { return None };
        let value = |object: &Value| {
            let value = at_path(object, field)?;
            value.as_u64().or_else(|| Position::try_from(moment(value.as_str()?)?).ok())
        };
        Some((question.shard.clone()?, objects.iter().filter_map(value).max()?))
    }

    /// Takes the objects that no list before has shown.
    fn keep(&self, objects: Vec<Value>, question: &Question, read: &mut StreamRead, seen: &mut HashSet<String>) {
        let parent = question.parent.and_then(|(name, place)| Some((name, self.stored.get(name)?.objects.get(place)?)));
        let is_one_of_several = self.stream.lists.len() > 1;
        // Lists before this one have told only what is new, or could not be read: what they would have said of the others is in the table.
        let since = match self.stream.read {
            Read::Since { field, .. } if is_one_of_several && question.shard.is_none() => Some((field, self.known_by_key())),
            _ => None,
        };
        for mut object in objects {
            if is_one_of_several && !seen.insert(self.key(&object, question)) {
                continue;
            }
            if let Some((field, known)) = &since
                && let Some((stored, exists)) = known.get(&self.key(&object, question))
            {
                if self.mode == Mode::New && *exists && at_path(stored, field) == at_path(&object, field) {
                    continue;
                }
                for path in question.list.lacks {
                    fill(&mut object, path, stored);
                }
            }
            read.objects.add(Listed { object: &object, parent, request: &question.request });
            read.count += 1;
        }
    }

    /// What the table has, and whether it exists.
    fn known_by_key(&self) -> HashMap<String, (&Value, bool)> {
        let Some(stored) = self.stored.get(self.stream.name) else { return HashMap::new() };
        let all = stored.gone.iter().map(|object| (object, false)).chain(stored.objects.iter().map(|object| (object, true)));
        let key = |object: &Value| self.stream.key.iter().map(|part| text(object, part)).collect::<Vec<_>>().join("\u{1f}");
        all.map(|(object, exists)| (key(object), (object, exists))).collect()
    }

    fn key(&self, object: &Value, question: &Question) -> String {
        let part = |json: &&str| match question.request.iter().find(|(name, _)| name == json) {
            Some((_, value)) => value.clone(),
            None => text(object, json),
        };
        self.stream.key.iter().map(part).collect::<Vec<_>>().join("\u{1f}")
    }
}

fn text(object: &Value, path: &str) -> String {
    at_path(object, path).map(Value::to_string).unwrap_or_default()
}

/// Puts what `stored` has at `path` into `object`, where that has nothing.
fn fill(object: &mut Value, path: &str, stored: &Value) {
    let Some(value) = at_path(stored, path).filter(|value| !value.is_null()) else { return };
    let mut place = object;
    for name in path.split('.') {
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        let Some(members) = place.as_object_mut() else { return };
        place = members.entry(name).or_insert(Value::Null);
    }
    if place.is_null() {
        *place = value.clone();
    }
}

/// Where reading begins again, so much before the bookmark.
fn begin(known: Position, trailing: Trailing) -> String {
    match trailing {
        Trailing::Objects(count) => known.saturating_sub(u64::from(count)).to_string(),
        Trailing::Hours(hours) => {
            let micros = i64::try_from(known).unwrap_or(i64::MAX) - i64::from(hours) * Micros::PER_DAY / 24;
            Timestamp::from_microsecond(micros).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        }
    }
}

async fn answer(
    api: Api,
    stream: &'static StreamDef,
    question: Question,
    journal: &Mutex<Journal>,
) -> (Question, Result<Answered, ApiError>) {
    let answered = match question.list.shape {
        Shape::One => api.object(&question.path).await.map(|answer| {
            // Of some the schema leaves open whether the object comes alone or in a list.
            let objects = if let Value::Array(objects) = answer { objects } else { vec![answer] };
            Answered::Objects(objects.iter().map(|object| redacted(object, stream.secrets)).collect(), None)
        }),
        Shape::Many => all(&api, stream, &question, journal).await,
    };
    (question, answered)
}

async fn all(api: &Api, stream: &StreamDef, question: &Question, journal: &Mutex<Journal>) -> Result<Answered, ApiError> {
    let journal = || journal.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = journal().take(&question.path);
    let (mut pages, mut objects) = match earlier {
        Some(ListRead { objects, next: None, etag }) => return Ok(Answered::Objects(objects, etag)),
        Some(ListRead { objects, next: Some(next), .. }) => (api.pages(&question.path, &Range::resumed(&next)), objects),
        None => (api.pages(&question.path, &question.range).unless(question.etag.as_deref()), Vec::new()),
    };
    let mut etag = None;
    while let Some(part) = pages.next().await? {
        let Part::Page(page) = part else { return Ok(Answered::NotModified) };
        let page = ListRead {
            objects: page.objects.iter().map(|object| redacted(object, stream.secrets)).collect(),
            next: page.next,
            etag: page.etag,
        };
        journal().add(&question.path, &page);
        objects.extend(page.objects);
        etag = page.etag;
    }
    Ok(Answered::Objects(objects, etag))
}

/// Whether every other question would be answered in the same way.
fn is_final(error: &ApiError) -> bool {
    matches!(error, ApiError::Unauthorized(_) | ApiError::Grant(_) | ApiError::Suspended(_) | ApiError::TwoFactor(_))
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
