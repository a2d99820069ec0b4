//! Log sessions as a source: what `heroku logs --tail` reads.
//!
//! ```text
//! POST /apps/APP/log-sessions ─▶ an address, good for minutes ─▶ a stream of lines
//!        ▲                                                          │
//!        └──── wait, longer each time ◀── it ends, or falls silent ─┘
//! ```
//!
//! A stream is server-sent events, or plain text with a NUL byte as a sign of life. On Cedar a new session begins with lines of the
//! past, so nothing is missed when the old one ended; on Fir there is no past, so a new session is opened before the old one would be
//! closed. Either way lines come twice, and are told once (`overlap.rs`).

mod error;
mod events;
mod options;
mod overlap;
mod plain;
mod stream;

use std::collections::VecDeque;
use std::time::Duration;

use freshet_web::Trouble;
use serde_json::{Value, json};
use tracing::{debug, info};
use xxhash_rust::xxh3::Xxh3;

use crate::platform::{Api, ApiError, Version};
use overlap::Overlap;
use stream::{Heard, Session};

pub use error::SessionError;
pub use options::{SessionLimits, SessionOptions};

/// Lines of the past that a session gives at most.
pub const HISTORY_LINES_MAX: u32 = 1_500;

/// Lines that are handed out at once.
const BATCH_LINES_MAX: usize = 512;

/// How often the first session is tried before it is an error that someone should see.
const FIRST_TRIES: u32 = 5;

/// A connection that has brought so many new lines was a good one.
const GOOD_LINES: u64 = 10;

/// Follows the log of one app, through as many sessions as it takes.
pub struct Follower {
    api: Api,
    options: SessionOptions,
    /// The app's id, by which its lines are known whatever it is called.
    id: String,
    name: String,
    is_fir: bool,
    current: Option<Session>,
    /// The session before, until the current one has surely begun.
    older: Option<Session>,
    /// When there is nothing more to come from it.
    older_until: Duration,
    overlap: Overlap,
    ready: VecDeque<SessionLine>,
    counts: SessionCounts,
    failures: u32,
    /// The second of the last line, as the stream says it.
    last_second: Option<i64>,
    /// The time at the head of the earliest line of the first session that had one: what lies before was not asked for.
    earliest: Option<Vec<u8>>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLine {
    /// As `heroku logs` prints it, without a newline at its end.
    pub text: Vec<u8>,
    /// What it is known by: made of the app, the content and, where the same line was said more than once, its number. The same line
    /// has it in every session, of every process.
    pub content_id: String,
}

/// What a follower has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Sessions opened.
    pub sessions: u64,
    /// Lines told.
    pub lines: u64,
    /// Lines left out because another session had told them.
    pub repeated: u64,
}

impl Follower {
    /// Finds the app and opens the first session.
    ///
    /// # Errors
    /// The app is not there or may not be read, the API does not answer, or no session could be opened in five tries.
    pub async fn begin(api: &Api, options: SessionOptions) -> Result<Self, SessionError> {
        let api = api.in_version(Version::Sdk);
        let app = api.object(&format!("/apps/{}", options.app)).await?;
        let text = |value: &Value| value.as_str().unwrap_or(&options.app).to_owned();
        let generation = app["generation"]["name"].as_str().or(app["generation"].as_str());
        let mut follower = Self {
            id: text(&app["id"]),
            name: text(&app["name"]),
            is_fir: generation == Some("fir"),
            api,
            options,
            current: None,
            older: None,
            older_until: Duration::ZERO,
            overlap: Overlap::default(),
            ready: VecDeque::new(),
            counts: SessionCounts::default(),
            failures: 0,
            last_second: None,
            earliest: None,
        };
        follower.connect_within(FIRST_TRIES).await?;
        Ok(follower)
    }

    /// The app's name.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.name
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        self.counts
    }

    /// The next lines, at least one, in the order in which they came. It waits for as long as it takes. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The app or the permission to read it is gone. What else goes wrong is tried again.
    pub async fn next(&mut self) -> Result<Vec<SessionLine>, SessionError> {
        while self.ready.is_empty() {
            if self.current.is_none() && self.older.is_none() {
                self.connect_within(u32::MAX).await?;
            }
            match self.hear().await {
                Heard::Lines { is_current, lines } => self.take(is_current, lines),
                Heard::End { is_current, trouble } => self.ended(is_current, trouble),
                Heard::Due if self.older.is_some() => self.close_older(),
                Heard::Due => self.renew().await?,
            }
        }
        Ok(self.ready.drain(..).collect())
    }

    /// Waits for lines of either session, or until one of them has to be seen to.
    async fn hear(&mut self) -> Heard {
        let Self { current, older, options, is_fir, older_until, .. } = self;
        let due = match (&older, &current) {
            (Some(_), _) => Some(*older_until),
            (None, Some(current)) if *is_fir => Some(current.begun + options.limits.renew_after),
            _ => None,
        };
        let wait = due.map(|due| due.saturating_sub(options.timer.now()));
        let sleep = async {
            match wait {
                Some(wait) => options.timer.sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            heard = stream::hear(older, false) => heard,
            heard = stream::hear(current, true) => heard,
            () = sleep => Heard::Due,
        }
    }

    fn take(&mut self, is_current: bool, lines: Vec<(Option<i64>, Vec<u8>)>) {
        let Some(session) = (if is_current { &mut self.current } else { &mut self.older }) else { return };
        for (second, text) in lines {
            let time = time_of(&text);
            if session.is_first {
                if let Some(time) = time.filter(|time| self.earliest.as_deref().is_none_or(|earliest| *time < earliest)) {
                    self.earliest = Some(time.to_vec());
                }
            } else if let (Some(time), Some(earliest)) = (time, &self.earliest)
                && time < earliest.as_slice()
            {
                // A later session gives as much of the past as there is.
                continue;
            }
            self.last_second = self.last_second.max(second);
            let line = line_hash(&self.id, &text);
            match self.overlap.hear(session.number, line) {
                Some(number) => {
                    session.new_lines += 1;
                    self.counts.lines += 1;
                    self.ready.push_back(SessionLine { text, content_id: content_id(line, number) });
                }
                None => self.counts.repeated += 1,
            }
        }
    }

    fn ended(&mut self, is_current: bool, trouble: Option<Trouble>) {
        let ended = if is_current { self.current.take() } else { self.older.take() };
        let Some(session) = ended else { return };
        self.overlap.end(session.number);
        let lived = self.options.timer.now().saturating_sub(session.begun);
        if is_current {
            let is_good = session.new_lines >= GOOD_LINES || lived >= self.options.limits.backoff_max;
            self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        }
        let reason = trouble.map_or_else(|| "it was closed".to_owned(), |trouble| trouble.to_string());
        info!(app = self.name, lived_s = lived.as_secs(), reason, "log session ended");
    }

    fn close_older(&mut self) {
        if let Some(older) = self.older.take() {
            self.overlap.end(older.number);
        }
    }

    /// Opens a session in good time before the present one is closed, and reads both for a while.
    async fn renew(&mut self) -> Result<(), SessionError> {
        let before = self.current.take();
        let connected = self.connect().await;
        let now = self.options.timer.now();
        match connected {
            Ok(()) => {
                self.older = before;
                self.older_until = now + self.options.limits.overlap;
                Ok(())
            }
            Err(error) if error.is_temporary() => {
                debug!(app = self.name, %error, "log session not renewed, will be tried again");
                self.failures = self.failures.saturating_add(1);
                // As if it had begun just so long ago that the next try is due after the wait.
                let begun = (now + self.wait()).saturating_sub(self.options.limits.renew_after);
                self.current = before;
                if let Some(session) = &mut self.current {
                    session.begun = begun;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a session, and tries until it succeeds or cannot, `tries` times at most.
    async fn connect_within(&mut self, tries: u32) -> Result<(), SessionError> {
        let mut tried = 0;
        loop {
            if self.failures > 0 {
                self.options.timer.sleep(self.wait()).await;
            }
            tried += 1;
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_temporary() && tried < tries => {
                    self.failures = self.failures.saturating_add(1);
                    info!(app = self.name, %error, failures = self.failures, "log session not opened, will be tried again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), SessionError> {
        let made = self.api.create(&format!("/apps/{}/log-sessions", self.id), &self.question()).await?;
        let address = made["logplex_url"].as_str().ok_or(SessionError::NoAddress)?;
        // The server's clock and ours, and lines that overtake each other: a few seconds too many are left out again.
        let after = self.last_second.filter(|_| !self.is_fir).map(|second| second - self.options.limits.again_seconds);
        let mut session = Session::open(address, after, &self.options, self.counts.sessions + 1).await?;
        self.counts.sessions += 1;
        session.is_first = self.earliest.is_none();
        self.current = Some(session);
        Ok(())
    }

    /// What the session is to hold. What is not wanted is not named: to the API, null is a value like any other.
    fn question(&self) -> Value {
        let mut question = if self.is_fir {
            json!({})
        } else {
            let is_first = self.earliest.is_none();
            json!({ "tail": true, "lines": if is_first { self.options.lines } else { HISTORY_LINES_MAX } })
        };
        if let Some(source) = &self.options.source {
            question["source"] = json!(source);
        }
        if let Some(dyno) = &self.options.dyno {
            // Fir tells a process type, `web`, from one of its dynos, `web-1234abcde-123ab`.
            let name = if self.is_fir && !dyno.contains(['-', '.']) { "type" } else { "dyno" };
            question[name] = json!(dyno);
        }
        question
    }

    fn wait(&self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        self.options.limits.backoff_first.saturating_mul(factor).min(self.options.limits.backoff_max)
    }
}

/// The time at the head of a line, as text: lines of one log write it in one form, so that it sorts as time does.
fn time_of(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    let time = &line[..end];
    (time.len() > 10 && time[..4].iter().all(u8::is_ascii_digit) && time[4] == b'-').then_some(time)
}

fn line_hash(app: &str, text: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(app.as_bytes());
    // An id holds no such byte.
    hash.update(&[0]);
    hash.update(text);
    hash.digest128()
}

fn content_id(line: u128, number: u32) -> String {
    match number {
        0 => format!("line-{line:032x}"),
        number => format!("line-{line:032x}-{number}"),
    }
}

impl From<ApiError> for SessionError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}
