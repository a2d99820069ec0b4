//! Access tokens of an OAuth client. Each is good for some hours and is fetched with a refresh token, which stays good.
//!
//! ```text
//! request ─▶ token at hand ──────────────────────────────────────────────────────────▶ request
//!    │           ▲
//!    └─▶ none, or it ends soon ─▶ POST /oauth/token, one for all ─▶ refresh token changed? to disk first
//! ```
//!
//! That Heroku changes refresh tokens is not documented; RFC 6749 (section 6) allows it in any answer, and then the old one may
//! be worth nothing. A kill between such an answer and the disk would cost the access, so nothing waits in between.

mod kept;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_core::Secret;
use freshet_web::header::{ACCEPT, CONTENT_TYPE};
use freshet_web::{Client, Timer, Trouble, web_address};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::form_urlencoded;

use super::error::{ApiError, Flaw, Refusal};
use super::options::ApiOptions;
use super::token::{Access, authorization};
use super::{client, shown};

/// How long before its end a token is renewed; of one that lives less than ten times as long, a tenth of its life.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long a refusal is believed without asking again: many questions may be waiting for the same answer.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How long a token that could not be renewed is used before that is tried again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Tokens of the past that are kept out of errors. Answers to requests that were under way may still repeat them.
const SEEN_MAX: usize = 8;

/// An OAuth client, and what lets it fetch access tokens.
#[derive(Clone, Debug)]
pub struct OAuth {
    /// Where they are fetched, such as `https://id.heroku.com`.
    pub url: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The refresh token that the client got when somebody authorised it.
    pub refresh_token: Secret,
    /// The file for a refresh token that the server gives in place of that one. Only its owner can read it.
    pub kept_in: PathBuf,
}

/// Fetches access tokens, one at a time for all who wait.
pub(super) struct Refresher {
    oauth: OAuth,
    /// Where tokens are fetched, with the path.
    url: String,
    client: Client,
    timer: Arc<dyn Timer>,
    /// One permit: who has it fetches.
    door: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// How often one was fetched, or could not be.
    attempts: u64,
    /// When and why the last could not be.
    failed: Option<(Duration, ApiError)>,
    /// A refresh token that is not on disk yet.
    unkept: Option<Secret>,
    /// The latest tokens of both kinds.
    seen: VecDeque<Secret>,
}

impl Refresher {
    /// What fetches tokens for `oauth`.
    ///
    /// # Errors
    /// The secrets must not go to the address, or this machine cannot make requests at all.
    pub(super) fn new(oauth: OAuth, options: &ApiOptions) -> Result<Self, ApiError> {
        let url = web_address(&oauth.url).map_err(ApiError::Address)?;
        Ok(Self {
            client: client(&url, options)?,
            url: format!("{url}/oauth/token"),
            oauth,
            timer: Arc::clone(&options.timer),
            door: Arc::new(Semaphore::new(1)),
            state: Mutex::default(),
        })
    }

    /// The token at hand, or a new one.
    ///
    /// # Errors
    /// There is none, and none can be fetched.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Access, ApiError> {
        let came = match self.at_hand() {
            Ok(access) => return Ok(access),
            Err(attempts) => attempts,
        };
        // It is never closed.
        let permit = Arc::clone(&self.door).acquire_owned().await.ok();
        if let Some(ended) = self.ended_since(came) {
            return ended;
        }
        // In a task of its own: whoever asked may give up in the middle, but a new refresh token must get to the disk.
        let this = Arc::clone(self);
        let fetching = tokio::spawn(async move {
            let ended = this.note(this.fetch().await);
            drop(permit);
            ended
        });
        let broke_off = |_| ApiError::Unreachable { path: self.url.clone(), trouble: Trouble::Other("the request was broken off".into()) };
        fetching.await.map_err(broke_off)?
    }

    /// Takes note that the API does not take `access`, so that it is not used again.
    pub(super) fn refused(&self, access: &Access) {
        self.state().access.take_if(|current| current.number == access.number);
    }

    /// How long the token at hand is good, where the server has said so.
    pub(super) fn ends_in(&self) -> Option<Duration> {
        Some(self.state().access.as_ref()?.ends?.saturating_sub(self.timer.now()))
    }

    /// All that a server could repeat and nobody may see.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let seen = self.state().seen.iter().cloned().collect::<Vec<_>>();
        [vec![self.oauth.client_secret.clone(), self.oauth.refresh_token.clone()], seen].concat()
    }

    /// The token at hand; else how often one was fetched.
    fn at_hand(&self) -> Result<Access, u64> {
        let (now, state) = (self.timer.now(), self.state());
        let access = state.access.as_ref().filter(|access| access.renewed.is_none_or(|renewed| now < renewed));
        access.cloned().ok_or(state.attempts)
    }

    /// What came of a fetch by somebody else since there had been `came`.
    fn ended_since(&self, came: u64) -> Option<Result<Access, ApiError>> {
        let attempts = match self.at_hand() {
            Ok(access) => return Some(Ok(access)),
            Err(attempts) => attempts,
        };
        let now = self.timer.now();
        let state = self.state();
        let (at, error) = state.failed.as_ref()?;
        let is_believed = matches!(error, ApiError::Grant(_)) && now.saturating_sub(*at) < REFUSED_FOR;
        (attempts > came || is_believed).then(|| Err(error.clone()))
    }

    /// Takes note of how a fetch ended. Where it failed for the moment only, the token that is about to end does a little longer.
    fn note(&self, ended: Result<Access, ApiError>) -> Result<Access, ApiError> {
        let now = self.timer.now();
        let mut state = self.state();
        state.attempts += 1;
        state.failed = None;
        match ended {
            Ok(access) => Ok(state.access.insert(access).clone()),
            Err(error) => {
                let lives = |access: &&mut Access| access.ends.is_some_and(|ends| now < ends) && error.is_temporary();
                if let Some(access) = state.access.as_mut().filter(lives) {
                    tracing::warn!(reason = error.reason(), "access token not renewed, the old one is still used");
                    access.renewed = access.ends.min(Some(now + RENEWAL_PAUSE));
                    return Ok(access.clone());
                }
                state.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    /// A new access token, by the first refresh token that is taken. Trying again later is the business of the question that needs it.
    async fn fetch(&self) -> Result<Access, ApiError> {
        let mut tried = Vec::new();
        let mut refresh_token = self.untried(&tried).unwrap_or_else(|| self.oauth.refresh_token.clone());
        loop {
            let ended = self.ask(&refresh_token).await;
            if !matches!(ended, Err(ApiError::Grant(_))) {
                return ended;
            }
            tried.push(refresh_token);
            let Some(other) = self.untried(&tried) else { return ended };
            refresh_token = other;
        }
    }

    /// The refresh token to try next, the youngest first. The file is read each time: another process with the same data
    /// directory may have put one there.
    fn untried(&self, tried: &[Secret]) -> Option<Secret> {
        let unkept = self.state().unkept.clone();
        let kept = || kept::read(&self.oauth.kept_in, &self.oauth.refresh_token);
        let configured = || Some(self.oauth.refresh_token.clone());
        let is_new = |token: &Secret| !tried.contains(token);
        unkept.filter(is_new).or_else(|| kept().filter(is_new)).or_else(|| configured().filter(is_new))
    }

    async fn ask(&self, refresh_token: &Secret) -> Result<Access, ApiError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", refresh_token.reveal())
            .append_pair("client_secret", self.oauth.client_secret.reveal())
            .finish();
        let request = self.client.post(&self.url).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        self.see(refresh_token.clone());
        let asked = self.timer.now();
        let answer = self.client.send(request).await.map_err(|trouble| ApiError::unanswered(&self.url, trouble))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !(200..300).contains(&answer.status) {
            return Err(self.refusal(answer.status, &value));
        }
        let text = |field: &str| value[field].as_str().filter(|text| !text.is_empty()).map(|text| Secret::new(text.to_owned()));
        self.take(refresh_token, text("refresh_token"))?;
        let token = text("access_token").filter(|token| authorization(token).is_some());
        let token = token.ok_or_else(|| ApiError::Broken { path: self.url.clone(), flaw: Flaw::NoToken })?;
        let lifetime = value["expires_in"].as_u64().map(Duration::from_secs);
        tracing::info!(expires_in_s = lifetime.map(|lifetime| lifetime.as_secs()), "access token fetched");
        self.see(token.clone());
        Ok(Access {
            number: self.state().attempts + 1,
            token,
            ends: lifetime.and_then(|lifetime| asked.checked_add(lifetime)),
            renewed: lifetime.and_then(|lifetime| asked.checked_add(lifetime - MARGIN.min(lifetime / 10))),
        })
    }

    /// Takes the refresh token of an answer, which is on disk before anything else is done with the answer.
    fn take(&self, asked_with: &Secret, given: Option<Secret>) -> Result<(), ApiError> {
        let is_unkept = self.state().unkept.is_some();
        let token = given.unwrap_or_else(|| asked_with.clone());
        if token == *asked_with && !is_unkept {
            return Ok(());
        }
        let written = kept::write(&self.oauth.kept_in, &self.oauth.refresh_token, &token);
        self.see(token.clone());
        self.state().unkept = written.is_err().then_some(token);
        written.map_err(|error| ApiError::NotKept { file: self.oauth.kept_in.display().to_string(), reason: error.to_string() })?;
        tracing::info!(file = %self.oauth.kept_in.display(), "refresh token was changed, the new one is kept");
        Ok(())
    }

    fn refusal(&self, status: u16, value: &Value) -> ApiError {
        let secrets = self.secrets();
        let text = |field: &str, otherwise| shown(value[field].as_str().unwrap_or(otherwise), &secrets);
        let refusal = Refusal { path: self.url.clone(), status, id: text("id", "error"), message: text("message", "(without a reason)") };
        match status {
            400 | 401 | 403 => ApiError::Grant(refusal),
            // Not the rate limit of the API.
            429 => ApiError::Unavailable(refusal),
            _ => ApiError::of(refusal),
        }
    }

    fn see(&self, token: Secret) {
        let mut state = self.state();
        state.seen.retain(|seen| *seen != token);
        state.seen.push_front(token);
        state.seen.truncate(SEEN_MAX);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
