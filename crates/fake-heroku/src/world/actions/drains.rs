//! Log drains of apps and of private spaces.

use serde_json::{Value, json};
use url::Url;

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::{fields, text};

/// What a drain's address may begin with.
const DRAIN_SCHEMES: [&str; 4] = ["http", "https", "syslog", "syslog+tls"];

impl World {
    /// A log drain for an app. Answers with the drain.
    ///
    /// # Errors
    ///
    /// 404 for an app that does not exist, 422 for an address that is no drain's, or that the app has already.
    pub fn add_log_drain(&mut self, by: &Actor, app: &str, url: &str) -> Result<Value, Refusal> {
        self.app(app)?;
        check_drain_url(url)?;
        if self.objects.of("log-drain", app).any(|drain| drain["url"] == url) {
            return Err(Refusal::invalid("Url has already been taken."));
        }
        let token = format!("d.{}", self.chance.uuid());
        self.create_plain(by, "log-drain", vec![app.to_owned()], fields(json!({ "url": url, "token": token, "addon": null })))
    }

    /// The log drain of a private space, of which it has one for all its apps: a new one, or the present one with another address.
    /// Answers with the drain.
    ///
    /// # Errors
    ///
    /// 404 for a space that does not exist, 422 for an address that is no drain's.
    pub(crate) fn set_space_drain(&mut self, by: &Actor, space: &str, url: &str) -> Result<Value, Refusal> {
        self.shown("space", space)?;
        check_drain_url(url)?;
        let given = json!({ "url": url, "_space": space });
        let present = self.objects.of("log-drain", space).next().map(|drain| text(drain, "id").to_owned());
        if let Some(drain) = present {
            return self.update_plain(by, "log-drain", &drain, fields(given));
        }
        let mut given = fields(given);
        given.insert("token".to_owned(), json!(format!("d.{}", self.chance.uuid())));
        self.create_plain(by, "log-drain", vec![space.to_owned()], given)
    }

    /// The drain that somebody has set for a private space, if there is one.
    pub(crate) fn space_drain(&self, space: &str) -> Option<Value> {
        self.objects.of("log-drain", space).find(|drain| drain["_space"].is_string()).cloned()
    }

    /// The apps whose lines go to a log drain: its own, or all of its space. A space's drain that nobody has set (the company is
    /// founded with such) leads to a host that does not exist: no lines go there.
    pub(crate) fn apps_of_drain(&self, drain: &Value) -> Vec<&Value> {
        match drain["_space"].as_str() {
            Some(space) => self.objects.of("app", space).collect(),
            None => self.objects.get("app", text(&drain["app"], "id")).into_iter().collect(),
        }
    }
}

fn check_drain_url(url: &str) -> Result<(), Refusal> {
    match Url::parse(url) {
        Ok(parsed) if DRAIN_SCHEMES.contains(&parsed.scheme()) && parsed.has_host() => Ok(()),
        _ => Err(Refusal::invalid("Url is invalid.")),
    }
}
