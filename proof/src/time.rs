//! Time that passes only when everybody waits.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use freshet_core::{Clock, Micros};
use freshet_load::Machine;

/// When every run begins by the clock on the wall: 2026-03-01 00:00 UTC.
const WALL_START: i64 = 1_772_323_200_000_000;

/// A moment of a run, in microseconds from its beginning, and a number that parts what is due at the same one.
pub(crate) type Due = (u64, u64);

/// The run's one time. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    uptime: u64,
    /// How far the clock on the wall is off.
    skew: i64,
    sequence: u64,
    sleepers: BTreeMap<Due, Waker>,
}

impl Timeline {
    /// Microseconds from the beginning of the run.
    pub(crate) fn at(&self) -> u64 {
        self.lock().uptime
    }

    /// A place in the order of things that are due `after` microseconds from now.
    pub(crate) fn due(&self, after: u64) -> Due {
        let mut inner = self.lock();
        inner.sequence += 1;
        (inner.uptime.saturating_add(after), inner.sequence)
    }

    /// Sets the clock on the wall forward or back.
    pub(crate) fn skew(&self, by: i64) {
        self.lock().skew += by;
    }

    /// When the first sleeper wakes.
    pub(crate) fn first_sleeper(&self) -> Option<Due> {
        self.lock().sleepers.first_key_value().map(|(due, _)| *due)
    }

    /// Lets time pass until `due`.
    pub(crate) fn pass(&self, due: Due) {
        let mut inner = self.lock();
        inner.uptime = inner.uptime.max(due.0);
    }

    /// Lets time pass until the first sleeper wakes, and wakes it.
    pub(crate) fn wake_first(&self) {
        let first = self.lock().sleepers.pop_first();
        if let Some((due, waker)) = first {
            self.pass(due);
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Timeline {
    fn now(&self) -> Micros {
        let inner = self.lock();
        Micros(WALL_START + i64::try_from(inner.uptime).unwrap_or(i64::MAX / 2) + inner.skew)
    }
}

#[async_trait]
impl Machine for Timeline {
    fn uptime(&self) -> Duration {
        Duration::from_micros(self.at())
    }

    async fn sleep(&self, wait: Duration) {
        self.wait(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)).await;
    }

    async fn work(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

impl Timeline {
    /// Returns `micros` later.
    pub(crate) fn wait(&self, micros: u64) -> Sleep {
        Sleep { timeline: self.clone(), due: self.due(micros), is_waiting: false }
    }
}

/// Somebody who waits.
pub(crate) struct Sleep {
    timeline: Timeline,
    due: Due,
    is_waiting: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.timeline.lock();
        if inner.uptime >= self.due.0 {
            return Poll::Ready(());
        }
        inner.sleepers.insert(self.due, context.waker().clone());
        drop(inner);
        self.is_waiting = true;
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.is_waiting {
            self.timeline.lock().sleepers.remove(&self.due);
        }
    }
}

/// Tells when every task of a runtime waits. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Idle(Arc<Mutex<Quiet>>);

#[derive(Default)]
struct Quiet {
    is_reached: bool,
    waker: Option<Waker>,
}

impl Idle {
    /// To be called when the runtime's thread has nothing to do: tokio's `on_thread_park`.
    pub(crate) fn reached(&self) {
        let mut quiet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = quiet.waker.take() {
            quiet.is_reached = true;
            waker.wake();
        }
    }
}

impl Future for &Idle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut quiet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut quiet.is_reached) {
            return Poll::Ready(());
        }
        quiet.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
