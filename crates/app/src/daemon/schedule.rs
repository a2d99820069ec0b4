//! Keeping the objects of the Platform API current while the daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_core::{Clock as _, Micros, Mirror, StreamDef, SystemClock};
use freshet_sources::platform::Api;
use freshet_tables::platform::streams;
use tracing::{info, warn};

use crate::config::{Cadence, ScheduleSettings};
use crate::due::Due;
use crate::sync::{Known, Last, Sync, last_runs, plan};

/// The longest sleep: the clock may be set, and other processes may read streams.
pub(crate) const NAP_MAX: Duration = Duration::from_secs(60);

/// How often tables of a workspace are asked for the last runs while none is due: less often than any warehouse stops by itself.
pub(crate) const ASK_WAREHOUSE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The wait after a run that failed; it doubles up to [`PAUSE_MAX_US`].
const PAUSE_FIRST_US: i64 = 60 * 1_000_000;
const PAUSE_MAX_US: i64 = 3600 * 1_000_000;

/// Of a span between two runs, the part by which a run may be late, so that many daemons do not ask at the same moment.
const JITTER_PART: i64 = 20;
/// And the most of it.
const JITTER_MAX_US: i64 = 60 * 1_000_000;

/// Reads streams when they are due.
pub(crate) struct Schedule {
    pub(crate) api: Api,
    pub(crate) tables: Arc<dyn Mirror>,
    pub(crate) data_dir: PathBuf,
    /// Names and patterns of apps; empty for all.
    pub(crate) apps: Vec<String>,
    pub(crate) settings: ScheduleSettings,
    /// Streams that webhooks say have changed.
    pub(crate) hints: Due,
    /// Between 0 and 1: how much of the jitter is this daemon's.
    pub(crate) lateness: f64,
    /// How long what the tables said of the last runs is gone by while nothing is due. To ask may wake a warehouse.
    pub(crate) ask_every: Duration,
}

/// The least time between two readings of a stream that webhooks ask for: each may cost a request for every app.
const HINT_PAUSE_US: i64 = 30 * 1_000_000;

/// What this daemon has tried.
#[derive(Default)]
struct Tried {
    /// Failures in a row, and when the last was, by stream.
    failures: BTreeMap<&'static str, (u32, Micros)>,
}

/// What the tables said of the last runs, as long as it is gone by.
struct Memory {
    said: Option<(BTreeMap<String, Last>, Instant)>,
    good_for: Duration,
}

impl Memory {
    fn new(good_for: Duration) -> Self {
        Self { said: None, good_for }
    }

    /// What is remembered, or else what `ask` finds; and whether it was asked just now.
    async fn or<E>(&mut self, ask: impl AsyncFnOnce() -> Result<BTreeMap<String, Last>, E>) -> Result<(&BTreeMap<String, Last>, bool), E> {
        let remembered = self.said.take().filter(|(_, at)| at.elapsed() < self.good_for);
        let is_fresh = remembered.is_none();
        let said = match remembered {
            Some(said) => said,
            None => (ask().await?, Instant::now()),
        };
        Ok((&self.said.insert(said).0, is_fresh))
    }

    fn forget(&mut self) {
        self.said = None;
    }
}

impl Schedule {
    /// Runs until dropped.
    pub(crate) async fn run(self) {
        let mut tried = Tried::default();
        let mut hinted = BTreeSet::new();
        let mut memory = Memory::new(self.ask_every);
        loop {
            let now = SystemClock.now();
            let (last, is_fresh) = match memory.or(async || last_runs(&*self.tables).await).await {
                Ok(known) => known,
                Err(cause) => {
                    warn!(cause = cause.with_cause(), "it is not known which streams are due, trying again later");
                    tokio::time::sleep(NAP_MAX).await;
                    continue;
                }
            };
            let (due, next) = self.due(last, &tried, now);
            let (told, soon) = self.told(&hinted, last, &tried, now);
            if due.is_empty() && told.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(nap(earlier(next, soon), now)) => {}
                    more = self.hints.next() => hinted.extend(more),
                }
                continue;
            }
            // Another process may have read them meanwhile.
            if is_fresh {
                if due.is_empty() {
                    hinted.retain(|name| !told.iter().any(|stream| stream.name == *name));
                    self.read(&told, "webhook", last, &mut tried).await;
                } else {
                    self.read(&due, "schedule", last, &mut tried).await;
                }
            }
            memory.forget();
        }
    }

    /// The streams that are due at `now`, and when the next one is.
    fn due(&self, last: &BTreeMap<String, Last>, tried: &Tried, now: Micros) -> (Vec<&'static StreamDef>, Option<Micros>) {
        let mut due = Vec::new();
        let mut next: Option<Micros> = None;
        for stream in streams() {
            let last = last.get(stream.name).and_then(|last| last.read).filter(|read| read.0 > 0);
            let Some(mut at) = self.settings.of(stream).due(last, now) else { continue };
            if let (Cadence::Every(every), Some(_)) = (self.settings.of(stream), last) {
                at.0 += jitter(every, self.lateness);
            }
            if let Some((failures, failed_at)) = tried.failures.get(stream.name) {
                at = at.max(Micros(failed_at.0 + pause(*failures)));
            }
            if at <= now {
                due.push(stream);
            } else {
                next = earlier(next, Some(at));
            }
        }
        (due, next)
    }

    /// Of the streams that webhooks ask for those that may be read at `now`, and when the next one may.
    fn told(
        &self,
        hinted: &BTreeSet<&'static str>,
        last: &BTreeMap<String, Last>,
        tried: &Tried,
        now: Micros,
    ) -> (Vec<&'static StreamDef>, Option<Micros>) {
        let mut told = Vec::new();
        let mut next = None;
        for stream in streams().iter().filter(|stream| hinted.contains(stream.name) && !matches!(self.settings.of(stream), Cadence::Off)) {
            let read = last.get(stream.name).and_then(|last| last.read).filter(|read| *read <= now);
            let mut at = read.map_or(now, |read| Micros(read.0 + HINT_PAUSE_US));
            if let Some((failures, failed_at)) = tried.failures.get(stream.name) {
                at = at.max(Micros(failed_at.0 + pause(*failures)));
            }
            if at <= now {
                told.push(stream);
            } else {
                next = earlier(next, Some(at));
            }
        }
        (told, next)
    }

    async fn read(&self, due: &[&'static StreamDef], reason: &'static str, last: &BTreeMap<String, Last>, tried: &mut Tried) {
        let known = Known::new(&self.data_dir);
        let _lock = match known.lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                info!("a sync by hand is at work, the schedule waits");
                tokio::time::sleep(NAP_MAX / 4).await;
                return;
            }
            Err(cause) => {
                warn!(%cause, "the data directory cannot be used for a sync, trying again later");
                tokio::time::sleep(NAP_MAX).await;
                return;
            }
        };
        let plan = plan(due, false, last, SystemClock.now());
        let sync = Sync { api: &self.api, tables: &*self.tables, known: &known, apps: &self.apps, reason };
        let reports = sync.run(&plan.wanted, |_| (), |_| ()).await;
        for report in &reports {
            if report.is_failed() {
                let failures = tried.failures.entry(report.name).or_insert((0, report.at.1));
                *failures = (failures.0.saturating_add(1), report.at.1);
            } else {
                tried.failures.remove(report.name);
            }
            for problem in &report.problems {
                warn!(stream = report.name, problem, "stream not read as a whole");
            }
        }
        let sum = |count: fn(&crate::sync::StreamReport) -> u64| reports.iter().map(count).sum::<u64>();
        info!(
            streams = reports.len(),
            read = sum(|report| report.read),
            new = sum(|report| report.merged.inserted),
            changed = sum(|report| report.merged.updated),
            gone = sum(|report| report.merged.deleted),
            requests = sum(|report| report.asked.requests),
            "objects of the platform api are current"
        );
    }
}

fn earlier(one: Option<Micros>, other: Option<Micros>) -> Option<Micros> {
    [one, other].into_iter().flatten().min()
}

fn nap(next: Option<Micros>, now: Micros) -> Duration {
    let until = next.map_or(NAP_MAX, |next| Duration::from_micros(u64::try_from(next.0 - now.0).unwrap_or_default()));
    until.clamp(Duration::from_millis(100), NAP_MAX)
}

fn pause(failures: u32) -> i64 {
    (PAUSE_FIRST_US << failures.saturating_sub(1).min(10)).min(PAUSE_MAX_US)
}

fn jitter(every: &Duration, lateness: f64) -> i64 {
    let most = (i64::try_from(every.as_micros()).unwrap_or(i64::MAX) / JITTER_PART).min(JITTER_MAX_US);
    (most as f64 * lateness.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use freshet_core::{DestinationError, Every};
    use freshet_destinations::delta::{Lake, LakeOptions};
    use freshet_sources::platform::ApiOptions;
    use freshet_tables::platform::stream;

    use super::*;

    const NOW: Micros = Micros(1_780_000_000_000_000);
    const MINUTE: i64 = 60 * 1_000_000;

    fn schedule(directory: &std::path::Path, source: &str) -> Schedule {
        let settings = crate::config::examine_text(source).0.schedule;
        let api = Api::new(ApiOptions::new("http://127.0.0.1:1", None)).unwrap();
        let tables = Arc::new(Lake::open(&directory.to_string_lossy(), LakeOptions::default()).unwrap());
        Schedule {
            api,
            tables,
            data_dir: directory.to_owned(),
            apps: Vec::new(),
            settings,
            hints: Due::default(),
            lateness: 0.0,
            ask_every: NAP_MAX,
        }
    }

    fn ago(minutes: i64) -> Last {
        Last { read: Some(Micros(NOW.0 - minutes * MINUTE)), whole: None }
    }

    #[test]
    fn streams_are_due_by_their_own_cadence() {
        let directory = tempfile::tempdir().unwrap();
        let schedule = schedule(directory.path(), "[schedule]\ndefault = \"every 30m\"\nreleases = \"every 5m\"\ndynos = \"off\"\n");
        let all = |last: Last| -> BTreeMap<String, Last> { streams().iter().map(|stream| (stream.name.to_owned(), last)).collect() };
        let names = |last: &BTreeMap<String, Last>, tried: &Tried| -> Vec<&str> {
            schedule.due(last, tried, NOW).0.iter().map(|stream| stream.name).collect()
        };
        assert_eq!(names(&BTreeMap::new(), &Tried::default()).len(), streams().len() - 1, "all but those that are off");
        assert_eq!(names(&all(ago(10)), &Tried::default()), ["releases"]);
        let (due, next) = schedule.due(&all(ago(1)), &Tried::default(), NOW);
        assert!(due.is_empty() && next == Some(Micros(NOW.0 + 4 * MINUTE)), "{next:?}");
        let often = streams().iter().filter(|stream| stream.every == Every::Often).count();
        assert_eq!(names(&all(ago(31)), &Tried::default()).len(), often - 1);
        assert_eq!(names(&all(ago(25 * 60)), &Tried::default()).len(), streams().len() - 1);
        // After failures it waits, longer each time.
        let name = stream("releases").unwrap().name;
        let tried =
            |failures: u32, minutes: i64| Tried { failures: BTreeMap::from([(name, (failures, Micros(NOW.0 - minutes * MINUTE)))]) };
        assert!(names(&all(ago(10)), &tried(1, 2)).contains(&name));
        assert!(!names(&all(ago(10)), &tried(3, 2)).contains(&name));
        assert!(names(&all(ago(10)), &tried(60, 61)).contains(&name));
    }

    #[test]
    fn what_webhooks_ask_for_is_read_soon_and_not_all_the_time() {
        let directory = tempfile::tempdir().unwrap();
        let schedule = schedule(directory.path(), "[schedule]\ndynos = \"off\"\n");
        let hinted = BTreeSet::from(["releases", "dynos"]);
        let told = |seconds: i64| {
            let last = Last { read: Some(Micros(NOW.0 - seconds * 1_000_000)), whole: None };
            let last = BTreeMap::from([("releases".to_owned(), last)]);
            let (told, next) = schedule.told(&hinted, &last, &Tried::default(), NOW);
            (told.iter().map(|stream| stream.name).collect::<Vec<_>>(), next.map(|next| (next.0 - NOW.0) / 1_000_000))
        };
        assert_eq!(told(31), (vec!["releases"], None));
        assert_eq!(told(10), (vec![], Some(20)));
        assert_eq!(told(-3600), (vec!["releases"], None), "the clock was set back");
    }

    #[tokio::test]
    async fn a_warehouse_is_not_asked_while_nothing_is_due() {
        let nothing = async || Ok::<_, DestinationError>(BTreeMap::new());
        let mut asked = 0;
        let mut memory = Memory::new(Duration::from_secs(3600));
        for round in 0..5 {
            let last = async || {
                asked += 1;
                Ok::<_, DestinationError>(BTreeMap::from([("apps".to_owned(), ago(round))]))
            };
            let (found, is_fresh) = memory.or(last).await.unwrap();
            assert_eq!((found["apps"].read, is_fresh), (ago(0).read, round == 0));
        }
        memory.forget();
        memory.or(nothing).await.unwrap();
        assert!(!memory.or(nothing).await.unwrap().1);
        let mut none = Memory::new(Duration::ZERO);
        for _ in 0..2 {
            assert!(none.or(nothing).await.unwrap().1);
        }
        assert_eq!(asked, 1);
    }

    #[test]
    fn daemons_part() {
        let every = Duration::from_secs(900);
        assert_eq!((jitter(&every, 0.0), jitter(&every, 0.5), jitter(&every, 1.0)), (0, 22_500_000, 45_000_000));
        assert_eq!(jitter(&Duration::from_secs(86_400), 1.0), JITTER_MAX_US);
    }
}
