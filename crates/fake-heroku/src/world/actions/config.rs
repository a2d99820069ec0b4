//! Config vars. They are no objects: what the API tells of their history are the releases that they make.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::releases::Wanted;

/// Name and value.
pub(in super::super) type Vars = Arc<BTreeMap<String, String>>;

/// The config vars of all apps, now and as they were at each release.
#[derive(Default)]
pub(in super::super) struct ConfigVars {
    of_app: HashMap<String, Vars>,
    of_release: HashMap<String, Vars>,
}

impl ConfigVars {
    pub(super) fn of(&self, app: &str) -> Vars {
        self.of_app.get(app).cloned().unwrap_or_default()
    }

    /// A release has the vars that its app has at that moment.
    pub(super) fn note_release(&mut self, app: &str, release: &str) {
        if let Some(vars) = self.of_app.get(app) {
            self.of_release.insert(release.to_owned(), Arc::clone(vars));
        }
    }

    /// Forgets the vars of an app or of a release.
    pub(super) fn forget(&mut self, id: &str) {
        self.of_app.remove(id);
        self.of_release.remove(id);
    }

    pub(super) fn set_quietly(&mut self, app: &str, name: &str, value: Option<String>) {
        let vars = Arc::make_mut(self.of_app.entry(app.to_owned()).or_default());
        match value {
            Some(value) => vars.insert(name.to_owned(), value),
            None => vars.remove(name),
        };
    }
}

impl World {
    /// The config vars of an app.
    #[must_use]
    pub fn config_vars(&self, app: &str) -> BTreeMap<String, String> {
        BTreeMap::clone(&self.config.of(app))
    }

    /// The config vars with which a release went out.
    pub(crate) fn release_config_vars(&self, release: &str) -> BTreeMap<String, String> {
        self.config.of_release.get(release).map(|vars| BTreeMap::clone(vars)).unwrap_or_default()
    }

    /// Sets config vars (null removes one), which makes a release `Set A, B config vars` and restarts the dynos. Answers with all vars.
    ///
    /// # Errors
    ///
    /// 404 for an app that does not exist, 422 for a value that is neither text nor null, or a name that is empty or too odd.
    pub fn set_config(&mut self, by: &Actor, app: &str, vars: &Map<String, Value>) -> Result<Value, Refusal> {
        self.app(app)?;
        let is_odd = |name: &str| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some((name, _)) = vars.iter().find(|(name, value)| is_odd(name) || !(value.is_string() || value.is_null())) {
            return Err(Refusal::invalid(format!(
                "Config var {name:?} must have a name of letters, digits and underscores, and text or null for a value."
            )));
        }
        let present = self.config.of(app);
        let is_other = |(name, value): &(&String, &Value)| present.get(*name).map(String::as_str) != value.as_str();
        let changed: Vec<_> = vars.iter().filter(is_other).collect();
        if !changed.is_empty() {
            let verb = if changed.iter().any(|(_, value)| value.is_string()) { "Set" } else { "Remove" };
            let names = changed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            for (name, value) in changed {
                self.config.set_quietly(app, name, value.as_str().map(str::to_owned));
            }
            self.make_release(by, app, Wanted::described(format!("{verb} {names} config vars")))?;
        }
        let all = self.config_vars(app).into_iter().map(|(name, value)| (name, Value::String(value)));
        Ok(Value::Object(all.collect()))
    }
}
