//! Log drains and log sessions: what becomes of an app's lines.
//!
//! [`Logplex`] takes lines in and has a task per drain. What a drain does is decided in [`machine`], without the network, so that tests can drive
//! the very same rules with a clock and a receiver of their own.

mod clock;
mod dial;
mod drain;
pub mod frame;
mod history;
mod https;
pub mod machine;
mod sessions;
mod tamper;
mod target;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Response;
use jiff::Timestamp;
use serde::Serialize;

use crate::faults::{Fault, Faults};
use crate::http::Body;
use crate::world::{Chance, Line};
use clock::StoryClock;
use dial::Dialer;
use drain::{Drain, Means};
use frame::{Form, Message, hours_off};
use history::History;
use https::Sender;
use machine::{Acknowledged, MachineCounts};
use sessions::{Print, Reading, Sessions, gone, past};
use target::Target;

/// Removed drains whose counts are kept; one more, and the oldest goes.
const REMOVED_KEPT: usize = 1_000;

/// What one drain has done so far; of a space's drain, for one of its apps. `sent` = `acknowledged` + `dropped` + `waiting`.
///
/// Nobody answers a syslog drain: there, `acknowledged` is what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrainCounts {
    /// The drain's id.
    pub id: String,
    /// Its token, `d.…`.
    pub token: String,
    /// The id of its app.
    pub app: String,
    /// What became of its messages; a long line counts once per piece.
    #[serde(flatten)]
    pub account: MachineCounts,
    /// What is wrong with the drain, in words; empty when all is well, `removed` after its end.
    pub trouble: String,
}

/// What a [`Logplex`] is made from.
#[derive(Clone, Debug)]
pub struct LogplexOptions {
    /// Where frame ids, session ids and the details of faults come from. With the same seed, drain token and app, frame ids repeat.
    pub seed: u64,
    /// Whether to keep what was acknowledged, for [`Logplex::acknowledged`]. It grows without a limit: for tests.
    pub record: bool,
    /// How long a request may take, its answer included (Logplex: 5 s).
    pub request_timeout: Duration,
    /// How long a connection may take, its TLS handshake included (Logplex: 3 s).
    pub connect_timeout: Duration,
    /// After how long without traffic a connection is closed (Logplex: 144 s and up to 15 s more, by chance).
    pub idle_timeout: Duration,
    /// How often a silent log session gives a sign of life.
    pub keep_alive_every: Duration,
}

impl LogplexOptions {
    /// What Logplex does.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let idle_ms = Chance::new(seed).of("idle").between(144_000, 159_000);
        Self {
            seed,
            record: false,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_millis(idle_ms),
            keep_alive_every: Duration::from_secs(10),
        }
    }
}

/// All drains and sessions. Clones share them; the tasks of the drains end with the last one.
#[derive(Clone)]
pub struct Logplex {
    options: Arc<LogplexOptions>,
    dialer: Dialer,
    faults: Faults,
    clock: Arc<StoryClock>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// By drain and app: a space's drain has several.
    drains: BTreeMap<(String, String), Arc<Drain>>,
    by_app: HashMap<String, Vec<Arc<Drain>>>,
    /// What drains had done when they were removed, [`REMOVED_KEPT`] at most.
    removed: VecDeque<DrainCounts>,
    history: History,
    sessions: Sessions,
    /// How wrong a line's time is when that fault strikes.
    skew: Chance,
}

impl Logplex {
    /// Without drains. To be made inside a tokio runtime: each drain is a task.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with_options(LogplexOptions::new(seed), faults)
    }

    /// The same with other limits than Logplex's own.
    #[must_use]
    pub fn with_options(options: LogplexOptions, faults: Faults) -> Self {
        let chance = Chance::new(options.seed);
        let state = State {
            drains: BTreeMap::new(),
            by_app: HashMap::new(),
            removed: VecDeque::new(),
            history: History::default(),
            sessions: Sessions::new(chance.of("sessions")),
            skew: chance.of("skew"),
        };
        let dialer = Dialer::new(&[], options.connect_timeout);
        Self { options: Arc::new(options), dialer, faults, clock: Arc::default(), state: Arc::new(Mutex::new(state)) }
    }

    /// Begins to send the lines of `app` to `url`: `https://`, `http://`, `syslog+tls://` or `syslog://`. One that is no such URL, or has a
    /// second colon in its user and password, never sends; [`DrainCounts::trouble`] says so.
    pub fn add_drain(&self, id: &str, token: &str, app: &str, url: &str) {
        self.add(id, app, url, Sender { token: token.to_owned(), is_private: false });
    }

    /// The same for an app in a Private Space: requests have neither Frame-Id nor Drain-Token, and each has a connection of its own. A
    /// drain of the space itself is added once for each of its apps.
    pub fn add_private_drain(&self, id: &str, token: &str, app: &str, url: &str) {
        self.add(id, app, url, Sender { token: token.to_owned(), is_private: true });
    }

    /// Ends a drain; what waits is gone, and counted as dropped.
    pub fn remove_drain(&self, id: &str) {
        self.remove(|drain, _| drain == id);
    }

    /// Ends all drains of an app that is gone, and forgets its lines.
    pub fn forget(&self, app: &str) {
        self.remove(|_, other| other == app);
        self.state().history.forget(app);
    }

    /// Whether this drain has the lines of this app.
    #[must_use]
    pub fn has_drain(&self, id: &str, app: &str) -> bool {
        self.state().drains.contains_key(&(id.to_owned(), app.to_owned()))
    }

    /// Takes a line in: into the history, to the sessions that follow, and into each drain's buffer. Waits for nobody.
    pub fn take(&self, line: &Line) {
        self.clock.saw(line.at);
        let mut state = self.state();
        state.history.take(line);
        state.sessions.take(line);
        let State { by_app, skew, .. } = &mut *state;
        let drains = by_app.get(&line.app).map_or(&[][..], Vec::as_slice);
        if drains.is_empty() {
            return;
        }
        let mut at = line.at;
        if self.faults.strikes(Fault::DrainClockSkew) {
            let hours = skew.between(1, 48).cast_signed();
            at = hours_off(at, if skew.happens(0.5) { hours } else { -hours });
        }
        let https = Message::of_line_at(line, &Form::Https, at);
        for drain in drains {
            let form = drain.machine().form().clone();
            let messages = if form == Form::Https { https.clone() } else { Message::of_line_at(line, &form, at) };
            drain.offer(messages, &self.clock);
        }
    }

    /// The drains' counts; last, those of the drains that were removed latest.
    #[must_use]
    pub fn counts(&self) -> Vec<DrainCounts> {
        let state = self.state();
        state.drains.values().map(|drain| drain.counts()).chain(state.removed.iter().cloned()).collect()
    }

    /// What was acknowledged to a drain, in order (of a space's drain, app by app); nothing unless [`LogplexOptions::record`] is set.
    #[must_use]
    pub fn acknowledged(&self, id: &str) -> Vec<Acknowledged> {
        let state = self.state();
        let drains = state.drains.iter().filter(|((drain, _), _)| drain == id);
        drains.flat_map(|(_, drain)| drain.machine().acknowledged().to_vec()).collect()
    }

    /// Waits until no drain has anything waiting, or `within` is over; says whether that came true.
    pub async fn settled(&self, within: Duration) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let settled = async {
            while self.state().drains.values().any(|drain| drain.machine().counts().waiting > 0) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    /// Opens a log session; answers with its path below the server's root, such as `/streams/01234…?srv=1700000000`.
    #[must_use]
    pub fn open_session(&self, session: Session) -> String {
        self.state().sessions.open(session)
    }

    /// Answers a GET of a session's path: history, then new lines for as long as somebody reads; 404 when its time is over.
    ///
    /// Without `accept_sse` it is plain text with a NUL byte as sign of life, with it server-sent events with `id:` and `data:`, which go on after
    /// the second of `last_event_id`.
    pub async fn stream(&self, path_and_query: &str, accept_sse: bool, last_event_id: Option<&str>) -> Response<Body> {
        let last_event_id = last_event_id.filter(|_| accept_sse).and_then(|id| id.trim().parse().ok());
        let mut state = self.state();
        // Under one lock, so that no line falls between the past and the new.
        let Some((session, new)) = state.sessions.read(path_and_query, Timestamp::now()) else { return gone() };
        let past = past(&session, &state.history, self.clock.now(), last_event_id);
        drop(state);
        let print = if accept_sse { Print::Events } else { Print::Plain };
        Reading::new(&session, past, new, print, self.faults.clone(), self.options.keep_alive_every).answer()
    }

    fn add(&self, id: &str, app: &str, url: &str, sender: Sender) {
        self.remove(|drain, other| drain == id && other == app);
        let means = Means {
            dialer: self.dialer.clone(),
            faults: self.faults.clone(),
            clock: Arc::clone(&self.clock),
            request_timeout: self.options.request_timeout,
            idle_timeout: self.options.idle_timeout,
            chance: Chance::new(self.options.seed).of(&sender.token).of(app),
        };
        let drain = Arc::new(Drain::start(id, app, sender, Target::parse(url), self.options.record, means));
        let mut state = self.state();
        state.by_app.entry(app.to_owned()).or_default().push(Arc::clone(&drain));
        state.drains.insert((id.to_owned(), app.to_owned()), drain);
    }

    /// Ends the drains of which this is true, by drain and app.
    fn remove(&self, is_meant: impl Fn(&str, &str) -> bool) {
        let mut state = self.state();
        for (_, drain) in state.drains.extract_if(.., |(id, app), _| is_meant(id, app)).collect::<Vec<_>>() {
            if let Entry::Occupied(mut drains) = state.by_app.entry(drain.app.clone()) {
                drains.get_mut().retain(|other| !Arc::ptr_eq(other, &drain));
                if drains.get().is_empty() {
                    drains.remove();
                }
            }
            drain.close(&self.clock);
            if state.removed.len() >= REMOVED_KEPT {
                state.removed.pop_front();
            }
            state.removed.push_back(drain.counts());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests;
