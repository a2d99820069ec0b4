//! Heroku's Platform API, as far as questions about the account and its apps go.
//!
//! Headers, ranges and errors are as the Platform API reference has them: `Range: id ..; max=1000` asks for a page, 206 with
//! `Next-Range` says that there are more, and an error's body is `{"id","message"}`.

use std::collections::BTreeSet;

use freshet_core::Secret;
use futures::{StreamExt as _, stream};
use reqwest::header::{ACCEPT, HeaderValue, RANGE};
use reqwest::{Client, header};
use serde_json::Value;

use crate::web::{self, Answer, Peer, Trouble};

/// Characters of an error's message that are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// Pages of one list that are read; with 1,000 objects each, more than any account has.
const PAGES_MAX: usize = 100;

/// Teams whose apps are listed.
const TEAMS_MAX: usize = 200;

/// Teams that are asked at the same time.
const TEAMS_AT_ONCE: usize = 8;

/// A Platform API and the token to ask it with.
pub(crate) struct HerokuApi {
    client: Client,
    url: String,
    token: Option<Secret>,
}

/// Why the API did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The token is none: no header can carry it.
    #[error("the token holds characters that no token has")]
    Token,
    /// No answer at all.
    #[error("{0}")]
    Trouble(#[from] Trouble),
    /// An answer that says no.
    #[error("{status} {id}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The error's id, such as `unauthorized` or `rate_limit`.
        id: String,
        /// What Heroku says about it.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("the answer is not that of Heroku's API: {0}")]
    Strange(&'static str),
}

impl ApiError {
    /// The HTTP status, where there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Token | Self::Trouble(_) | Self::Strange(_) => None,
        }
    }
}

/// The apps that a token can see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Apps {
    /// Their names, sorted.
    pub(crate) names: BTreeSet<String>,
    /// Lists that could not be had: those of a team's apps, or that of the teams.
    pub(crate) unread: usize,
}

impl HerokuApi {
    /// The API at `url`, an address without a slash at its end. Without a token every question is answered with 401.
    ///
    /// # Errors
    /// This machine cannot make requests at all, or no header can carry the token.
    pub(crate) fn new(url: &str, token: Option<Secret>) -> Result<Self, ApiError> {
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token.reveal()).is_err()) {
            return Err(ApiError::Token);
        }
        Ok(Self { client: web::client(Peer::Remote)?, url: url.to_owned(), token })
    }

    /// Asks for `path` and returns the answer as it is.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn ask(&self, path: &str, range: Option<&str>) -> Result<Answer, Trouble> {
        let mut request = self.client.get(format!("{}{path}", self.url)).header(ACCEPT, "application/vnd.heroku+json; version=3");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, self.authorization(token));
        }
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        web::send(request).await
    }

    /// The object at `path`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn object(&self, path: &str) -> Result<Value, ApiError> {
        self.json(&self.ask(path, None).await?)
    }

    /// All objects of the collection at `path`, page by page.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut range = "id ..; max=1000".to_owned();
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.ask(path, Some(&range)).await?;
            match self.json(&answer)? {
                Value::Array(page) => all.extend(page),
                _ => return Err(ApiError::Strange("a list was expected")),
            }
            if answer.status != 206 {
                return Ok(all);
            }
            let next = answer.header("next-range").ok_or(ApiError::Strange("a part of a list does not say where the next begins"))?;
            range = next.to_owned();
        }
        Err(ApiError::Strange("a list has no end"))
    }

    /// All apps that the token can see: its own, those it was invited to, and its teams'.
    ///
    /// # Errors
    /// The list of apps cannot be had. Teams that do not tell are counted as unread.
    pub(crate) async fn apps(&self) -> Result<Apps, ApiError> {
        let name = |app: Value| app["name"].as_str().map(str::to_owned);
        let mut apps = Apps { names: self.list("/apps").await?.into_iter().filter_map(name).collect(), unread: 0 };
        let Ok(teams) = self.list("/teams").await else { return Ok(Apps { unread: 1, ..apps }) };
        // An id goes into a path only when it looks like one.
        let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let ids: Vec<String> = teams.iter().filter_map(|team| team["id"].as_str().filter(is_id)).map(str::to_owned).collect();
        apps.unread += ids.len().saturating_sub(TEAMS_MAX);
        let asked = ids.into_iter().take(TEAMS_MAX).map(|id| self.team_apps(id));
        let mut lists = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(TEAMS_AT_ONCE);
        while let Some(list) = lists.next().await {
            match list {
                Ok(list) => apps.names.extend(list.into_iter().filter_map(name)),
                Err(_) => apps.unread += 1,
            }
        }
        Ok(apps)
    }

    async fn team_apps(&self, id: String) -> Result<Vec<Value>, ApiError> {
        self.list(&format!("/teams/{id}/apps")).await
    }

    /// The JSON in `answer`, or the error that it stands for.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) fn json(&self, answer: &Answer) -> Result<Value, ApiError> {
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        if (200..300).contains(&answer.status) {
            return value.ok_or(ApiError::Strange("it is no JSON"));
        }
        let value = value.unwrap_or_default();
        Err(ApiError::Refused {
            status: answer.status,
            id: self.shown(value["id"].as_str().unwrap_or("error")),
            message: self.shown(value["message"].as_str().unwrap_or("(without a reason)")),
        })
    }

    fn authorization(&self, token: &Secret) -> HeaderValue {
        // `new` has tried it.
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// A server's words for a terminal: short, one line, and never the token, whatever it sends back.
    fn shown(&self, text: &str) -> String {
        let text = match &self.token {
            Some(token) => text.replace(token.reveal(), "[secret]"),
            None => text.to_owned(),
        };
        text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any characters or none.
#[must_use]
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        fn check(pattern: &str, name: &str, expected: bool) {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        check("billing", "billing", true);
        check("billing", "billing-2", false);
        check("shop-*", "shop-eu", true);
        check("shop-*", "shop-", true);
        check("shop-*", "shop", false);
        check("*", "anything", true);
        check("*-eu", "shop-eu", true);
        check("*-eu", "shop-eu-2", false);
        check("a*b*c", "abc", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "acb", false);
        check("up*pu", "upu", false);
        check("*a*a", "a", false);
        check("**", "x", true);
    }

    #[test]
    fn a_server_cannot_make_us_show_the_token() {
        let api = HerokuApi::new("http://127.0.0.1:1", Some(Secret::new("hunter2".into()))).unwrap();
        assert_eq!(api.shown("the token\nhunter2 is bad"), "the token [secret] is bad");
        assert_eq!(api.shown(&"x".repeat(1000)).len(), MESSAGE_CHARS_MAX);
        assert!(HerokuApi::new("http://127.0.0.1:1", Some(Secret::new("a\nb".into()))).is_err_and(|error| error == ApiError::Token));
    }
}
