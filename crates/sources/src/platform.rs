//! Heroku's Platform API as a source: objects and lists, page by page, within the rate limit.
//!
//! ```text
//! question ─▶ permit (so many at once) ─▶ budget (rate limit) ─▶ token ─▶ request ─▶ answer ─▶ object · page
//!    ▲                                                                      │
//!    └───────────────────── wait, longer each time ◀── no answer, 429, 5xx ─┘
//! ```
//!
//! Headers, ranges and errors are as the Platform API reference has them: `Range: id ..; max=1000` asks for a page, 206 with
//! `Next-Range` says that there are more, and an error's body is `{"id","message"}`. The limit is an account's 4,500
//! requests an hour, of which 75 come back each minute; every answer says in `RateLimit-Remaining` how many are left.

mod archive;
mod budget;
mod counters;
mod error;
mod oauth;
mod options;
mod pages;
mod range;
mod token;

use std::sync::Arc;
use std::time::Duration;

use freshet_core::Secret;
use freshet_web::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, RANGE};
use freshet_web::{Answer, Backoff, Client, Method, Peer, RequestBuilder, web_address};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use budget::{Budget, Taken};
use token::{Access, TokenSource, authorization};

pub use archive::{Archive, ArchiveError};
pub use counters::{ApiCounters, ApiCounts};
pub use error::{ApiError, Flaw, Refusal};
pub use freshet_web::{RuntimeTimer, Timer};
pub use oauth::OAuth;
pub use options::{ApiLimits, ApiOptions};
pub use pages::{Page, Pages, Part};
pub use range::{PAGE_OBJECTS_MAX, Range};
pub use token::Token;

/// Where Heroku's API is.
pub const HEROKU_URL: &str = "https://api.heroku.com";

/// Characters of an error's message that are kept.
const MESSAGE_CHARS_MAX: usize = 200;

/// The one question that costs nothing.
const RATE_LIMITS: &str = "/account/rate-limits";

/// A Platform API and the token to ask it with. Clones share the budget, the permits, the connections and the token.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
    counters: Arc<ApiCounters>,
    version: Version,
}

/// Which variant of the API's third version is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `version=3`, which is documented and promised to stay.
    #[default]
    Three,
    /// `version=3.sdk`, with resources that are not in the other.
    Sdk,
}

impl Version {
    fn accept(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Three => "application/vnd.heroku+json; version=3",
            Self::Sdk => "application/vnd.heroku+json; version=3.sdk",
        })
    }
}

struct Shared {
    client: Client,
    url: String,
    token: TokenSource,
    limits: ApiLimits,
    budget: Budget,
    /// As many permits as there may be requests at once.
    at_once: Semaphore,
    /// One permit: who has it is the next to leave, so that requests that wait for the budget leave in the order of their coming.
    door: Semaphore,
    backoff: Backoff,
    timer: Arc<dyn Timer>,
}

/// What is to be asked.
#[derive(Default)]
struct Question<'a> {
    method: Method,
    path: &'a str,
    /// What is sent along.
    body: Option<&'a Value>,
    range: Option<&'a str>,
    /// The tag by which an earlier answer is known.
    known: Option<&'a str>,
    /// Whether it costs nothing of the budget.
    is_free: bool,
}

/// What a request holds while it is under way.
struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    _taken: Option<Taken<'a>>,
}

/// How much longer a question may wait for the rate limit, and what Heroku said when it last refused it.
struct Patience {
    left: Duration,
    refusal: Option<Box<Refusal>>,
}

impl Api {
    /// The API that `options` name.
    ///
    /// # Errors
    /// The token must not go to the address, no header can carry it, or this machine cannot make requests at all.
    pub fn new(options: ApiOptions) -> Result<Self, ApiError> {
        let url = web_address(&options.url).map_err(ApiError::Address)?;
        let limits = options.limits;
        let shared = Shared {
            client: client(&url, &options)?,
            url,
            token: TokenSource::new(&options)?,
            budget: Budget::new(limits.requests_per_hour, limits.reserve_percent),
            at_once: Semaphore::new(limits.requests_at_once.clamp(1, Semaphore::MAX_PERMITS)),
            door: Semaphore::new(1),
            backoff: Backoff::new(limits.backoff_first, limits.backoff_max, options.seed),
            timer: options.timer,
            limits,
        };
        Ok(Self { shared: Arc::new(shared), counters: Arc::default(), version: Version::Three })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The same API, asked in another version.
    #[must_use]
    pub fn in_version(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    /// The same API, which counts in `counters`: a run can have its own.
    #[must_use]
    pub fn counted_by(&self, counters: Arc<ApiCounters>) -> Self {
        Self { counters, ..self.clone() }
    }

    /// What was asked and waited so far.
    #[must_use]
    pub fn counts(&self) -> ApiCounts {
        self.counters.snapshot()
    }

    /// The pages of the list at `path`, in the order of `range`.
    #[must_use]
    pub fn pages(&self, path: &str, range: &Range) -> Pages {
        Pages::new(self.clone(), path, range)
    }

    /// The object at `path`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn object(&self, path: &str) -> Result<Value, ApiError> {
        let question = Question { path, is_free: path == RATE_LIMITS, ..Question::default() };
        self.answer(&question, |answer| self.read(path, answer)).await
    }

    /// Makes a new object below `path` of what `body` says, and returns it. Unlike all else it is not asked again where nobody knows
    /// whether it was done: an answer that never came, or one of 500, 502 or 504.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.write(Method::POST, path, Some(body)).await
    }

    /// Changes the object at `path` to what `body` says, and returns it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn update(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.write(Method::PATCH, path, Some(body)).await
    }

    /// Removes the object at `path`, and returns what it was. One that is not there is an error, also when an answer was lost
    /// on the way and the object was removed by the request before.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.write(Method::DELETE, path, None).await
    }

    async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let question = Question { method, path, body, ..Question::default() };
        self.answer(&question, |answer| self.read(path, answer)).await
    }

    /// How long the token at hand is good, where whoever gave it has said so.
    #[must_use]
    pub fn token_ends_in(&self) -> Option<Duration> {
        self.shared.token.ends_in()
    }

    /// How many requests the account has left, where Heroku says. Asking is free, and worth it before much is asked.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn requests_left(&self) -> Result<Option<u32>, ApiError> {
        let limits = self.object(RATE_LIMITS).await?;
        let left = limits["remaining"].as_u64().map(|left| u32::try_from(left).unwrap_or(u32::MAX));
        self.shared.budget.answered(self.shared.timer.now(), left);
        Ok(left)
    }

    /// Asks for `path` once, whatever the rate limit is, and returns the answer as it is: for probes.
    ///
    /// # Errors
    /// There is none, or it is too long.
    pub async fn ask(&self, path: &str) -> Result<Answer, ApiError> {
        let answer = self.send(&Question { path, is_free: true, ..Question::default() }).await?;
        self.learn(path, &answer);
        Ok(answer)
    }

    /// The JSON in the `answer` to `path`, or the error that it stands for.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn read(&self, path: &str, answer: &Answer) -> Result<Value, ApiError> {
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let broken = |flaw| ApiError::Broken { path: path.to_owned(), flaw };
        match answer.status {
            200..=299 => value.ok_or_else(|| broken(Flaw::NoJson)),
            304 => Err(broken(Flaw::NothingNew)),
            status => {
                let value = value.unwrap_or_default();
                Err(ApiError::of(Refusal {
                    path: path.to_owned(),
                    status,
                    id: self.shown(value["id"].as_str().unwrap_or("error")),
                    message: self.shown(value["message"].as_str().unwrap_or("(without a reason)")),
                }))
            }
        }
    }

    /// Asks `question` until `read` makes something of an answer, as often and as long as the limits allow.
    async fn answer<T>(&self, question: &Question<'_>, read: impl Fn(&Answer) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let ended = self.persist(question, read).await;
        if ended.is_err() {
            self.counters.failed();
        }
        ended
    }

    async fn persist<T>(&self, question: &Question<'_>, read: impl Fn(&Answer) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut patience = Patience { left: self.shared.limits.patience, refusal: None };
        let (mut is_retry, mut failures) = (false, 0);
        loop {
            let turn = self.turn(question, &mut patience).await?;
            if is_retry {
                self.counters.retried();
            }
            is_retry = true;
            let sent = self.send(question).await;
            drop(turn);
            let read = sent.and_then(|answer| {
                self.learn(question.path, &answer);
                read(&answer)
            });
            match read {
                Ok(value) => return Ok(value),
                // The budget knows, and makes it wait.
                Err(ApiError::RateLimited { refusal, .. }) if !question.is_free => patience.refusal = refusal,
                Err(error) => {
                    failures += 1;
                    let may_be_done = question.method == Method::POST && !matches!(error, ApiError::Maintenance(_));
                    if !error.is_temporary() || may_be_done || failures >= self.shared.limits.tries_max {
                        return Err(error);
                    }
                    let wait = self.shared.backoff.full(failures);
                    tracing::debug!(path = question.path, failures, ?wait, reason = error.reason(), "request failed, will be tried again");
                    self.shared.timer.sleep(wait).await;
                }
            }
        }
    }

    /// Waits until `question` may be asked.
    async fn turn(&self, question: &Question<'_>, patience: &mut Patience) -> Result<Turn<'_>, ApiError> {
        if question.is_free {
            return Ok(Turn { _permit: None, _taken: None });
        }
        let Shared { timer, budget, limits, .. } = &*self.shared;
        // Neither semaphore is ever closed.
        let permit = self.shared.at_once.acquire().await.ok();
        let came = timer.now();
        let _door = self.shared.door.acquire().await.ok();
        patience.left = patience.left.saturating_sub(timer.now().saturating_sub(came));
        loop {
            let wait = match budget.take(timer.now()) {
                Ok(taken) => return Ok(Turn { _permit: permit, _taken: Some(taken) }),
                Err(wait) => wait,
            };
            if wait > patience.left {
                return Err(ApiError::RateLimited {
                    path: question.path.to_owned(),
                    waited: limits.patience.saturating_sub(patience.left),
                    needed: wait,
                    patience: limits.patience,
                    refusal: patience.refusal.take(),
                });
            }
            tracing::debug!(path = question.path, ?wait, "waiting for the rate limit");
            timer.sleep(wait).await;
            patience.left -= wait;
            self.counters.waited(wait);
        }
    }

    /// Sends a question; once again with another token where one that can be fetched anew is refused.
    async fn send(&self, question: &Question<'_>) -> Result<Answer, ApiError> {
        let access = self.shared.token.get().await?;
        let answer = self.send_with(question, access.as_ref()).await?;
        if answer.status != 401 || !access.is_some_and(|access| self.shared.token.refused(&access)) {
            return Ok(answer);
        }
        let access = self.shared.token.get().await?;
        self.send_with(question, access.as_ref()).await
    }

    async fn send_with(&self, question: &Question<'_>, access: Option<&Access>) -> Result<Answer, ApiError> {
        let request = self.request(question, access)?;
        self.counters.sent();
        let sent = self.shared.client.send(request).await;
        let answer = sent.map_err(|trouble| ApiError::unanswered(question.path, trouble))?;
        self.counters.received(answer.status, answer.body.len());
        Ok(answer)
    }

    fn request(&self, question: &Question<'_>, access: Option<&Access>) -> Result<RequestBuilder, ApiError> {
        let bad = |text: &str| ApiError::Question(text.to_owned());
        let path = question.path;
        // Without the slash it would be a part of the host's name.
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(path));
        }
        let url = format!("{}{path}", self.shared.url);
        let mut request = self.shared.client.request(question.method.clone(), url).header(ACCEPT, self.version.accept());
        if let Some(body) = question.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(value) = access.and_then(|access| authorization(&access.token)) {
            request = request.header(AUTHORIZATION, value);
        }
        for (name, text) in [(RANGE, question.range), (IF_NONE_MATCH, question.known)] {
            if let Some(text) = text {
                request = request.header(name, HeaderValue::from_str(text).map_err(|_| bad(text))?);
            }
        }
        Ok(request)
    }

    /// Learns from an answer how much may still be asked.
    fn learn(&self, path: &str, answer: &Answer) {
        let Shared { budget, timer, backoff, .. } = &*self.shared;
        let remaining = answer.header("ratelimit-remaining").and_then(|text| text.trim().parse().ok());
        if answer.status == 429 {
            tracing::warn!(path, remaining, "rate limit reached");
            budget.refused(timer.now(), remaining, |number| backoff.half(number));
        } else {
            budget.answered(timer.now(), remaining);
        }
    }

    fn limits(&self) -> &ApiLimits {
        &self.shared.limits
    }

    /// A server's words for a person.
    fn shown(&self, text: &str) -> String {
        shown(text, &self.shared.token.secrets())
    }
}

/// What asks `url`, which [`web_address`] has let pass.
fn client(url: &str, options: &ApiOptions) -> Result<Client, ApiError> {
    // Without TLS it is on this machine, or it would have been refused.
    let peer = if url.starts_with("http://") { Peer::Local } else { Peer::Remote };
    Client::new(peer, &options.user_agent, options.limits.web).map_err(ApiError::Client)
}

/// A server's words for a person: short, one line, and never one of `secrets`, whatever it sends back.
fn shown(text: &str, secrets: &[Secret]) -> String {
    let text = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), "[secret]"));
    text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_make_us_show_the_token() {
        let api = Api::new(ApiOptions::new("http://127.0.0.1:1", Some(Secret::new("hunter2".into()).into()))).unwrap();
        assert_eq!(api.shown("the token\nhunter2 is bad"), "the token [secret] is bad");
        assert_eq!(api.shown(&"x".repeat(1000)).len(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn what_cannot_be_asked_is_refused_at_once() {
        fn check(url: &str, token: &str, words: &str) {
            let error = Api::new(ApiOptions::new(url, Some(Secret::new(token.to_owned()).into()))).err().unwrap();
            let text = format!("{error} {error:?} {}", error.reason());
            assert!(text.contains(words) && !text.contains("hunter2"), "{url}: {text}");
        }
        for token in ["", "hunter2\n", "hunter2 x", "hunter2\u{7f}", "hünter2"] {
            check("http://127.0.0.1:1", token, "characters that no token has");
        }
        check("http://api.heroku.com", "hunter2", "must begin with https://");
        check("https://x:hunter2@api.heroku.com", "hunter2", "before the `@`");
        check("api.heroku.com", "hunter2", "must be an address");
    }

    #[tokio::test]
    async fn paths_stay_on_the_host() {
        let api = Api::new(ApiOptions::new("http://127.0.0.1:1", None)).unwrap();
        for path in ["", "apps", "@example.com/apps", ".example.com", "/apps\r\nx: y", "/a b", "/ä"] {
            assert_eq!(api.object(path).await, Err(ApiError::Question(path.to_owned())), "{path:?}");
        }
        let mut pages = api.pages("/apps", &Range::by("id").after("a\nb"));
        assert_eq!(pages.next().await, Err(ApiError::Question("id ]a\nb..; max=1000".to_owned())));
        assert_eq!((api.counts().requests, api.counts().errors), (0, 8));
    }
}
