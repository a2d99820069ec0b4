//! The formation and its dynos.

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::super::later::{BOOT_MS, Later};
use super::{fields, text};

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

/// The most dynos of one process type.
const QUANTITY_MAX: u64 = 100;

/// How long Heroku waits until it tries a crashed dyno again.
const RETRY_MS: u64 = 10_000;

/// The least and most milliseconds until the process of a one-off dyno is started.
const RUN_START_MS: (u64, u64) = (1_000, 3_000);

/// The least time for which a one-off dyno is up.
const RUN_UP_MS: u64 = 1_000;

/// After so many milliseconds a one-off dyno is up, however long it takes to boot.
pub(crate) const RUN_IS_UP_MS: u64 = RUN_START_MS.1 + BOOT_MS.1;

/// What a process type runs when no slug says so.
const COMMANDS: [(&str, &str); 3] = [
    ("web", "bundle exec puma -C config/puma.rb -p ${PORT:-3000}"),
    ("worker", "bundle exec sidekiq -C config/sidekiq.yml"),
    ("release", "bundle exec rake db:migrate"),
];

impl World {
    /// Changes the formation: `Scaled to web@3:Standard-2X …`; dynos start and stop. Answers with the formation's objects.
    ///
    /// A process type that the formation does not have yet is added to it.
    ///
    /// # Errors
    ///
    /// 404 for an app or a size that does not exist, 422 for too many dynos.
    pub fn scale(&mut self, by: &Actor, app: &str, wanted: &[Scale]) -> Result<Vec<Value>, Refusal> {
        self.app(app)?;
        for scale in wanted {
            if scale.quantity.is_some_and(|quantity| quantity > QUANTITY_MAX) {
                return Err(Refusal::invalid(format!("Cannot scale to more than {QUANTITY_MAX} {} dynos.", scale.process_type)));
            }
            if let Some(size) = &scale.size {
                self.size(size)?;
            }
        }
        let mut answers = Vec::new();
        let mut scaled = Vec::new();
        for scale in wanted {
            let before = self.formation(by, app, &scale.process_type)?;
            let size = match &scale.size {
                Some(size) => self.size(size)?,
                None => before["dyno_size"].clone(),
            };
            let quantity = scale.quantity.or(before["quantity"].as_u64()).unwrap_or(0);
            let is_resized = size["name"] != before["size"];
            let is_changed = is_resized || before["quantity"] != quantity;
            let given = json!({ "quantity": quantity, "size": size["name"], "dyno_size": size });
            self.set(by, "formation", text(&before, "id"), fields(given));
            let after = self.shown("formation", text(&before, "id"))?;
            if is_changed {
                scaled.push((after.clone(), is_resized));
            }
            answers.push(after);
        }
        if !scaled.is_empty() {
            let words: Vec<_> = scaled.iter().map(|(formation, _)| scaled_words(formation)).collect();
            self.say_of_api(app, &format!("Scaled to {} by user {}", words.join(" "), by.email));
        }
        for (formation, is_resized) in scaled {
            self.fit_dynos(by, app, &formation, is_resized);
        }
        Ok(answers)
    }

    /// Restarts one dyno (by name or id), or all.
    ///
    /// # Errors
    ///
    /// 404 for an app or a dyno that does not exist.
    pub fn restart(&mut self, by: &Actor, app: &str, dyno: Option<&str>) -> Result<(), Refusal> {
        self.app(app)?;
        match dyno {
            None => self.restart_all(by, app),
            Some(dyno) => {
                let dyno = self.objects.find("dyno", Some(app), dyno).ok_or_else(|| Refusal::not_found("dyno"))?.clone();
                self.replace(by, app, &dyno, "Restarting");
            }
        }
        Ok(())
    }

    /// What Heroku does with each dyno about once a day: `Cycling`.
    ///
    /// # Errors
    ///
    /// 404 for a dyno that does not exist.
    pub fn cycle(&mut self, app: &str, dyno: &str) -> Result<(), Refusal> {
        let by = self.platform();
        let dyno = self.objects.find("dyno", Some(app), dyno).ok_or_else(|| Refusal::not_found("dyno"))?.clone();
        self.replace(&by, app, &dyno, "Cycling");
        Ok(())
    }

    /// A dyno's process ends by itself; Heroku tries it again soon after.
    ///
    /// # Errors
    ///
    /// 404 for a dyno that does not exist.
    pub fn crash(&mut self, app: &str, dyno: &str, status: u8) -> Result<(), Refusal> {
        let by = self.platform();
        let dyno = self.objects.find("dyno", Some(app), dyno).ok_or_else(|| Refusal::not_found("dyno"))?;
        let (id, name, state) = (text(dyno, "id").to_owned(), text(dyno, "name").to_owned(), text(dyno, "state").to_owned());
        self.set(&by, "dyno", &id, fields(json!({ "state": "crashed" })));
        self.say_of_dyno(app, &name, &format!("Process exited with status {status}"));
        self.say_of_dyno(app, &name, &format!("State changed from {state} to crashed"));
        self.defer(RETRY_MS, Later::Retry { dyno: id });
        Ok(())
    }

    /// Stops a dyno. One of the formation is started again, as Heroku does; a one-off dyno is gone.
    ///
    /// # Errors
    ///
    /// 404 for an app or a dyno that does not exist.
    pub fn stop_dyno(&mut self, by: &Actor, app: &str, dyno: &str) -> Result<(), Refusal> {
        let dyno = self.objects.find("dyno", Some(app), dyno).ok_or_else(|| Refusal::not_found("dyno"))?.clone();
        if self.objects.find("formation", Some(app), text(&dyno, "type")).is_some() {
            self.replace(by, app, &dyno, "Restarting");
        } else {
            self.stop(by, app, &dyno);
        }
        Ok(())
    }

    /// Starts a one-off dyno `run.NNNN`, whose command is logged as Heroku logs it. Answers with the dyno.
    ///
    /// # Errors
    ///
    /// 404 for an app or a size that does not exist, 422 without a command.
    pub fn run_dyno(&mut self, by: &Actor, app: &str, wanted: &Map<String, Value>) -> Result<Value, Refusal> {
        self.app(app)?;
        let command = wanted.get("command").and_then(Value::as_str).filter(|command| !command.is_empty());
        let command = command.ok_or_else(|| Refusal::invalid("Command must be specified."))?.to_owned();
        let process_type = wanted.get("type").and_then(Value::as_str).unwrap_or("run").to_owned();
        let size = match wanted.get("size").and_then(Value::as_str) {
            Some(size) => self.size(size)?["name"].clone(),
            None => json!(self.usual_size(app)),
        };
        let is_attached = wanted.get("attach").and_then(Value::as_bool).unwrap_or(false);
        let secret = self.chance.hex(20);
        let attach_url = is_attached.then(|| format!("rendezvous://rendezvous.heroku.example:5000/{secret}"));
        let number = self.chance.between(1_000, 9_999);
        let name = self.dyno_name(app, &process_type, number);
        self.say_of_api(app, &format!("Starting process with command `{command}` by user {}", by.email));
        let given =
            json!({ "attach_url": attach_url, "command": command, "name": name, "size": size, "state": "starting", "type": process_type });
        let id = self.add_dyno(by, app, given)?;
        if is_attached {
            self.say_of_dyno(app, &name, "Awaiting client");
        }
        let run_ms = match wanted.get("time_to_live").and_then(Value::as_u64) {
            Some(seconds) => seconds.saturating_mul(1_000),
            None => self.chance.between(15_000, 90_000),
        };
        let start_ms = self.chance.between(RUN_START_MS.0, RUN_START_MS.1);
        self.defer(start_ms, Later::Start { dyno: id.clone() });
        self.defer(run_ms.max(start_ms + BOOT_MS.1 + RUN_UP_MS), Later::End { dyno: id.clone(), status: 0 });
        self.shown("dyno", &id)
    }

    /// A one-off dyno is done.
    pub(in super::super) fn end_run(&mut self, dyno: &str, status: u8) {
        let Some((app, name, _)) = self.dyno_of(dyno) else { return };
        let by = self.platform();
        self.say_of_dyno(&app, &name, &format!("Process exited with status {status}"));
        self.say_of_dyno(&app, &name, "State changed from up to complete");
        self.remove(&by, "dyno", dyno);
    }

    /// A first build brings the formation, and one web dyno.
    pub(super) fn form_from_slug(&mut self, by: &Actor, app: &str) {
        if self.objects.of("formation", app).next().is_some() {
            return;
        }
        let mut words = Vec::new();
        for (process_type, quantity) in [("web", 1), ("worker", 0)] {
            let Ok(formation) = self.formation(by, app, process_type) else { return };
            let id = text(&formation, "id");
            self.set(by, "formation", id, fields(json!({ "quantity": quantity })));
            words.extend(self.objects.get("formation", id).map(scaled_words));
        }
        self.say_of_api(app, &format!("Scaled to {} by user {}", words.join(" "), by.email));
    }

    /// Every dyno of the formation is replaced: a release does that. The first deployment starts them.
    pub(super) fn restart_all(&mut self, by: &Actor, app: &str) {
        let formations: Vec<_> = self.objects.of("formation", app).filter(|formation| formation["quantity"] != 0).cloned().collect();
        for formation in formations {
            self.fit_dynos(by, app, &formation, true);
        }
    }

    /// The formation of a process type; a new one has no dynos.
    fn formation(&mut self, by: &Actor, app: &str, process_type: &str) -> Result<Value, Refusal> {
        if let Some(formation) = self.objects.of("formation", app).find(|formation| text(formation, "type") == process_type) {
            return Ok(formation.clone());
        }
        let size = self.usual_size(app);
        let size = self.size(size)?;
        let command = COMMANDS
            .iter()
            .find(|(name, _)| *name == process_type)
            .map_or_else(|| format!("bin/{process_type}"), |(_, command)| (*command).to_owned());
        let given = json!({
            "app": self.app_reference(app)?, "type": process_type, "quantity": 0, "size": size["name"], "dyno_size": size, "command": command,
        });
        let id = self.add(by, "formation", vec![app.to_owned()], fields(given));
        self.shown("formation", &id)
    }

    /// Starts and stops dynos until there are as many as the formation says; those that stay are replaced if `anew`.
    fn fit_dynos(&mut self, by: &Actor, app: &str, formation: &Value, anew: bool) {
        let process_type = text(formation, "type");
        let quantity = usize::try_from(formation["quantity"].as_u64().unwrap_or(0)).unwrap_or(0);
        let is_meant = |dyno: &&Value| text(dyno, "type") == process_type;
        let mut present: Vec<_> = self.objects.of("dyno", app).filter(is_meant).cloned().collect();
        // They are in the order of creation, in which a dyno that was replaced is the last one.
        present.sort_by_key(|dyno| number_of(text(dyno, "name")));
        for dyno in present.iter().skip(quantity) {
            self.stop(by, app, dyno);
        }
        if anew {
            for dyno in present.iter().take(quantity) {
                self.replace(by, app, dyno, "Restarting");
            }
        }
        let taken: Vec<u64> = present.iter().filter_map(|dyno| number_of(text(dyno, "name"))).collect();
        let missing = quantity.saturating_sub(present.len());
        for number in (1..).filter(|number| !taken.contains(number)).take(missing) {
            let name = self.dyno_name(app, process_type, number);
            if self.boot(by, app, formation, &name, 1_000).is_ok() {
                self.say_of_dyno(app, &name, "State changed from created to starting");
            }
        }
    }

    /// Stops a dyno for good.
    fn stop(&mut self, by: &Actor, app: &str, dyno: &Value) {
        let (name, state) = (text(dyno, "name"), text(dyno, "state"));
        self.say_of_dyno(app, name, &format!("State changed from {state} to down"));
        self.shut_down(app, name);
        self.remove(by, "dyno", text(dyno, "id"));
    }

    /// A new dyno in the place of an old one: another id, on Cedar the same name.
    fn replace(&mut self, by: &Actor, app: &str, dyno: &Value, why: &str) {
        let (name, state, process_type) = (text(dyno, "name"), text(dyno, "state"), text(dyno, "type"));
        let formation = self.objects.of("formation", app).find(|formation| text(formation, "type") == process_type).cloned();
        let Some(formation) = formation else {
            return self.stop(by, app, dyno);
        };
        self.say_of_dyno(app, name, why);
        self.say_of_dyno(app, name, &format!("State changed from {state} to starting"));
        let stopped_ms = self.shut_down(app, name);
        self.remove(by, "dyno", text(dyno, "id"));
        let name = self.dyno_name(app, process_type, number_of(name).unwrap_or(1));
        // A refusal can only come from an app that is gone.
        drop(self.boot(by, app, &formation, &name, stopped_ms));
    }

    /// Says what a process says when it is told to end. Answers with the milliseconds until it has.
    fn shut_down(&mut self, app: &str, process: &str) -> u64 {
        let (asked_ms, took_ms) = (self.chance.between(200, 1_200), self.chance.between(100, 2_500));
        for (after_ms, text) in [(asked_ms, "Stopping all processes with SIGTERM"), (asked_ms + took_ms, "Process exited with status 143")]
        {
            self.defer(after_ms, Later::Say { app: app.to_owned(), process: process.to_owned(), text: text.to_owned() });
        }
        asked_ms + took_ms
    }

    fn boot(&mut self, by: &Actor, app: &str, formation: &Value, name: &str, after_ms: u64) -> Result<(), Refusal> {
        let given = json!({
            "command": formation["command"], "name": name, "size": formation["size"], "state": "starting", "type": formation["type"],
        });
        let dyno = self.add_dyno(by, app, given)?;
        let start_ms = after_ms + self.chance.between(500, 4_000);
        self.defer(start_ms, Later::Start { dyno });
        Ok(())
    }

    fn add_dyno(&mut self, by: &Actor, app: &str, given: Value) -> Result<String, Refusal> {
        let mut given = fields(given);
        given.insert("app".to_owned(), self.app_reference(app)?);
        if let Some(release) = self.objects.of("release", app).next_back() {
            given.insert("release".to_owned(), json!({ "id": release["id"], "version": release["version"] }));
        }
        Ok(self.add(by, "dyno", vec![app.to_owned()], given))
    }

    /// `web.1`; on Fir `web-1234abcde-123ab`, whose middle part is that of the release.
    fn dyno_name(&mut self, app: &str, process_type: &str, number: u64) -> String {
        if self.objects.get("app", app).is_none_or(|app| text(app, "generation") != "fir") {
            return format!("{process_type}.{number}");
        }
        let release = self.objects.of("release", app).next_back().map_or("", |release| text(release, "id"));
        let deployment: String = release.chars().filter(|digit| *digit != '-').take(9).collect();
        format!("{process_type}-{deployment}-{}", self.chance.hex(5))
    }

    /// The size that dynos of an app have when nobody says so.
    fn usual_size(&self, app: &str) -> &'static str {
        match self.objects.get("app", app) {
            Some(app) if text(app, "generation") == "fir" => "dyno-1c-0.5gb",
            Some(app) if app["space"].is_object() => "Private-S",
            Some(app) if app["team"].is_object() => "Standard-1X",
            _ => "Basic",
        }
    }

    /// `{id, name}` of a dyno size, whose name is taken in any case, as by Heroku.
    fn size(&self, name: &str) -> Result<Value, Refusal> {
        let size = self.objects.all("dyno-size").find(|size| text(size, "name").eq_ignore_ascii_case(name) || text(size, "id") == name);
        size.map(super::reference).ok_or_else(|| Refusal::not_found("dyno size"))
    }
}

/// The number of `web.3`. Fir's names have none.
fn number_of(name: &str) -> Option<u64> {
    name.rsplit_once('.')?.1.parse().ok()
}

/// `web@3:Standard-2X`
fn scaled_words(formation: &Value) -> String {
    format!("{}@{}:{}", text(formation, "type"), formation["quantity"], text(formation, "size"))
}
