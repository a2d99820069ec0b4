//! A destination in memory: tables, positions, and every way a request can end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use freshet_core::{Clock, CommitOutcome, Committed, Destination, DestinationError, Merge, Merged, Package, Position, ShardId, TableDef};
use freshet_spool::faulty_disk::Dice;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::Fault;
use crate::check::Tables;
use crate::fault::Tally;
use crate::plan::{Mutant, Plan, dice};
use crate::rows::{sum_of, texts};
use crate::story::Story;
use crate::time::{Due, Timeline};

/// Microseconds that a request takes on a good day, each way.
const TRIP_US: u64 = 20_000;

/// What the world asks of a destination besides what a loader does.
pub(crate) trait Ground: Destination {
    /// A process starts and reaches the destination for the first time.
    fn begin_life(&self);
    /// Begins or ends a time in which everything fails.
    fn set(&self, fault: Fault, on: bool);
    /// From now on all is well.
    fn calm(&self);
    /// When the next request takes effect that was given up.
    fn first_late(&self) -> Option<Due>;
    /// Lets that request take effect, unless the table has moved on: its entry would have the number of another.
    fn land_late(&self);
    /// Whether there are rows of a frame, if that is known at any moment.
    fn has_frame(&self, id: &str) -> Option<bool>;
    /// Requests that real threads are at: time must not pass meanwhile.
    fn pending(&self) -> Option<Arc<Notify>>;
    /// Whether there are such requests now.
    fn is_busy(&self) -> bool;
    /// Merging and checkpoints, as the daemon does them now and then.
    fn maintain(&self) -> BoxFuture<'static, ()>;
    /// The rows and commits of every table.
    fn tables(&self) -> Result<Tables, String>;
}

/// The destination. It outlives every process.
pub(crate) struct SimDestination {
    plan: Plan,
    timeline: Timeline,
    story: Story,
    tally: Tally,
    /// The process that asks is dead: whatever it still does has no effect.
    dead: Arc<AtomicBool>,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    tables: BTreeMap<&'static str, SimTable>,
    /// Requests that will take effect later, although they were answered with an error.
    late: BTreeMap<Due, (Package, i64)>,
    /// What every load id stood for: table, spans and the rows' sum.
    ids: HashMap<u128, String>,
    /// Frames of which there are rows.
    frames: HashSet<String>,
    is_storm: bool,
    outage: bool,
    refused: bool,
}

/// One table.
#[derive(Default)]
struct SimTable {
    batches: Vec<RecordBatch>,
    positions: BTreeMap<ShardId, Position>,
    history: Vec<Committed>,
    version: i64,
}

/// How a request will end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Fail(Fault),
}

impl SimDestination {
    pub(crate) fn new(plan: &Plan, timeline: Timeline, story: Story, tally: Tally, dead: Arc<AtomicBool>) -> Self {
        let state = State {
            dice: dice(plan.seed, "destination"),
            tables: BTreeMap::new(),
            late: BTreeMap::new(),
            ids: HashMap::new(),
            frames: HashSet::new(),
            is_storm: true,
            outage: false,
            refused: false,
        };
        Self { plan: plan.clone(), timeline, story, tally, dead, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of a request to the destination, and how it will end there.
    async fn arrive(&self, doing: &'static str, table: &'static TableDef) -> Result<Fate, DestinationError> {
        let (trip, fate) = self.draw();
        self.timeline.wait(trip).await;
        if fate == Fate::Fail(Fault::KillAtCommit) && self.is_even() {
            self.die(doing, table).await;
        }
        let (outage, refused) = {
            let state = self.state();
            (state.outage, state.refused)
        };
        if refused {
            self.tally.struck(Fault::Refused);
            return Err(DestinationError::Refused { problem: format!("{doing} {}: not permitted", table.name) });
        }
        if outage {
            self.tally.struck(Fault::Outage);
            return Err(transient(doing, table, "nobody answers"));
        }
        if fate == Fate::Fail(Fault::FailBefore) {
            self.tally.struck(Fault::FailBefore);
            self.story.tell(|| format!("{doing} {}: failed and did nothing", table.name));
            return Err(transient(doing, table, "by plan, before"));
        }
        Ok(fate)
    }

    /// The way back.
    async fn answer<T>(&self, doing: &'static str, table: &'static TableDef, fate: Fate, value: T) -> Result<T, DestinationError> {
        if fate == Fate::Fail(Fault::KillAtCommit) {
            self.die(doing, table).await;
        }
        let (trip, _) = self.draw();
        self.timeline.wait(trip).await;
        if fate == Fate::Fail(Fault::FailAfter) {
            self.tally.struck(Fault::FailAfter);
            self.story.tell(|| format!("{doing} {}: done, answered with an error", table.name));
            return Err(transient(doing, table, "by plan, after"));
        }
        Ok(value)
    }

    fn draw(&self) -> (u64, Fate) {
        let mut state = self.state();
        let (trip, slow, kind) = (state.dice.below(2 * TRIP_US), state.dice.roll(), state.dice.below(400));
        if !state.is_storm {
            return (trip, Fate::Well);
        }
        let is_slow = slow % 40 == 0 && self.plan.has(Fault::SlowLake);
        if is_slow {
            self.tally.struck(Fault::SlowLake);
        }
        let trip = if is_slow { trip + slow / 64 % 60_000_000 } else { trip };
        let fault = match kind {
            0..30 => Fault::FailBefore,
            30..60 => Fault::FailAfter,
            60..80 => Fault::FailLate,
            80..84 => Fault::KillAtCommit,
            _ => return (trip, Fate::Well),
        };
        (trip, if self.plan.has(fault) { Fate::Fail(fault) } else { Fate::Well })
    }

    fn is_even(&self) -> bool {
        self.state().dice.one_in(2)
    }

    async fn die(&self, doing: &'static str, table: &'static TableDef) {
        if !self.dead.swap(true, Ordering::Relaxed) {
            self.tally.struck(Fault::KillAtCommit);
            self.story.tell(|| format!("killed while it was about to {doing} {}", table.name));
        }
        std::future::pending::<()>().await;
    }

    /// What a commit does when it takes effect: one step, as far as anybody can see.
    fn land(&self, package: &Package) -> CommitOutcome {
        self.check_id(package);
        let mut state = self.state();
        let table = state.tables.entry(package.table.name).or_default();
        let of = |table: &SimTable, shard: &ShardId| table.positions.get(shard).copied();
        if self.plan.mutant != Some(Mutant::BlindCommit) {
            if package.spans.iter().all(|span| of(table, &span.shard).is_some_and(|at| at >= span.to)) {
                return CommitOutcome::AlreadyThere;
            }
            if package.spans.iter().any(|span| of(table, &span.shard).unwrap_or(0) > span.from) {
                return CommitOutcome::Overtaken;
            }
        }
        for span in &package.spans {
            let before = table.positions.insert(span.shard.clone(), span.to);
            if before.is_some_and(|before| before > span.to) && self.plan.mutant.is_none() {
                self.story.accuse(format!("the checkpoint of {} went back from {before:?} to {}", package.table.name, span.to));
            }
        }
        let keep = |batch: &RecordBatch| match self.plan.mutant {
            Some(Mutant::LostRow) if batch.num_rows() > 5 => batch.slice(0, batch.num_rows() - 1),
            Some(Mutant::NoLoads) if package.table.name == "_loads" => batch.slice(0, batch.num_rows() - 1),
            _ => batch.clone(),
        };
        table.batches.extend(package.batches.iter().map(keep));
        table.version += 1;
        let version = table.version;
        for batch in package.batches.iter().filter(|_| matches!(package.table.name, "logs" | "_rejects")) {
            state.frames.extend(texts(batch, "frame_id").into_iter().flatten().flatten().map(str::to_owned));
        }
        let committed = Committed {
            load_id: package.load_id.to_string(),
            rows: i64::try_from(package.rows()).unwrap_or(i64::MAX),
            files: 1,
            bytes: 1,
            ts_range: package.ts_range,
            committed_at: self.timeline.now(),
            version,
        };
        state.tables.entry(package.table.name).or_default().history.push(committed.clone());
        CommitOutcome::Committed(committed)
    }

    /// Same input, same id; another input, another id.
    fn check_id(&self, package: &Package) {
        let spans: Vec<String> = package.spans.iter().map(|span| format!("{} {}..{}", span.shard, span.from, span.to)).collect();
        let sum = package.batches.iter().map(sum_of).fold(0_u64, u64::wrapping_add);
        let means = format!("{} {spans:?} {} {sum:x}", package.table.name, package.rows());
        let known = self.state().ids.entry(package.load_id.0).or_insert_with(|| means.clone()).clone();
        if known != means {
            self.story.accuse(format!("load id {} stands for {known} and for {means}", package.load_id));
        }
    }
}

impl Ground for SimDestination {
    fn begin_life(&self) {}

    fn set(&self, fault: Fault, on: bool) {
        let mut state = self.state();
        match fault {
            Fault::Outage => state.outage = on,
            Fault::Refused => state.refused = on,
            _ => {}
        }
    }

    fn calm(&self) {
        let mut state = self.state();
        (state.is_storm, state.outage, state.refused) = (false, false, false);
    }

    fn first_late(&self) -> Option<Due> {
        self.state().late.first_key_value().map(|(due, _)| *due)
    }

    fn land_late(&self) {
        let Some((due, (package, version))) = self.state().late.pop_first() else { return };
        self.timeline.pass(due);
        let table = package.table.name;
        let is_in_time = self.state().tables.get(table).is_some_and(|table| table.version == version);
        if is_in_time {
            let outcome = self.land(&package);
            self.story.tell(|| format!("late commit to {table}: {}", name_of(&outcome)));
        } else {
            self.story.tell(|| format!("late commit to {table} came too late"));
        }
    }

    fn has_frame(&self, id: &str) -> Option<bool> {
        Some(self.state().frames.contains(id))
    }

    fn pending(&self) -> Option<Arc<Notify>> {
        None
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn maintain(&self) -> BoxFuture<'static, ()> {
        // Rows have no files here.
        Box::pin(std::future::ready(()))
    }

    fn tables(&self) -> Result<Tables, String> {
        let state = self.state();
        Ok(state.tables.iter().map(|(name, table)| (*name, (table.batches.clone(), table.history.clone()))).collect())
    }
}

#[async_trait]
impl Destination for SimDestination {
    async fn prepare(&self, table: &'static TableDef) -> Result<(), DestinationError> {
        let fate = self.arrive("prepare", table).await?;
        self.state().tables.entry(table.name).or_default();
        self.answer("prepare", table, fate, ()).await
    }

    async fn checkpoint(&self, table: &'static TableDef, shards: &[ShardId]) -> Result<Vec<Option<Position>>, DestinationError> {
        let fate = self.arrive("read the checkpoint of", table).await?;
        let positions = {
            let state = self.state();
            let table = state.tables.get(table.name);
            let forgets = self.plan.mutant == Some(Mutant::ForgottenCheckpoint);
            shards.iter().map(|shard| table.filter(|_| !forgets)?.positions.get(shard).copied()).collect()
        };
        self.answer("read the checkpoint of", table, fate, positions).await
    }

    async fn commit(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        let table = package.table;
        let fate = self.arrive("commit to", table).await?;
        if fate == Fate::Fail(Fault::FailLate) {
            self.tally.struck(Fault::FailLate);
            let mut state = self.state();
            let after = 1_000_000 + state.dice.below(20_000_000);
            let version = state.tables.get(table.name).map_or(0, |table| table.version);
            state.late.insert(self.timeline.due(after), (package.clone(), version));
            drop(state);
            self.story.tell(|| format!("commit to {}: answered with an error, may land in {after} us", table.name));
            return Err(transient("commit to", table, "by plan, late"));
        }
        let outcome = self.land(package);
        self.story.tell(|| {
            let span = package.spans.first().map(|span| format!("{}..{}", span.from, span.to)).unwrap_or_default();
            format!("commit to {} of {} rows from {span}: {}", table.name, package.rows(), name_of(&outcome))
        });
        self.answer("commit to", table, fate, outcome).await
    }

    async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        // Only webhooks make objects, and the senders of this world have none.
        Err(DestinationError::Refused { problem: format!("table {} holds no objects here", merge.table.name) })
    }

    async fn history(&self, table: &'static TableDef, after: Option<i64>) -> Result<Vec<Committed>, DestinationError> {
        let fate = self.arrive("read the history of", table).await?;
        let history = {
            let state = self.state();
            let all = state.tables.get(table.name).map_or(&[][..], |table| &table.history);
            all.iter().filter(|commit| after.is_none_or(|after| commit.version > after)).cloned().collect()
        };
        self.answer("read the history of", table, fate, history).await
    }
}

fn transient(doing: &str, table: &TableDef, why: &str) -> DestinationError {
    DestinationError::Transient { doing: format!("{doing} table {}", table.name), cause: why.into() }
}

fn name_of(outcome: &CommitOutcome) -> &'static str {
    match outcome {
        CommitOutcome::Committed(_) => "committed",
        CommitOutcome::AlreadyThere => "already there",
        CommitOutcome::Overtaken => "overtaken",
    }
}
