//! The Platform API: reads the world, and changes it as the story does.
//!
//! ```text
//! request ─▶ judge: maintenance, token, second factor, Accept, rate limit
//!              └▶ route ─▶ lists · infos · changes ─▶ Answer
//! response ◀─ ETag, Request-Id, RateLimit-Remaining, and what a fault makes of it
//! ```

mod answer;
mod changes;
mod infos;
mod limits;
mod lists;
mod oauth;
mod ranges;
mod route;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod usage;
mod vanish;
mod views;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RANGE};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::faults::{Fault, Faults};
use crate::http::{Body, Request};
use crate::logplex::Logplex;
use crate::world::{Chance, Refusal, World};
use answer::Answer;
use limits::Bucket;
use oauth::Tokens;
use route::{Call, Routes};

pub use oauth::OAuthOptions;

/// How the API is to behave.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Where this server is reached, such as `http://127.0.0.1:4000`: log sessions and archives lie below it.
    pub base_url: String,
    /// The only token it takes, beside those of `oauth`; without either, any token will do.
    pub token: Option<String>,
    /// An OAuth client that can fetch tokens.
    pub oauth: Option<OAuthOptions>,
    /// Requests per hour; a sixtieth of it comes back each minute. Heroku has 4,500.
    pub rate_limit: u32,
    /// The code that must be in `Heroku-Two-Factor-Code`; without one, no second factor is asked for.
    pub two_factor: Option<String>,
    /// Whether every answer is 503.
    pub maintenance: bool,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const TWO_FACTOR: HeaderName = HeaderName::from_static("heroku-two-factor-code");
const SCOPE: HeaderName = HeaderName::from_static("oauth-scope");

/// Ids of earlier requests that a client may send along, and gets back.
const REQUEST_IDS_MAX: usize = 20;

/// The least and most milliseconds of [`Fault::ApiSlow`].
const SLOW_MS: (u64, u64) = (2_000, 10_000);

/// The API's server, without the connections.
pub(crate) struct Api {
    options: ApiOptions,
    world: Arc<Mutex<World>>,
    logplex: Logplex,
    faults: Faults,
    routes: Routes,
    bucket: Mutex<Bucket>,
    tokens: Option<Mutex<Tokens>>,
    /// Requests that came, whatever became of them.
    requests: AtomicU64,
    // Its own, so that reading does not move the story's.
    chance: Mutex<Chance>,
}

impl Api {
    /// An API over `world`.
    pub(crate) fn new(options: ApiOptions, world: Arc<Mutex<World>>, logplex: Logplex, faults: Faults) -> Self {
        let bucket = Mutex::new(Bucket::new(options.rate_limit, Instant::now()));
        let chance = Mutex::new(faults.chance().of("requests"));
        let tokens = options.oauth.clone().map(|oauth| Mutex::new(Tokens::new(oauth)));
        Self { options, world, logplex, faults, routes: Routes::new(), bucket, tokens, requests: AtomicU64::new(0), chance }
    }

    /// Requests that came so far, whatever became of them.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Makes the rate limit smaller by `count` requests, as if others had made them.
    pub(crate) fn spend(&self, count: u32) {
        self.bucket().spend(Instant::now(), count);
    }

    /// Answers a request. Errs never: an error of the body is a fault that was asked for.
    pub(crate) async fn answer(&self, request: Request) -> Response<Body> {
        self.requests.fetch_add(1, Relaxed);
        let request_ids = self.request_ids(request.headers());
        if self.faults.strikes(Fault::ApiSlow) {
            let (least, most) = SLOW_MS;
            let slow_ms = self.faults.chance().between(least, most);
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
        }
        if self.faults.strikes(Fault::ApiReset) {
            return answer::broken_off(StatusCode::OK, &HeaderMap::new(), &[], 0);
        }
        let mut answer = self.judge(&request).unwrap_or_else(|refusal| Answer::refused(&refusal));
        if let Ok(ids) = HeaderValue::from_str(&request_ids) {
            answer.headers.insert(REQUEST_ID, ids);
        }
        answer.headers.insert(SCOPE, HeaderValue::from_static("global"));
        if request.method() == hyper::Method::GET {
            answer.tag(request.headers().get(IF_NONE_MATCH));
        }
        if !answer.body.is_empty() && self.faults.strikes(Fault::ApiTruncated) {
            return answer::broken_off(answer.status, &answer.headers, &answer.body, answer.body.len() / 2);
        }
        answer.into_response()
    }

    /// All that is checked before the question itself.
    fn judge(&self, request: &Request) -> Result<Answer, Refusal> {
        if self.options.maintenance || self.faults.strikes(Fault::Api503) {
            return Err(refusal(503, "maintenance", "Heroku API is temporarily unavailable. See https://status.heroku.com."));
        }
        if self.faults.strikes(Fault::Api500) {
            return Err(refusal(500, "internal_server_error", "Internal server error."));
        }
        let path = request.uri().path();
        // Signed addresses and the schema are open to all.
        if let Some(archive) = path.strip_prefix(usage::ARCHIVES_PATH) {
            return usage::archive_file(&self.world(), archive, request);
        }
        if path == "/schema" && request.method() == hyper::Method::GET {
            return Ok(Answer::one(StatusCode::OK, &schema::SCHEMA));
        }
        if let (Some(tokens), "/oauth/token", &hyper::Method::POST) = (&self.tokens, path, request.method()) {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            return tokens.lock().unwrap_or_else(PoisonError::into_inner).answer(request.body(), &mut chance, Instant::now());
        }
        let headers = request.headers();
        self.check_token(headers)?;
        self.check_second_factor(headers)?;
        check_accept(headers)?;
        let (route, names) = self.routes.find(request.method().as_str(), path).ok_or_else(no_route)?;
        let is_free = route.path == "/account/rate-limits";
        let left = if is_free { Some(self.bucket().remaining(Instant::now())) } else { self.bucket().take(Instant::now()) };
        let remaining = left.unwrap_or(0);
        let answered = match left.is_none() || self.faults.strikes(Fault::Api429) {
            true => Err(rate_limited()),
            false => body_of(request).and_then(|body| {
                let range = headers.get(RANGE).map(|range| range.to_str().unwrap_or("?"));
                self.ask(&Call { route, names, query: route::query_of(request.uri()), body, range, remaining, base_url: self.base_url() })
            }),
        };
        let mut answer = answered.unwrap_or_else(|refusal| Answer::refused(&refusal));
        answer.headers.insert(REMAINING, HeaderValue::from(remaining));
        Ok(answer)
    }

    /// The question itself.
    fn ask(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let mut world = self.world();
        check_standing(&world)?;
        if call.route.method != "GET" {
            return changes::change(&mut world, self, call);
        }
        if !lists::is_list(call.route) {
            return Ok(Answer::one(StatusCode::OK, &infos::info(&world, call)?));
        }
        let (objects, fields) = (lists::list(&world, call)?, call.route.ranges);
        let page = ranges::page(objects, call.range, fields)?;
        let mut answer = page.answer(call.route.answers, &self.faults);
        answer.headers.extend(page.headers());
        let victim = if page.has_next() { vanish::choose(&world, call.route.answers, &page, &self.faults) } else { None };
        if let Some((resource, id)) = victim {
            vanish::destroy(&mut world, resource, &id);
        }
        Ok(answer)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        let fetched = |given| {
            let tokens = self.tokens.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
            Some(tokens.takes(given, Instant::now()))
        };
        let is_good = match (&self.options.token, given) {
            (_, None | Some("")) => false,
            (Some(token), Some(given)) => token == given || fetched(given).unwrap_or(false),
            (None, Some(given)) => fetched(given).unwrap_or(true),
        };
        if is_good { Ok(()) } else { Err(refusal(401, "unauthorized", "Invalid credentials provided.")) }
    }

    fn check_second_factor(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.options.two_factor {
            Some(code) if headers.get(TWO_FACTOR).is_none_or(|given| given != code.as_str()) => {
                Err(refusal(403, "two_factor", "Two-factor authentication code is required."))
            }
            _ => Ok(()),
        }
    }

    /// An id of our own, then the client's chain, the newest first.
    fn request_ids(&self, headers: &HeaderMap) -> String {
        let own = self.chance.lock().unwrap_or_else(PoisonError::into_inner).uuid();
        let chain = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let earlier = chain.split(',').map(str::trim).filter(|id| !id.is_empty()).take(REQUEST_IDS_MAX);
        std::iter::once(own.as_str()).chain(earlier).collect::<Vec<_>>().join(",")
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a log session needs beside the world.
    fn session_address(&self, session: crate::logplex::Session) -> String {
        format!("{}{}", self.base_url(), self.logplex.open_session(session))
    }

    fn base_url(&self) -> &str {
        self.options.base_url.trim_end_matches('/')
    }
}

/// The versions of the API that the official tools ask for.
const VERSIONS: [&str; 4] = ["3", "3.sdk", "3.webhooks", "3.dogwood"];

fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let is_ours = |accept: &str| {
        let mut parts = accept.split(';').map(str::trim);
        let is_type = parts.next() == Some("application/vnd.heroku+json");
        is_type && parts.filter_map(|part| part.strip_prefix("version=")).any(|version| VERSIONS.contains(&version))
    };
    if accepts.into_iter().any(is_ours) {
        return Ok(());
    }
    Err(refusal(406, "not_acceptable", "Set the `Accept: application/vnd.heroku+json; version=3` header and try again."))
}

/// An account that does not pay, or is suspended, gets nothing.
fn check_standing(world: &World) -> Result<(), Refusal> {
    let account = world.owner().and_then(|owner| world.objects().get("account", &owner.id));
    match account {
        Some(account) if !account["suspended_at"].is_null() => Err(refusal(403, "suspended", "Your account has been suspended.")),
        Some(account) if !account["delinquent_at"].is_null() => {
            Err(refusal(402, "delinquent", "Your account is delinquent. Please update your payment method."))
        }
        _ => Ok(()),
    }
}

fn body_of(request: &Request) -> Result<Map<String, Value>, Refusal> {
    if request.body().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(refusal(400, "bad_request", "Unable to parse the JSON request.")),
    }
}

fn refusal(status: u16, id: &'static str, message: &str) -> Refusal {
    Refusal { status, id, message: message.to_owned() }
}

fn rate_limited() -> Refusal {
    refusal(429, "rate_limit", "Your account reached the API rate limit. Please wait a few minutes before making new requests.")
}

/// There is no such route, or this program has no answer to it.
fn no_route() -> Refusal {
    let message = "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), \
                   and did you specify your intended version with the `Accept` header?";
    refusal(404, "not_found", message)
}

/// Now, in wall time: log sessions end by it.
fn wall_time() -> Timestamp {
    Timestamp::now()
}
