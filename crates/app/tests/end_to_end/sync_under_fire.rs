//! `freshet sync` against a Heroku that changes, fails and refuses, killed at random. After the faults have stopped and one run has
//! ended well, the tables are Heroku's own state, the histories its own journal, and requests were as few as they can be.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use freshet_bench::random::Random;
use freshet_core::{Every, FieldDef, FieldKind, Read, StreamDef};
use freshet_tables::platform::streams;
use serde_json::{Value, json};

use crate::chance;
use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;
use crate::sync::{stream, sync, versions};
use crate::sync_account::{assert_same_history, assert_same_objects, journal_length, requests_at_least};

/// Faults of the API, and how likely each may be in a thousand requests.
const FAULTS: [(&str, u64); 8] = [
    ("api-429", 60),
    ("api-500", 150),
    ("api-503", 150),
    ("api-truncated", 150),
    ("api-reset", 150),
    ("api-unknown-field", 300),
    ("api-other-type", 300),
    ("api-vanish", 1000),
];

/// What is asked for while all goes wrong.
const LINES: [&str; 5] = ["", "", "--full", "apps releases builds addons", "dynos formation domains collaborators log_drains"];

#[test]
fn the_lake_agrees_with_heroku_whatever_failed() {
    // A thousand apps do as much in a second as a few do in minutes, and Heroku must still have time to answer.
    let (apps, releases, rounds, speed) = if chance::full() { (1_000, 200, 12, 5) } else { (6, 0, 5, 300) };
    let mut random = chance::random("sync under fire");
    let place = Place::new();
    let heroku = company(&place, &format!("--apps {apps} --releases {releases} --speed {speed} --seed {}", random.below(1_000)));
    let is_over = AtomicBool::new(false);
    let seed = random.bits();
    std::thread::scope(|scope| {
        let hands = scope.spawn(|| {
            let mut hands = Hands::new(&heroku, seed);
            // On a busy machine the runs take longer, and a company that went on growing would outgrow them.
            let mut acts = if chance::full() { 10_000 } else { 300 };
            while !is_over.load(Relaxed) {
                if acts > 0 {
                    hands.act();
                    acts -= 1;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            hands.show_all();
        });
        for round in 0..rounds {
            heroku.strike(&faults(&mut random));
            let child = begin(&place, LINES[random.below(LINES.len() as u64) as usize]);
            let patience_ms = if round % 3 == 2 { u64::MAX } else { random.below(if chance::full() { 60_000 } else { 2_500 }) };
            end(child, patience_ms);
        }
        // What a killed run has read is used by the next, so the last one under fire ends by itself.
        end(begin(&place, "--full"), u64::MAX);
        is_over.store(true, Relaxed);
        hands.join().unwrap();
    });
    heroku.strike("{}");
    let mut hands = Hands::new(&heroku, random.bits());
    (0..20).for_each(|_| hands.act());
    hands.show_all();
    stand_still(&heroku);
    let (ended, report) = sync(&place, "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    // What Heroku tells only when it is asked for everything: an app's new name in its older releases, and what it told wrong once.
    let was_of_another_type =
        |field: &FieldDef, row: &Value| field.kind == FieldKind::Json || !row["_extra"].is_null() || row[field.column.name] == 7;
    let is_old_news = |stream: &StreamDef, field: &FieldDef, row: &Value| {
        matches!(stream.read, Read::Since { .. }) && (field.json == "app.name" || was_of_another_type(field, row))
    };
    let is_often = |stream: &StreamDef| stream.every == Every::Often;
    let (compared, values) = assert_same_objects(&place, &heroku, is_often, |stream, field, row| !is_old_news(stream, field, row));
    assert!(compared >= 15 && values > 500, "{compared} streams, {values} values");
    for stream in streams().iter().filter(|stream| stream.history.is_some()) {
        assert!(assert_same_history(&place, &heroku, stream, None) > 0, "{report}");
    }
    let (ended, _) = sync(&place, "--full");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let (compared, _) = assert_same_objects(&place, &heroku, |_| true, |_, _, _| true);
    assert!(compared >= 40, "{compared} streams");
    eprintln!("{values} values compared; faults: {}", heroku.status()["faults_struck"]);
}

#[test]
fn between_runs_every_change_makes_its_version_and_nothing_else_does() {
    let steps = if chance::full() { 40 } else { 5 };
    let mut random = chance::random("sync step by step");
    let place = Place::new();
    let heroku = company(&place, &format!("--apps 4 --seed {}", random.below(1_000)));
    stand_still(&heroku);
    let mut hands = Hands::new(&heroku, random.bits());
    let mut cuts = Vec::new();
    for _ in 0..steps {
        let (ended, _) = sync(&place, "apps releases dynos formation domains addons");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        cuts.push(journal_length(&heroku));
        (0..random.between(1, 6)).for_each(|_| hands.act());
    }
    hands.show_all();
    sync(&place, "apps releases dynos formation domains addons");
    cuts.push(journal_length(&heroku));
    let with_history: Vec<_> = streams().iter().filter(|stream| stream.history.is_some()).collect();
    assert_eq!(with_history.len(), 6);
    for stream in with_history {
        assert!(assert_same_history(&place, &heroku, stream, Some(&cuts)) > 0, "{}", stream.name);
    }
}

#[test]
fn no_request_is_made_that_need_not_be() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let asked = || heroku.status()["api_requests"].as_u64().unwrap();
    for is_first in [true, false] {
        let (before, written) = (asked(), if is_first { None } else { Some(versions(&place)) });
        let (ended, report) = sync(&place, "");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_eq!(asked() - before, report["requests"].as_u64().unwrap(), "the report tells of every request");
        for def in streams().iter().filter(|def| is_first || def.every == Every::Often) {
            let made = stream(&report, def.name)["requests"].as_u64().unwrap();
            assert_eq!(made, requests_at_least(&heroku, def, is_first), "{}, first: {is_first}", def.name);
        }
        let daily = streams().iter().filter(|def| def.every == Every::Daily).count();
        assert_eq!(report["fresh"].as_array().unwrap().len(), if is_first { 0 } else { daily });
        assert!(written.is_none_or(|written| written == versions(&place)), "nothing has changed, and something was written");
    }
}

#[test]
fn nobody_elses_requests_are_used_up() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let leave = |count: u64| {
        let left = heroku.ask("GET", "/account/rate-limits", "")["remaining"].as_u64().unwrap();
        heroku.ask("POST", &format!("/_control/spend?requests={}", left - count), "");
    };
    // A fifth of 4,500 is for others.
    leave(1_000);
    let (ended, report) = sync(&place, "apps");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(report["waited_s"], 0.0, "{report}");
    leave(885);
    let (ended, report) = sync(&place, "dynos");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(report["waited_s"].as_f64().unwrap() > 0.0 && heroku.struck("api-429") == 0, "{report}");
    assert_eq!(place.number("SELECT count(*) FROM dynos") as usize, heroku.objects("dyno").len());
}

/// A company that lives fast, and a configuration that points to it.
fn company(place: &Place, flags: &str) -> Heroku {
    let heroku = Heroku::start(place, &format!("--rate 1 --rate-limit 1000000 {flags}"));
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n", heroku.url));
    heroku
}

/// The story stops, and what was being told is told to its end.
fn stand_still(heroku: &Heroku) {
    heroku.pause();
    let mut before = None;
    while before != Some(journal_length(heroku)) {
        before = Some(journal_length(heroku));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn begin(place: &Place, line: &str) -> Child {
    place.command(&format!("sync --output json {line}"), &[]).env("HEROKU_API_KEY", "any").spawn().unwrap()
}

/// Lets a run end by itself, or kills it after `patience_ms`.
fn end(mut child: Child, patience_ms: u64) {
    if patience_ms == u64::MAX {
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert!(matches!(ended.code, Some(0 | 1 | 3)), "{ended:#?}");
        return;
    }
    std::thread::sleep(Duration::from_millis(patience_ms));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn faults(random: &mut Random) -> String {
    let mut faults = serde_json::Map::new();
    // Of a hundred times as many requests a tenth as many fail: each costs a wait.
    let of = if chance::full() { 10_000.0 } else { 1_000.0 };
    for (fault, most) in FAULTS {
        if random.below(3) > 0 {
            faults.insert(fault.to_owned(), json!({ "probability": random.below(most) as f64 / of }));
        }
    }
    // Seconds each time: seldom.
    faults.insert("api-slow".to_owned(), json!({ "probability": 0.02, "times": 1 }));
    Value::Object(faults).to_string()
}

/// People at work on a company, through the API like everybody.
struct Hands<'a> {
    heroku: &'a Heroku,
    random: Random,
    /// Names of apps that were made here, and may go again.
    made: Vec<String>,
    /// Resource and id of what is hidden.
    hidden: Vec<(&'static str, String)>,
}

impl<'a> Hands<'a> {
    fn new(heroku: &'a Heroku, seed: u64) -> Self {
        Self { heroku, random: Random::new(seed), made: Vec::new(), hidden: Vec::new() }
    }

    /// Does something, or tries to.
    fn act(&mut self) {
        let number = self.random.below(1_000_000);
        let app = self.heroku.apps[self.random.below(self.heroku.apps.len().min(50) as u64) as usize].clone();
        match self.random.below(20) {
            0 | 1 => self.make_app(&format!("made-{number}")),
            2 => self.delete_app(),
            3 => self.rename_app(&format!("named-{number}")),
            4 => self.patch(&format!("/apps/{app}"), &json!({ "maintenance": number.is_multiple_of(2) })),
            5..=7 => self.patch(&format!("/apps/{app}/config-vars"), &json!({ format!("ATTEMPT_{}", number % 5): number.to_string() })),
            8 => self.post(&format!("/apps/{app}/addons"), &json!({ "plan": "heroku-redis:mini" })),
            9 => self.change("add-on", |id| ("PATCH", format!("/apps/{app}/addons/{id}"), json!({ "plan": "heroku-redis:premium-0" }))),
            10 => self.post(&format!("/apps/{app}/collaborators"), &json!({ "user": format!("guest{}@example.com", number % 9) })),
            11 => {
                let domain = json!({ "hostname": format!("www{number}.example.com"), "sni_endpoint": null });
                self.post(&format!("/apps/{app}/domains"), &domain);
            }
            12 => self.delete_some(),
            13 => self.patch(&format!("/apps/{app}/formation"), &json!({ "updates": [{ "type": "web", "quantity": 1 + number % 4 }] })),
            14 => self.post(
                &format!("/apps/{app}/builds"),
                &json!({ "source_blob": { "url": "https://example.com/x.tgz", "version": number.to_string() } }),
            ),
            15 => _ = self.heroku.attempt("DELETE", &format!("/apps/{app}/dynos"), ""),
            16 => self.post(&format!("/apps/{app}/log-drains"), &json!({ "url": format!("http://user:pass@127.0.0.1:9/{number}") })),
            17 | 18 => self.hide(),
            _ => self.show_all(),
        }
    }

    fn post(&self, path: &str, body: &Value) {
        // What is refused, or fails, has not happened.
        let _ = self.heroku.attempt("POST", path, &body.to_string());
    }

    fn patch(&self, path: &str, body: &Value) {
        let _ = self.heroku.attempt("PATCH", path, &body.to_string());
    }

    fn make_app(&mut self, name: &str) {
        let (path, body) = match self.random.below(2) {
            0 => ("/apps", json!({ "name": name })),
            _ => ("/teams/apps", json!({ "name": name })),
        };
        self.post(path, &body);
        self.made.push(name.to_owned());
    }

    fn delete_app(&mut self) {
        if let Some(name) = self.made.pop() {
            let _ = self.heroku.attempt("DELETE", &format!("/apps/{name}"), "");
        }
    }

    fn rename_app(&mut self, name: &str) {
        if let Some(before) = self.made.pop() {
            let renamed = self.heroku.attempt("PATCH", &format!("/apps/{before}"), &json!({ "name": name }).to_string());
            self.made.push(if renamed.is_some() { name.to_owned() } else { before });
        }
    }

    /// The id of one of the objects of `resource`, if there is one.
    fn one_of(&mut self, resource: &str) -> Option<Value> {
        let objects = self.heroku.objects(resource);
        (!objects.is_empty()).then(|| objects[self.random.below(objects.len() as u64) as usize].clone())
    }

    fn change(&mut self, resource: &str, how: impl Fn(&str) -> (&'static str, String, Value)) {
        if let Some(object) = self.one_of(resource) {
            let (method, path, body) = how(object["id"].as_str().unwrap());
            let _ = self.heroku.attempt(method, &path, &body.to_string());
        }
    }

    fn delete_some(&mut self) {
        let (resource, below) = self.random.pick(&[
            ("domain", "domains"),
            ("collaborator", "collaborators"),
            ("add-on", "addons"),
            ("log-drain", "log-drains"),
        ]);
        let Some(object) = self.one_of(resource) else { return };
        let (app, id) = (object["app"]["id"].as_str().unwrap_or_default(), object["id"].as_str().unwrap());
        if object["kind"] != "heroku" && object["role"] != "owner" {
            let _ = self.heroku.attempt("DELETE", &format!("/apps/{app}/{below}/{id}"), "");
        }
    }

    fn hide(&mut self) {
        let resource = self.random.pick(&["app", "domain", "collaborator", "add-on", "pipeline"]);
        let Some(object) = self.one_of(resource) else { return };
        // Apps that may be deleted are left alone: what is hidden below them would come back below nothing.
        let id = object["id"].as_str().unwrap().to_owned();
        let app = if resource == "app" { &object["name"] } else { &object["app"]["name"] };
        let is_lasting = app.as_str().is_none_or(|app| self.heroku.apps.iter().any(|name| name == app));
        if is_lasting && self.heroku.attempt("POST", &format!("/_control/hide/{resource}/{id}"), "").is_some() {
            self.hidden.push((resource, id));
        }
    }

    /// What was hidden comes back as it was. Of an app Heroku then says that it has changed, as when it is handed back.
    fn show_all(&mut self) {
        for (resource, id) in std::mem::take(&mut self.hidden) {
            self.heroku.ask("POST", &format!("/_control/show/{resource}/{id}"), "");
            if resource == "app" {
                let is_in_maintenance = self.heroku.objects("app").iter().any(|app| app["id"] == id.as_str() && app["maintenance"] == true);
                let change = json!({ "maintenance": !is_in_maintenance }).to_string();
                let is_told = (0..100).any(|_| self.heroku.attempt("PATCH", &format!("/apps/{id}"), &change).is_some());
                assert!(is_told, "Heroku does not take a change");
            }
        }
    }
}
