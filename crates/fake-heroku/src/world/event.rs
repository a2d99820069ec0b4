//! What happens in a world, in the forms that leave it.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An app's log got a line.
    Line(Line),
    /// An object appeared, changed or vanished.
    Changed(Change),
    /// A request, a span or a measurement: what a telemetry drain carries beside the lines.
    Measured(Measure),
}

/// A line of an app's log stream, before any drain has framed it.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, in the story's time. Drains show microseconds.
    pub at: Timestamp,
    /// The id of the app it belongs to.
    pub app: String,
    /// The syslog priority: facility × 8 + severity. Heroku's own lines have 158 (local3, info), the app's 190 (local7, info).
    pub priority: u8,
    /// `app` or `heroku`.
    pub source: &'static str,
    /// `web.1`, `router`, `api`, `heroku-postgres`, …
    pub process: String,
    /// The text, without the newline that ends it. Any bytes: programs write what they like.
    pub text: Bytes,
}

/// A measurement for telemetry drains (Fir apps): one HTTP request with its span, or one reading of a dyno's gauges.
#[derive(Clone, Debug)]
pub struct Measure {
    /// When it ended, in the story's time.
    pub at: Timestamp,
    /// The id of the app.
    pub app: String,
    /// `web.1` or Fir's `web-1234abcde-123ab`.
    pub process: String,
    /// What was measured.
    pub what: Measured,
}

/// See [`Measure`].
#[derive(Clone, Debug)]
pub enum Measured {
    /// A request that the router passed on.
    Request {
        /// `GET`, …
        method: &'static str,
        /// The path without its query.
        path: String,
        /// The status that was answered.
        status: u16,
        /// How long it took, in milliseconds.
        service_ms: u32,
        /// The router's request id.
        request_id: String,
    },
    /// Gauges of a dyno.
    Dyno {
        /// Resident memory in MB.
        memory_rss_mb: f64,
        /// Its limit in MB.
        memory_quota_mb: f64,
        /// Load average of one minute.
        load_avg_1m: f64,
    },
}

/// An object that appeared, changed or vanished: what a webhook tells, and the journal keeps.
#[derive(Clone, Debug)]
pub struct Change {
    /// When, in the story's time.
    pub at: Timestamp,
    /// The resource by its API name: `app`, `release`, `add-on`, …
    pub resource: &'static str,
    /// Its id.
    pub id: String,
    /// The app it belongs to (or is), for the webhooks of that app.
    pub app: Option<String>,
    /// What happened.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// The object after it; for a destruction, the object before.
    pub data: Value,
    /// The fields that are different now, as they were before.
    pub previous: Value,
}

/// What can happen to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It appeared.
    Create,
    /// It changed.
    Update,
    /// It vanished.
    Destroy,
}

impl Action {
    /// Its name in webhooks.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Destroy => "destroy",
        }
    }
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Id of the account.
    pub id: String,
    /// Its e-mail address.
    pub email: String,
}

/// Something that the API says no to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status, such as 422.
    pub status: u16,
    /// The error's id, such as `invalid_params`.
    pub id: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl Refusal {
    /// 404 `not_found`.
    #[must_use]
    pub fn not_found(resource: &str) -> Self {
        Self { status: 404, id: "not_found", message: format!("Couldn't find that {resource}.") }
    }

    /// 422 `invalid_params`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: 422, id: "invalid_params", message: message.into() }
    }
}
