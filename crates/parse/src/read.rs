//! Which kind of line a message's text is: who sent it decides first, then its leading bytes.

use crate::line::{Line, Samples, Scratch};
use crate::{api_event, app_event, dyno_event, platform_error, postgres_log, router, samples};

/// Reads the text of a message from `source` and `dyno` (as [`crate::Message`] has them). Bytes in, slices of them out:
/// it cannot fail, takes time linear in the text, and a text that is no known kind of line is [`Line::App`].
pub fn read_line<'t>(source: &[u8], dyno: &[u8], text: &'t [u8], scratch: &'t mut Scratch) -> Line<'t> {
    match Sender::of(source, dyno) {
        Sender::Router => router::read(text).map_or_else(|| platform_error(text), Line::Router),
        Sender::Metrics(kind) => metrics(text, scratch, kind),
        Sender::PostgresServer => postgres_log::read(dyno, text).map_or(Line::App, Line::PostgresLog),
        Sender::Api => api_event::read(text).map_or(Line::App, Line::ApiEvent),
        Sender::Platform if text.starts_with(b"source=") => metrics(text, scratch, Line::DynoMetrics),
        Sender::Platform => dyno_event::read(text).map_or_else(|| platform_error(text), Line::DynoEvent),
        Sender::App => app(text, scratch),
    }
}

type Kind<'t> = fn(Samples<'t>) -> Line<'t>;

/// Who writes under a source and process name.
enum Sender<'t> {
    Router,
    Metrics(Kind<'t>),
    PostgresServer,
    Api,
    /// A dyno's manager, Logplex or log-shuttle.
    Platform,
    App,
}

impl Sender<'_> {
    fn of(source: &[u8], dyno: &[u8]) -> Self {
        let heroku = matches!(source, b"heroku" | b"heroku-runtime" | b"logplex" | b"Logplex");
        match (source, dyno) {
            (b"heroku-router", _) | (b"heroku", b"router") => Self::Router,
            (b"heroku-api", _) | (b"app" | b"heroku", b"api") => Self::Api,
            (b"app" | b"heroku", b"heroku-postgres") => Self::Metrics(Line::PostgresMetrics),
            (b"app" | b"heroku", b"heroku-pgbouncer") => Self::Metrics(Line::PgbouncerMetrics),
            (b"app" | b"heroku", b"heroku-redis") => Self::Metrics(Line::RedisMetrics),
            (b"app" | b"heroku", b"postgres") => Self::PostgresServer,
            (b"app" | b"heroku", dyno) if dyno.starts_with(b"postgres.") => Self::PostgresServer,
            (_, b"log-shuttle") => Self::Platform,
            _ if heroku => Self::Platform,
            _ => Self::App,
        }
    }
}

fn platform_error(text: &[u8]) -> Line<'_> {
    platform_error::read(text).map_or(Line::App, Line::PlatformError)
}

fn metrics<'t>(text: &'t [u8], scratch: &'t mut Scratch, kind: Kind<'t>) -> Line<'t> {
    if samples::scan(text, scratch) { kind(samples::of(text, scratch)) } else { Line::App }
}

fn app<'t>(text: &'t [u8], scratch: &'t mut Scratch) -> Line<'t> {
    // A JSON text may hold what looks like a sample; in anything else a sample says most about the line.
    let is_object = text.trim_ascii_start().first() == Some(&b'{');
    let mut found = if is_object { app_event::scan(text, scratch) } else { None };
    if found.is_none() && samples::has_prefix(text) && samples::scan(text, scratch) {
        return Line::MetricSamples(samples::of(text, scratch));
    }
    if !is_object {
        found = app_event::scan(text, scratch);
    }
    found.map_or(Line::App, |found| Line::AppEvent(app_event::of(found, scratch)))
}
