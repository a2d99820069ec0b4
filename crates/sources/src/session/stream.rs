//! One session's stream.

use std::time::Duration;

use bytes::Bytes;
use freshet_web::header::{ACCEPT, CONTENT_TYPE};
use freshet_web::{Client, Peer, Stream, Trouble, WebLimits, web_address};
use futures::FutureExt as _;
use url::Url;

use super::events::Events;
use super::plain::Plain;
use super::{BATCH_LINES_MAX, SessionError, SessionOptions};

/// A stream that is open.
pub(super) struct Session {
    /// Its number among a follower's sessions, beginning with 1.
    pub(super) number: u64,
    /// When it began, by the follower's timer.
    pub(super) begun: Duration,
    /// Whether no session before had a line, so that this one says where the log begins for us.
    pub(super) is_first: bool,
    /// Lines that no session had told before.
    pub(super) new_lines: u64,
    /// How it ended, while its last lines are being told.
    end: Option<Option<Trouble>>,
    stream: Stream,
    form: Form,
}

/// How lines are written.
enum Form {
    Events(Events),
    Plain(Plain),
}

/// What a session says.
pub(super) enum Heard {
    /// Lines, each with its second where the stream names it.
    Lines { is_current: bool, lines: Vec<(Option<i64>, Vec<u8>)> },
    /// It is over.
    End { is_current: bool, trouble: Option<Trouble> },
    /// Nothing, but it is time to see to it.
    Due,
}

impl Session {
    /// Opens the stream at `address`; on Cedar with the lines after the second `after`.
    pub(super) async fn open(address: &str, after: Option<i64>, options: &SessionOptions, number: u64) -> Result<Self, SessionError> {
        let limits = WebLimits {
            connect_within: options.limits.connect_within,
            request_within: options.limits.silent_within,
            ..WebLimits::default()
        };
        let client = Client::for_streams(peer(address)?, Client::USER_AGENT, limits).map_err(SessionError::Client)?;
        let mut request = client.get(address).header(ACCEPT, "text/event-stream").header("cache-control", "no-cache");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let stream = client.open(request).await.map_err(SessionError::Unreachable)?;
        if stream.status() != 200 {
            return Err(SessionError::Refused { status: stream.status() });
        }
        let content_type = stream.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_events = content_type.starts_with("text/event-stream");
        let form = if is_events { Form::Events(Events::default()) } else { Form::Plain(Plain::default()) };
        Ok(Self { number, begun: options.timer.now(), is_first: false, new_lines: 0, end: None, stream, form })
    }

    async fn hear(&mut self, is_current: bool) -> Heard {
        let mut lines = Vec::new();
        if let Some(trouble) = self.end.take() {
            return Heard::End { is_current, trouble };
        }
        loop {
            // Once there is something to say, only what has come already is waited for.
            let chunk = if lines.is_empty() {
                self.stream.chunk().await
            } else if lines.len() < BATCH_LINES_MAX
                && let Some(chunk) = self.stream.chunk().now_or_never()
            {
                chunk
            } else {
                return Heard::Lines { is_current, lines };
            };
            let trouble = match chunk {
                Ok(Some(bytes)) => {
                    self.form.push(&bytes, &mut lines);
                    continue;
                }
                Ok(None) => None,
                Err(trouble) => Some(trouble),
            };
            if lines.is_empty() {
                return Heard::End { is_current, trouble };
            }
            self.end = Some(trouble);
            return Heard::Lines { is_current, lines };
        }
    }
}

/// Waits for what `session` says; without one, for ever.
pub(super) async fn hear(session: &mut Option<Session>, is_current: bool) -> Heard {
    match session {
        Some(session) => session.hear(is_current).await,
        None => std::future::pending().await,
    }
}

impl Form {
    fn push(&mut self, bytes: &Bytes, lines: &mut Vec<(Option<i64>, Vec<u8>)>) {
        match self {
            Self::Events(events) => {
                let mut found = Vec::new();
                events.push(bytes, &mut found);
                lines.extend(found.into_iter().map(|event| (event.id, event.data)));
            }
            Self::Plain(plain) => {
                let mut found = Vec::new();
                plain.push(bytes, &mut found);
                lines.extend(found.into_iter().map(|line| (None, line)));
            }
        }
    }
}

/// Who is at `address`, which must be one that a secret may be sent to: whoever has it can read the log.
fn peer(address: &str) -> Result<Peer, SessionError> {
    let mut url = Url::parse(address).map_err(|_| SessionError::Address("is none".to_owned()))?;
    url.set_query(None);
    web_address(url.as_str()).map_err(SessionError::Address)?;
    Ok(if url.scheme() == "http" { Peer::Local } else { Peer::Remote })
}
