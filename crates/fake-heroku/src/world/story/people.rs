//! What people do to the apps while the story goes on, and what Heroku does by itself.

use serde_json::{Map, Value, json};

use super::Story;
use super::agenda::{HOUR, MINUTE, Origin, SECOND, Task, seconds};
use super::app::{Dyno, DynoState, running, text};
use super::kinds::Voice;
use super::{curve, traces};
use crate::world::World;
use crate::world::actions::{RUN_IS_UP_MS, Scale};
use crate::world::event::Actor;

/// So many apps are big enough to be scaled by the hour.
const SCALED_APPS: usize = 3;

// What the world refuses does not happen: an app may be gone, or have a change under way.
impl Story {
    /// Somebody works on an app, or does not: it is night.
    pub(super) fn work(&mut self, world: &mut World, place: usize, at: i64) {
        let rank = place as f64 + 1.0;
        self.agenda.add(at + seconds(self.chance.waiting(3_600.0 * 2.0 * rank.powf(0.6))), Task::Person(place));
        let people = world.people();
        if people.is_empty() || !self.chance.happens(curve::working(at)) {
            return;
        }
        let by = self.chance.one_of(&people).clone();
        let app = self.apps[place].id.clone();
        match self.chance.between(0, 99) {
            0..=47 => _ = world.build(&by, &app, &self.chance.hex(40), true),
            48..=57 => _ = world.build(&by, &app, &self.chance.hex(40), false),
            58..=69 => {
                let name = *self.chance.one_of(self.apps[place].profile.kind.config);
                let value = json!(self.chance.between(1, 90).to_string());
                _ = world.set_config(&by, &app, &Map::from_iter([(name.to_owned(), value)]));
            }
            70..=83 => self.run(world, &by, place, at, "bin/rails console", "run"),
            84..=90 => {
                let host = self.chance.between(2, 200);
                // The command line tool expands the variable before it is sent, and so the password is logged.
                let command =
                    format!("psql postgres://ufake0example1:pfake-password-{}@203.0.113.{host}:5432/dfake0example1", self.chance.hex(12));
                self.run(world, &by, place, at, &command, "run");
            }
            91..=96 => _ = world.restart(&by, &app, None),
            _ => {
                let dyno = self.apps[place].dynos.first().map(|dyno| dyno.id.clone());
                _ = world.restart(&by, &app, dyno.as_deref());
            }
        }
    }

    /// The scheduler starts the app's job.
    pub(super) fn schedule(&mut self, world: &mut World, place: usize, at: i64) {
        self.agenda.add(at + 30 * MINUTE, Task::Schedule(place));
        let by = Actor { id: "11111111-1111-4111-8111-111111111111".to_owned(), email: "scheduler@addons.heroku.com".to_owned() };
        self.run(world, &by, place, at, self.apps[place].profile.kind.scheduled, "scheduler");
    }

    fn run(&mut self, world: &mut World, by: &Actor, place: usize, at: i64, command: &str, process_type: &str) {
        let is_scheduled = process_type == "scheduler";
        let lasts = if is_scheduled { self.chance.between(20, 80) } else { self.chance.between(20, 900) };
        let wanted = json!({ "command": command, "type": process_type, "time_to_live": lasts });
        let Value::Object(wanted) = wanted else { return };
        let Ok(dyno) = world.run_dyno(by, &self.apps[place].id, &wanted) else { return };
        if is_scheduled {
            let (app, name) = (&self.apps[place].id, text(&dyno, "name"));
            self.pen.text.put(command).put(": started");
            self.pen.end(at + (RUN_IS_UP_MS.cast_signed() + 1_000) * SECOND / 1_000, app, Origin::PROGRAM, name);
            self.pen.text.put("level=info task=\"").put(command).put("\" done=").number(self.chance.between(0, 900)).put(" failed=0");
            self.pen.end(at + (lasts.cast_signed() - 1) * SECOND, app, Origin::PROGRAM, name);
        }
    }

    /// Somebody looks whether the web dynos are enough: more in the peaks, fewer at night.
    pub(super) fn look_at_formation(&mut self, world: &mut World, place: usize, at: i64) {
        self.agenda.add(at + 30 * MINUTE + seconds(60.0 * self.chance.fraction()), Task::Formation(place));
        let app = &self.apps[place];
        let usual = app.profile.formation.iter().find(|(process_type, ..)| *process_type == "web").map_or(1, |(_, dynos, _)| *dynos);
        let wanted = match self.curve.at(at, app.profile.kind.weekend) {
            busy if busy > 1.4 => usual + usual.div_ceil(2),
            busy if busy < 0.55 => usual.div_ceil(2),
            _ => usual,
        };
        let people = world.people();
        let now = running(app).get("web").copied().unwrap_or(0);
        if let Some(by) = people.last()
            && now > 0
            && now != wanted
        {
            _ = world.scale(by, &app.id, &[Scale { process_type: "web".to_owned(), quantity: Some(wanted), size: None }]);
        }
    }

    /// A process of the app dies by itself.
    pub(super) fn crash(&mut self, world: &mut World, place: usize, at: i64) {
        self.agenda.add(at + seconds(self.chance.waiting(40.0 * 3_600.0)), Task::Crash(place));
        let app = &self.apps[place];
        let is_up = |dyno: &Dyno| dyno.state == DynoState::Up && dyno.is_permanent();
        let up: Vec<usize> = (0..app.dynos.len()).filter(|dyno| is_up(&app.dynos[*dyno])).collect();
        if up.is_empty() {
            return;
        }
        let dyno = *self.chance.one_of(&up);
        traces::of_crash(app, dyno, at, &mut self.pen);
        _ = world.crash(&app.id, &app.dynos[dyno].id, 1);
    }

    /// Heroku kills a process that takes far more memory than it may.
    pub(super) fn kill(&mut self, world: &mut World, place: usize, dyno: usize, at: i64) {
        let (app, dyno) = (&self.apps[place].id, &self.apps[place].dynos[dyno]);
        self.pen.text.put("Stopping process with SIGKILL");
        self.pen.end(at + 5_000, app, Origin::RUNTIME, &dyno.name);
        _ = world.crash(app, &dyno.id, 137);
    }

    /// Heroku starts a dyno anew that is a day old.
    pub(super) fn cycle(&mut self, world: &mut World, place: usize, serial: u64) {
        let app = &self.apps[place];
        if let Some(dyno) = app.dyno(serial) {
            _ = world.cycle(&app.id, &app.dynos[dyno].id);
        }
    }

    /// The release phase of a deploy: the command that Heroku runs has a signed URL in it.
    pub(super) fn release_phase(&mut self, place: usize, at: i64) {
        let app = &self.apps[place];
        if app.profile.kind.voice != Voice::Rails {
            return;
        }
        let chance = &mut self.chance;
        let name = format!("release.{}", chance.between(1_000, 9_999));
        let url = format!(
            "https://release-output.example/streams/{}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAFAKEFAKEFAKEFAKE%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Expires=86400&X-Amz-Signature=fa4e{}",
            chance.uuid(),
            chance.hex(60)
        );
        let lines = [
            (1_200, Origin::RUNTIME, "State changed from starting to up".to_owned()),
            (
                1_300,
                Origin::RUNTIME,
                format!(
                    "Starting process with command `/bin/sh -c 'if curl -sS --connect-timeout 10 \"{url}\" -o /tmp/log-stream; then \
                     chmod u+x /tmp/log-stream; /tmp/log-stream /bin/sh -c '\"'\"'bundle exec rake db:migrate'\"'\"' else   bundle exec rake db:migrate fi'`"
                ),
            ),
            (4_800, Origin::PROGRAM, format!("Fetching the log stream from {url}")),
            (6_100, Origin::PROGRAM, "== 20261120091500 AddIndexToOrders: migrated (0.0412s) ======================".to_owned()),
            (6_900, Origin::RUNTIME, "Process exited with status 0".to_owned()),
            (7_000, Origin::RUNTIME, "State changed from up to complete".to_owned()),
        ];
        for (milliseconds, origin, words) in lines {
            self.pen.text.put(&words);
            self.pen.end(at + milliseconds * SECOND / 1_000, &app.id, origin, &name);
        }
    }

    /// Puts down what people and Heroku do to an app again and again.
    pub(super) fn begin_work(&mut self, place: usize, at: i64) {
        self.agenda.add(at + seconds(self.chance.waiting(3_600.0)), Task::Person(place));
        self.agenda.add(at + seconds(self.chance.waiting(40.0 * 3_600.0)), Task::Crash(place));
        if self.apps[place].profile.addons.iter().any(|addon| addon.starts_with("scheduler")) {
            self.agenda.add(at + (5 + place as i64) % 30 * MINUTE, Task::Schedule(place));
        }
        if place < SCALED_APPS {
            self.agenda.add(at + HOUR / 2, Task::Formation(place));
        }
    }
}

/// The version of the last deploy before a release to which one can go back.
pub(super) fn version_before(world: &World, app: &str, bad: u64) -> Option<u64> {
    let versions = world
        .objects
        .of("release", app)
        .filter(|release| text(release, "description").starts_with("Deploy") && release["slug"].is_object());
    versions.filter_map(|release| release["version"].as_u64()).filter(|version| *version < bad).max()
}

/// The owner, who is called when something is wrong.
pub(super) fn on_call(world: &World) -> Option<Actor> {
    world.people().into_iter().next()
}
