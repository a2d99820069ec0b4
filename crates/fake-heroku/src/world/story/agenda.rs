//! What comes next in the story, and what has been written for a moment that is not there yet.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::text::{Text, moment};
use crate::world::event::{Event, Line, Measure, Measured};

/// Microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub(super) const MINUTE: i64 = 60 * SECOND;
/// Microseconds of an hour.
pub(super) const HOUR: i64 = 60 * MINUTE;

/// The story goes on in steps of this many microseconds, so that it does not depend on how often it is told to go on.
pub(super) const STEP: i64 = SECOND / 10;

/// Seconds in microseconds. What would happen never is years away.
pub(super) fn seconds(seconds: f64) -> i64 {
    (seconds.min(1e9) * SECOND as f64) as i64
}

/// Something that is due. Apps are called by their place in the story, dynos and stores by their serial number in the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// A request comes in.
    Request(usize),
    /// So few requests come that it is time to look again how many.
    Lull(usize),
    /// A worker has done a job.
    Job(usize),
    /// A dyno's memory and load are measured.
    Gauges(usize, u64),
    /// A dyno is a day old.
    Cycle(usize, u64),
    /// A data store is measured.
    Store(usize, u64),
    /// A Postgres writes to its log.
    DatabaseLog(usize, u64),
    /// Somebody works on the app.
    Person(usize),
    /// The scheduler starts its job.
    Schedule(usize),
    /// Somebody looks whether there are enough dynos.
    Formation(usize),
    /// A process dies by itself.
    Crash(usize),
    /// Something goes wrong in the company.
    Incident,
    /// Somebody takes a bad release back.
    Rollback(usize),
    /// A trouble of the app is over.
    Relief(usize),
}

/// What is due, and when.
#[derive(Default)]
pub(super) struct Agenda {
    tasks: BinaryHeap<Reverse<(i64, u64, Task)>>,
    added: u64,
}

impl Agenda {
    /// Puts `task` down for a moment. Of two at the same moment the first put down comes first.
    pub(super) fn add(&mut self, at: i64, task: Task) {
        self.tasks.push(Reverse((at, self.added, task)));
        self.added += 1;
    }

    /// The next that is due before `end`.
    pub(super) fn next_before(&mut self, end: i64) -> Option<(i64, Task)> {
        let Reverse((at, _, task)) = *self.tasks.peek()?;
        (at < end).then(|| {
            self.tasks.pop();
            (at, task)
        })
    }
}

/// Whose log line it is: its priority and source as Logplex shows them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    priority: u8,
    source: &'static str,
}

impl Origin {
    /// What the program in a dyno prints: local7, info.
    pub(super) const PROGRAM: Self = Self { priority: 190, source: "app" };
    /// The router: local3, info.
    pub(super) const ROUTER: Self = Self { priority: 158, source: "heroku" };
    /// What runs the dynos: syslog, notice.
    pub(super) const RUNTIME: Self = Self { priority: 45, source: "heroku" };
    /// Heroku's own data stores: local0, info.
    pub(super) const STORE: Self = Self { priority: 134, source: "app" };
    /// What goes wrong in them: local0, warning.
    pub(super) const STORE_WARNING: Self = Self { priority: 132, source: "app" };
}

/// Writes lines, and keeps them until their moment has come.
pub(super) struct Pen {
    /// The line being written.
    pub(super) text: Text,
    /// The events of each step to come; the first are those of the step that ends next.
    steps: VecDeque<Vec<Event>>,
    /// When the first of them begins.
    begins: i64,
}

impl Pen {
    /// A pen for a story that begins then.
    pub(super) fn new(begins: i64) -> Self {
        Self { text: Text::default(), steps: VecDeque::new(), begins }
    }

    /// Ends the line that is being written. What should have been written before the present step is written in it.
    pub(super) fn end(&mut self, at: i64, app: &str, origin: Origin, process: &str) {
        let text = self.text.take();
        let line = Line {
            at: moment(at),
            app: app.to_owned(),
            priority: origin.priority,
            source: origin.source,
            process: process.to_owned(),
            text,
        };
        self.keep(at, Event::Line(line));
    }

    /// Notes a measurement.
    pub(super) fn measure(&mut self, at: i64, app: &str, process: &str, what: Measured) {
        self.keep(at, Event::Measured(Measure { at: moment(at), app: app.to_owned(), process: process.to_owned(), what }));
    }

    /// Hands over what belongs to the step that begins next, in order of time.
    pub(super) fn finish_step(&mut self, events: &mut Vec<Event>) {
        if let Some(mut step) = self.steps.pop_front() {
            step.sort_by_cached_key(time_of);
            events.append(&mut step);
            // Its memory serves a step to come.
            self.steps.push_back(step);
        }
        self.begins += STEP;
    }

    /// How many events wait for their moment.
    pub(super) fn waiting(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    fn keep(&mut self, at: i64, event: Event) {
        let step = usize::try_from((at - self.begins) / STEP).unwrap_or(0);
        while self.steps.len() <= step {
            self.steps.push_back(Vec::new());
        }
        self.steps[step].push(event);
    }
}

fn time_of(event: &Event) -> i64 {
    match event {
        Event::Line(line) => line.at.as_microsecond(),
        Event::Measured(measure) => measure.at.as_microsecond(),
        Event::Changed(change) => change.at.as_microsecond(),
    }
}
