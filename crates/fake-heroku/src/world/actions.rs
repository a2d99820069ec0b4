//! What people do: each action changes objects, writes the log lines that Heroku writes for it, and makes a release where Heroku does.
//!
//! Both the story and the API's routes go through here, so that a release shows in the API, in `app[api]` lines and in webhooks alike.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::World;
use super::event::{Actor, Refusal};

/// One process type of a formation, as somebody wants it.
#[derive(Clone, Debug)]
pub struct Scale {
    /// `web`, `worker`, …
    pub process_type: String,
    /// How many dynos.
    pub quantity: Option<u64>,
    /// `Standard-1X`, `Performance-L`, …
    pub size: Option<String>,
}

// Every method takes the id of the app, never its name, and answers with the object as the API shows it.
impl World {
    /// The people of the company: the first is the owner, whose token the API takes.
    #[must_use]
    pub fn people(&self) -> Vec<Actor> {
        Vec::new()
    }
    /// A new app. `wanted` may have `name`, `region`, `stack`, `team`, `space` and `generation` (`cedar` or `fir`).
    pub fn create_app(&mut self, by: &Actor, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        let _ = (by, wanted);
        Err(Refusal::invalid("not yet"))
    }
    /// Other values for `name`, `maintenance` or `build_stack`.
    pub fn update_app(&mut self, by: &Actor, app: &str, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        let _ = (by, app, wanted);
        Err(Refusal::invalid("not yet"))
    }
    /// Takes an app away with all that belongs to it.
    pub fn destroy_app(&mut self, by: &Actor, app: &str) -> Result<Value, Refusal> {
        let _ = (by, app);
        Err(Refusal::invalid("not yet"))
    }
    /// The config vars of an app.
    #[must_use]
    pub fn config_vars(&self, app: &str) -> BTreeMap<String, String> {
        let _ = app;
        BTreeMap::new()
    }
    /// Sets config vars (null removes one), which makes a release `Set A, B config vars` and restarts the dynos. Answers with all vars.
    pub fn set_config(&mut self, by: &Actor, app: &str, vars: &Map<String, Value>) -> Result<Value, Refusal> {
        let _ = (by, app, vars);
        Err(Refusal::invalid("not yet"))
    }
    /// Changes the formation: `Scaled to web@3:Standard-2X …`; dynos start and stop. Answers with the formation's objects.
    pub fn scale(&mut self, by: &Actor, app: &str, wanted: &[Scale]) -> Result<Vec<Value>, Refusal> {
        let _ = (by, app, wanted);
        Err(Refusal::invalid("not yet"))
    }
    /// Restarts one dyno (by name or id), or all.
    pub fn restart(&mut self, by: &Actor, app: &str, dyno: Option<&str>) -> Result<(), Refusal> {
        let _ = (by, app, dyno);
        Err(Refusal::invalid("not yet"))
    }
    /// Starts a one-off dyno `run.NNNN`, whose command is logged as Heroku logs it. Answers with the dyno.
    pub fn run_dyno(&mut self, by: &Actor, app: &str, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        let _ = (by, app, wanted);
        Err(Refusal::invalid("not yet"))
    }
    /// Builds a commit: `Build started`, and some time later `Build succeeded` with `Deploy <sha>` and `Release vN`, or `Build failed`. Answers with the build.
    pub fn build(&mut self, by: &Actor, app: &str, commit: &str, will_succeed: bool) -> Result<Value, Refusal> {
        let _ = (by, app, commit, will_succeed);
        Err(Refusal::invalid("not yet"))
    }
    /// A release with this description; dynos restart. Answers with the release.
    pub fn release(&mut self, by: &Actor, app: &str, description: &str) -> Result<Value, Refusal> {
        let _ = (by, app, description);
        Err(Refusal::invalid("not yet"))
    }
    /// A release `Rollback to vN` with an earlier one's slug.
    pub fn rollback(&mut self, by: &Actor, app: &str, version: u64) -> Result<Value, Refusal> {
        let _ = (by, app, version);
        Err(Refusal::invalid("not yet"))
    }
    /// A new add-on: `plan` such as `heroku-postgresql:standard-0`, with its attachment, config var and release. Answers with the add-on.
    pub fn create_addon(
        &mut self,
        by: &Actor,
        app: &str,
        plan: &str,
        name: Option<&str>,
        attachment: Option<&str>,
    ) -> Result<Value, Refusal> {
        let _ = (by, app, plan, name, attachment);
        Err(Refusal::invalid("not yet"))
    }
    /// Takes an add-on away.
    pub fn destroy_addon(&mut self, by: &Actor, addon: &str) -> Result<Value, Refusal> {
        let _ = (by, addon);
        Err(Refusal::invalid("not yet"))
    }
    /// A new object of a kind that needs no more than being there (`domain`, `collaborator`, `log-drain`, `app-webhook`,
    /// `telemetry-drain`, `pipeline`, …): the blank of the catalogue with `fields` over it.
    pub fn create_plain(
        &mut self,
        by: &Actor,
        resource: &'static str,
        parents: Vec<String>,
        fields: Map<String, Value>,
    ) -> Result<Value, Refusal> {
        let _ = (by, resource, parents, fields);
        Err(Refusal::invalid("not yet"))
    }
    /// Other values for fields of such an object, and a new `updated_at`.
    pub fn update_plain(&mut self, by: &Actor, resource: &'static str, id: &str, fields: Map<String, Value>) -> Result<Value, Refusal> {
        let _ = (by, resource, id, fields);
        Err(Refusal::invalid("not yet"))
    }
    /// Takes such an object away.
    pub fn destroy_plain(&mut self, by: &Actor, resource: &'static str, id: &str) -> Result<Value, Refusal> {
        let _ = (by, resource, id);
        Err(Refusal::invalid("not yet"))
    }
    /// What Heroku does with each dyno about once a day: `Cycling`.
    pub fn cycle(&mut self, app: &str, dyno: &str) -> Result<(), Refusal> {
        let _ = (app, dyno);
        Err(Refusal::invalid("not yet"))
    }
    /// A dyno's process ends by itself; Heroku tries it again soon after.
    pub fn crash(&mut self, app: &str, dyno: &str, status: u8) -> Result<(), Refusal> {
        let _ = (app, dyno, status);
        Err(Refusal::invalid("not yet"))
    }
    /// Lets everything happen that is due by `to`, each at its own time.
    pub(crate) fn do_due(&mut self, to: jiff::Timestamp) {
        self.now = self.now.max(to);
    }
}
