//! The kinds of line, with their fields as slices of the text. An absent or empty field is `None`.

use std::borrow::Cow;
use std::ops::Range;

/// What a message's text turned out to be. `'t` is the life of the text and of the scratch space.
#[derive(Debug)]
pub enum Line<'t> {
    /// One request seen by the router.
    Router(Router<'t>),
    /// log-runtime-metrics of a dyno.
    DynoMetrics(Samples<'t>),
    /// `heroku-postgres` metrics.
    PostgresMetrics(Samples<'t>),
    /// `heroku-pgbouncer` metrics.
    PgbouncerMetrics(Samples<'t>),
    /// `heroku-redis` metrics.
    RedisMetrics(Samples<'t>),
    /// Any other `sample#`, `measure#`, `count#` or `unique#` line.
    MetricSamples(Samples<'t>),
    /// A PostgreSQL server's own log line.
    PostgresLog(PostgresLog<'t>),
    /// A change in a dyno's life.
    DynoEvent(DynoEvent<'t>),
    /// An H, R or L error line.
    PlatformError(PlatformError<'t>),
    /// Something done through the Platform API.
    ApiEvent(ApiEvent<'t>),
    /// A structured line of the app itself.
    AppEvent(AppEvent<'t>),
    /// Anything else.
    App,
}

/// One HTTP request seen by the router (`at=info method=GET path="/" …`).
#[derive(Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the fields are Heroku's own keys; their meanings are the column comments of the tables crate")]
pub struct Router<'t> {
    pub at: Option<&'t [u8]>,
    pub code: Option<&'t [u8]>,
    pub desc: Option<&'t [u8]>,
    pub cause: Option<&'t [u8]>,
    pub method: Option<&'t [u8]>,
    pub path: Option<&'t [u8]>,
    pub host: Option<&'t [u8]>,
    pub request_id: Option<&'t [u8]>,
    pub fwd: Option<&'t [u8]>,
    pub dyno: Option<&'t [u8]>,
    pub connect_ms: Option<i32>,
    pub service_ms: Option<i32>,
    pub status: Option<i32>,
    pub bytes: Option<i64>,
    pub protocol: Option<&'t [u8]>,
    pub tls: Option<bool>,
    pub tls_version: Option<&'t [u8]>,
    pub sock: Option<&'t [u8]>,
    pub queue_ms: Option<i32>,
    pub wait_ms: Option<i32>,
    /// Keys this version does not know, and known keys whose value did not fit its type.
    pub extra: Vec<(&'t [u8], &'t [u8])>,
}

/// A line of `type#name=valueunit` pairs among plain `key=value` tags.
#[derive(Debug)]
pub struct Samples<'t> {
    /// The `source=` tag.
    pub source: Option<&'t [u8]>,
    /// The `addon=` tag.
    pub addon: Option<&'t [u8]>,
    /// The `dyno=` tag.
    pub dyno: Option<&'t [u8]>,
    /// The measurements in order; resolve their ranges with [`Samples::slice`].
    pub samples: &'t [Sample],
    /// All plain tags (those above included) as ranges of the text: key, value.
    pub tags: &'t [(Range<usize>, Range<usize>)],
    /// The text the ranges refer to.
    pub text: &'t [u8],
}

impl<'t> Samples<'t> {
    /// The bytes that `range` stands for.
    #[must_use]
    pub fn slice(&self, range: &Range<usize>) -> &'t [u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which prefix it had.
    pub metric_type: MetricType,
    /// Its name, as sent: `-` and `_` in it are one name.
    pub name: Range<usize>,
    /// Its number, always finite.
    pub value: f64,
    /// What followed the number (`MB`, `ms`, …); empty for none.
    pub unit: Range<usize>,
}

/// The prefixes of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the prefixes")]
pub enum MetricType {
    Sample,
    Measure,
    Count,
    Unique,
}

/// A PostgreSQL server's own log line (`[YELLOW] [12-1]  sql_error_code = 00000 LOG:  …`).
#[derive(Debug, Default, PartialEq)]
pub struct PostgresLog<'t> {
    /// The backend's process id, from the PROCID `postgres.123`.
    pub pid: Option<i32>,
    /// The first number in `[12-1]`.
    pub line: Option<i32>,
    /// The second number in `[12-1]`.
    pub part: Option<i32>,
    /// The colour or follower name in the first brackets.
    pub tag: Option<&'t [u8]>,
    /// The SQLSTATE.
    pub sql_error_code: Option<&'t [u8]>,
    /// `LOG`, `ERROR`, `FATAL`, `STATEMENT`, `DETAIL`, `HINT`, `NOTICE`, …
    pub level: Option<&'t [u8]>,
    /// The words after the level, or all of a continuation part.
    pub text: Option<&'t [u8]>,
    /// The `key = "value"` pairs between SQLSTATE and level.
    pub fields: Vec<(&'t [u8], &'t [u8])>,
}

/// A change in a dyno's life.
#[derive(Debug, PartialEq)]
pub struct DynoEvent<'t> {
    /// What happened.
    pub event: DynoEventKind,
    /// `State changed from A to B`: A.
    pub from_state: Option<&'t [u8]>,
    /// `State changed from A to B`: B.
    pub to_state: Option<&'t [u8]>,
    /// `Process exited with status N`: N.
    pub exit_status: Option<i32>,
    /// The command between the backquotes, secrets replaced by `[redacted]`.
    pub command: Option<Cow<'t, [u8]>>,
}

/// What can happen to a dyno, by the names in `dyno_events.event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the names in the table")]
pub enum DynoEventKind {
    StateChanged,
    ProcessStarted,
    ProcessExited,
    Stopping,
    Killed,
    Restarting,
    Cycling,
    Idling,
    Unidling,
    AwaitingClient,
    ClientClosed,
    MemoryReport,
}

/// An H, R or L error (`Error R14 (Memory quota exceeded)[ -> text]`, or a router line with `code=`).
#[derive(Debug, PartialEq)]
pub struct PlatformError<'t> {
    /// `H12`, `R14`, `L10`, …
    pub code: &'t [u8],
    /// Its first letter.
    pub family: ErrorFamily,
    /// What stands in the parentheses or in `desc=`; Heroku's own title of the code where the line has none.
    pub title: &'t [u8],
    /// What follows the title, or the router's `cause=`.
    pub detail: Option<&'t [u8]>,
    /// Router lines: the request.
    pub request_id: Option<&'t [u8]>,
    /// L10 to L13: how many messages the line says were lost (an over-estimate for L10).
    pub messages_lost: Option<i64>,
}

/// The families of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the letters")]
pub enum ErrorFamily {
    H,
    R,
    L,
}

/// Something done through the Platform API (`Release v5 created by user a@example.com`).
#[derive(Debug, PartialEq)]
pub struct ApiEvent<'t> {
    /// What was done.
    pub action: ApiAction,
    /// Who did it: what follows ` by user ` or ` by `.
    pub actor: Option<&'t [u8]>,
    /// The N of `vN`.
    pub release_version: Option<i32>,
    /// What was deployed.
    pub commit: Option<&'t [u8]>,
    /// Config vars, add-ons or attachments by name.
    pub names: Vec<&'t [u8]>,
    /// Process type and `QUANTITY:SIZE` parts: `web`, `3`, `Standard-1X`.
    pub formation: Vec<(&'t [u8], &'t [u8], &'t [u8])>,
}

/// What can be done through the API, by the names in `api_events.action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the names in the table")]
pub enum ApiAction {
    Release,
    Deploy,
    BuildStarted,
    BuildSucceeded,
    BuildFailed,
    Scale,
    ConfigSet,
    ConfigRemoved,
    Attach,
    Detach,
    Rollback,
    Run,
    StackChanged,
    Other,
}

/// A structured line of the app itself.
#[derive(Debug)]
pub struct AppEvent<'t> {
    /// Which structure.
    pub format: AppFormat,
    /// `level`, `severity`, `lvl`, …
    pub level: Option<&'t [u8]>,
    /// `msg`, `message`, `event`, …
    pub text: Option<&'t [u8]>,
    /// `request_id`, `requestId`, `request-id`, …
    pub request_id: Option<&'t [u8]>,
    /// All fields in order, keys unique, nested names joined by `.`, as ranges of `buffer`: key, value.
    pub fields: &'t [(Range<usize>, Range<usize>)],
    /// What the field ranges refer to.
    pub buffer: &'t [u8],
    /// The JSON text, when it was JSON.
    pub body: Option<&'t [u8]>,
}

/// The structures an app line may have, by the names in `app_events.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the names in the table")]
pub enum AppFormat {
    Json,
    Logfmt,
    Rails,
}

/// Memory that is used again from line to line, so that reading a line allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) samples: Vec<Sample>,
    pub(crate) pairs: Vec<(Range<usize>, Range<usize>)>,
    pub(crate) buffer: Vec<u8>,
}

/// How many tags of a metrics line, or fields of an app's line, are taken apart; more stay in the text alone.
pub const PAIRS_MAX: usize = 128;

impl Scratch {
    /// Adds a tag whose key and value are ranges of `text`. The first of two with one key wins.
    #[inline]
    pub(crate) fn add_tag(&mut self, text: &[u8], key: Range<usize>, value: Range<usize>) {
        if self.has_room() && !has_key(&self.pairs, text, &key) {
            self.pairs.push((key, value));
        }
    }

    /// Forgets the fields of the line before.
    pub(crate) fn clear_fields(&mut self) {
        self.pairs.clear();
        self.buffer.clear();
    }

    /// Adds a field whose key and value are ranges of the buffer. The first of two with one key wins.
    #[inline]
    pub(crate) fn add_field(&mut self, key: Range<usize>, value: Range<usize>) {
        if self.has_room() && !has_key(&self.pairs, &self.buffer, &key) {
            self.pairs.push((key, value));
        }
    }

    /// Whether another field would be taken.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.pairs.len() < PAIRS_MAX
    }

    /// Copies `bytes` into the buffer.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}

#[inline]
fn has_key(pairs: &[(Range<usize>, Range<usize>)], bytes: &[u8], key: &Range<usize>) -> bool {
    let name = &bytes[key.clone()];
    pairs.iter().any(|(known, _)| known.len() == name.len() && bytes[known.clone()] == *name)
}

/// Gives each enum whose variants are names in a table its `as_str`.
macro_rules! names {
    ($($kind:ident { $($variant:ident => $name:literal),* $(,)? })*) => {$(
        impl $kind {
            /// The name in the table.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    )*};
}

names! {
    MetricType { Sample => "sample", Measure => "measure", Count => "count", Unique => "unique" }
    DynoEventKind {
        StateChanged => "state_changed", ProcessStarted => "process_started", ProcessExited => "process_exited",
        Stopping => "stopping", Killed => "killed", Restarting => "restarting", Cycling => "cycling", Idling => "idling",
        Unidling => "unidling", AwaitingClient => "awaiting_client", ClientClosed => "client_closed", MemoryReport => "memory_report",
    }
    ErrorFamily { H => "H", R => "R", L => "L" }
    ApiAction {
        Release => "release", Deploy => "deploy", BuildStarted => "build_started", BuildSucceeded => "build_succeeded",
        BuildFailed => "build_failed", Scale => "scale", ConfigSet => "config_set", ConfigRemoved => "config_removed",
        Attach => "attach", Detach => "detach", Rollback => "rollback", Run => "run", StackChanged => "stack_changed",
        Other => "other",
    }
    AppFormat { Json => "json", Logfmt => "logfmt", Rails => "rails" }
}
