//! Which streams a run reads, and how much of each.

use std::collections::{BTreeMap, BTreeSet};

use freshet_core::{Every, Micros, StreamDef};
use freshet_tables::platform::{stream, streams};

use super::{Last, Mode};

/// How often all of a stream is read, so that what is gone shows, in microseconds. An hour less than a day: a run a day suffices.
const WHOLE_EVERY_US: i64 = 23 * 3600 * 1_000_000;

/// What a run does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The streams in the order of reading.
    pub(crate) wanted: Vec<(&'static StreamDef, Mode)>,
    /// Streams that are read once a day, and were.
    pub(crate) fresh: Vec<&'static str>,
}

/// The plan for the streams `named`, or for all that are due when none is, at `now`.
#[must_use]
pub(crate) fn plan(named: &[&'static StreamDef], is_full: bool, last: &BTreeMap<String, Last>, now: Micros) -> Plan {
    let is_named = |stream: &StreamDef| named.iter().any(|named| named.name == stream.name);
    let mut reach: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&'static StreamDef> = if named.is_empty() { streams().iter().collect() } else { named.to_vec() };
    while let Some(next) = open.pop() {
        if reach.insert(next.name) {
            open.extend(next.lists.iter().filter_map(|list| stream(list.parent?.stream)));
        }
    }
    let mut plan = Plan::default();
    for stream in streams().iter().filter(|stream| reach.contains(stream.name)) {
        let last = last.get(stream.name).copied().unwrap_or_default();
        let is_within_a_day = |at: Option<Micros>| at.is_some_and(|at| (0..WHOLE_EVERY_US).contains(&(now.0 - at.0)));
        if stream.every == Every::Daily && !is_full && !is_named(stream) && is_within_a_day(last.read) {
            plan.fresh.push(stream.name);
        } else {
            let mode = if is_full || !is_within_a_day(last.whole) { Mode::Full } else { Mode::New };
            plan.wanted.push((stream, mode));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_780_000_000_000_000);

    fn names(plan: &Plan) -> Vec<(&str, Mode)> {
        plan.wanted.iter().map(|(stream, mode)| (stream.name, *mode)).collect()
    }

    #[test]
    fn all_is_read_once_and_then_what_is_due() {
        let first = plan(&[], false, &BTreeMap::new(), NOW);
        assert!(first.fresh.is_empty() && first.wanted.len() == streams().len());
        assert!(first.wanted.iter().all(|(_, mode)| *mode == Mode::Full));
        let an_hour_ago = Last { read: Some(Micros(NOW.0 - 3_600_000_000)), whole: Some(Micros(NOW.0 - 3_600_000_000)) };
        let last: BTreeMap<String, Last> = streams().iter().map(|stream| (stream.name.to_owned(), an_hour_ago)).collect();
        let second = plan(&[], false, &last, NOW);
        assert!(second.fresh.contains(&"regions") && names(&second).contains(&("apps", Mode::New)));
        assert_eq!(second.fresh.len() + second.wanted.len(), streams().len());
        assert_eq!(plan(&[], true, &last, NOW).wanted.len(), streams().len());
        // A day later all of it again.
        let later = plan(&[], false, &last, Micros(NOW.0 + Micros::PER_DAY));
        assert!(later.fresh.is_empty() && later.wanted.iter().all(|(_, mode)| *mode == Mode::Full));
        // A clock that was set back does not stop it.
        assert!(plan(&[], false, &last, Micros(NOW.0 - Micros::PER_DAY)).fresh.is_empty());
    }

    #[test]
    fn what_a_stream_hangs_below_comes_before_it() {
        let releases = stream("releases").unwrap();
        assert_eq!(names(&plan(&[releases], false, &BTreeMap::new(), NOW)).last(), Some(&("releases", Mode::Full)));
        let plan = plan(
            &[stream("regions").unwrap()],
            false,
            &BTreeMap::from([("regions".to_owned(), Last { read: Some(NOW), whole: Some(NOW) })]),
            NOW,
        );
        assert_eq!(names(&plan), [("regions", Mode::New)], "who asks for it gets it");
    }
}
