//! What a person wants to know of Heroku's API at once: which apps there are, and why not, if it does not say.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use freshet_sources::platform::{Api, ApiError, ApiLimits, ApiOptions, Part, Range, Token};
use futures::{StreamExt as _, stream};
use serde_json::Value;

use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::web;

/// Pages of one list that are read; with 1,000 objects each, more than any account has.
const PAGES_MAX: u32 = 100;

/// Teams whose apps are listed.
const TEAMS_MAX: usize = 200;

/// Requests at one time.
const REQUESTS_AT_ONCE: usize = 8;

/// The apps that a token can see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Apps {
    /// Their names, sorted.
    pub(crate) names: BTreeSet<String>,
    /// Lists that could not be had: those of a team's apps, or that of the teams.
    pub(crate) unread: usize,
}

/// The API at `url`, each question asked once and none held back: a person waits, and the reserve is for people.
///
/// # Errors
/// See [`Api::new`].
pub(crate) fn api_for_a_person(url: &str, token: Option<Token>) -> Result<Api, ApiError> {
    let limits = ApiLimits {
        web: web::limits(),
        requests_at_once: REQUESTS_AT_ONCE,
        reserve_percent: 0,
        patience: Duration::ZERO,
        tries_max: 1,
        pages_max: PAGES_MAX,
        ..ApiLimits::default()
    };
    Api::new(ApiOptions { limits, ..ApiOptions::new(url, token) })
}

/// The token, or how to make one with `scope`.
///
/// # Errors
/// There is none.
pub(crate) fn token(settings: &Settings, data_dir: &Path, scope: &str) -> anyhow::Result<Token> {
    settings.heroku.token(data_dir).map_err(|why| {
        let make = format!("export HEROKU_API_KEY=$(heroku authorizations:create --short --description freshet --scope {scope})");
        Failure::error(Exit::BadConfig, format!("there is no token for Heroku's API: {why}\n  make one:  {make}"))
    })
}

/// `error` with the exit code that it asks for.
pub(crate) fn failure(error: ApiError) -> anyhow::Error {
    let exit = match &error {
        ApiError::Unauthorized(_) | ApiError::Grant(_) | ApiError::Forbidden(_) | ApiError::TwoFactor(_) | ApiError::Suspended(_) => {
            Exit::NotPermitted
        }
        error if error.is_temporary() => Exit::TryAgain,
        _ => Exit::Failed,
    };
    Failure::error(exit, error.to_string())
}

/// Whether `name` can be an app's name or id, and so go into a path.
#[must_use]
pub(crate) fn is_app(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// All apps that the token of `api` can see: its own, those it was invited to, and its teams'.
///
/// # Errors
/// The list of apps cannot be had. Teams that do not tell are counted as unread.
pub(crate) async fn visible_apps(api: &Api) -> Result<Apps, ApiError> {
    let name = |app: Value| app["name"].as_str().map(str::to_owned);
    let mut apps = Apps { names: list(api, "/apps").await?.into_iter().filter_map(name).collect(), unread: 0 };
    let Ok(teams) = list(api, "/teams").await else { return Ok(Apps { unread: 1, ..apps }) };
    // An id goes into a path only when it looks like one.
    let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ids: Vec<String> = teams.iter().filter_map(|team| team["id"].as_str().filter(is_id)).map(str::to_owned).collect();
    apps.unread += ids.len().saturating_sub(TEAMS_MAX);
    let asked = ids.into_iter().take(TEAMS_MAX).map(|id| team_apps(api, id));
    let mut lists = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(REQUESTS_AT_ONCE);
    while let Some(list) = lists.next().await {
        match list {
            Ok(list) => apps.names.extend(list.into_iter().filter_map(name)),
            Err(_) => apps.unread += 1,
        }
    }
    Ok(apps)
}

async fn team_apps(api: &Api, id: String) -> Result<Vec<Value>, ApiError> {
    list(api, &format!("/teams/{id}/apps")).await
}

/// All objects of the list at `path`.
///
/// # Errors
/// See [`ApiError`].
pub(crate) async fn list(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut pages = api.pages(path, &Range::by("id"));
    let mut all = Vec::new();
    while let Some(part) = pages.next().await? {
        if let Part::Page(page) = part {
            all.extend(page.objects);
        }
    }
    Ok(all)
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
}
