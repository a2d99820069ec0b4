//! One run over the streams of the Platform API: read, made rows, merged into their tables, and put on record.
//!
//! ```text
//! bookmarks, tags ─▶ questions ─▶ pages (kept on disk) ─▶ rows ─▶ merge + bookmarks, one commit ─▶ history ─▶ _runs, _drift
//! ```

mod archives;
mod known;
mod plan;
mod record;
mod stored;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use freshet_core::{
    Clock, Complete, DestinationError, LoadId, Merge, MergeMode, Merged, Micros, Mirror, Position, Read, ShardId, StreamDef, SystemClock,
};
use freshet_sources::platform::{Api, ApiCounters, ApiCounts};
use freshet_tables::platform::{Drift, ObjectRows, Objects, stream};
use freshet_tables::{REJECTS, REJECTS_KEY};
use jiff::Timestamp;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::heroku_api::fits;
use stored::{Own, Stored};
use walk::Reading;

pub(crate) use archives::Months;
pub(crate) use known::Known;
pub(crate) use plan::{Plan, plan};
pub(crate) use record::{Last, last_runs, marks_of};
pub(crate) use walk::{Mode, bookmarks_of};

/// The stream whose objects the configuration may narrow down.
const APPS: &str = "apps";

/// How one stream went.
#[derive(Debug)]
pub(crate) struct StreamReport {
    /// The stream, and its table.
    pub(crate) name: &'static str,
    /// How much of it was to be read.
    pub(crate) mode: Mode,
    /// When it began and ended.
    pub(crate) at: (Micros, Micros),
    /// Objects that were read.
    pub(crate) read: u64,
    /// What they changed.
    pub(crate) merged: Merged,
    /// Whether all of the stream was read and stored, so that all that is gone was noticed.
    pub(crate) is_whole: bool,
    /// Ways in which objects were not as the catalogue says, and how often.
    pub(crate) drift: BTreeMap<Drift, u64>,
    /// What went wrong, in words that say what to do; empty when nothing did.
    pub(crate) problems: Vec<String>,
    /// Lists that could not be read.
    pub(crate) unread: u64,
    /// Lists of which a run that was killed had read something.
    pub(crate) resumed: usize,
    /// What was asked of Heroku.
    pub(crate) asked: ApiCounts,
    /// How long it took.
    pub(crate) took: Duration,
}

impl StreamReport {
    /// Of a stream of which nothing is read yet.
    fn begun(stream: &'static StreamDef, mode: Mode, at: Micros) -> Self {
        Self {
            name: stream.name,
            mode,
            at: (at, at),
            read: 0,
            merged: Merged::default(),
            is_whole: false,
            drift: BTreeMap::new(),
            problems: Vec::new(),
            unread: 0,
            resumed: 0,
            asked: ApiCounts::default(),
            took: Duration::ZERO,
        }
    }

    /// Whether nothing came of it.
    #[must_use]
    pub(crate) fn is_failed(&self) -> bool {
        !self.problems.is_empty() && self.read == 0
    }
}

/// A run.
pub(crate) struct Sync<'a> {
    pub(crate) api: &'a Api,
    pub(crate) tables: &'a dyn Mirror,
    pub(crate) known: &'a Known,
    /// Names and patterns of apps that are walked; empty for all.
    pub(crate) apps: &'a [String],
    /// Why it runs, as `_runs` has it.
    pub(crate) reason: &'static str,
}

/// What a run has learned so far.
#[derive(Default)]
struct Learned {
    /// Streams as their tables have them.
    stored: HashMap<&'static str, Stored>,
    /// Streams with objects that exist by their table and not by Heroku.
    doubtful: BTreeSet<&'static str>,
}

impl Sync<'_> {
    /// Brings `wanted` up to date, each as its mode says; what they hang below has to come before them, or be in its table.
    /// `began` is told of each stream before it is read, `ended` after.
    pub(crate) async fn run(
        &self,
        wanted: &[(&'static StreamDef, Mode)],
        began: impl Fn(&'static StreamDef),
        mut ended: impl FnMut(&StreamReport),
    ) -> Vec<StreamReport> {
        let mut learned = Learned::default();
        let mut reports = Vec::new();
        for (stream, mode) in wanted {
            began(stream);
            let report = self.stream(stream, *mode, &mut learned).await;
            ended(&report);
            reports.push(report);
        }
        // What was deleted shows when all is read. Something must have been: its own path leads nowhere.
        let doubtful = std::mem::take(&mut learned.doubtful);
        for doubtful in doubtful.into_iter().filter_map(stream) {
            if let Some(report) = reports.iter_mut().find(|report| report.name == doubtful.name && report.mode == Mode::New) {
                *report = self.stream(doubtful, Mode::Full, &mut learned).await;
            }
        }
        self.record(&reports).await;
        reports
    }

    /// Puts what was done on record. What was read is safe without it.
    async fn record(&self, reports: &[StreamReport]) {
        if let Err(error) = record::record(self.tables, self.reason, reports).await {
            tracing::warn!(error = error.with_cause(), "the run could not be put on record in _runs");
        }
    }

    async fn stream(&self, stream: &'static StreamDef, mode: Mode, learned: &mut Learned) -> StreamReport {
        let (started, at) = (Instant::now(), SystemClock.now());
        let counters = Arc::new(ApiCounters::default());
        let mut report = StreamReport::begun(stream, mode, at);
        let api = self.api.counted_by(Arc::clone(&counters));
        if let Err(error) = self.bring_up_to_date(stream, &api, learned, &mut report).await {
            report.is_whole = false;
            report.problems.push(error.with_cause());
        }
        report.asked = counters.snapshot();
        report.at.1 = SystemClock.now();
        report.took = started.elapsed();
        report
    }

    async fn bring_up_to_date(
        &self,
        stream: &'static StreamDef,
        api: &Api,
        learned: &mut Learned,
        report: &mut StreamReport,
    ) -> Result<(), DestinationError> {
        let (at, mode) = (report.at.0, report.mode);
        let now = Timestamp::from_microsecond(at.0).unwrap_or_default();
        for above in stream.lists.iter().filter_map(|list| list.parent) {
            self.learn(above.stream, learned).await?;
        }
        if stream.lists.len() > 1 && matches!(stream.read, Read::Since { .. }) {
            self.learn(stream.name, learned).await?;
        }
        let own = self.own(stream, mode).await?;
        let bookmarks = self.tables.bookmarks(stream.table, &bookmarks_of(stream.name)).await?;
        let standing = self.tables.standing(stream.name).await?;
        let mut tags = self.known.tags(stream.name);
        if tags.table != standing {
            tags.by_path.clear();
        }
        let scope = format!("{} {} {bookmarks:?}", api.url(), mode.as_str());
        let journal = Mutex::new(self.known.journal(stream.name, &scope, at.0));
        let reading = Reading { api, stream, mode, own, now, stored: &learned.stored, bookmarks: &bookmarks, tags, journal: &journal };
        let mut read = reading.read().await;
        if !self.apps.is_empty()
            && read.complete == Complete::All
            && stream.lists.iter().any(|list| list.parent.is_some_and(|parent| parent.stream == APPS))
        {
            // Below a part of the apps only, nobody can say what is gone.
            read.complete = Complete::No;
        }
        learned.doubtful.extend(&read.doubtful);
        report.problems = read.problems.iter().map(ToString::to_string).collect();
        (report.read, report.unread, report.is_whole, report.resumed) = (read.count, read.unread, read.is_whole, read.resumed);
        let Rows { merge, rejects, drift } = rows(stream, read.objects, at)?;
        if rejects.is_some() {
            // What nothing names may be any of those that seem to be gone.
            (read.complete, report.is_whole) = (Complete::No, false);
        }
        let merge = Merge { complete: read.complete.clone(), bookmarks: highest(&read.bookmarks), ..merge };
        report.drift = drift;
        self.reject(rejects, &merge).await?;
        // The bookmarks land with the last of the two, so that a run that is killed in between is made good by the next.
        if let Some(history) = history(stream, &merge) {
            self.tables.merge(&history).await?;
        }
        report.merged = self.tables.merge(&merge).await?;
        // Later streams go by what the table has now.
        learned.stored.remove(stream.name);
        read.tags.table = self.tables.standing(stream.name).await?;
        self.known.keep_tags(stream.name, &read.tags);
        journal.into_inner().unwrap_or_else(PoisonError::into_inner).done();
        Ok(())
    }

    /// Keeps objects that nothing names, each once: their own table is merged after them, so a run that is killed in between reads
    /// them again.
    async fn reject(&self, rejects: Option<RecordBatch>, beside: &Merge) -> Result<(), DestinationError> {
        let Some(batch) = rejects else { return Ok(()) };
        let merge = Merge {
            table: REJECTS,
            mode: MergeMode::IfNew,
            load_id: LoadId(beside.load_id.0.rotate_left(64)),
            key: REJECTS_KEY.to_vec(),
            batches: vec![batch],
            complete: Complete::No,
            at: beside.at,
            bookmarks: Vec::new(),
        };
        self.tables.merge(&merge).await.map(|_| ())
    }

    /// What matters of the table of `stream` before it is read: mostly nothing.
    async fn own(&self, stream: &'static StreamDef, mode: Mode) -> Result<Own, DestinationError> {
        let matters = match stream.read {
            Read::Full => false,
            Read::Since { .. } => mode == Mode::New && stream.own_parent().is_some(),
            Read::Window { .. } | Read::Days { .. } => true,
        };
        if !matters {
            return Ok(Own::default());
        }
        Ok(Own::of(stream, &self.tables.objects(stream.table, &Own::columns(stream)).await?))
    }

    /// Makes sure that the objects of the stream called `name` are known as its table has them.
    async fn learn(&self, name: &'static str, learned: &mut Learned) -> Result<(), DestinationError> {
        if learned.stored.contains_key(name) {
            return Ok(());
        }
        let Some(def) = stream(name) else { return Ok(()) };
        let mut known = Stored::of(&self.tables.objects(def.table, &Stored::COLUMNS).await?);
        if name == APPS && !self.apps.is_empty() {
            let is_walked = |app: &Value| app["name"].as_str().is_some_and(|name| self.apps.iter().any(|pattern| fits(pattern, name)));
            known.objects.retain(is_walked);
        }
        learned.stored.insert(name, known);
        Ok(())
    }
}

/// What was read, as rows.
struct Rows {
    /// Ready to be merged; nothing is known of what is gone.
    merge: Merge,
    /// Objects that nothing names.
    rejects: Option<RecordBatch>,
    drift: BTreeMap<Drift, u64>,
}

/// The rows of the objects that were read at `at`.
fn rows(stream: &'static StreamDef, objects: Objects, at: Micros) -> Result<Rows, DestinationError> {
    let ObjectRows { batch, rejects, drift } =
        objects.finish(at).map_err(|error| DestinationError::Refused { problem: format!("{error}. Please report it.") })?;
    let merge = Merge {
        table: stream.table,
        mode: MergeMode::Replace,
        load_id: LoadId(xxh3_128(format!("{}/{}", stream.name, at.0).as_bytes())),
        key: stream.key.iter().filter_map(|part| stream.field(part)).map(|field| field.column.name).collect(),
        batches: vec![batch],
        complete: Complete::No,
        at,
        bookmarks: Vec::new(),
    };
    Ok(Rows { merge, rejects, drift })
}

/// The same for the stream's table of versions, if it has one.
fn history(stream: &'static StreamDef, merge: &Merge) -> Option<Merge> {
    let volatile = stream.fields.iter().filter(|field| stream.is_volatile(field.json)).map(|field| field.column.name);
    Some(Merge {
        table: stream.history?,
        mode: MergeMode::Versions { ignored: volatile.chain(["_extra", "_raw"]).collect() },
        bookmarks: Vec::new(),
        ..merge.clone()
    })
}

/// One bookmark for each shard.
fn highest(bookmarks: &[(ShardId, Position)]) -> Vec<(ShardId, Position)> {
    let mut highest: BTreeMap<&str, Position> = BTreeMap::new();
    for (shard, position) in bookmarks {
        let known = highest.entry(shard.as_str()).or_default();
        *known = (*known).max(*position);
    }
    highest.into_iter().map(|(shard, position)| (ShardId::new(shard), position)).collect()
}
