//! What a follower is made from.

use std::sync::Arc;
use std::time::Duration;

use crate::platform::{RuntimeTimer, Timer};

/// What a [`Follower`](super::Follower) is made from.
#[derive(Clone)]
pub struct SessionOptions {
    /// The app, by name or id.
    pub app: String,
    /// Only lines of this source.
    pub source: Option<String>,
    /// Only lines of this dyno or process type.
    pub dyno: Option<String>,
    /// Lines of the past to begin with, [`HISTORY_LINES_MAX`](super::HISTORY_LINES_MAX) at most. Fir has none.
    pub lines: u32,
    /// The bounds on waiting.
    pub limits: SessionLimits,
    /// How it waits.
    pub timer: Arc<dyn Timer>,
}

impl SessionOptions {
    /// The whole log of `app`, with the defaults and the runtime's time.
    #[must_use]
    pub fn new(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            source: None,
            dyno: None,
            lines: 100,
            limits: SessionLimits::default(),
            timer: Arc::new(RuntimeTimer::new()),
        }
    }
}

/// The bounds on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Time to connect, TLS included. Default 5 s.
    pub connect_within: Duration,
    /// A stream without even a sign of life for so long is dead. Default 2 minutes.
    pub silent_within: Duration,
    /// When a session of an app on Fir is replaced: they end after 15 minutes. Default 14 minutes.
    pub renew_after: Duration,
    /// For how long a session that is replaced is read on beside the new one. Default 5 s.
    pub overlap: Duration,
    /// How far before the last line a new session begins on Cedar, in seconds: lines of that second, or that were overtaken,
    /// may be missing still. Default 10.
    pub again_seconds: i64,
    /// The wait after the first failure; doubled after each other. Default 250 ms.
    pub backoff_first: Duration,
    /// The longest wait after any failure. Default 30 s.
    pub backoff_max: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(5),
            silent_within: Duration::from_secs(120),
            renew_after: Duration::from_secs(14 * 60),
            overlap: Duration::from_secs(5),
            again_seconds: 10,
            backoff_first: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
        }
    }
}
