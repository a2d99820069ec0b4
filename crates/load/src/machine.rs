//! What loading asks of the machine below it: waiting, and somewhere to do long work. It is an argument, so that a test can
//! be a machine whose every turn follows from a seed.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

/// The machine that a loader runs on.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Time since some fixed moment. It only grows, whatever is done to the clock on the wall.
    fn uptime(&self) -> Duration;

    /// Returns after `wait`. Dropping the future ends the wait.
    async fn sleep(&self, wait: Duration);

    /// Returns when `job` has been done, somewhere where it holds nobody up; also when it panicked.
    async fn work(&self, job: Box<dyn FnOnce() + Send>);
}

/// Tokio's timers and its threads for work that blocks.
pub(crate) struct TokioMachine {
    started: Instant,
}

impl TokioMachine {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

#[async_trait]
impl Machine for TokioMachine {
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    async fn work(&self, job: Box<dyn FnOnce() + Send>) {
        // A job that panicked shows by the answer it did not give.
        let _ = tokio::task::spawn_blocking(job).await;
    }
}

/// A job ended without an answer, which only a bug can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("work on another thread ended without an answer")]
pub struct Lost;

/// Does `job` on `machine` and returns what it returned.
pub(crate) async fn work_on<T: Send + 'static>(machine: &dyn Machine, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
    let (answer, answered) = oneshot::channel();
    // Nobody waits for the answer any more only when this future is gone.
    machine.work(Box::new(move || drop(answer.send(job())))).await;
    answered.await.map_err(|_| Lost)
}
