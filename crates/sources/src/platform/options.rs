//! What an API is made from.

use std::sync::Arc;
use std::time::Duration;

use freshet_web::{Client, RuntimeTimer, Timer, WebLimits, random_seed};

use super::token::Token;

/// What an [`Api`](super::Api) is made from.
#[derive(Clone)]
pub struct ApiOptions {
    /// Where the API is: `https`, or `http` on this machine. Heroku's is [`HEROKU_URL`](super::HEROKU_URL).
    pub url: String,
    /// The token. Without one every question is answered with 401.
    pub token: Option<Token>,
    /// What the requests say they come from.
    pub user_agent: String,
    /// The bounds on everything.
    pub limits: ApiLimits,
    /// Where the chance in the waits comes from.
    pub seed: u64,
    /// How the client waits.
    pub timer: Arc<dyn Timer>,
}

impl ApiOptions {
    /// The API at `url`, with the defaults, the system's chance and the runtime's time.
    #[must_use]
    pub fn new(url: &str, token: Option<Token>) -> Self {
        Self {
            url: url.to_owned(),
            token,
            user_agent: Client::USER_AGENT.to_owned(),
            limits: ApiLimits::default(),
            seed: random_seed(),
            timer: Arc::new(RuntimeTimer::new()),
        }
    }
}

/// The bounds on what is asked, waited for and held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Time and bytes of one request.
    pub web: WebLimits,
    /// Requests at one time. Default 4.
    pub requests_at_once: usize,
    /// Requests that the account has in an hour; a sixtieth of it comes back each minute. More is believed when an answer says
    /// so, less is not. Default 4,500.
    pub requests_per_hour: u32,
    /// Share of them, in percent, that is left to people and other programs: with less than that left, no more is asked than
    /// comes back. Default 20.
    pub reserve_percent: u8,
    /// How long one question may wait for the rate limit. The reserve of 900 comes back in 12 minutes. Default 30 minutes.
    pub patience: Duration,
    /// Times that a question is asked when there is no answer, one that says that something is broken there (5xx), or one that
    /// makes no sense. Answers of 429 do not count: `patience` bounds those. Default 6.
    pub tries_max: u32,
    /// The longest wait after the first failure; doubled after each other. Default 500 ms.
    pub backoff_first: Duration,
    /// The longest wait after any failure. Default 30 s.
    pub backoff_max: Duration,
    /// Pages that one list may have. Default 10,000, which is ten million objects.
    pub pages_max: u32,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            web: WebLimits::default(),
            requests_at_once: 4,
            requests_per_hour: 4_500,
            reserve_percent: 20,
            patience: Duration::from_secs(30 * 60),
            tries_max: 6,
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            pages_max: 10_000,
        }
    }
}
