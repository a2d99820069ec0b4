//! The apps that are meant, and their drains.

use freshet_core::Secret;
use freshet_sources::drain::USER;
use freshet_sources::platform::{Api, ApiError};
use futures::{StreamExt as _, stream};
use serde_json::json;

use super::found::{Drain, Ours};
use crate::exit::{Exit, Failure};
use crate::heroku_api::{failure, fits, is_app, list, visible_apps};

/// Where drains are to lead.
pub(super) struct Target {
    /// The address by which Heroku reaches us, without a slash at its end.
    pub(super) url: String,
    /// The present secret.
    pub(super) secret: Secret,
}

/// Apps that are seen to at one time.
pub(super) const APPS_AT_ONCE: usize = 4;

/// The names of the apps that `wanted` means, by name or pattern; all that the token can see when it is empty. Also what of the list could not be read.
///
/// # Errors
/// A name is none, a pattern fits nothing, or the list of apps cannot be had.
pub(super) async fn apps(api: &Api, wanted: &[String]) -> anyhow::Result<(Vec<String>, Option<String>)> {
    if let Some(name) = wanted.iter().find(|name| !is_app(&name.replace('*', "x"))) {
        return Err(Failure::error(Exit::Failed, format!("{name:?} is no app's name")));
    }
    let mut names: Vec<String> = wanted.iter().filter(|name| !name.contains('*')).cloned().collect();
    let patterns: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| name.contains('*')).collect();
    if !patterns.is_empty() || wanted.is_empty() {
        let visible = visible_apps(api).await.map_err(failure)?;
        let fitting = |name: &&String| wanted.is_empty() || patterns.iter().any(|pattern| fits(pattern, name));
        names.extend(visible.names.iter().filter(fitting).cloned());
        if names.is_empty() {
            let message = "no app that the token can see is meant; name it, or see `apps` under [heroku]";
            return Err(Failure::error(Exit::Failed, message));
        }
        names.sort();
        names.dedup();
        let unread =
            (visible.unread > 0).then(|| format!("{} lists of teams' apps could not be read; apps in them are left out", visible.unread));
        return Ok((names, unread));
    }
    names.sort();
    names.dedup();
    Ok((names, None))
}

/// Sees to each of `apps`, some at a time; what became of them, in their order.
pub(super) async fn each<T>(apps: &[String], see_to: impl AsyncFn(&str) -> T) -> Vec<T> {
    stream::iter(apps).map(|app| see_to(app)).buffered(APPS_AT_ONCE).collect().await
}

/// The drains of `app`.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn drains(api: &Api, ours: &Ours, app: &str) -> Result<Vec<Drain>, ApiError> {
    let objects = list(api, &format!("/apps/{app}/log-drains")).await?;
    Ok(objects.iter().map(|object| ours.read(app, object)).collect())
}

/// Makes the drain that `app` should have.
///
/// # Errors
/// What went wrong, in words without the secret.
pub(super) async fn add(api: &Api, ours: &Ours, app: &str, target: &Target) -> Result<Drain, String> {
    // It is an address of `web_address`: there is a scheme, and no user yet.
    let (scheme, place) = target.url.split_once("://").unwrap_or(("https", &target.url));
    let address = format!("{scheme}://{USER}:{}@{place}/drain/{app}", target.secret.reveal());
    match api.create(&format!("/apps/{app}/log-drains"), &json!({ "url": address })).await {
        Ok(made) => Ok(ours.read(app, &made)),
        // A server that repeats the address, whole or cut, would make us show the secret.
        Err(error) => Err(match error.refusal().filter(|refusal| refusal.message.contains(USER)) {
            Some(refusal) => format!("the drain is refused ({} {})", refusal.status, refusal.id),
            None => error.to_string(),
        }),
    }
}

/// Removes a drain. One that is gone already is fine: an answer may have been lost.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn remove(api: &Api, app: &str, drain: &Drain) -> Result<(), ApiError> {
    match api.delete(&format!("/apps/{app}/log-drains/{}", drain.id)).await {
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
