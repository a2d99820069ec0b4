//! An app as its traffic sees it: who it is, what runs, and what it suffers from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::agenda::{Agenda, HOUR, MINUTE, SECOND, Task, seconds};
use super::company::Profile;
use super::gauges::Gauges;
use super::stores::Store;
use crate::world::Chance;
use crate::world::event::Action;

/// An app that lives.
pub(super) struct App {
    /// Its id in the API.
    pub(super) id: String,
    /// What it is like.
    pub(super) profile: Profile,
    /// The names under which it is asked, the first of them Heroku's own; not empty.
    pub(super) hosts: Vec<Host>,
    /// The chance of its traffic.
    pub(super) chance: Chance,
    /// Its dynos, in the order of their first start.
    pub(super) dynos: Vec<Dyno>,
    /// The data stores among its add-ons.
    pub(super) stores: Vec<Store>,
    /// Its current release.
    pub(super) version: u64,
    /// The latest release that was bad.
    pub(super) bad_version: u64,
    /// How the present release's service times compare with what is usual.
    pub(super) pace: f64,
    /// What it suffers from.
    pub(super) troubles: Troubles,
    /// Whether it answers with the maintenance page.
    pub(super) is_in_maintenance: bool,
    /// Whether it was destroyed.
    pub(super) is_gone: bool,
    /// The next serial number.
    serial: u64,
    /// Dynos that run, by their places: web and the rest.
    up: [Vec<usize>; 2],
}

/// A name under which an app is asked.
pub(super) struct Host {
    /// The id of its domain in the API; none for Heroku's own.
    domain: String,
    pub(super) name: String,
}

/// What happened to an object.
pub(super) struct News<'n> {
    pub(super) resource: &'n str,
    pub(super) id: &'n str,
    pub(super) action: Action,
    /// The object as it is now; null when it is gone.
    pub(super) object: &'n Value,
    /// Whether it happened before the story began.
    pub(super) is_history: bool,
}

/// What an app may suffer from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    /// The next deploy brings a bad release.
    pub(super) bad_release_comes: bool,
    /// The present release is bad: its checkout is slow, and requests hang.
    pub(super) bad_release: bool,
    /// The workers, or the web processes where there are none, never give memory back.
    pub(super) leak: bool,
    /// Its Postgres has more clients than it serves.
    pub(super) database: bool,
}

/// A dyno.
pub(super) struct Dyno {
    /// Its id in the API.
    pub(super) id: String,
    /// `web.1`, or Fir's `web-1234abcde-123ab`.
    pub(super) name: String,
    /// `web`, `worker`, `run`, …
    pub(super) process_type: String,
    /// What it does.
    pub(super) state: DynoState,
    /// Its number in the app, another one after each start.
    pub(super) serial: u64,
    /// Its memory and load.
    pub(super) gauges: Gauges,
}

/// What a dyno does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DynoState {
    Up,
    Crashed,
    /// It starts, or stops, or waits.
    Between,
}

/// Why no web dyno takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoDyno {
    /// All have crashed.
    Crashed,
    /// They are starting, the one of this place first.
    Starting(usize),
    /// There are none.
    None,
}

impl App {
    /// An app that nothing is known of yet but what it is like.
    pub(super) fn new(id: String, host: String, profile: Profile, chance: Chance) -> Self {
        Self {
            id,
            profile,
            hosts: vec![Host { domain: String::new(), name: host }],
            chance,
            dynos: Vec::new(),
            stores: Vec::new(),
            version: 0,
            bad_version: 0,
            pace: 1.0,
            troubles: Troubles::default(),
            is_in_maintenance: false,
            is_gone: false,
            serial: 0,
            up: [Vec::new(), Vec::new()],
        }
    }

    /// A running web dyno, by its place.
    pub(super) fn web_dyno(&mut self) -> Result<usize, NoDyno> {
        if !self.up[0].is_empty() {
            return Ok(*self.chance.one_of(&self.up[0]));
        }
        let mut web = self.dynos.iter().enumerate().filter(|(_, dyno)| dyno.process_type == "web").peekable();
        if web.peek().is_none() {
            return Err(NoDyno::None);
        }
        web.find(|(_, dyno)| dyno.state != DynoState::Crashed).map_or(Err(NoDyno::Crashed), |(place, _)| Err(NoDyno::Starting(place)))
    }

    /// A running dyno of another type, by its place.
    pub(super) fn worker_dyno(&mut self) -> Option<usize> {
        (!self.up[1].is_empty()).then(|| *self.chance.one_of(&self.up[1]))
    }

    /// The place of the dyno with this serial number, as long as it has not been started anew.
    pub(super) fn dyno(&self, serial: u64) -> Option<usize> {
        self.dynos.iter().position(|dyno| dyno.serial == serial)
    }

    /// The place of the store with this serial number.
    pub(super) fn store(&self, serial: u64) -> Option<usize> {
        self.stores.iter().position(|store| store.serial == serial)
    }

    /// Whether a leak shows in this dyno.
    pub(super) fn leaks(&self, dyno: &Dyno) -> bool {
        self.troubles.leak && dyno.process_type == if self.profile.kind.jobs.is_empty() { "web" } else { "worker" }
    }

    /// Takes note of what happened to one of its objects. `now` is never before the story's beginning.
    pub(super) fn observe(&mut self, place: usize, news: &News<'_>, now: i64, agenda: &mut Agenda) {
        match (news.resource, news.action) {
            ("app", Action::Destroy) => self.is_gone = true,
            ("dyno", Action::Destroy) => self.dynos.retain(|dyno| dyno.id != news.id),
            ("add-on", Action::Destroy) => self.stores.retain(|store| store.id != news.id),
            ("domain", Action::Destroy) => self.hosts.retain(|host| host.domain != news.id),
            // What is gone by now was not there for long enough to matter.
            _ if news.object.is_null() => {}
            ("app", _) => self.is_in_maintenance = news.object["maintenance"] == true,
            ("dyno", _) => self.observe_dyno(place, news, now, agenda),
            ("release", Action::Create) => self.observe_release(place, news.object, now, agenda),
            ("add-on", Action::Create) => self.observe_addon(place, news, now, agenda),
            ("domain", Action::Create) if text(news.object, "hostname") != self.hosts[0].name => {
                self.hosts.push(Host { domain: news.id.to_owned(), name: text(news.object, "hostname").to_owned() });
            }
            _ => {}
        }
        if news.resource == "dyno" {
            for (web, up) in [true, false].into_iter().zip(&mut self.up) {
                let is_meant = |dyno: &Dyno| dyno.state == DynoState::Up && dyno.is_permanent() && (dyno.process_type == "web") == web;
                *up = self.dynos.iter().enumerate().filter(|(_, dyno)| is_meant(dyno)).map(|(place, _)| place).collect();
            }
        }
    }

    fn observe_dyno(&mut self, place: usize, news: &News<'_>, now: i64, agenda: &mut Agenda) {
        let state = match text(news.object, "state") {
            "up" => DynoState::Up,
            "crashed" => DynoState::Crashed,
            _ => DynoState::Between,
        };
        let known = self.dynos.iter().position(|dyno| dyno.id == news.id).unwrap_or_else(|| {
            self.dynos.push(Dyno {
                id: news.id.to_owned(),
                name: text(news.object, "name").to_owned(),
                process_type: text(news.object, "type").to_owned(),
                state: DynoState::Between,
                serial: 0,
                gauges: Gauges::new(text(news.object, "size"), &mut self.chance),
            });
            self.dynos.len() - 1
        });
        let dyno = &mut self.dynos[known];
        let has_started = state == DynoState::Up && dyno.state != DynoState::Up;
        dyno.state = state;
        if has_started {
            self.serial += 1;
            dyno.serial = self.serial;
            let cold = Gauges::new(text(news.object, "size"), &mut self.chance);
            dyno.gauges = if news.is_history { cold.warm() } else { cold };
            agenda.add(now + seconds(20.0 * self.chance.fraction()), Task::Gauges(place, self.serial));
            if dyno.is_permanent() {
                // Heroku cycles a dyno when it is 24 hours old, give or take 216 minutes. One that ran before the story began is of any age.
                let age = 24.0 + 3.6 * self.chance.fraction();
                let rest = if news.is_history { age * self.chance.fraction() } else { age };
                agenda.add(now + seconds(3600.0 * rest), Task::Cycle(place, self.serial));
            }
        }
    }

    fn observe_release(&mut self, place: usize, release: &Value, now: i64, agenda: &mut Agenda) {
        self.version = release["version"].as_u64().unwrap_or(self.version + 1);
        let description = text(release, "description");
        if description.starts_with("Deploy") {
            self.troubles.bad_release = std::mem::take(&mut self.troubles.bad_release_comes);
            // A rollback brings the old pace back only by chance; nobody compares that closely.
            self.pace = self.chance.of(&self.version.to_string()).around(1.0, 0.1);
            if self.troubles.bad_release {
                self.bad_version = self.version;
                agenda.add(now + self.chance.between(5, 8).cast_signed() * MINUTE, Task::Rollback(place));
            }
        } else if description.starts_with("Rollback") {
            self.troubles.bad_release = false;
        }
    }

    fn observe_addon(&mut self, place: usize, news: &News<'_>, now: i64, agenda: &mut Agenda) {
        self.serial += 1;
        let Some(store) = Store::of(news.id, news.object, self.serial, &mut self.chance) else { return };
        agenda.add(now + seconds(60.0 * self.chance.fraction()), Task::Store(place, self.serial));
        if store.is_postgres {
            agenda
                .add(now + self.chance.between(0, HOUR.unsigned_abs() / 60).cast_signed() + SECOND, Task::DatabaseLog(place, self.serial));
        }
        self.stores.push(store);
    }
}

impl Dyno {
    /// Whether it belongs to the formation, and is started anew when it ends.
    pub(super) fn is_permanent(&self) -> bool {
        !matches!(self.process_type.as_str(), "run" | "scheduler" | "release")
    }
}

/// How many dynos run, by process type.
pub(super) fn running(app: &App) -> BTreeMap<&str, u64> {
    let mut running = BTreeMap::new();
    for dyno in app.dynos.iter().filter(|dyno| dyno.is_permanent()) {
        *running.entry(dyno.process_type.as_str()).or_default() += 1;
    }
    running
}

/// A text of an object; nothing when it has none.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or("")
}
