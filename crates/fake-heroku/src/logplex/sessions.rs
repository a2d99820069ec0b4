//! Log sessions: what `heroku logs` reads.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::Session;
use super::frame::{PIECE_BYTES_MAX, time_in_microseconds, time_in_seconds};
use super::history::{HISTORY_LINES_MAX, History};
use crate::faults::{Fault, Faults};
use crate::http::{Body, full};
use crate::world::{Chance, Line};

/// For how long a session's address is good (`logplex_session.erl`: six minutes).
const SESSION_KEPT: SignedDuration = SignedDuration::from_secs(360);
/// Sessions that are kept at one time; one more, and the oldest goes.
const SESSIONS_MAX: usize = 10_000;
/// Lines that wait for a reader; more are dropped and told of with an L11 (`logplex_msg_buffer.erl`: 1,024).
const FOLLOWER_LINES_MAX: usize = 1024;

/// All sessions, and those who follow one.
pub(super) struct Sessions {
    open: VecDeque<(String, Session)>,
    followers: HashMap<String, Vec<Follower>>,
    chance: Chance,
}

/// Somebody who reads.
struct Follower {
    session: Session,
    lines: mpsc::Sender<Line>,
    dropped: u64,
    dropped_since: Timestamp,
}

/// How a stream writes lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// Lines, and a NUL byte as a sign of life.
    Plain,
    /// Server-sent events whose id is the line's second.
    Events,
}

/// What a reader gets: lines of the past, then new ones.
pub(super) struct Reading {
    past: std::vec::IntoIter<Line>,
    new: Option<mpsc::Receiver<Line>>,
    print: Print,
    is_fir: bool,
    faults: Faults,
    keep_alive_every: Duration,
}

impl Sessions {
    pub(super) fn new(chance: Chance) -> Self {
        Self { open: VecDeque::new(), followers: HashMap::new(), chance }
    }

    /// Keeps a session; answers with its path.
    pub(super) fn open(&mut self, session: Session) -> String {
        let made_at = session.made_at;
        self.open.retain(|(_, other)| made_at.duration_since(other.made_at) < SESSION_KEPT);
        if self.open.len() >= SESSIONS_MAX {
            self.open.pop_front();
        }
        let id = self.chance.uuid();
        let path = format!("/streams/{id}?srv={}", made_at.as_second());
        self.open.push_back((id, session));
        path
    }

    /// Passes a line on to those who follow its app. Nobody is waited for.
    pub(super) fn take(&mut self, line: &Line) {
        if let Some(followers) = self.followers.get_mut(&line.app) {
            followers.retain_mut(|follower| follower.take(line));
            if followers.is_empty() {
                self.followers.remove(&line.app);
            }
        }
    }

    /// Begins to read the session at `path`. `None` when there is none, or it is too old.
    pub(super) fn read(&mut self, path: &str, wall: Timestamp) -> Option<(Session, Option<mpsc::Receiver<Line>>)> {
        let id = path.split('?').next()?.strip_prefix("/streams/")?;
        let (_, session) = self.open.iter().find(|(other, _)| other == id)?;
        if wall.duration_since(session.made_at) >= SESSION_KEPT {
            return None;
        }
        let session = session.clone();
        let new = session.tail.then(|| {
            let (lines, new) = mpsc::channel(FOLLOWER_LINES_MAX);
            let follower = Follower { session: session.clone(), lines, dropped: 0, dropped_since: wall };
            let followers = self.followers.entry(session.app.clone()).or_default();
            followers.retain(|other| !other.lines.is_closed());
            followers.push(follower);
            new
        });
        Some((session, new))
    }
}

impl Follower {
    /// Passes a line on; `false` when nobody reads any more.
    fn take(&mut self, line: &Line) -> bool {
        if !is_wanted(&self.session, line) {
            return !self.lines.is_closed();
        }
        // The loss is told of before the next line, so both need room.
        if self.dropped > 0 && self.lines.capacity() > 1 {
            let notice = l11(line, self.dropped, self.dropped_since);
            if self.lines.try_send(notice).is_ok() {
                self.dropped = 0;
            }
        }
        let sent = if self.dropped > 0 { Err(TrySendError::Full(line.clone())) } else { self.lines.try_send(line.clone()) };
        match sent {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                if self.dropped == 0 {
                    self.dropped_since = line.at;
                }
                self.dropped += 1;
                !self.lines.is_closed()
            }
        }
    }
}

/// The line that tells a reader what it missed, in the words of `logplex_api.erl`.
fn l11(next: &Line, dropped: u64, since: Timestamp) -> Line {
    let since = time_in_seconds(since);
    let text = format!("Error L11 (Tail buffer overflow) -> This tail session dropped {dropped} messages since {since}.");
    Line { at: next.at, app: next.app.clone(), priority: 172, source: "heroku", process: "logplex".to_owned(), text: text.into() }
}

/// Whether a session asked for such a line.
fn is_wanted(session: &Session, line: &Line) -> bool {
    let is_dyno = |wanted: &String| {
        let rest = line.process.strip_prefix(wanted.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || (session.is_fir && rest.starts_with('-')))
    };
    let is_source = |wanted: &String| line.source == wanted || (session.is_fir && fir_source(line) == wanted);
    session.dyno.as_ref().is_none_or(is_dyno) && session.source.as_ref().is_none_or(is_source)
}

/// What Fir calls a line's source (Dev Center, "Logging": the platform's own are prefixed with `heroku-`).
fn fir_source(line: &Line) -> &'static str {
    match (line.source, line.process.as_str()) {
        (_, "api") => "heroku-api",
        ("heroku", "router") => "heroku-router",
        ("heroku", _) => "heroku-runtime",
        (source, _) => source,
    }
}

/// The lines of the past that a session begins with: the last ones, or, for a reader that was here before, all after the second it has seen.
pub(super) fn past(session: &Session, history: &History, now: Timestamp, last_event_id: Option<i64>) -> Vec<Line> {
    if session.is_fir {
        return Vec::new();
    }
    let wanted = history.of(&session.app, now).filter(|line| is_wanted(session, line));
    let lines_max = if last_event_id.is_some() { HISTORY_LINES_MAX } else { session.lines.min(HISTORY_LINES_MAX) };
    let after = wanted.filter(|line| last_event_id.is_none_or(|second| line.at.as_second() > second));
    let mut lines: Vec<Line> = after.rev().take(lines_max).cloned().collect();
    lines.reverse();
    lines
}

impl Reading {
    pub(super) fn new(
        session: &Session,
        past: Vec<Line>,
        new: Option<mpsc::Receiver<Line>>,
        print: Print,
        faults: Faults,
        keep_alive_every: Duration,
    ) -> Self {
        Self { past: past.into_iter(), new, print, is_fir: session.is_fir, faults, keep_alive_every }
    }

    /// The answer that streams it.
    pub(super) fn answer(self) -> Response<Body> {
        let content_type = match self.print {
            Print::Plain => "text/plain; charset=utf-8",
            Print::Events => "text/event-stream; charset=utf-8",
        };
        let frames = stream::unfold(self, Self::next);
        let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer
    }

    async fn next(mut self) -> Option<(io::Result<Frame<Bytes>>, Self)> {
        let line = match (self.past.next(), &mut self.new) {
            (Some(line), _) => Some(line),
            (None, None) => return None,
            (None, Some(new)) => match timeout(self.keep_alive_every, new.recv()).await {
                Ok(None) => return None,
                Ok(Some(line)) => Some(line),
                Err(_) => None,
            },
        };
        if self.faults.strikes(Fault::SessionReset) {
            (self.past, self.new) = (Vec::new().into_iter(), None);
            return Some((Err(io::ErrorKind::ConnectionReset.into()), self));
        }
        let bytes = line.map_or_else(|| self.print.sign_of_life(), |line| self.print.line(&line, self.is_fir));
        Some((Ok(Frame::data(bytes)), self))
    }
}

impl Print {
    fn sign_of_life(self) -> Bytes {
        match self {
            Self::Plain => Bytes::from_static(b"\0"),
            Self::Events => Bytes::from_static(b":\n\n"),
        }
    }

    /// `TIME SOURCE[DYNO]: TEXT`, once per piece of a long line.
    fn line(self, line: &Line, is_fir: bool) -> Bytes {
        let source = if is_fir { fir_source(line) } else { line.source };
        let head = format!("{} {source}[{}]: ", time_in_microseconds(line.at), line.process);
        let mut bytes = Vec::with_capacity(head.len() + line.text.len() + 32);
        let pieces: Vec<&[u8]> = if line.text.is_empty() { vec![b""] } else { line.text.chunks(PIECE_BYTES_MAX).collect() };
        for piece in pieces {
            match self {
                Self::Plain => bytes.extend([head.as_bytes(), piece, b"\n"].concat()),
                Self::Events => {
                    bytes.extend(format!("id: {}\n", line.at.as_second()).bytes());
                    // Every newline in an event's data begins a line of its own; a lone carriage return would be one, too.
                    for row in [head.as_bytes(), piece].concat().split(|byte| matches!(byte, b'\n' | b'\r')) {
                        bytes.extend([b"data: ", row, b"\n"].concat());
                    }
                    bytes.push(b'\n');
                }
            }
        }
        bytes.into()
    }
}

/// The answer where there is no such session any more.
pub(super) fn gone() -> Response<Body> {
    let mut answer = Response::new(full("Not found"));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

#[cfg(test)]
mod tests;
