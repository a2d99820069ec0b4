//! Add-ons and their attachments.

use serde_json::{Value, json};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::releases::Wanted;
use super::{fields, reference, text};

impl World {
    /// A new add-on: `plan` such as `heroku-postgresql:standard-0`, with its attachment, config var and release. Answers with the add-on.
    ///
    /// # Errors
    ///
    /// 404 for an app or a plan that does not exist, 422 for a name that is taken.
    pub fn create_addon(
        &mut self,
        by: &Actor,
        app: &str,
        plan: &str,
        name: Option<&str>,
        attachment: Option<&str>,
    ) -> Result<Value, Refusal> {
        let app_object = self.app(app)?;
        let (app_reference, owner) = (reference(app_object), text(&app_object["owner"], "id").to_owned());
        let team = app_object["team"]["id"].as_str().map(str::to_owned);
        let plan = self.plan(plan)?.clone();
        let service = text(&plan["addon_service"], "name").to_owned();
        let name = match name {
            Some(taken) if self.objects.find("add-on", None, taken).is_some() => {
                return Err(Refusal::invalid(format!("Name {taken} is already taken")));
            }
            Some(name) => name.to_owned(),
            None => self.free_addon_name(&service),
        };
        let attachment = match attachment {
            Some(taken) if self.objects.find("add-on-attachment", Some(app), taken).is_some() => {
                return Err(Refusal::invalid(format!("Attachment name {taken} is already taken")));
            }
            Some(attachment) => attachment.to_owned(),
            None => self.free_attachment_name(app, &service),
        };
        let var = variable_of(&service, &attachment);
        let mut parents = vec![app.to_owned(), owner.clone()];
        parents.extend(team.filter(|team| *team != owner));
        let provider = self.chance.between(1_000_000, 9_999_999).to_string();
        let given = json!({
            "name": name, "app": app_reference, "plan": { "id": plan["id"], "name": plan["name"], "meters": [] }, "state": "provisioned",
            "addon_service": plan["addon_service"], "billed_price": plan["price"], "config_vars": var.iter().collect::<Vec<_>>(),
            "billing_entity": { "id": app, "name": app_reference["name"], "type": "app" }, "provider_id": provider,
            "provision_message": "", "web_url": format!("https://addons-sso.heroku.example/apps/{app}/addons/{name}"),
        });
        let id = self.add(by, "add-on", parents, fields(given));
        if let Some(var) = var {
            let value = self.secret_of(&service);
            self.config.set_quietly(app, &var, Some(value));
        }
        self.attach(by, &id, app, &attachment)?;
        self.shown("add-on", &id)
    }

    /// Attaches an add-on to an app, which copies its config var and makes a release. Answers with the attachment.
    ///
    /// # Errors
    ///
    /// 404 for an app or an add-on that does not exist.
    pub fn attach(&mut self, by: &Actor, addon: &str, app: &str, name: &str) -> Result<Value, Refusal> {
        let app_reference = self.app_reference(app)?;
        let addon_object = self.objects.get("add-on", addon).ok_or_else(|| Refusal::not_found("add-on"))?;
        let addon_name = text(addon_object, "name").to_owned();
        let of_owner = self.config.of(text(&addon_object["app"], "id"));
        let value = addon_object["config_vars"][0].as_str().and_then(|var| of_owner.get(var)).cloned();
        let given = json!({
            "name": name, "app": app_reference, "web_url": addon_object["web_url"],
            "addon": { "id": addon, "name": addon_name, "app": addon_object["app"] },
        });
        let attachment = self.add(by, "add-on-attachment", vec![app.to_owned(), addon.to_owned()], fields(given));
        if let Some(value) = value {
            self.config.set_quietly(app, &variable(name), Some(value));
        }
        self.make_release(by, app, Wanted::described(format!("Attach {name} (@ref:{addon_name})")))?;
        self.shown("add-on-attachment", &attachment)
    }

    /// Takes an attachment away, which makes a release.
    ///
    /// # Errors
    ///
    /// 404 for an attachment that does not exist.
    pub fn detach(&mut self, by: &Actor, attachment: &str) -> Result<Value, Refusal> {
        let gone = self.remove(by, "add-on-attachment", attachment).ok_or_else(|| Refusal::not_found("add-on attachment"))?;
        let app = text(&gone["app"], "id");
        self.config.set_quietly(app, &variable(text(&gone, "name")), None);
        let description = format!("Detach {} (@ref:{})", text(&gone, "name"), text(&gone["addon"], "name"));
        self.make_release(by, app, Wanted::described(description))?;
        Ok(gone)
    }

    /// Another plan for an add-on.
    ///
    /// # Errors
    ///
    /// 404 for an add-on or a plan that does not exist.
    pub fn change_plan(&mut self, by: &Actor, addon: &str, plan: &str) -> Result<Value, Refusal> {
        let plan = self.plan(plan)?;
        let given = json!({ "plan": { "id": plan["id"], "name": plan["name"], "meters": [] }, "billed_price": plan["price"] });
        self.set(by, "add-on", addon, fields(given));
        self.shown("add-on", addon)
    }

    /// Takes an add-on away.
    ///
    /// # Errors
    ///
    /// 404 for an add-on that does not exist.
    pub fn destroy_addon(&mut self, by: &Actor, addon: &str) -> Result<Value, Refusal> {
        self.objects.get("add-on", addon).ok_or_else(|| Refusal::not_found("add-on"))?;
        for (resource, id) in self.objects.belongings(addon) {
            match resource {
                "add-on-attachment" => drop(self.detach(by, &id)?),
                resource => drop(self.remove(by, resource, &id)),
            }
        }
        let mut gone = self.remove(by, "add-on", addon).ok_or_else(|| Refusal::not_found("add-on"))?;
        gone["state"] = json!("deprovisioned");
        Ok(gone)
    }

    /// A plan by its name; the name of a service stands for its default plan.
    fn plan(&self, name: &str) -> Result<&Value, Refusal> {
        let found = self.objects.find("plan", None, name);
        let found = found.or_else(|| {
            let service = self.objects.find("add-on-service", None, name)?;
            self.objects.of("plan", text(service, "id")).find(|plan| plan["default"] == true)
        });
        found.ok_or_else(|| Refusal {
            status: 404,
            id: "not_found",
            message: format!("Couldn't find either the add-on service or the add-on plan of \"{name}\"."),
        })
    }

    fn free_addon_name(&mut self, service: &str) -> String {
        const SHAPES: [&str; 6] = ["angular", "concave", "cylindrical", "flexible", "rectangular", "symmetrical"];
        let stem = service.strip_prefix("heroku-").unwrap_or(service);
        loop {
            let name = format!("{stem}-{}-{}", self.chance.one_of(&SHAPES), self.chance.between(10_000, 99_999));
            if self.objects.find("add-on", None, &name).is_none() {
                return name;
            }
        }
    }

    /// The value of an add-on's config var: looks like a secret, opens nothing.
    fn secret_of(&mut self, service: &str) -> String {
        let secret = self.chance.hex(32);
        match service {
            "heroku-postgresql" => {
                format!("postgres://u{}:fake{secret}@db.heroku.example:5432/d{}", self.chance.hex(12), self.chance.hex(12))
            }
            "heroku-redis" => format!("rediss://:fake{secret}@redis.heroku.example:6380"),
            service => format!("https://fake:{secret}@{service}.heroku.example"),
        }
    }

    /// The first free name of a database's attachment: Heroku calls the first one `DATABASE`, and the others by a color.
    pub(super) fn free_attachment_name(&mut self, app: &str, service: &str) -> String {
        const COLORS: [&str; 8] = ["AMBER", "BLUE", "CYAN", "GREEN", "JADE", "PURPLE", "RED", "YELLOW"];
        let first = match service {
            "heroku-postgresql" => "DATABASE".to_owned(),
            "heroku-redis" => "REDIS".to_owned(),
            service => service.to_uppercase().replace('-', "_"),
        };
        let stem = service.to_uppercase().replace('-', "_");
        let taken: Vec<_> = self.objects.of("add-on-attachment", app).map(|attachment| text(attachment, "name").to_owned()).collect();
        let mut name = first;
        while taken.contains(&name) {
            name = match COLORS.iter().map(|color| format!("{stem}_{color}")).find(|name| !taken.contains(name)) {
                Some(name) => name,
                None => format!("{stem}_{}", self.chance.between(1_000, 9_999)),
            };
        }
        name
    }
}

/// The config var that an add-on sets. The scheduler needs none.
fn variable_of(service: &str, attachment: &str) -> Option<String> {
    (service != "scheduler").then(|| variable(attachment))
}

fn variable(attachment: &str) -> String {
    format!("{attachment}_URL")
}
