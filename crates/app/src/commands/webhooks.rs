//! `freshet webhooks`: the subscriptions by which Heroku tells of changes.

mod health;

use std::fmt;

use freshet_core::Secret;
use freshet_sources::platform::{Api, ApiError, ApiOptions, Part, Range};
use freshet_web::web_address;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::cli::{AddWebhooksArgs, Global, WebhookTarget, WebhooksVerb};
use crate::config::{NoToken, Settings};
use crate::exit::{Exit, Failure};
use crate::heroku_api::{fits, visible_apps};
use crate::output::{Paint, Printer, left};

/// Apps that are asked about at the same time. The API holds back what the rate limit does not allow.
const APPS_AT_ONCE: usize = 8;

/// How to get a token that may change webhooks.
const GET_TOKEN: &str =
    "make one:  export HEROKU_API_KEY=$(heroku authorizations:create --short --description freshet --scope read-protected,write-protected)";

/// What became of one subscription. Neither a secret nor a part of one is ever in it: the API does not tell them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    app: String,
    /// Empty where there is none.
    webhook: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Added,
    Updated,
    Removed,
    /// There was nothing to remove.
    NotThere,
    Failed(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Removed => "removed",
            Self::NotThere => "not there",
            Self::Failed(_) => "failed",
        })
    }
}

/// What a subscription is to be.
struct Wanted<'a> {
    include: &'a [String],
    level: &'static str,
    secret: Secret,
}

/// Runs the verb.
///
/// # Errors
/// There is no token, no secret or no address, or the apps cannot be listed. What fails for one app is in the result.
pub(crate) async fn run(global: &Global, settings: &Settings, verb: &WebhooksVerb) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    match verb {
        WebhooksVerb::Add(args) => add(global, settings, args).await,
        WebhooksVerb::Remove(target) => remove(global, settings, target).await,
        WebhooksVerb::List { apps } => {
            let api = api(global, settings)?;
            let apps = if apps.is_empty() { all_apps(&api, settings).await? } else { named(apps)? };
            health::list(printer, &api, apps).await
        }
    }
}

async fn add(global: &Global, settings: &Settings, args: &AddWebhooksArgs) -> anyhow::Result<Exit> {
    let target = &args.target;
    let wanted = Wanted { include: &args.include, level: args.level.as_str(), secret: settings.webhook_secret()? };
    let (template, api) = (template(settings, target)?, api(global, settings)?);
    let apps = apps(&api, settings, target).await?;
    let (api, wanted, template) = (&api, &wanted, &template);
    let one = |app: String| async move {
        let url = url_of(template, &app);
        match subscribe(api, &app, &url, wanted, target.dry_run).await {
            Ok((webhook, what)) => vec![Outcome { app, webhook, what }],
            Err(error) => {
                // The API's words may repeat what they refuse.
                let why = error.to_string().replace(wanted.secret.reveal(), "[secret]");
                vec![Outcome { app, webhook: String::new(), what: What::Failed(why) }]
            }
        }
    };
    report(Printer::new(global), outcomes(apps, one).await, target.dry_run)
}

async fn remove(global: &Global, settings: &Settings, target: &WebhookTarget) -> anyhow::Result<Exit> {
    let (template, api) = (template(settings, target)?, api(global, settings)?);
    let apps = apps(&api, settings, target).await?;
    let (api, template) = (&api, &template);
    let one = |app: String| async move { unsubscribe(api, app.clone(), &url_of(template, &app), target.dry_run).await };
    report(Printer::new(global), outcomes(apps, one).await, target.dry_run)
}

/// Makes the one subscription of `app` to `url` what is wanted. The secret is sent each time: nobody can ask what it is there.
async fn subscribe(api: &Api, app: &str, url: &str, wanted: &Wanted<'_>, dry_run: bool) -> Result<(String, What), ApiError> {
    let there = subscriptions(api, app).await?.into_iter().find(|webhook| webhook["url"] == url);
    let body = json!({ "url": url, "include": wanted.include, "level": wanted.level, "secret": wanted.secret.reveal() });
    let (id, what) = match there.as_ref().and_then(id_of) {
        Some(id) => (id, What::Updated),
        None => (String::new(), What::Added),
    };
    if dry_run {
        return Ok((id, what));
    }
    let made = match what {
        What::Updated => api.update(&format!("/apps/{app}/webhooks/{id}"), &body).await?,
        _ => api.create(&format!("/apps/{app}/webhooks"), &body).await?,
    };
    Ok((id_of(&made).unwrap_or(id), what))
}

/// Ends every subscription of `app` to `url`.
async fn unsubscribe(api: &Api, app: String, url: &str, dry_run: bool) -> Vec<Outcome> {
    let outcome = |webhook: String, what: What| Outcome { app: app.clone(), webhook, what };
    let there = match subscriptions(api, &app).await {
        Ok(there) => there,
        Err(error) => return vec![outcome(String::new(), What::Failed(error.to_string()))],
    };
    let ids: Vec<String> = there.iter().filter(|webhook| webhook["url"] == url).filter_map(id_of).collect();
    let mut outcomes = Vec::new();
    for id in ids {
        let removed = if dry_run { Ok(()) } else { api.delete(&format!("/apps/{app}/webhooks/{id}")).await.map(drop) };
        outcomes.push(match removed {
            Ok(()) | Err(ApiError::NotFound(_)) => outcome(id, What::Removed),
            Err(error) => outcome(id, What::Failed(error.to_string())),
        });
    }
    if outcomes.is_empty() {
        outcomes.push(outcome(String::new(), What::NotThere));
    }
    outcomes
}

/// The subscriptions of `app`, as the API has them.
async fn subscriptions(api: &Api, app: &str) -> Result<Vec<Value>, ApiError> {
    list(api, &format!("/apps/{app}/webhooks")).await
}

/// All objects of the list at `path`, newest page last.
async fn list(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut pages = api.pages(path, &Range::none());
    let mut objects = Vec::new();
    while let Some(part) = pages.next().await? {
        if let Part::Page(page) = part {
            objects.extend(page.objects);
        }
    }
    Ok(objects)
}

/// The id of an object, where it can be a part of a path.
fn id_of(object: &Value) -> Option<String> {
    let is_plain = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    object["id"].as_str().filter(is_plain).map(str::to_owned)
}

/// What `one` gives for each app, in their order.
async fn outcomes<F: Future<Output = Vec<Outcome>>>(apps: Vec<String>, one: impl Fn(String) -> F) -> Vec<Outcome> {
    let asked: Vec<F> = apps.into_iter().map(one).collect();
    stream::iter(asked).buffered(APPS_AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

fn api(global: &Global, settings: &Settings) -> anyhow::Result<Api> {
    let missing = |why: NoToken| Failure::error(Exit::BadConfig, format!("there is no token for Heroku's API: {why}\n  {GET_TOKEN}"));
    let token = settings.heroku.token_or_that_of_cli(&global.data_dir).map_err(missing)?;
    Ok(Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token)))?)
}

async fn apps(api: &Api, settings: &Settings, target: &WebhookTarget) -> anyhow::Result<Vec<String>> {
    if target.all { all_apps(api, settings).await } else { named(&target.apps) }
}

/// The names from the command line, each once. A name is a part of a path, so it has to be one.
fn named(names: &[String]) -> anyhow::Result<Vec<String>> {
    let is_plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if let Some(wrong) = names.iter().find(|name| !is_plain(name)) {
        return Err(Failure::error(Exit::Failed, format!("{wrong:?} is no name of an app: letters, digits and `-` make one")));
    }
    let mut apps: Vec<String> = Vec::new();
    for name in names {
        if !apps.contains(name) {
            apps.push(name.clone());
        }
    }
    Ok(apps)
}

/// The apps that the configuration names, or that the token can see where it names none.
async fn all_apps(api: &Api, settings: &Settings) -> anyhow::Result<Vec<String>> {
    let patterns = &settings.heroku.apps;
    let is_wanted = |name: &String| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name));
    Ok(visible_apps(api).await?.names.into_iter().filter(is_wanted).collect())
}

/// Where Heroku delivers, with `{app}` in it.
fn template(settings: &Settings, target: &WebhookTarget) -> anyhow::Result<String> {
    let given = target.url.clone().or_else(|| settings.public_url.as_ref().map(|url| format!("{url}/webhooks/{{app}}")));
    let template = given.ok_or_else(|| {
        let message = "Heroku has to know where to deliver: set `public_url` under [receive], or give --url https://HOST/webhooks/{app}";
        Failure::error(Exit::BadConfig, message)
    })?;
    match web_address(&url_of(&template, "app")) {
        Ok(_) => Ok(template),
        Err(why) => Err(Failure::error(Exit::Failed, format!("--url {why}"))),
    }
}

fn url_of(template: &str, app: &str) -> String {
    template.replace("{app}", app)
}

fn report(printer: Printer, outcomes: Vec<Outcome>, dry_run: bool) -> anyhow::Result<Exit> {
    let failed = outcomes.iter().filter(|outcome| matches!(outcome.what, What::Failed(_))).count();
    if printer.is_text() {
        let row = |outcome: &Outcome| {
            let what = match &outcome.what {
                What::Failed(why) => printer.painted(Paint::Red, &format!("failed: {why}")),
                What::NotThere => printer.painted(Paint::Dim, "not there"),
                what if dry_run => format!("would be {what}"),
                what => printer.painted(Paint::Green, &what.to_string()),
            };
            vec![outcome.app.clone(), outcome.webhook.clone(), what]
        };
        printer.table(&[left("app"), left("webhook"), left("")], outcomes.iter().map(row))?;
    } else {
        let webhook = |outcome: &Outcome| {
            let problem = if let What::Failed(why) = &outcome.what { Some(why) } else { None };
            let id = (!outcome.webhook.is_empty()).then_some(&outcome.webhook);
            json!({ "app": outcome.app, "webhook": id, "outcome": outcome.what.to_string(), "problem": problem })
        };
        printer.json(&json!({ "webhooks": outcomes.iter().map(webhook).collect::<Vec<_>>(), "dry_run": dry_run }))?;
    }
    Ok(exit_of(failed, outcomes.len()))
}

fn exit_of(failed: usize, all: usize) -> Exit {
    match failed {
        0 => Exit::Ok,
        failed if failed == all => Exit::Failed,
        _ => Exit::Partly,
    }
}
