//! One call of the REST API: who we are, the permit, the request, and what its answer stands for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_core::Secret;
use freshet_web::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use freshet_web::{Answer, Method, RequestBuilder, Trouble};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Workspace;
use super::error::WorkspaceError;
use super::grants::Grant;
use super::login::{Access, Tokens};

/// Characters of a server's message that are kept.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Codes of failures that pass, in answers and in failed statements.
const PASSING: [&str; 8] = [
    "TEMPORARILY_UNAVAILABLE",
    "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "REQUEST_LIMIT_EXCEEDED",
    "DEADLINE_EXCEEDED",
    "SERVICE_UNDER_MAINTENANCE",
    "IO_ERROR",
    "ABORTED",
];

/// What a path of the API may hold as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is to be asked.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Body,
    /// For people: `upload /Volumes/…`.
    pub(super) doing: String,
    /// The rights it needs, for an answer that does not name what is missing.
    needs: Vec<Grant>,
    /// Where it goes, if not to the workspace itself.
    elsewhere: Option<Arc<Elsewhere>>,
}

/// Another host of the same workspace, which takes tokens of its own.
pub(super) struct Elsewhere {
    /// `https://…`, without a slash at its end.
    pub(super) host: String,
    /// What it takes.
    pub(super) tokens: Tokens,
}

#[derive(Clone)]
enum Body {
    None,
    Json(Value),
    /// JSON that is written already.
    Written(Bytes),
    /// Any file.
    Bytes(Bytes),
}

impl Call {
    pub(super) fn get(doing: &str, path: &str) -> Self {
        Self::new(Method::GET, doing, path)
    }

    pub(super) fn new(method: Method, doing: &str, path: &str) -> Self {
        let (path, doing) = (path.to_owned(), doing.to_owned());
        Self { method, path, query: Vec::new(), body: Body::None, doing, needs: Vec::new(), elsewhere: None }
    }

    pub(super) fn post(doing: &str, path: &str, body: Value) -> Self {
        Self { body: Body::Json(body), ..Self::new(Method::POST, doing, path) }
    }

    pub(super) fn put(doing: &str, path: &str, bytes: Bytes) -> Self {
        Self { body: Body::Bytes(bytes), ..Self::new(Method::PUT, doing, path) }
    }

    pub(super) fn post_written(doing: &str, path: &str, json: Bytes) -> Self {
        Self { body: Body::Written(json), ..Self::new(Method::POST, doing, path) }
    }

    pub(super) fn to(self, elsewhere: &Arc<Elsewhere>) -> Self {
        Self { elsewhere: Some(Arc::clone(elsewhere)), ..self }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    pub(super) fn needing(mut self, grant: Grant) -> Self {
        self.needs.push(grant);
        self
    }
}

/// `name` as one part of a path.
pub(super) fn path_part(name: &str) -> String {
    utf8_percent_encode(name, &PLAIN).to_string()
}

/// An error and how long the server asks us to wait.
struct Trial {
    error: WorkspaceError,
    pause: Option<Duration>,
}

impl From<WorkspaceError> for Trial {
    fn from(error: WorkspaceError) -> Self {
        Self { error, pause: None }
    }
}

/// How often and how long one thing was tried.
pub(super) struct Attempts {
    failures: u32,
    waited: Duration,
}

impl Attempts {
    pub(super) fn none() -> Self {
        Self { failures: 0, waited: Duration::ZERO }
    }
}

impl Workspace {
    /// The JSON that answers `call`.
    pub(super) async fn value(&self, call: &Call) -> Result<Value, WorkspaceError> {
        let answer = self.ask(call).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|_| WorkspaceError::broken(&call.doing, "the answer is no JSON"))
    }

    /// The JSON that answers `call`, or nothing where there is no such thing.
    pub(super) async fn found(&self, call: &Call) -> Result<Option<Value>, WorkspaceError> {
        match self.value(call).await {
            Err(WorkspaceError::Missing { .. }) => Ok(None),
            ended => ended.map(Some),
        }
    }

    /// The good answer to `call`, which is made as often as the limits allow.
    pub(super) async fn ask(&self, call: &Call) -> Result<Answer, WorkspaceError> {
        let mut attempts = Attempts::none();
        loop {
            match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(Trial { error, pause }) => self.pause(&mut attempts, error, pause).await?,
            }
        }
    }

    /// Waits until what failed with `error` may be tried again.
    ///
    /// # Errors
    /// The same error, when that is not worth it or has been done often enough.
    pub(super) async fn pause(
        &self,
        attempts: &mut Attempts,
        error: WorkspaceError,
        asked: Option<Duration>,
    ) -> Result<(), WorkspaceError> {
        let limits = self.limits();
        attempts.failures += 1;
        // Who is told not to wait at all waits a little all the same.
        let own = self.shared.backoff.half(attempts.failures);
        let wait = asked.map_or(own, |asked| if asked.is_zero() { own } else { asked });
        if !error.is_transient() || attempts.failures >= limits.tries_max || attempts.waited + wait > limits.patience {
            return Err(error);
        }
        attempts.waited += wait;
        tracing::debug!(failures = attempts.failures, ?wait, %error, "databricks call failed, will be made again");
        self.shared.timer.sleep(wait).await;
        Ok(())
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, Trial> {
        let answer = self.send(call).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let pause = answer.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let error = match self.refusal(call, &answer) {
            // What to do about it has to name us.
            WorkspaceError::Denied { doing, message, grants, principal: None } if !grants.is_empty() => {
                let principal = Box::pin(self.asked_who()).await;
                WorkspaceError::Denied { doing, message, grants, principal }
            }
            error => error,
        };
        Err(Trial { error, pause })
    }

    /// Makes a call without saying who we are; any answer will do.
    pub(super) async fn reach(&self, call: &Call) -> Result<(), WorkspaceError> {
        let client = &self.shared.client;
        let sent = client.send(client.request(call.method.clone(), self.url(call))).await;
        sent.map(drop).map_err(|trouble| self.unanswered(call, trouble))
    }

    /// Who we are, where that can be had with a single request.
    async fn asked_who(&self) -> Option<String> {
        let known = self.principal();
        if known.is_some() {
            return known;
        }
        let answer = self.send(&Call::get("ask who we are", "/api/2.0/preview/scim/v2/Me")).await.ok()?;
        let me: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(me["userName"].as_str()?.to_owned())
    }

    /// Sends a call; once again with another token where one that can be had anew is refused.
    async fn send(&self, call: &Call) -> Result<Answer, WorkspaceError> {
        // It is never closed.
        let _permit = self.shared.at_once.acquire().await.ok();
        let tokens = call.elsewhere.as_ref().map_or(&self.shared.tokens, |elsewhere| &elsewhere.tokens);
        let access = tokens.get().await?;
        let answer = self.send_with(call, &access).await?;
        if answer.status != 401 || !tokens.refused(&access) {
            return Ok(answer);
        }
        let access = tokens.get().await?;
        self.send_with(call, &access).await
    }

    async fn send_with(&self, call: &Call, access: &Access) -> Result<Answer, WorkspaceError> {
        let client = if matches!(call.body, Body::Bytes(_)) { &self.shared.uploads } else { &self.shared.client };
        let request = client.request(call.method.clone(), self.url(call)).header(ACCEPT, "application/json");
        let request = request.header(AUTHORIZATION, access.header());
        let request: RequestBuilder = match &call.body {
            Body::None => request,
            Body::Json(value) => request.header(CONTENT_TYPE, "application/json").body(value.to_string()),
            Body::Written(json) => request.header(CONTENT_TYPE, "application/json").body(json.clone()),
            Body::Bytes(bytes) => request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone()),
        };
        client.send(request).await.map_err(|trouble| self.unanswered(call, trouble))
    }

    fn url(&self, call: &Call) -> String {
        let mut url = format!("{}{}", self.host_of(call), call.path);
        for (position, (name, value)) in call.query.iter().enumerate() {
            url.push(if position == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&path_part(value));
        }
        url
    }

    fn host_of<'a>(&'a self, call: &'a Call) -> &'a str {
        call.elsewhere.as_ref().map_or(&self.shared.host, |elsewhere| &elsewhere.host)
    }

    fn unanswered(&self, call: &Call, trouble: Trouble) -> WorkspaceError {
        WorkspaceError::Unreachable { doing: call.doing.clone(), host: self.host_of(call).to_owned(), trouble }
    }

    /// What an answer that is not good stands for.
    fn refusal(&self, call: &Call, answer: &Answer) -> WorkspaceError {
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = value["error_code"].as_str().unwrap_or_default().to_owned();
        let message = value["message"].as_str().filter(|text| !text.is_empty()).unwrap_or("(without a reason)");
        let message = match &call.elsewhere {
            Some(elsewhere) => self.shown(&hide(message, &elsewhere.tokens.secrets())),
            None => self.shown(message),
        };
        let doing = call.doing.clone();
        match answer.status {
            300..=399 => {
                WorkspaceError::broken(&doing, &format!("the answer sends us elsewhere (HTTP {}), which is not followed", answer.status))
            }
            401 => WorkspaceError::Login {
                host: self.host_of(call).to_owned(),
                why: format!("the token is not taken ({message}); see whether it has expired and belongs to this workspace"),
            },
            403 => {
                let found = Grant::in_message(&message);
                let grants = if found.is_empty() { call.needs.clone() } else { found };
                WorkspaceError::Denied { doing, message, grants, principal: self.principal() }
            }
            409 if is_there(&code) => WorkspaceError::Exists { doing, message },
            _ if is_there(&code) => WorkspaceError::Exists { doing, message },
            404 => WorkspaceError::Missing { doing, message },
            _ if is_missing(&code) => WorkspaceError::Missing { doing, message },
            429 | 503 => WorkspaceError::Busy { doing, status: answer.status, message },
            500 | 502 | 504 => WorkspaceError::Failed { doing, code: said(&code, answer.status), message, is_transient: true },
            status => {
                let is_transient = is_passing(&code, &message);
                WorkspaceError::Failed { doing, code: said(&code, status), message, is_transient }
            }
        }
    }

    /// A server's words for a person.
    pub(super) fn shown(&self, text: &str) -> String {
        hide(text, &self.shared.tokens.secrets())
            .chars()
            .filter(|character| !character.is_control() || *character == '\n')
            .take(MESSAGE_CHARS_MAX)
            .collect()
    }
}

fn hide(text: &str, secrets: &[Secret]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| match secret.reveal() {
        "" => text,
        secret => text.replace(secret, "[secret]"),
    })
}

fn said(code: &str, status: u16) -> String {
    if code.is_empty() { format!("HTTP {status}") } else { code.to_owned() }
}

fn is_there(code: &str) -> bool {
    code.ends_with("ALREADY_EXISTS")
}

fn is_missing(code: &str) -> bool {
    code.ends_with("DOES_NOT_EXIST") || code.ends_with("NOT_FOUND")
}

/// Names by which Delta says that another commit has come between.
const COLLISIONS: [&str; 6] = [
    "DELTA_CONCURRENT_",
    "ConcurrentAppendException",
    "DELTA_METADATA_CHANGED",
    "MetadataChangedException",
    "DELTA_PROTOCOL_CHANGED",
    "ProtocolChangedException",
];

/// Whether a failure of this code and message may not happen again.
pub(super) fn is_passing(code: &str, message: &str) -> bool {
    PASSING.contains(&code) || COLLISIONS.iter().any(|name| message.contains(name))
}
