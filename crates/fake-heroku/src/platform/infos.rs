//! Single objects.

use serde_json::{Value, json};

use super::lists::{last, resolve};
use super::route::Call;
use super::usage;
use super::views::{stored_as, view};
use crate::world::{Refusal, World};

/// The one object that the path of `call` names.
pub(super) fn info(world: &World, call: &Call<'_>) -> Result<Value, Refusal> {
    let objects = world.objects();
    let answers = call.route.answers;
    match call.route.path {
        "/account/rate-limits" => return Ok(json!({ "remaining": call.remaining })),
        "/account" => return object_of_owner(world, "account", true),
        path if path.starts_with("/account/") && !path.ends_with('}') => return object_of_owner(world, answers, false),
        "/apps/{app}/config-vars" => return Ok(json!(world.config_vars(&last(world, call)?.1))),
        "/apps/{app}/releases/{release}/config-vars" => return Ok(json!(world.release_config_vars(&last(world, call)?.1))),
        "/pipelines/{pipeline}/stage/{stage}/config-vars" => return resolve(world, call).map(|_| json!({})),
        "/spaces/{space}/topology" => return Ok(topology(world, &last(world, call)?.1)),
        "/enterprise-accounts/{enterprise-account}/archives/{year}/{month}" => return usage::archive(world, call),
        _ => {}
    }
    let path = resolve(world, call)?;
    let resource = stored_as(answers);
    let object = match path.as_slice() {
        // Access to a space goes by the account that has it.
        [(_, parent), ("account", account)] => objects.find(resource, Some(parent), account),
        [.., (named, id)] if *named == resource => objects.get(resource, id),
        [.., (_, parent)] => objects.of(resource, parent).next(),
        [] => None,
    };
    object.map(|object| view(answers, object).into_owned()).ok_or_else(|| Refusal::not_found(&answers.replace('-', " ")))
}

fn object_of_owner(world: &World, resource: &'static str, is_account: bool) -> Result<Value, Refusal> {
    let objects = world.objects();
    let owner = world.owner().map_or("", |owner| owner.id.as_str());
    let object = if is_account { objects.get(resource, owner) } else { objects.of(resource, owner).next() };
    object.cloned().ok_or_else(|| Refusal::not_found(resource))
}

fn topology(world: &World, space: &str) -> Value {
    let objects = world.objects();
    let of_app = |app: &Value| {
        let id = app["id"].as_str().unwrap_or_default();
        let domains: Vec<_> = objects.of("domain", id).map(|domain| domain["hostname"].clone()).collect();
        let formation = objects.of("formation", id).map(|formation| {
            let dynos = objects.of("dyno", id).filter(|dyno| dyno["type"] == formation["type"]);
            let dynos: Vec<_> =
                dynos.map(|dyno| json!({ "id": dyno["id"], "number": 1, "private_ip": "10.0.0.1", "hostname": dyno["name"] })).collect();
            json!({ "id": formation["id"], "process_type": formation["type"], "dynos": dynos })
        });
        json!({ "id": id, "domains": domains, "formation": formation.collect::<Vec<_>>() })
    };
    json!({ "version": 1, "apps": objects.of("app", space).map(of_app).collect::<Vec<_>>() })
}
