//! Telemetry drains of Fir apps: lines, spans and gauges as OTLP, over HTTP or gRPC.
//!
//! Each signal of a drain has one task, which gathers records into batches and sends one at a time. A batch that the receiver
//! cannot take now is tried again; meanwhile the next records wait, and when too many do, the newest are dropped.

mod export;
mod lane;
mod message;
mod resource;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::client::Client;
use crate::faults::Faults;
use crate::world::{Line, Measure, Refusal, World};
use export::Exporter;
use lane::Lane;
use message::Record;

/// The most records of one signal that wait for one drain; what comes on top is dropped.
const WAITING_MAX: usize = 16_384;
/// How many connections to one host are kept for later batches.
const IDLE_CONNECTIONS: usize = 4;
/// Signals of drains that are gone whose counts are kept; one more, and the oldest goes.
const GONE_KEPT: usize = 1_000;
/// How often [`Telemetry::settled`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// What can be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Spans of requests.
    Traces,
    /// Gauges of dynos.
    Metrics,
    /// Log lines.
    Logs,
}

impl Signal {
    const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];
}

/// What one signal of one drain has done so far. `sent` = `acknowledged` + `dropped` + `waiting`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TelemetryCounts {
    /// The drain's id.
    pub drain: String,
    /// The signal.
    pub signal: Signal,
    /// Log records, spans or data points that were meant for it.
    pub sent: u64,
    /// Those that the receiver took.
    pub acknowledged: u64,
    /// Those given up: refused, or failed for too long, or too many waited, or the drain is gone.
    pub dropped: u64,
    /// Those that wait or are on their way.
    pub waiting: u64,
    /// Requests made, repeats included.
    pub requests: u64,
    /// What went wrong with the last request, in words; empty when all is well.
    pub trouble: String,
}

/// How patient drains are, in wall time. The defaults are those of the OpenTelemetry Collector, as Heroku does not publish its own.
#[derive(Clone, Copy, Debug)]
pub struct TelemetryPace {
    /// How long a batch waits for more records.
    pub batch_age: Duration,
    /// How long an answer may take.
    pub answer_within: Duration,
    /// The pause before the second try of a batch; it doubles from try to try. Where a receiver asks for a longer one,
    /// that one counts.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A batch that was not taken within this time is dropped.
    pub gives_up_after: Duration,
}

impl Default for TelemetryPace {
    fn default() -> Self {
        Self {
            batch_age: Duration::from_secs(1),
            answer_within: Duration::from_secs(5),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(30),
            gives_up_after: Duration::from_secs(300),
        }
    }
}

/// All telemetry drains. Clones share them; when the last one goes, what was not sent is lost.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    client: Arc<Client>,
    faults: Faults,
    world: Arc<Mutex<World>>,
    pace: TelemetryPace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    drains: BTreeMap<String, Drain>,
    /// The drains of each app.
    by_app: BTreeMap<String, BTreeSet<String>>,
    /// What drains that are gone have done, [`GONE_KEPT`] at most.
    gone: VecDeque<TelemetryCounts>,
    tasks: JoinSet<()>,
}

struct Drain {
    exporter: Shared,
    signals: BTreeMap<Signal, Queue>,
}

/// Where a drain sends to now: what waits goes there as well.
type Shared = Arc<Mutex<Arc<Exporter>>>;

/// The way to the task of one signal.
struct Queue {
    records: mpsc::Sender<Record>,
    task: AbortHandle,
    counts: Arc<Mutex<TelemetryCounts>>,
}

impl Telemetry {
    /// Without drains. The world tells which release and dyno a record comes from. To be made and used inside a tokio runtime.
    #[must_use]
    pub fn new(faults: Faults, world: Arc<Mutex<World>>) -> Self {
        Self::paced(faults, world, TelemetryPace::default())
    }

    /// The same, with another patience.
    #[must_use]
    pub fn paced(faults: Faults, world: Arc<Mutex<World>>, pace: TelemetryPace) -> Self {
        let client = Arc::new(Client::new(IDLE_CONNECTIONS));
        Self(Arc::new(Inner { client, faults, world, pace, state: Mutex::default() }))
    }

    /// Begins to drain an app, or goes on with another exporter or other signals. `exporter` and `signals` are those of the `telemetry-drain` object; null for `signals` means all.
    /// A drain of a space is added once for each of its apps. An exporter that no drain can have is refused, as the API does.
    pub fn add(&self, drain: &str, app: &str, exporter: &Value, signals: &Value) -> Result<(), Refusal> {
        let exporter = Arc::new(Exporter::new(exporter)?);
        let signals = wanted(signals)?;
        let mut state = lock(&self.0.state);
        let State { drains, by_app, gone, tasks } = &mut *state;
        while tasks.try_join_next().is_some() {}
        by_app.entry(app.to_owned()).or_default().insert(drain.to_owned());
        let shared = || Drain { exporter: Arc::new(Mutex::new(Arc::clone(&exporter))), signals: BTreeMap::new() };
        let Drain { exporter: now, signals: queues } = drains.entry(drain.to_owned()).or_insert_with(shared);
        *lock(now) = exporter;
        for unwanted in Signal::ALL.into_iter().filter(|signal| !signals.contains(signal)) {
            if let Some(queue) = queues.remove(&unwanted) {
                queue.end(gone);
            }
        }
        for signal in signals {
            queues.entry(signal).or_insert_with(|| self.0.queue(tasks, drain, signal, Arc::clone(now)));
        }
        Ok(())
    }

    /// Ends a drain; what waits is dropped.
    pub fn remove(&self, drain: &str) {
        let mut state = lock(&self.0.state);
        state.by_app.retain(|_, drains| {
            drains.remove(drain);
            !drains.is_empty()
        });
        let Some(removed) = state.drains.remove(drain) else { return };
        for queue in removed.signals.into_values() {
            queue.end(&mut state.gone);
        }
    }

    /// Takes a line of an app's log in.
    pub fn line(&self, line: &Line) {
        self.take(&line.app, Signal::Logs, || vec![Record::of_line(line)]);
    }

    /// Takes a request or a reading of gauges in.
    pub fn measured(&self, measure: &Measure) {
        self.take(&measure.app, message::signal(measure), || Record::of_measure(measure));
    }

    /// The counts of each signal of each drain; first, those of the drains that went latest.
    #[must_use]
    pub fn counts(&self) -> Vec<TelemetryCounts> {
        let state = lock(&self.0.state);
        let living = state.drains.values().flat_map(|drain| drain.signals.values()).map(|queue| lock(&queue.counts).clone());
        state.gone.iter().cloned().chain(living).collect()
    }

    /// Waits until nothing waits to be sent, or `within` is over; says whether that came true.
    pub async fn settled(&self, within: Duration) -> bool {
        let all = async {
            while self.counts().iter().any(|counts| counts.waiting > 0) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    /// Hands records to the drains of an app that want them. Most apps have none: then none are made.
    fn take(&self, app: &str, signal: Signal, records: impl Fn() -> Vec<Record>) {
        let state = lock(&self.0.state);
        for drain in state.by_app.get(app).into_iter().flatten() {
            let Some(queue) = state.drains.get(drain).and_then(|drain| drain.signals.get(&signal)) else { continue };
            for record in records() {
                queue.put(record);
            }
        }
    }
}

impl Inner {
    fn queue(&self, tasks: &mut JoinSet<()>, drain: &str, signal: Signal, exporter: Shared) -> Queue {
        let (records, waiting) = mpsc::channel(WAITING_MAX);
        let counts = TelemetryCounts {
            drain: drain.to_owned(),
            signal,
            sent: 0,
            acknowledged: 0,
            dropped: 0,
            waiting: 0,
            requests: 0,
            trouble: String::new(),
        };
        let counts = Arc::new(Mutex::new(counts));
        let lane = Lane {
            signal,
            exporter,
            client: Arc::clone(&self.client),
            faults: self.faults.clone(),
            world: Arc::clone(&self.world),
            pace: self.pace,
            counts: Arc::clone(&counts),
        };
        Queue { records, task: tasks.spawn(lane.run(waiting)), counts }
    }
}

impl Queue {
    fn put(&self, record: Record) {
        // Counted before it is sent: the task may be done with it at once.
        let mut counts = lock(&self.counts);
        counts.sent += 1;
        if self.records.try_send(record).is_ok() {
            counts.waiting += 1;
        } else {
            counts.dropped += 1;
            "too many records wait".clone_into(&mut counts.trouble);
        }
    }

    /// Ends it; what waits is dropped, and what it has done is kept in `gone`.
    fn end(self, gone: &mut VecDeque<TelemetryCounts>) {
        self.task.abort();
        let mut counts = lock(&self.counts).clone();
        counts.dropped += std::mem::take(&mut counts.waiting);
        if gone.len() >= GONE_KEPT {
            gone.pop_front();
        }
        gone.push_back(counts);
    }
}

/// The signals that a drain asks for.
fn wanted(signals: &Value) -> Result<BTreeSet<Signal>, Refusal> {
    if signals.is_null() {
        return Ok(Signal::ALL.into());
    }
    let signals: BTreeSet<Signal> =
        Deserialize::deserialize(signals).map_err(|_| Refusal::invalid("Signals must be any of traces, metrics and logs."))?;
    if signals.is_empty() {
        return Err(Refusal::invalid("Signals must name at least one."));
    }
    Ok(signals)
}

/// A poisoned lock is as good as any here: every change under it is a single one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
