//! Waiting, as an argument.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

/// What time it is for the client, and how it waits: for the rate limit, and before it tries again.
///
/// The time-outs of a request are the network's and not meant.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Time since a moment that never changes.
    fn now(&self) -> Duration;

    /// Returns when `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

/// The runtime's own time.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeTimer {
    begun: Instant,
}

impl RuntimeTimer {
    /// A timer that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Default for RuntimeTimer {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Timer for RuntimeTimer {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
