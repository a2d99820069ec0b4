//! What goes on by itself: traffic, people at work, and now and then an incident.
//!
//! ```text
//! company      who there is, and what happened before the story begins
//! agenda       what is due next, and the lines that were written for a moment to come
//! app          an app as its traffic sees it; follows the journal of the world's objects
//! request      what becomes of a request, and the router's line of it
//! voices       what the program logs of the request (and traces, when it fails)
//! gauges       memory and load of dynos        stores, database_log   Postgres and Redis
//! people       deploys, config, scaling, runs  incidents              what goes wrong
//! ```
//!
//! The story knows the world through its journal only. So it goes on in the same way whether it was itself, or somebody at
//! the API, who changed something.

mod agenda;
mod app;
mod company;
mod curve;
mod database_log;
mod gauges;
mod incidents;
mod kinds;
mod people;
mod request;
mod stores;
#[cfg(test)]
mod tests;
mod text;
mod traces;
mod voices;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::event::Action;
use super::{Chance, World, WorldOptions};
use agenda::{Agenda, MINUTE, Pen, STEP, Task, seconds};
use app::{App, News};
use curve::Curve;
use gauges::Memory;
use text::moment;

/// The story of a company, somewhere in its middle.
pub(super) struct Story {
    apps: Vec<App>,
    /// The places of the apps, by their ids.
    places: HashMap<String, usize>,
    agenda: Agenda,
    pen: Pen,
    curve: Curve,
    /// The chance of people and incidents, and the one from which each app gets its own.
    chance: Chance,
    /// How many incidents there were.
    incidents: usize,
    /// How much of the journal was read.
    observed: usize,
    /// When the present step began.
    step_began: i64,
}

impl Story {
    /// Founds the company: its people, apps and their history up to `options.begins_at`.
    pub(super) fn begin(world: &mut World, options: &WorldOptions) -> Self {
        let chance = world.chance.of("story");
        let apps = company::found(world, company::cast(options, &chance), options.releases, &chance);
        // Nobody listened yet.
        world.events.clear();
        let mut story = Self::of(options.begins_at, chance);
        for app in apps {
            story.add(app);
        }
        story.observe(world, story.step_began);
        story.begin_incidents(story.step_began);
        story
    }

    /// A story in which nothing is yet.
    fn of(begins_at: Timestamp, chance: Chance) -> Self {
        let begins = begins_at.as_microsecond();
        Self {
            apps: Vec::new(),
            places: HashMap::new(),
            agenda: Agenda::default(),
            pen: Pen::new(begins),
            curve: Curve::new(),
            chance: chance.of("people"),
            incidents: 0,
            observed: 0,
            step_began: begins,
        }
    }

    /// Lets everything happen that happens until `to`, in whole steps: what is left over happens next time.
    pub(super) fn advance(&mut self, world: &mut World, to: Timestamp) {
        let to = to.as_microsecond();
        while self.step_began + STEP <= to {
            self.step(world);
        }
    }

    fn step(&mut self, world: &mut World) {
        let end = self.step_began + STEP;
        world.do_due(moment(end));
        world.now = moment(end);
        self.observe(world, end);
        while let Some((at, task)) = self.agenda.next_before(end) {
            self.perform(world, at, task);
        }
        self.pen.finish_step(&mut world.events);
        self.step_began = end;
    }

    fn add(&mut self, app: App) {
        let (place, at) = (self.apps.len(), self.step_began);
        self.places.insert(app.id.clone(), place);
        self.agenda.add(at, Task::Lull(place));
        if !app.profile.kind.jobs.is_empty() {
            self.agenda.add(at, Task::Job(place));
        }
        self.apps.push(app);
        self.begin_work(place, at);
    }

    /// Takes note of what has happened to objects.
    fn observe(&mut self, world: &World, now: i64) {
        let journal = world.objects.journal();
        for entry in &journal[self.observed..] {
            let Some(app) = entry.app.as_deref() else { continue };
            let object = world.objects.get(entry.resource, &entry.id).unwrap_or(&Value::Null);
            if entry.resource == "app" && !object.is_null() && !self.places.contains_key(app) {
                let profile = company::stranger(object, &mut self.chance);
                self.add(company::adopt(object, profile, &self.chance));
            }
            let Some(&place) = self.places.get(app) else { continue };
            let is_history = entry.at.as_microsecond() < self.step_began;
            let news = News { resource: entry.resource, id: &entry.id, action: entry.action, object, is_history };
            self.apps[place].observe(place, &news, now, &mut self.agenda);
            let is_deploy =
                entry.resource == "release" && entry.action == Action::Create && app::text(object, "description").starts_with("Deploy");
            if is_deploy && !is_history {
                self.release_phase(place, now);
            }
        }
        self.observed = journal.len();
    }

    fn perform(&mut self, world: &mut World, at: i64, task: Task) {
        match task {
            Task::Incident => self.incident(world, at),
            Task::Request(place)
            | Task::Lull(place)
            | Task::Job(place)
            | Task::Gauges(place, _)
            | Task::Cycle(place, _)
            | Task::Store(place, _)
            | Task::DatabaseLog(place, _)
            | Task::Person(place)
            | Task::Schedule(place)
            | Task::Formation(place)
            | Task::Crash(place)
            | Task::Rollback(place)
            | Task::Relief(place)
                if self.apps[place].is_gone => {}
            Task::Request(place) => self.requests(place, at),
            Task::Lull(place) => self.next_request(place, at),
            Task::Job(place) => self.job(place, at),
            Task::Gauges(place, serial) => self.gauges(world, place, serial, at),
            Task::Store(place, serial) => self.store(place, serial, at),
            Task::DatabaseLog(place, serial) => self.database_log(place, serial, at),
            Task::Person(place) => self.work(world, place, at),
            Task::Schedule(place) => self.schedule(world, place, at),
            Task::Formation(place) => self.look_at_formation(world, place, at),
            Task::Crash(place) => self.crash(world, place, at),
            Task::Cycle(place, serial) => self.cycle(world, place, serial),
            Task::Rollback(place) => self.roll_back(world, place),
            Task::Relief(place) => self.relieve(world, place),
        }
    }

    /// All requests of an app in this step, the first of them at `at`.
    fn requests(&mut self, place: usize, mut at: i64) {
        let end = self.step_began + STEP;
        let app = &mut self.apps[place];
        let seconds_between = 1.0 / (app.profile.requests_per_second * self.curve.at(at, app.profile.kind.weekend));
        while at < end {
            request::happen(app, at, &mut self.pen);
            at += seconds(app.chance.waiting(seconds_between)).max(1);
        }
        self.next_request(place, end);
    }

    /// Puts down the next request after `at`.
    fn next_request(&mut self, place: usize, at: i64) {
        let app = &mut self.apps[place];
        let busy = self.curve.at(at, app.profile.kind.weekend);
        let wait = seconds(app.chance.waiting(1.0 / (app.profile.requests_per_second * busy)));
        // Until then the hour has changed. Whoever waits has no memory of how long, so it may be drawn again.
        let lull = 5 * MINUTE;
        let (wait, task) = if wait < lull { (wait, Task::Request(place)) } else { (lull, Task::Lull(place)) };
        self.agenda.add(at + wait, task);
    }

    fn job(&mut self, place: usize, at: i64) {
        let app = &mut self.apps[place];
        voices::of_job(app, at, &mut self.pen);
        let busy = self.curve.at(at, app.profile.kind.weekend);
        let wait = app.chance.waiting(1.0 / (app.profile.requests_per_second * app.profile.kind.jobs_per_request * busy));
        self.agenda.add(at + seconds(wait).max(1), Task::Job(place));
    }

    fn gauges(&mut self, world: &mut World, place: usize, serial: u64, at: i64) {
        let app = &mut self.apps[place];
        let Some(dyno) = app.dyno(serial).filter(|dyno| app.dynos[*dyno].state == app::DynoState::Up) else { return };
        let busy = self.curve.at(at, app.profile.kind.weekend);
        let memory = gauges::measure(app, dyno, at, busy, &mut self.pen);
        self.agenda.add(at + seconds(gauges::SECONDS_BETWEEN + 0.8 * (self.chance.fraction() - 0.5)), Task::Gauges(place, serial));
        if memory == Memory::VastlyExceeded {
            self.kill(world, place, dyno, at);
        }
    }

    fn store(&mut self, place: usize, serial: u64, at: i64) {
        let app = &mut self.apps[place];
        let Some(store) = app.store(serial) else { return };
        stores::measure(app, store, at, self.curve.at(at, app.profile.kind.weekend), &mut self.pen);
        self.agenda.add(at + seconds(stores::SECONDS_BETWEEN + app.chance.fraction() - 0.5), Task::Store(place, serial));
    }

    fn database_log(&mut self, place: usize, serial: u64, at: i64) {
        let app = &mut self.apps[place];
        let Some(store) = app.store(serial) else { return };
        database_log::write(app, store, at, &mut self.pen);
        let wait = if app.troubles.database { 6.0 } else { database_log::SECONDS_BETWEEN };
        self.agenda.add(at + seconds(app.chance.waiting(wait)), Task::DatabaseLog(place, serial));
    }
}
