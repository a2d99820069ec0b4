//! One run over the streams of the Platform API: read, made rows, merged into their tables.

mod archives;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_core::{Clock, Complete, DestinationError, LoadId, Merge, Merged, Micros, StreamDef, SystemClock};
use freshet_destinations::delta::Lake;
use freshet_sources::platform::Api;
use freshet_tables::platform::{Drift, Listed, Objects};
use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use crate::heroku_api::fits;
pub(crate) use archives::Months;
use walk::{Parents, StreamRead};

/// How one stream went.
#[derive(Debug, Default)]
pub(crate) struct StreamReport {
    /// The stream, and its table.
    pub(crate) name: &'static str,
    /// Objects that were read.
    pub(crate) read: u64,
    /// What they changed.
    pub(crate) merged: Merged,
    /// Whether all of the stream was read, so that what is gone was noticed.
    pub(crate) is_complete: bool,
    /// Ways in which objects were not as the catalogue says, and how often.
    pub(crate) drift: BTreeMap<Drift, u64>,
    /// What went wrong, in words that say what to do; empty when nothing did.
    pub(crate) problems: Vec<String>,
    /// Lists that could not be read.
    pub(crate) unread: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// A run.
pub(crate) struct Sync<'a> {
    pub(crate) api: &'a Api,
    pub(crate) lake: &'a Arc<Lake>,
    /// Names and patterns of apps that are walked; empty for all.
    pub(crate) apps: &'a [String],
}

impl Sync<'_> {
    /// Brings `wanted` up to date, and reads what they hang below. `began` is told of each stream before it is read, `ended` after.
    pub(crate) async fn run(
        &self,
        wanted: &[&'static StreamDef],
        began: impl Fn(&'static StreamDef),
        mut ended: impl FnMut(&StreamReport),
    ) -> Vec<StreamReport> {
        let mut parents = Parents::default();
        let mut reports = Vec::new();
        for stream in wanted {
            began(stream);
            let report = self.stream(stream, &mut parents).await;
            ended(&report);
            reports.push(report);
        }
        reports
    }

    async fn stream(&self, stream: &'static StreamDef, parents: &mut Parents) -> StreamReport {
        let started = Instant::now();
        let at = SystemClock.now();
        let mut report = StreamReport { name: stream.name, ..StreamReport::default() };
        let is_first = !matches!(self.lake.load(stream.name).await, Ok(Some(_)));
        let now = Timestamp::from_microsecond(at.0).unwrap_or_default();
        let read = parents.read(self.api, stream, is_first, now).await;
        report.problems = read.problems.iter().map(ToString::to_string).collect();
        (report.read, report.unread, report.is_complete) = (read.found.len() as u64, read.unread, read.is_complete);
        match self.store(stream, &read, parents, at, &mut report).await {
            Ok(merged) => report.merged = merged,
            Err(error) => report.problems.push(error.to_string()),
        }
        let is_walked = |object: &serde_json::Value| {
            stream.name != "apps"
                || self.apps.is_empty()
                || object["name"].as_str().is_some_and(|name| self.apps.iter().any(|app| fits(app, name)))
        };
        let objects: Vec<_> = read.found.into_iter().map(|found| found.object).collect();
        let before = objects.len();
        let walked: Vec<_> = objects.into_iter().filter(is_walked).collect();
        // Below a part of the apps only, nobody can say what is gone.
        let is_complete = report.is_complete && walked.len() == before;
        parents.keep(stream, walked, is_complete);
        report.took = started.elapsed();
        report
    }

    async fn store(
        &self,
        stream: &'static StreamDef,
        read: &StreamRead,
        parents: &Parents,
        at: Micros,
        report: &mut StreamReport,
    ) -> Result<Merged, DestinationError> {
        let mut objects = Objects::new(stream);
        for found in &read.found {
            let parent = found.parent.and_then(|parent| parents.get(parent));
            objects.add(Listed { object: &found.object, parent, request: &found.request });
        }
        let (batch, drift) =
            objects.finish(at).map_err(|error| DestinationError::Refused { problem: format!("{error}. Please report it.") })?;
        report.drift = drift;
        let key = stream.key.iter().filter_map(|part| stream.field(part)).map(|field| field.column.name).collect();
        let complete = if read.is_complete { Complete::All } else { Complete::No };
        let load_id = LoadId(xxh3_128(format!("{}/{}", stream.name, at.0).as_bytes()));
        self.lake.merge(&Merge { table: stream.table, load_id, key, batches: vec![batch], complete, only_new: false, at }).await
    }
}
