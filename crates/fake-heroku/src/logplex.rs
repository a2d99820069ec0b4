//! Log drains and log sessions: what becomes of an app's lines.

use jiff::Timestamp;
use serde::Serialize;

use crate::faults::Faults;
use crate::world::Line;

/// What one drain has done so far. `sent` = `acknowledged` + `dropped` + `waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrainCounts {
    /// The drain's id.
    pub id: String,
    /// Its token, `d.…`.
    pub token: String,
    /// The id of its app.
    pub app: String,
    /// Messages that were meant for it (long lines count once per piece).
    pub sent: u64,
    /// Messages in frames that were answered 2xx.
    pub acknowledged: u64,
    /// Messages given up: the buffer was full, or a frame was refused or failed three times.
    pub dropped: u64,
    /// Messages that wait in the buffer or are in flight.
    pub waiting: u64,
    /// L10 messages that were sent (they are not among `sent`).
    pub l10_sent: u64,
    /// L10 messages in frames that were answered 2xx.
    pub l10_acknowledged: u64,
    /// Requests made, repeats included.
    pub requests: u64,
    /// Frames made.
    pub frames: u64,
    /// What is wrong with the drain, in words; empty when all is well.
    pub trouble: String,
}

/// All drains and sessions. Clones share them.
#[derive(Clone)]
pub struct Logplex {
    faults: Faults,
}

impl Logplex {
    /// Without drains. To be made inside a tokio runtime: each drain is a task.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let _ = seed;
        Self { faults }
    }

    /// Begins to send the lines of `app` to `url`.
    pub fn add_drain(&self, id: &str, token: &str, app: &str, url: &str) {
        let _ = (&self.faults, id, token, app, url);
    }

    /// Ends a drain; what waits is gone.
    pub fn remove_drain(&self, id: &str) {
        let _ = id;
    }

    /// Takes a line in: into the history, to the sessions that follow, and into each drain's buffer.
    pub fn take(&self, line: &Line) {
        let _ = line;
    }

    /// The drains' counts.
    #[must_use]
    pub fn counts(&self) -> Vec<DrainCounts> {
        Vec::new()
    }

    /// Waits until no drain has anything waiting, or `within` is over; says whether that came true.
    pub async fn settled(&self, within: std::time::Duration) -> bool {
        let _ = within;
        true
    }

    /// Opens a log session; answers with its path below the server's root, such as `/streams/01234…?srv=1700000000`.
    pub fn open_session(&self, session: Session) -> String {
        let _ = session;
        String::new()
    }
}

/// What a log session was asked for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The id of the app.
    pub app: String,
    /// Only this process, or all of this type (`web`).
    pub dyno: Option<String>,
    /// Only this source: `app` or `heroku`.
    pub source: Option<String>,
    /// Lines of history to begin with: 1,500 at most, none on Fir.
    pub lines: usize,
    /// Whether to go on with new lines.
    pub tail: bool,
    /// Whether the app lives on Fir: other source names, no history.
    pub is_fir: bool,
    /// When it was made, in wall time: its address is good for 360 s.
    pub made_at: Timestamp,
}
