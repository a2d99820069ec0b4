//! Lists: what belongs to what the path names.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::route::Call;
use super::usage;
use super::views::stored_as;
use crate::catalogue::Route;
use crate::world::{Objects, Refusal, World};

/// Objects of a list, stored or made for it.
pub(super) type Listed<'a> = Vec<Cow<'a, Value>>;

/// Whether a route answers with a list.
pub(super) fn is_list(route: &Route) -> bool {
    // The schema forgets to say so of the sizes.
    route.is_list || route.path.ends_with("/available-dyno-sizes")
}

/// The objects that the path of `call` names, in no order.
pub(super) fn list<'a>(world: &'a World, call: &Call<'_>) -> Result<Listed<'a>, Refusal> {
    let objects = world.objects();
    if let Some(computed) = usage::list(world, call)? {
        return Ok(computed);
    }
    let resource = stored_as(call.route.answers);
    let stored: Box<dyn Iterator<Item = &'a Value> + 'a> = match call.route.path {
        "/apps/{app}/available-stacks" | "/teams/{team}/available-generations" | "/apps/{app}/available-dyno-sizes" => {
            resolve(world, call)?;
            Box::new(objects.all(resource))
        }
        "/users/{account}/apps" => return Ok(apps_of(objects, &last(world, call)?.1)),
        "/teams/{team}/members/{team-member}/apps" => return member_apps(world, call),
        "/addons/{add-on}/config" => return addon_config(world, call),
        "/apps/{app}/config-vars-settings" => return config_settings(world, call),
        "/spaces/{space}/dynos" => return space_dynos(world, call),
        "/pipelines/{pipeline}/latest-builds" | "/pipelines/{pipeline}/latest-deployments" | "/pipelines/{pipeline}/latest-releases" => {
            let pipeline = last(world, call)?.1;
            Box::new(
                objects
                    .of("pipeline-coupling", &pipeline)
                    .filter_map(move |coupling| objects.of(resource, coupling["app"]["id"].as_str()?).next_back()),
            )
        }
        path => match resolve(world, call)?.pop() {
            None => Box::new(objects.all(resource)),
            // The last part of the path names the object itself.
            Some((named, id)) if path.ends_with('}') && named == resource => Box::new(objects.get(resource, &id).into_iter()),
            Some((_, id)) => Box::new(objects.of(resource, &id)),
        },
    };
    Ok(stored.map(Cow::Borrowed).collect())
}

/// What the variable parts of the path mean, as resource and id: each is looked for below the one before it.
pub(super) fn resolve(world: &World, call: &Call<'_>) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for (parameter, identity) in call.parameters() {
        let resource = stored_as(parameter);
        if matches!(parameter, "year" | "month" | "stage" | "resource") {
            found.push((resource, identity.to_owned()));
            continue;
        }
        let owner = world.owner().filter(|_| resource == "account" && identity == "~");
        let identity = owner.map_or(identity, |owner| owner.id.as_str());
        // An account does not belong to what it has access to.
        let parent = found.last().filter(|_| resource != "account").map(|(_, id)| id.as_str());
        let object = world.objects().find(resource, parent, identity).ok_or_else(|| Refusal::not_found(&parameter.replace('-', " ")))?;
        found.push((resource, object["id"].as_str().unwrap_or_default().to_owned()));
    }
    Ok(found)
}

/// What the last variable part of the path means.
pub(super) fn last(world: &World, call: &Call<'_>) -> Result<(&'static str, String), Refusal> {
    resolve(world, call)?.pop().ok_or_else(super::no_route)
}

/// The apps that somebody owns or works on.
fn apps_of<'a>(objects: &'a Objects, account: &str) -> Listed<'a> {
    let owned = objects.of("app", account);
    let shared = objects.of("collaborator", account).filter_map(|collaborator| objects.get("app", collaborator["app"]["id"].as_str()?));
    let mut apps: Vec<&Value> = owned.chain(shared).collect();
    apps.sort_by_key(|app| app["id"].as_str());
    apps.dedup_by_key(|app| app["id"].as_str());
    apps.into_iter().map(Cow::Borrowed).collect()
}

fn member_apps<'a>(world: &'a World, call: &Call<'_>) -> Result<Listed<'a>, Refusal> {
    let path = resolve(world, call)?;
    let [(_, team), (_, member)] = path.as_slice() else { return Err(super::no_route()) };
    let member = world.objects().get("team-member", member).and_then(|member| member["user"]["id"].as_str()).unwrap_or_default();
    let mut apps = apps_of(world.objects(), member);
    apps.retain(|app| app["team"]["id"] == team.as_str());
    Ok(apps)
}

fn addon_config<'a>(world: &'a World, call: &Call<'_>) -> Result<Listed<'a>, Refusal> {
    let addon = world.objects().get("add-on", &last(world, call)?.1).unwrap_or(&Value::Null);
    let vars = world.config_vars(addon["app"]["id"].as_str().unwrap_or_default());
    let names = addon["config_vars"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(names.map(|name| Cow::Owned(json!({ "name": name, "value": vars.get(name) }))).collect())
}

fn config_settings<'a>(world: &'a World, call: &Call<'_>) -> Result<Listed<'a>, Refusal> {
    let (_, app) = last(world, call)?;
    let updated_at = world.objects().get("app", &app).map(|app| app["released_at"].as_str().unwrap_or_default().to_owned());
    let setting = |(key, value): (String, String)| json!({ "key": key, "value": value, "value_updated_at": updated_at, "attachment": null, "masked": false, "masking_supported": true });
    Ok(world.config_vars(&app).into_iter().map(|var| Cow::Owned(setting(var))).collect())
}

fn space_dynos<'a>(world: &'a World, call: &Call<'_>) -> Result<Listed<'a>, Refusal> {
    let (_, space) = last(world, call)?;
    let objects = world.objects();
    let of_app = |app: &Value| {
        let dynos: Vec<_> = objects.of("dyno", app["id"].as_str().unwrap_or_default()).collect();
        Cow::Owned(json!({ "app_name": app["name"], "dynos": dynos }))
    };
    Ok(objects.of("app", &space).map(of_app).collect())
}
