//! The fault of an object that is on one page and gone before the next.

use serde_json::Value;

use super::ranges::Page;
use super::views::stored_as;
use crate::faults::{Fault, Faults};
use crate::world::{Objects, World};

/// Resources of which one more or less does nobody harm.
const HARMLESS: [&str; 6] =
    ["add-on-attachment", "app-webhook-delivery", "app-webhook-event", "collaborator", "domain", "pipeline-coupling"];

/// The object that is to go, if the fault strikes and the page has one that nothing hangs on.
pub(super) fn choose(world: &World, answers: &'static str, page: &Page<'_>, faults: &Faults) -> Option<(&'static str, String)> {
    let resource = stored_as(answers);
    let can_go = |object: &&Value| match resource {
        "app" => is_idle(world.objects(), object["id"].as_str().unwrap_or_default()),
        // An app's own people and address stay.
        "collaborator" => object["role"] != "owner" && object["role"] != "admin",
        "domain" => object["kind"] != "heroku",
        resource => HARMLESS.contains(&resource),
    };
    let candidates: Vec<&Value> = page.objects().filter(can_go).collect();
    if candidates.is_empty() || !faults.strikes(Fault::ApiVanish) {
        return None;
    }
    let id = faults.chance().one_of(&candidates)["id"].as_str()?.to_owned();
    Some((resource, id))
}

/// Takes the object away as somebody would, so that the journal knows.
pub(super) fn destroy(world: &mut World, resource: &'static str, id: &str) {
    let Some(by) = world.owner().cloned() else { return };
    let gone = if resource == "app" { world.destroy_app(&by, id) } else { world.destroy_plain(&by, resource, id) };
    if let Err(error) = gone {
        tracing::warn!(resource, id, %error, "object did not vanish");
    }
}

/// An app without dynos, drains and add-ons: the story has no use for it.
fn is_idle(objects: &Objects, app: &str) -> bool {
    ["dyno", "log-drain", "telemetry-drain", "add-on", "app-webhook"].iter().all(|resource| objects.of(resource, app).next().is_none())
}
