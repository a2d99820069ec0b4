//! Heroku's API: who we are there, what we may see, how much we may ask, and what time it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use freshet_sources::platform::{Api, ApiError, Token};
use freshet_web::{Answer, Trouble};
use serde_json::Value;

use super::finding::Finding;
use super::{Subject, bounded};
use crate::config::{NoToken, format_duration};
use crate::exit::Exit;
use crate::heroku_api::{api_for_a_person, fits, visible_apps};
use crate::output::{counted, grouped};

/// How to get a token that may do what is needed and no more.
const GET_TOKEN: &str =
    "make one:  export HEROKU_API_KEY=$(heroku authorizations:create --short --description freshet --scope read-protected)";

/// What to do with half an OAuth client, or with a token beside it.
const GIVE_ONE: &str =
    "give either a token (HEROKU_API_KEY, or `token` under [heroku]), or an OAuth client's secret and refresh token (docs/platform.md)";

/// Requests left in the hour below which a sync may run dry; a full account has 4,500.
const REQUESTS_LOW: u64 = 450;

/// Difference between the clocks that shows in the data, and one that makes a mess of it.
const SKEW_WARNING: Duration = Duration::from_secs(2);
const SKEW_FAILURE: Duration = Duration::from_secs(300);

/// `Date` has whole seconds, cut off: on average the truth is half a second later.
const DATE_CUT: f64 = 0.5;

/// Names that are listed before "and more".
const NAMES_SHOWN: usize = 5;

/// What is asked first.
const ACCOUNT: &str = "/account";

/// The probes of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    let heroku = &subject.settings.heroku;
    let token = match heroku.token(&subject.data_dir) {
        Ok(token) => Ok(token),
        Err(NoToken::Missing(why)) => Err(no_token(heroku.is_wanted, &why)),
        Err(NoToken::Mistaken(why)) => Err(Finding::failed_with(Exit::BadConfig, "token", why, GIVE_ONE)),
    };
    let api = match api_for_a_person(&heroku.api_url, token.as_ref().ok().cloned()) {
        Ok(api) => api,
        Err(error @ ApiError::Token) => return vec![Finding::failed_with(Exit::BadConfig, "token", error.reason(), GET_TOKEN)],
        Err(error) => {
            let fix = "let this machine have certificates to trust:  apt-get install ca-certificates";
            return vec![Finding::failed("token", format!("no request can be made: {}", error.reason()), fix)];
        }
    };
    // One request answers two questions, and it is worth asking without a token: the time is in each answer.
    let asked_at = SystemTime::now();
    let answer = tokio::time::timeout(super::PROBE_WITHIN, api.ask(ACCOUNT)).await;
    let answered_at = SystemTime::now();
    let slow = || ApiError::Unreachable { path: ACCOUNT.to_owned(), trouble: Trouble::Slow { within: super::PROBE_WITHIN } };
    let answer = answer.unwrap_or_else(|_| Err(slow()));
    let clock = match &answer {
        Ok(answer) => clock(answer, asked_at, answered_at),
        Err(error) => Finding::skipped("clock", format!("not compared with Heroku's: {}", error.reason())),
    };
    let account = answer.and_then(|answer| api.read(ACCOUNT, &answer));
    let (mut findings, may_ask) = match token {
        Ok(token) => {
            let finding = account_finding(&api, &token, &heroku.api_url, account).await;
            let may_ask = finding.state == super::finding::State::Good;
            (vec![finding], may_ask)
        }
        Err(finding) => (vec![finding], false),
    };
    if may_ask {
        let (apps, rate) = tokio::join!(bounded("apps", apps(&api, &heroku.apps)), bounded("rate limit", rate(&api)));
        findings.extend([apps, rate]);
    }
    findings.push(clock);
    findings
}

fn no_token(is_wanted: bool, why: &str) -> Finding {
    if is_wanted {
        // Nothing that receives logs needs it.
        return Finding::warning("token", format!("there is none, so `apps` and what follows from it is not checked: {why}"), GET_TOKEN);
    }
    Finding::skipped("token", format!("none: {why}. Log drains need none; with one your apps are checked too"))
}

async fn account_finding(api: &Api, token: &Token, url: &str, account: Result<Value, ApiError>) -> Finding {
    let name = "token";
    match account {
        Ok(account) => {
            let who = account["email"].as_str().unwrap_or("somebody without an address");
            let authorization = authorization(api).await;
            let life = life(api, token, authorization.as_ref());
            match authorization.map(|authorization| authorization.scopes).filter(|scopes| !scopes.is_empty()) {
                Some(scopes) if !scopes.iter().any(|scope| MAY_READ_APPS.contains(&scope.as_str())) => Finding::failed_with(
                    Exit::NotPermitted,
                    name,
                    format!("it is {who}'s, but its scope {} does not let it see apps", scopes.join(", ")),
                    GET_TOKEN,
                ),
                Some(scopes) => Finding::good(name, format!("{who}'s, with scope {}{life}", scopes.join(", "))),
                None => Finding::good(name, format!("{who}'s{life}")),
            }
        }
        Err(error @ ApiError::Grant(_)) => Finding::failed_with(
            Exit::NotPermitted,
            name,
            format!("no access token is given to the OAuth client ({})", error.reason()),
            "do `oauth_client_secret` and `oauth_refresh_token` belong together? Otherwise authorise the client again: docs/platform.md says how",
        ),
        Err(error @ ApiError::NotKept { .. }) => {
            Finding::failed(name, error.to_string(), "let this user write there, or choose another place with --data-dir")
        }
        Err(error) => {
            let reason = error.reason();
            let asked = match &error {
                ApiError::Unreachable { path, .. } | ApiError::Broken { path, .. } => Some(path),
                error => error.refusal().map(|refusal| &refusal.path),
            };
            // Where tokens are fetched stands there in full.
            let url = asked.filter(|asked| asked.contains("://")).map_or(url, String::as_str);
            match error.status() {
                Some(401) => Finding::failed_with(Exit::NotPermitted, name, format!("{url} does not take it ({reason})"), GET_TOKEN),
                Some(403) => Finding::failed_with(
                    Exit::NotPermitted,
                    name,
                    format!("{url} takes it, but lets it do nothing ({reason})"),
                    "a token made by `heroku authorizations:create` needs no second factor; a suspended account has to be settled with Heroku",
                ),
                Some(429) => {
                    Finding::warning(name, format!("not tried: {reason}"), "Heroku gives back some 75 requests a minute; try again soon")
                }
                Some(503) => Finding::failed(name, format!("{url} is not in service ({reason})"), "see status.heroku.com and try again"),
                Some(_) => Finding::failed(name, format!("{url} answers {reason}"), "are `api_url` and `oauth_url` under [heroku] right?"),
                None => Finding::failed(
                    name,
                    format!("{url} cannot be asked: {reason}"),
                    "let this machine connect there, or set the variable HTTPS_PROXY, or correct `api_url` and `oauth_url` under [heroku]",
                ),
            }
        }
    }
}

/// Scopes that include the list of apps.
const MAY_READ_APPS: [&str; 5] = ["global", "read", "write", "read-protected", "write-protected"];

/// What Heroku tells of a direct authorization.
struct Authorization {
    scopes: Vec<String>,
    /// Seconds until its token ends; none when it does not.
    ends_in_s: Option<f64>,
}

/// What the token is allowed, where Heroku tells: it does so only to tokens that may read authorizations.
async fn authorization(api: &Api) -> Option<Authorization> {
    let asked = tokio::time::timeout(super::PROBE_WITHIN, api.object("/oauth/authorizations/~")).await.ok()?.ok()?;
    let scopes = asked["scope"].as_array()?.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect();
    Some(Authorization { scopes, ends_in_s: asked["access_token"]["expires_in"].as_f64() })
}

/// Which kind of token it is, and when it ends.
fn life(api: &Api, token: &Token, authorization: Option<&Authorization>) -> String {
    match (token, authorization) {
        (Token::OAuth(_), _) => {
            let ends = api
                .token_ends_in()
                .map_or_else(|| "without an end".to_owned(), |left| format!("for {}", format_duration(left.as_secs_f64())));
            format!(", of an OAuth client: good {ends}, and renewed by itself")
        }
        (Token::Fixed(_), Some(Authorization { ends_in_s: Some(seconds), .. })) => {
            format!(", a fixed token: ends in {}", format_duration(*seconds))
        }
        (Token::Fixed(_), Some(_)) => ", a fixed token without an end".to_owned(),
        (Token::Fixed(_), None) => ", a fixed token".to_owned(),
    }
}

async fn apps(api: &Api, patterns: &[String]) -> Finding {
    let (names, unread): (Vec<String>, _) = match visible_apps(api).await {
        Ok(apps) => (apps.names.into_iter().collect(), apps.unread),
        Err(error) if error.status() == Some(403) => {
            return Finding::failed_with(Exit::NotPermitted, "apps", format!("they cannot be listed ({})", error.reason()), GET_TOKEN);
        }
        Err(error) => return Finding::failed("apps", format!("they cannot be listed ({})", error.reason()), "try again"),
    };
    if unread > 0 {
        let found = format!("{} seen, but {} could not be read", counted(names.len() as u64, "app"), counted(unread as u64, "team"));
        return Finding::warning("apps", found, "try again; what the token may not see of a team stays unread");
    }
    if names.is_empty() {
        return Finding::warning(
            "apps",
            "the token sees no apps",
            "use the token of an account that has some, or that was invited to them",
        );
    }
    if patterns.is_empty() {
        return Finding::good("apps", format!("{}, all of them wanted: {}", counted(names.len() as u64, "app"), few(&names)));
    }
    let reach = |pattern: &String| (pattern.clone(), names.iter().filter(|name| fits(pattern, name)).count());
    let (matching, idle): (Vec<_>, Vec<_>) = patterns.iter().map(reach).partition(|(_, count)| *count > 0);
    let wanted = names.iter().filter(|name| patterns.iter().any(|pattern| fits(pattern, name))).count();
    let idle: Vec<String> = idle.into_iter().map(|(pattern, _)| pattern).collect();
    if idle.is_empty() {
        let each: Vec<String> = matching.iter().map(|(pattern, count)| format!("{pattern} ({count})")).collect();
        return Finding::good("apps", format!("{wanted} of the {} that the token sees: {}", names.len(), each.join(", ")));
    }
    let found = format!("{wanted} of the {} that the token sees; nothing matches {}", names.len(), idle.join(", "));
    let fix = idle.iter().map(|pattern| advice(pattern, &names)).collect::<Vec<_>>().join("\n");
    if matching.is_empty() { Finding::failed("apps", found, fix) } else { Finding::warning("apps", found, fix) }
}

fn advice(pattern: &str, names: &[String]) -> String {
    let nearest = names.iter().map(|name| (strsim::jaro_winkler(pattern.trim_matches('*'), name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness > 0.8 => format!("{pattern}: did you mean {name}? Correct `apps` under [heroku]"),
        _ => format!("{pattern}: correct `apps` under [heroku], or let the account join it:  heroku access:add EMAIL --app {pattern}"),
    }
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN { format!("{shown} and {} more", names.len() - NAMES_SHOWN) } else { shown }
}

/// The question itself is free of charge.
async fn rate(api: &Api) -> Finding {
    let name = "rate limit";
    match api.requests_left().await.map(|left| left.map(u64::from)) {
        Ok(Some(left)) if left < REQUESTS_LOW => Finding::warning(
            name,
            format!("only {} left", counted(left, "request")),
            "somebody else asks a lot with this account: give Freshet an account of its own, or find out who it is",
        ),
        Ok(Some(left)) => Finding::good(name, format!("{} requests left", grouped(left))),
        Ok(None) => Finding::skipped(name, "Heroku does not say"),
        Err(error) => Finding::skipped(name, format!("Heroku does not say ({})", error.reason())),
    }
}

fn clock(answer: &Answer, asked_at: SystemTime, answered_at: SystemTime) -> Finding {
    let name = "clock";
    let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    let Some(date) = date else { return Finding::skipped(name, "not compared with Heroku's: its answer has no date") };
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let ours = f64::midpoint(seconds(asked_at), seconds(answered_at));
    let ahead = ours - (date.as_second() as f64 + DATE_CUT);
    skew_finding(name, ahead)
}

/// What to say of a clock that is `ahead` seconds before Heroku's.
fn skew_finding(name: &'static str, ahead: f64) -> Finding {
    let skew = ahead.abs();
    if skew <= SKEW_WARNING.as_secs_f64() {
        return Finding::good(name, "as Heroku's, within 2 s");
    }
    let found = format!("{} {} Heroku's", format_duration(skew), if ahead > 0.0 { "ahead of" } else { "behind" });
    let fix = "let the machine keep time:  timedatectl set-ntp true";
    if skew > SKEW_FAILURE.as_secs_f64() { Finding::failed(name, found, fix) } else { Finding::warning(name, found, fix) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::finding::State;

    #[test]
    fn clocks_may_differ_a_little() {
        fn check(ahead: f64, state: State, found: &str) {
            let finding = skew_finding("clock", ahead);
            assert_eq!((finding.state, finding.found.as_str()), (state, found), "{ahead}");
        }
        check(0.4, State::Good, "as Heroku's, within 2 s");
        check(-1.9, State::Good, "as Heroku's, within 2 s");
        check(4.0, State::Warning, "4.0 s ahead of Heroku's");
        check(-299.0, State::Warning, "5 min behind Heroku's");
        check(301.0, State::Failed(Exit::Failed), "5 min ahead of Heroku's");
        check(-86_400.0, State::Failed(Exit::Failed), "24 h behind Heroku's");
    }
}
