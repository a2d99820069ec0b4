//! People, addresses, pipelines: objects of which the API takes and gives no more than they are.

use serde_json::{Map, Value, json};

use super::{Changed, Subject, done};
use crate::world::Refusal;

pub(super) fn change(subject: &mut Subject<'_>) -> Option<Changed> {
    let (method, path) = (subject.call.route.method, subject.call.route.path);
    let owner = subject.by.id.clone();
    let last = subject.last();
    Some(match (method, path) {
        ("POST", "/apps/{app}/domains") => add_domain(subject),
        ("POST", "/apps/{app}/collaborators" | "/teams/apps/{app}/collaborators") => add_collaborator(subject),
        ("POST", "/pipelines") => add_pipeline(subject),
        ("POST", "/pipeline-couplings") => couple(subject),
        ("PUT" | "POST", "/teams/{team}/members") => put_member(subject),
        ("PATCH", "/account") => update(subject, "account", &owner, &["allow_tracking", "beta", "name"]),
        ("PATCH", "/users/{account}") => update(subject, "account", &last, &["allow_tracking", "beta", "name"]),
        ("PATCH", "/account/features/{account-feature}") => update(subject, "account-feature", &last, &["enabled"]),
        ("PATCH", "/apps/{app}/features/{app-feature}") => update(subject, "app-feature", &last, &["enabled"]),
        ("PATCH", "/teams/apps/{team-app}") => lock(subject, &last),
        ("PATCH", "/teams/{team}") => update(subject, "team", &last, &["default", "name"]),
        ("PATCH", "/apps/{app}/domains/{domain}") => set_endpoint(subject, &last),
        ("PATCH", "/pipelines/{pipeline}") => update(subject, "pipeline", &last, &["name"]),
        ("PATCH", "/pipeline-couplings/{pipeline-coupling}") => update(subject, "pipeline-coupling", &last, &["stage"]),
        ("PATCH", "/spaces/{space}") => update(subject, "space", &last, &["name"]),
        ("PATCH", "/account/app-transfers/{app-transfer}") => update(subject, "app-transfer", &last, &["state"]),
        ("PATCH", "/teams/apps/{team-app}/collaborators/{team-app-collaborator}") => permit(subject, &last),
        ("DELETE", path) => return remove(subject, path, &last),
        _ => return None,
    })
}

/// Objects that go by being asked to.
const REMOVABLE: [(&str, &str); 11] = [
    ("/account/app-transfers/{app-transfer}", "app-transfer"),
    ("/apps/{app}/collaborators/{collaborator}", "collaborator"),
    ("/apps/{app}/domains/{domain}", "domain"),
    ("/apps/{app}/sni-endpoints/{sni-endpoint}", "sni-endpoint"),
    ("/oauth/authorizations/{oauth-authorization}", "oauth-authorization"),
    ("/oauth/clients/{oauth-client}", "oauth-client"),
    ("/pipeline-couplings/{pipeline-coupling}", "pipeline-coupling"),
    ("/pipelines/{pipeline}", "pipeline"),
    ("/review-apps/{review-app}", "review-app"),
    ("/teams/apps/{team-app}/collaborators/{team-app-collaborator}", "collaborator"),
    ("/teams/{team}/members/{team-member}", "team-member"),
];

fn remove(subject: &mut Subject<'_>, path: &str, id: &str) -> Option<Changed> {
    let (_, resource) = REMOVABLE.iter().find(|(removable, _)| *removable == path)?;
    remove_below(subject, id);
    Some(subject.world.destroy_plain(&subject.by, resource, id).map(done))
}

/// Takes away what belongs to an object (a pipeline's couplings, tests and promotions), and what belongs to that.
fn remove_below(subject: &mut Subject<'_>, id: &str) {
    for (resource, id) in subject.world.objects().belongings(id) {
        remove_below(subject, &id);
        drop(subject.world.destroy_plain(&subject.by, resource, &id));
    }
}

fn update(subject: &mut Subject<'_>, resource: &'static str, id: &str, names: &[&str]) -> Changed {
    let fields = subject.given(names);
    subject.world.update_plain(&subject.by, resource, id, fields).map(done)
}

fn add_domain(subject: &mut Subject<'_>) -> Changed {
    let (app, hostname) = (subject.id(0), subject.call.required("hostname")?.to_owned());
    if subject.world.objects().all("domain").any(|domain| domain["hostname"] == hostname.as_str()) {
        return Err(Refusal::invalid(format!("Domain {hostname} is already added to an app.")));
    }
    let cname = format!("{}.herokudns.example", subject.world.chance.hex(16));
    let endpoint = endpoint(subject, &app)?;
    subject.create(
        "domain",
        vec![app],
        json!({ "hostname": hostname, "cname": cname, "kind": "custom", "status": "pending", "sni_endpoint": endpoint }),
    )
}

fn set_endpoint(subject: &mut Subject<'_>, domain: &str) -> Changed {
    let endpoint = endpoint(subject, &subject.id(0))?;
    let fields = Map::from_iter([("sni_endpoint".to_owned(), endpoint)]);
    subject.world.update_plain(&subject.by, "domain", domain, fields).map(done)
}

/// `{id, name}` of the endpoint that the body names, or null.
fn endpoint(subject: &Subject<'_>, app: &str) -> Result<Value, Refusal> {
    let Some(name) = subject.call.optional("sni_endpoint") else { return Ok(Value::Null) };
    let found = subject.world.objects().find("sni-endpoint", Some(app), name).ok_or_else(|| Refusal::not_found("sni endpoint"))?;
    Ok(json!({ "id": found["id"], "name": found["name"] }))
}

/// Whoever is invited and has no account yet gets one.
fn account(subject: &mut Subject<'_>, field: &str) -> Result<Value, Refusal> {
    if let Ok(id) = subject.named("account", field) {
        return Ok(subject.world.objects().get("account", &id).cloned().unwrap_or_default());
    }
    let user = subject.call.body.get(field).unwrap_or(&Value::Null);
    let email = user.as_str().or(user["email"].as_str()).filter(|email| email.contains('@')).map(str::to_owned);
    let email = email.ok_or_else(|| Refusal::not_found("user"))?;
    let fields = Map::from_iter([("email".to_owned(), json!(email))]);
    subject.world.create_plain(&subject.by, "account", Vec::new(), fields)
}

fn add_collaborator(subject: &mut Subject<'_>) -> Changed {
    let app = subject.id(0);
    let account = account(subject, "user")?;
    if subject.world.objects().of("collaborator", &app).any(|present| present["user"]["id"] == account["id"]) {
        return Err(Refusal::invalid("User is already a collaborator on the app."));
    }
    let permissions = permissions(subject.call.body.get("permissions"));
    let user = json!({ "id": account["id"], "email": account["email"], "federated": false });
    let parents = std::iter::once(app).chain(account["id"].as_str().map(str::to_owned)).collect();
    subject.create("collaborator", parents, json!({ "user": user, "role": "collaborator", "permissions": permissions }))
}

fn permit(subject: &mut Subject<'_>, collaborator: &str) -> Changed {
    let fields = Map::from_iter([("permissions".to_owned(), permissions(subject.call.body.get("permissions")))]);
    subject.world.update_plain(&subject.by, "collaborator", collaborator, fields).map(done)
}

/// Permissions are given by name and shown as objects.
fn permissions(given: Option<&Value>) -> Value {
    let names = given.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| json!({ "name": name, "description": format!("Can {name} the app.") })).collect()
}

fn put_member(subject: &mut Subject<'_>) -> Changed {
    let team = subject.id(0);
    let role = subject.call.required("role")?.to_owned();
    let account = account(subject, "email")?;
    let present = subject.world.objects().of("team-member", &team).find(|member| member["user"]["id"] == account["id"]);
    if let Some(member) = present.and_then(|member| member["id"].as_str().map(str::to_owned)) {
        let fields = Map::from_iter([("role".to_owned(), json!(role))]);
        return subject.world.update_plain(&subject.by, "team-member", &member, fields).map(done);
    }
    let user = json!({ "id": account["id"], "email": account["email"], "name": account["name"] });
    let parents = std::iter::once(team).chain(account["id"].as_str().map(str::to_owned)).collect();
    subject.create("team-member", parents, json!({ "email": account["email"], "role": role, "user": user }))
}

fn lock(subject: &mut Subject<'_>, app: &str) -> Changed {
    let locked = subject.call.body.get("locked").and_then(Value::as_bool).ok_or_else(|| Refusal::invalid("locked must be specified."))?;
    let fields = Map::from_iter([("_locked".to_owned(), json!(locked))]);
    subject.world.update_plain(&subject.by, "app", app, fields).map(done)
}

fn add_pipeline(subject: &mut Subject<'_>) -> Changed {
    let name = subject.call.required("name")?.to_owned();
    if subject.world.objects().find("pipeline", None, &name).is_some() {
        return Err(Refusal::invalid(format!("Name {name} is already taken")));
    }
    let owner = subject.call.body.get("owner").cloned().unwrap_or_else(|| json!({ "id": subject.by.id, "type": "user" }));
    let generation =
        subject.world.objects().all("generation").next().map(|generation| json!({ "id": generation["id"], "name": generation["name"] }));
    let parents = owner["id"].as_str().map(str::to_owned).into_iter().collect();
    subject.create("pipeline", parents, json!({ "name": name, "owner": owner, "generation": generation }))
}

fn couple(subject: &mut Subject<'_>) -> Changed {
    let (app, pipeline) = (subject.named("app", "app")?, subject.named("pipeline", "pipeline")?);
    let stage = subject.call.required("stage")?.to_owned();
    if subject.world.objects().of("pipeline-coupling", &app).next().is_some() {
        return Err(Refusal::invalid("App is already in a pipeline."));
    }
    let team = subject.world.objects().get("app", &app).and_then(|app| app["team"]["id"].as_str().map(str::to_owned));
    let parents = [app.clone(), pipeline.clone()].into_iter().chain(team).collect();
    let fields = json!({ "app": { "id": app }, "pipeline": { "id": pipeline }, "stage": stage });
    subject.create("pipeline-coupling", parents, fields)
}
