//! Apps: made, changed, taken away.

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::{TEAM_MANAGER, fields, reference, text, user};

const ADJECTIVES: [&str; 12] =
    ["calm", "damp", "early", "floating", "gentle", "hidden", "mellow", "polar", "quiet", "rocky", "still", "thawing"];
const NOUNS: [&str; 12] = ["brook", "cove", "delta", "eddy", "fjord", "harbor", "inlet", "lagoon", "meadow", "reach", "shore", "wildwood"];

/// Heroku's limits for the name of an app.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=30;

impl World {
    /// A new app. `wanted` may have `name`, `region`, `stack`, `team`, `space` and `generation` (`cedar` or `fir`).
    ///
    /// While the company is founded, an app belongs to its team unless `wanted` says `"personal": true`.
    ///
    /// # Errors
    ///
    /// 422 for a name that is taken or no name, 404 for a region, stack, team or space that does not exist.
    pub fn create_app(&mut self, by: &Actor, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        let name = match wanted.get("name") {
            None | Some(Value::Null) => self.free_app_name(),
            Some(name) => self.checked_app_name(name)?,
        };
        let space = self.wanted("space", wanted, None)?;
        let generation = match (wanted.get("generation").and_then(Value::as_str), &space) {
            (Some(generation @ ("cedar" | "fir")), _) => generation.to_owned(),
            (Some(_), _) => return Err(Refusal::not_found("generation")),
            (None, Some(space)) => text(space, "generation").to_owned(),
            (None, None) => "cedar".to_owned(),
        };
        // Fir lives in private spaces only.
        let space = space.or_else(|| {
            let is_home = |space: &&Value| generation == "fir" && text(space, "generation") == "fir";
            self.objects.all("space").find(is_home).cloned()
        });
        let stack = self.wanted("stack", wanted, Some(if generation == "fir" { "cnb" } else { "heroku-24" }))?;
        let region = self.wanted("region", wanted, Some("us"))?;
        let is_personal = wanted.get("personal").and_then(Value::as_bool).unwrap_or(!self.is_founding);
        let team = self.wanted("team", wanted, None)?.or_else(|| self.objects.all("team").next().filter(|_| !is_personal).cloned());

        let owner = team
            .as_ref()
            .map_or_else(|| user(by), |team| json!({ "id": team["id"], "email": format!("{}@{TEAM_MANAGER}", text(team, "name")) }));
        let host = format!("{name}-{}.herokuapp.com", self.chance.hex(12));
        let parents = [
            &owner["id"],
            &team.as_ref().map_or(Value::Null, |team| team["id"].clone()),
            &space.as_ref().map_or(Value::Null, |space| space["id"].clone()),
        ]
        .into_iter()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
        let stack = stack.as_ref().map(reference);
        let team = team.as_ref().map(reference);
        let id = self.add(
            by,
            "app",
            parents,
            fields(json!({
                "name": name, "owner": owner, "team": team, "organization": team, "generation": generation,
                "region": region.as_ref().map(reference), "stack": stack, "build_stack": stack,
                "space": space.map(|space| json!({ "id": space["id"], "name": space["name"], "shield": space["shield"] })),
                "git_url": format!("https://git.heroku.com/{name}.git"), "web_url": format!("https://{host}/"),
                "current_build_architecture": if generation == "fir" { json!(["arm64"]) } else { json!([]) },
            })),
        );
        self.greet(by, &id, &host);
        self.first_releases(by, &id)?;
        self.shown("app", &id)
    }

    /// Other values for `name`, `maintenance` or `build_stack`.
    ///
    /// # Errors
    ///
    /// 404 for an app or a stack that does not exist, 422 for a name that is taken, no name or no stack.
    pub fn update_app(&mut self, by: &Actor, app: &str, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        let before = self.app(app)?;
        let (name_before, stack_before) = (text(before, "name").to_owned(), text(&before["build_stack"], "name").to_owned());
        let mut changed = Map::new();
        if let Some(name) = wanted.get("name").filter(|name| name.as_str() != Some(&name_before)) {
            let name = self.checked_app_name(name)?;
            changed.insert("git_url".to_owned(), json!(format!("https://git.heroku.com/{name}.git")));
            changed.insert("name".to_owned(), json!(name));
        }
        if let Some(maintenance) = wanted.get("maintenance") {
            let maintenance = maintenance.as_bool().ok_or_else(|| Refusal::invalid("Maintenance must be true or false."))?;
            changed.insert("maintenance".to_owned(), json!(maintenance));
        }
        let mut said = None;
        if wanted.contains_key("build_stack") {
            let stack = self.wanted("stack", &Map::from_iter([("stack".to_owned(), wanted["build_stack"].clone())]), None)?;
            let stack = stack.ok_or_else(|| Refusal::invalid("Build stack must be the name or id of a stack."))?;
            let name = text(&stack, "name");
            if name != stack_before {
                said = Some([
                    format!("Stack changed from {stack_before} to {name} by user {}", by.email),
                    format!("Upgrade stack to {name} by user {}", by.email),
                ]);
            }
            changed.insert("build_stack".to_owned(), reference(&stack));
        }
        let is_renamed = changed.contains_key("name");
        self.set(by, "app", app, changed);
        if is_renamed {
            self.rename_in_belongings(by, app)?;
        }
        for text in said.into_iter().flatten() {
            self.say_of_api(app, &text);
        }
        self.shown("app", app)
    }

    /// Takes an app away with all that belongs to it.
    ///
    /// # Errors
    ///
    /// 404 for an app that does not exist.
    pub fn destroy_app(&mut self, by: &Actor, app: &str) -> Result<Value, Refusal> {
        self.app(app)?;
        for (resource, id) in self.objects.belongings(app) {
            for (below, id) in self.objects.belongings(&id) {
                let is_elsewhere = self.objects.get(below, &id).is_some_and(|object| object["app"]["id"] != app);
                // An add-on's attachments to other apps go with it, and those apps get a release without its config var.
                if below == "add-on-attachment" && is_elsewhere {
                    self.detach(by, &id)?;
                } else {
                    self.remove(by, below, &id);
                }
            }
            self.config.forget(&id);
            self.remove(by, resource, &id);
        }
        self.config.forget(app);
        self.remove(by, "app", app).ok_or_else(|| Refusal::not_found("app"))
    }

    /// What a new app has from the start: its people and its address.
    fn greet(&mut self, by: &Actor, app: &str, host: &str) {
        let Ok(reference) = self.app_reference(app) else { return };
        let owner = self.owner().filter(|owner| self.is_founding && *owner != by).cloned();
        for (person, role) in [(by, "owner")].into_iter().chain(owner.as_ref().map(|owner| (owner, "admin"))) {
            let (id, email) = (&person.id, &person.email);
            let given = json!({ "app": reference, "role": role, "user": { "id": id, "email": email, "federated": false } });
            self.add(by, "collaborator", vec![app.to_owned(), id.clone()], fields(given));
        }
        let given = json!({ "app": reference, "hostname": host, "kind": "heroku", "status": "succeeded" });
        self.add(by, "domain", vec![app.to_owned()], fields(given));
    }

    /// What refers to the app by name keeps up with it.
    fn rename_in_belongings(&mut self, by: &Actor, app: &str) -> Result<(), Refusal> {
        let reference = self.app_reference(app)?;
        for (resource, id) in self.objects.belongings(app) {
            let shown = self.objects.get(resource, &id).map(|object| &object["app"]);
            if shown.is_some_and(|shown| shown["id"] == reference["id"] && shown["name"].is_string()) {
                self.set(by, resource, &id, fields(json!({ "app": reference })));
            }
        }
        Ok(())
    }

    /// The object that `wanted` names under the name of its resource (as text, or as an object with `id` or `name`), or the one called `otherwise`.
    fn wanted(&self, resource: &str, wanted: &Map<String, Value>, otherwise: Option<&str>) -> Result<Option<Value>, Refusal> {
        let identity = match wanted.get(resource) {
            Some(Value::String(identity)) => Some(identity.as_str()),
            Some(object @ Value::Object(_)) => object["id"].as_str().or(object["name"].as_str()),
            _ => otherwise,
        };
        let Some(identity) = identity else { return Ok(None) };
        self.objects.find(resource, None, identity).cloned().map(Some).ok_or_else(|| Refusal::not_found(resource))
    }

    fn checked_app_name(&self, name: &Value) -> Result<String, Refusal> {
        let name = name.as_str().unwrap_or_default();
        let is_edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_good = NAME_CHARS.contains(&name.len())
            && name.bytes().all(|byte| is_edge(byte) || byte == b'-')
            && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && name.bytes().last().is_some_and(is_edge);
        if !is_good {
            return Err(Refusal::invalid(
                "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes.",
            ));
        }
        match self.objects.find("app", None, name) {
            Some(_) => Err(Refusal::invalid(format!("Name {name} is already taken"))),
            None => Ok(name.to_owned()),
        }
    }

    fn free_app_name(&mut self) -> String {
        loop {
            let (adjective, noun) = (*self.chance.one_of(&ADJECTIVES), *self.chance.one_of(&NOUNS));
            let name = format!("{adjective}-{noun}-{:05}", self.chance.between(10_000, 99_999));
            if self.objects.find("app", None, &name).is_none() {
                return name;
            }
        }
    }
}
