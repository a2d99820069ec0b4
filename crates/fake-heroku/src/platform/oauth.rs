//! What gives access tokens to an OAuth client: `POST /oauth/token`, as `id.heroku.com` has it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::Answer;
use super::refusal;
use crate::world::{Chance, Refusal};

/// The one OAuth client, and how its tokens are to behave.
#[derive(Clone, Debug)]
pub struct OAuthOptions {
    /// The client's secret.
    pub secret: String,
    /// The refresh token that the client has from the beginning.
    pub refresh_token: String,
    /// How long an access token is good, in our time. Heroku's are for eight hours less a second; without it they have no end.
    pub access_within: Option<Duration>,
    /// Whether each answer has another refresh token, and the one before is not taken any more. Heroku's stay.
    pub rotates: bool,
}

impl OAuthOptions {
    /// A client with `secret` and `refresh_token`, and tokens that behave as Heroku's do.
    #[must_use]
    pub fn new(secret: &str, refresh_token: &str) -> Self {
        let access_within = Some(Duration::from_secs(8 * 3600 - 1));
        Self { secret: secret.to_owned(), refresh_token: refresh_token.to_owned(), access_within, rotates: false }
    }
}

/// The tokens that there are.
pub(super) struct Tokens {
    options: OAuthOptions,
    /// Each with its end.
    access: Vec<(String, Option<Instant>)>,
}

impl Tokens {
    pub(super) fn new(options: OAuthOptions) -> Self {
        Self { options, access: Vec::new() }
    }

    /// Whether `token` is an access token that has not ended.
    pub(super) fn takes(&self, token: &str, now: Instant) -> bool {
        self.access.iter().any(|(access, ends)| access == token && ends.is_none_or(|ends| now < ends))
    }

    /// Answers to a form that asks for an access token.
    pub(super) fn answer(&mut self, form: &Bytes, chance: &mut Chance, now: Instant) -> Result<Answer, Refusal> {
        let field = |name: &str| {
            let mut pairs = form_urlencoded::parse(form);
            pairs.find(|(given, _)| given == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        if field("client_secret") != self.options.secret {
            return Err(refusal(401, "unauthorized", "Invalid client secret."));
        }
        if field("grant_type") != "refresh_token" {
            return Err(refusal(400, "bad_request", "The grant type is not supported."));
        }
        if field("refresh_token") != self.options.refresh_token {
            return Err(refusal(401, "unauthorized", "Invalid refresh token."));
        }
        if self.options.rotates {
            self.options.refresh_token = chance.uuid();
        }
        let token = format!("HRKU-{}", chance.uuid());
        self.access.retain(|(_, ends)| ends.is_none_or(|ends| now < ends));
        self.access.push((token.clone(), self.options.access_within.map(|within| now + within)));
        let value: Value = json!({
            "access_token": token,
            "expires_in": self.options.access_within.map(|within| within.as_secs()),
            "refresh_token": self.options.refresh_token,
            "session_nonce": chance.uuid(),
            "token_type": "Bearer",
            "user_id": chance.uuid(),
        });
        Ok(Answer::one(StatusCode::OK, &value))
    }
}
