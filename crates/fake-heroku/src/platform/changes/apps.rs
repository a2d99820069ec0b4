//! Apps and what runs in them: formation, dynos, releases, builds, config vars, add-ons.

use serde_json::{Map, Value, json};

use super::super::refusal;
use super::{Changed, Subject, accepted, created, done};
use crate::world::{Refusal, Scale};

pub(super) fn change(subject: &mut Subject<'_>) -> Option<Changed> {
    let call = subject.call;
    let (by, app, last) = (subject.by.clone(), subject.id(0), subject.last());
    let body = &call.body;
    let name = subject.given(&["name"]);
    let world = &mut *subject.world;
    Some(match (call.route.method, call.route.path) {
        ("POST", "/apps") => personal(body).and_then(|body| world.create_app(&by, &body)).map(created),
        ("POST", "/teams/apps") => team_app(subject),
        ("PATCH", "/apps/{app}") => world.update_app(&by, &app, body).map(done),
        ("DELETE", "/apps/{app}") => world.destroy_app(&by, &app).map(done),
        ("POST" | "PATCH" | "DELETE", "/apps/{app}/acm") => {
            let fields = Map::from_iter([("acm".to_owned(), json!(call.route.method != "DELETE"))]);
            world.update_plain(&by, "app", &app, fields).map(done)
        }
        ("PATCH", "/apps/{app}/config-vars") => world.set_config(&by, &app, body).map(done),
        ("PATCH", "/apps/{app}/formation") => batch(subject, &app),
        ("PATCH", "/apps/{app}/formation/{formation}") => scale_one(subject, &app, &last),
        ("POST", "/apps/{app}/dynos") => world.run_dyno(&by, &app, body).map(created),
        ("DELETE", "/apps/{app}/dynos") => world.restart(&by, &app, None).map(|()| accepted()),
        ("DELETE", "/apps/{app}/dynos/{dyno}") => world.restart(&by, &app, Some(&last)).map(|()| accepted()),
        ("POST", "/apps/{app}/dynos/{dyno}/actions/stop") => world.stop_dyno(&by, &app, &last).map(|()| accepted()),
        ("DELETE", "/apps/{app}/formations/{formation}") | ("POST", "/apps/{app}/formations/{formation}/actions/stop") => {
            restart_type(subject, &app, &last)
        }
        ("POST", "/apps/{app}/releases") => release(subject, &app),
        ("POST", "/apps/{app}/builds") => build(subject, &app),
        ("DELETE", "/apps/{app}/builds/{build}") => cancel(subject, &last),
        ("POST", "/apps/{app}/addons") => {
            let (name, attachment) = (call.optional("name"), body.get("attachment").and_then(|attachment| attachment["name"].as_str()));
            call.required("plan").and_then(|plan| world.create_addon(&by, &app, plan, name, attachment)).map(created)
        }
        ("PATCH", "/apps/{app}/addons/{add-on}") => match call.optional("plan") {
            Some(plan) => world.change_plan(&by, &last, plan).map(done),
            None => world.update_plain(&by, "add-on", &last, name).map(done),
        },
        ("DELETE", "/apps/{app}/addons/{add-on}") => world.destroy_addon(&by, &last).map(done),
        ("POST", "/addon-attachments") => attach(subject),
        ("DELETE", "/addon-attachments/{add-on-attachment}") => world.detach(&by, &last).map(done),
        ("POST", "/actions/addons/resolve") => resolve(subject, "add-on", "addon"),
        ("POST", "/actions/addon-attachments/resolve") => resolve(subject, "add-on-attachment", "addon_attachment"),
        ("POST", "/filters/apps") => Ok(done(filter_apps(subject))),
        _ => return None,
    })
}

/// An app that is made without a team belongs to whoever makes it.
fn personal(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut body = body.clone();
    body.insert("personal".to_owned(), json!(true));
    body.remove("team");
    Ok(body)
}

fn team_app(subject: &mut Subject<'_>) -> Changed {
    let mut body = subject.call.body.clone();
    if !body.contains_key("team") && body.get("personal") != Some(&Value::Bool(true)) {
        body.insert("personal".to_owned(), json!(false));
    }
    subject.world.create_app(&subject.by, &body).map(created)
}

/// `{"updates": [{"type", "quantity", "size" or "dyno_size"}]}`
fn batch(subject: &mut Subject<'_>, app: &str) -> Changed {
    let updates = subject.call.body.get("updates").and_then(Value::as_array);
    let updates = updates.ok_or_else(|| Refusal::invalid("Updates must be specified."))?;
    let mut wanted = Vec::new();
    for update in updates {
        let named = update["type"].as_str().or(update["id"].as_str()).ok_or_else(|| Refusal::invalid("Each update must have a type."))?;
        wanted.push(scale_of(subject, app, named, update)?);
    }
    subject.world.scale(&subject.by, app, &wanted).map(|formation| done(Value::Array(formation)))
}

fn scale_one(subject: &mut Subject<'_>, app: &str, formation: &str) -> Changed {
    let update = Value::Object(subject.call.body.clone());
    let wanted = scale_of(subject, app, formation, &update)?;
    let mut formation = subject.world.scale(&subject.by, app, &[wanted])?;
    Ok(done(formation.pop().unwrap_or_default()))
}

/// Process types come from the slug: the API adds none. Sizes are given as a name, or as `dyno_size` with an id or a name.
fn scale_of(subject: &Subject<'_>, app: &str, named: &str, update: &Value) -> Result<Scale, Refusal> {
    let formation = subject.world.objects().find("formation", Some(app), named).ok_or_else(|| Refusal {
        status: 404,
        id: "not_found",
        message: format!("Couldn't find that process type ({named})."),
    })?;
    let size = &update["dyno_size"];
    let size = update["size"].as_str().or(size.as_str()).or(size["name"].as_str()).or(size["id"].as_str());
    let quantity = match &update["quantity"] {
        Value::Null => None,
        Value::String(text) => Some(relative(text, formation["quantity"].as_u64().unwrap_or(0))?),
        number => Some(number.as_u64().ok_or_else(|| Refusal::invalid("Quantity must be a number of dynos."))?),
    };
    let process_type = formation["type"].as_str().unwrap_or_default().to_owned();
    Ok(Scale { process_type, quantity, size: size.map(str::to_owned) })
}

/// `+1` and `-1` count from what there is.
fn relative(text: &str, present: u64) -> Result<u64, Refusal> {
    let bad = || Refusal::invalid("Quantity must be a number of dynos.");
    if let Some(more) = text.strip_prefix('+') {
        return more.parse().map(|more: u64| present.saturating_add(more)).map_err(|_| bad());
    }
    if let Some(less) = text.strip_prefix('-') {
        return less.parse().map(|less: u64| present.saturating_sub(less)).map_err(|_| bad());
    }
    text.parse().map_err(|_| bad())
}

fn restart_type(subject: &mut Subject<'_>, app: &str, formation: &str) -> Changed {
    let objects = subject.world.objects();
    let process_type = objects.get("formation", formation).map(|formation| formation["type"].clone()).unwrap_or_default();
    let dynos = objects.of("dyno", app).filter(|dyno| dyno["type"] == process_type);
    let names: Vec<_> = dynos.filter_map(|dyno| dyno["id"].as_str().map(str::to_owned)).collect();
    for dyno in names {
        subject.world.restart(&subject.by, app, Some(&dyno))?;
    }
    Ok(accepted())
}

/// `{"release": id}` rolls back; `{"slug": id}` releases a slug.
fn release(subject: &mut Subject<'_>, app: &str) -> Changed {
    let call = subject.call;
    if let Some(earlier) = call.optional("release") {
        let release = subject.world.objects().find("release", Some(app), earlier).ok_or_else(|| Refusal::not_found("release"))?;
        let version = release["version"].as_u64().unwrap_or(0);
        return subject.world.rollback(&subject.by, app, version).map(created);
    }
    let slug = call.required("slug")?;
    subject.world.release_slug(&subject.by, app, slug, call.optional("description")).map(created)
}

fn build(subject: &mut Subject<'_>, app: &str) -> Changed {
    let source = subject.call.body.get("source_blob").filter(|source| source["url"].is_string());
    let source = source.ok_or_else(|| Refusal::invalid("Source blob must be specified."))?;
    let version = source["version"].as_str().unwrap_or("unversioned");
    subject.world.build(&subject.by, app, version, true).map(created)
}

fn cancel(subject: &mut Subject<'_>, build: &str) -> Changed {
    if subject.world.objects().get("build", build).is_none_or(|build| build["status"] != "pending") {
        return Err(refusal(409, "conflict", "This build has ended already."));
    }
    let fields = Map::from_iter([("status".to_owned(), json!("failed"))]);
    subject.world.update_plain(&subject.by, "build", build, fields).map(done)
}

fn attach(subject: &mut Subject<'_>) -> Changed {
    let (addon, app) = (subject.named("add-on", "addon")?, subject.named("app", "app")?);
    let name = match subject.call.optional("name") {
        Some(name) => name.to_owned(),
        None => subject.call.required("addon")?.to_uppercase().replace('-', "_"),
    };
    if subject.world.objects().find("add-on-attachment", Some(&app), &name).is_some() {
        return Err(Refusal::invalid(format!("Attachment name {name} is already taken")));
    }
    subject.world.attach(&subject.by, &addon, &app, &name).map(created)
}

/// Finds what people call an add-on or an attachment.
fn resolve(subject: &Subject<'_>, resource: &str, field: &str) -> Changed {
    let objects = subject.world.objects();
    let identity = subject.call.required(field)?;
    let app =
        subject.call.optional("app").map(|app| objects.find("app", None, app).ok_or_else(|| Refusal::not_found("app"))).transpose()?;
    let app = app.and_then(|app| app["id"].as_str());
    // An add-on is also called by the name of its attachment.
    let by_attachment = || {
        let attachment = objects.find("add-on-attachment", app, identity)?;
        objects.get(resource, attachment["addon"]["id"].as_str()?)
    };
    let found = objects.find(resource, app, identity).or_else(by_attachment).ok_or_else(|| Refusal::not_found("add on"))?;
    Ok(done(json!([found])))
}

/// Many apps in one call: `{"in": {"id": […]}}`, or by `name`.
fn filter_apps(subject: &Subject<'_>) -> Value {
    let objects = subject.world.objects();
    let wanted = subject.call.body.get("in").unwrap_or(&Value::Null);
    let identities = ["id", "name"].iter().flat_map(|field| wanted[*field].as_array().into_iter().flatten()).filter_map(Value::as_str);
    Value::Array(identities.filter_map(|identity| objects.find("app", None, identity)).cloned().collect())
}
