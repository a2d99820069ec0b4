//! The story of apps that exist for their traffic only: what the world makes of people's actions is not tried here.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::agenda::{HOUR, MINUTE, SECOND};
use super::app::News;
use super::{Story, company};
use crate::world::event::{Action, Event, Line, Measured};
use crate::world::{Chance, World, WorldOptions};

/// 2026-11-18, a Wednesday.
const BEGINS: &str = "2026-11-18T00:00:00Z";

/// A world whose apps run but are not objects, so that whatever people do to them is refused. Nothing goes wrong in it.
fn calm_world(seed: u64, apps: usize, lines_per_second: f64) -> World {
    let begins_at: Timestamp = BEGINS.parse().unwrap();
    let mut world = World::new(&WorldOptions { seed, apps: 0, releases: 0, begins_at, lines_per_second });
    let options = WorldOptions { seed, apps, releases: 0, begins_at, lines_per_second };
    let chance = Chance::new(seed).of("story");
    let mut story = Story::of(begins_at, chance.clone());
    story.observed = world.objects.journal().len();
    for (place, profile) in company::cast(&options, &chance).into_iter().enumerate() {
        let app = json!({ "id": format!("app-{place}"), "web_url": format!("https://{}.herokuapp.example/", profile.name) });
        story.add(company::adopt(&app, profile.clone(), &chance));
        tell(&mut story, place, "release", Action::Create, json!({ "id": "r", "version": 7, "description": "Deploy 0123abcd" }));
        for (process_type, dynos, size) in &profile.formation {
            for number in 1..=*dynos {
                let name = format!("{process_type}.{number}");
                tell(
                    &mut story,
                    place,
                    "dyno",
                    Action::Create,
                    json!({ "id": format!("{place}-{name}"), "name": name, "type": process_type, "size": size, "state": "up" }),
                );
            }
        }
        for (number, plan) in profile.addons.iter().enumerate() {
            tell(
                &mut story,
                place,
                "add-on",
                Action::Create,
                json!({ "id": number.to_string(), "name": format!("store-{number}"), "plan": { "name": plan } }),
            );
        }
    }
    world.story = Some(story);
    world
}

/// The same with incidents.
fn world(seed: u64, apps: usize, lines_per_second: f64) -> World {
    let mut world = calm_world(seed, apps, lines_per_second);
    let story = world.story.as_mut().unwrap();
    story.begin_incidents(story.step_began);
    world
}

/// What the journal would tell the story.
fn tell(story: &mut Story, place: usize, resource: &'static str, action: Action, data: Value) {
    let (id, now) = (data["id"].as_str().unwrap().to_owned(), story.step_began);
    let news = News { resource, id: &id, action, object: &data, is_history: true };
    story.apps[place].observe(place, &news, now, &mut story.agenda);
}

fn after(world: &World, micros: i64) -> Timestamp {
    world.now() + SignedDuration::from_micros(micros)
}

/// Goes on for a while and hands over what happened.
fn go_on(world: &mut World, micros: i64) -> Vec<Event> {
    world.advance(after(world, micros));
    world.take_events()
}

fn lines(events: &[Event]) -> impl Iterator<Item = (&Line, String)> {
    events.iter().filter_map(|event| match event {
        Event::Line(line) => Some((line, String::from_utf8_lossy(&line.text).into_owned())),
        _ => None,
    })
}

/// The value of a field of a router's line.
fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_one_another() {
    let tell = |seed| format!("{:?}", go_on(&mut world(seed, 8, 60.0), 5 * MINUTE));
    assert!(tell(1).len() > 1_000_000);
    assert!(tell(1) == tell(1));
    assert!(tell(1) != tell(2));
}

#[test]
fn it_does_not_matter_how_often_the_story_is_told_to_go_on() {
    let end = 10 * MINUTE;
    let whole = format!("{:?}", go_on(&mut world(3, 6, 40.0), end));
    let mut chance = Chance::new(4);
    for pieces in
        [|_: &mut Chance| SECOND / 1000, |_: &mut Chance| 10 * SECOND, |chance: &mut Chance| chance.between(1, 7_000_000).cast_signed()]
    {
        let mut world = world(3, 6, 40.0);
        let (mut told, mut at, mut events) = (0, 0, Vec::new());
        while at < end {
            at = (at + pieces(&mut chance)).min(end);
            events.extend(go_on(&mut world, at - told));
            told = at;
        }
        assert!(format!("{events:?}") == whole);
    }
}

#[test]
fn times_go_up_but_for_a_little_disorder() {
    let mut latest = Timestamp::MIN;
    for (line, text) in lines(&go_on(&mut world(5, 8, 300.0), 10 * MINUTE)) {
        assert!(latest.duration_since(line.at) < SignedDuration::from_millis(100), "{} after {latest}: {text}", line.at);
        latest = latest.max(line.at);
    }
}

#[test]
fn an_average_day_has_the_lines_that_were_asked_for() {
    for (apps, rate) in [(1, 2.0), (8, 2.0), (30, 4.0)] {
        let mut world = calm_world(6, apps, rate);
        let count: usize = (0..24).map(|_| go_on(&mut world, HOUR)).map(|events| lines(&events).count()).sum();
        let found = count as f64 / 86_400.0;
        assert!((found / rate - 1.0).abs() < 0.1, "{found} lines/s of {apps} apps instead of {rate}");
    }
}

/// Which kind of line it is, as `docs` of Heroku divide them.
fn kind(line: &Line, text: &str) -> String {
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    match (line.source, line.process.as_str()) {
        ("heroku", "router") => match field(text, "code") {
            "" => "router".to_owned(),
            code => code.to_owned(),
        },
        ("app", "heroku-postgres" | "heroku-pgbouncer" | "heroku-redis") => line.process.clone(),
        ("app", process) if process.starts_with("postgres.") => if text.contains("] \t") {
            "database log, continued"
        } else if text.contains("time_ms") {
            "database log, long"
        } else {
            "database log"
        }
        .to_owned(),
        ("heroku", _) if text.contains(" sample#load_avg_1m=") => "load".to_owned(),
        ("heroku", _) if text.contains(" sample#memory_total=") => "memory".to_owned(),
        ("heroku", _) if starts(&["Error "]) => text[6..9].to_owned(),
        ("heroku", _) => text.split(' ').next().unwrap_or("").to_owned(),
        _ if text.contains("] Started ") => "rails".to_owned(),
        _ if starts(&["method="]) => "lograge".to_owned(),
        _ if starts(&["{"]) => "json".to_owned(),
        _ if starts(&["INFO: "]) => "plain".to_owned(),
        _ if text.contains("measure#") => "l2met".to_owned(),
        _ if starts(&["pid="]) => "job".to_owned(),
        _ if starts(&["    at ", "  File "]) || text.contains(".rb:") => "trace".to_owned(),
        _ => "other".to_owned(),
    }
}

#[test]
fn a_day_has_lines_of_every_kind() {
    let mut world = world(7, 8, 10.0);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..24 {
        for (line, text) in lines(&go_on(&mut world, HOUR)) {
            *counts.entry(kind(line, &text)).or_default() += 1;
        }
    }
    let least = [
        ("router", 120_000),
        ("H12", 5),
        ("H13", 4),
        ("H18", 4),
        ("H27", 40),
        ("rails", 30_000),
        ("lograge", 20_000),
        ("json", 20_000),
        ("plain", 800),
        ("l2met", 4_000),
        ("job", 2_000),
        ("trace", 200),
        ("load", 15_000),
        ("memory", 15_000),
        ("R14", 50),
        ("R15", 1),
        ("Process", 50),
        ("Stopping", 1),
        ("heroku-postgres", 4_000),
        ("heroku-pgbouncer", 2_000),
        ("heroku-redis", 4_000),
        ("database log", 500),
        ("database log, long", 100),
        ("database log, continued", 50),
        ("other", 40),
    ];
    for (kind, least) in least {
        let found = counts.get(kind).copied().unwrap_or(0);
        assert!(found >= least, "{found} lines of {kind}; {counts:?}");
    }
}

#[test]
fn a_bad_release_slows_the_checkout_until_it_is_taken_back() {
    let mut world = calm_world(8, 1, 400.0);
    let mut releases = 8;
    let mut deploy = |world: &mut World, description: &str| {
        let story = world.story.as_mut().unwrap();
        releases += 1;
        tell(story, 0, "release", Action::Create, json!({ "id": "r", "version": releases, "description": description }));
        let events = go_on(world, 5 * MINUTE);
        let mut checkout: Vec<u64> = Vec::new();
        let mut timeouts = 0;
        for (_, text) in lines(&events).filter(|(line, _)| line.process == "router") {
            timeouts += u32::from(field(&text, "code") == "H12");
            if field(&text, "path") == "\"/checkout\"" && field(&text, "method") == "POST" && field(&text, "code").is_empty() {
                checkout.push(field(&text, "service").trim_end_matches("ms").parse().unwrap());
            }
        }
        checkout.sort_unstable();
        (checkout[checkout.len() * 95 / 100], timeouts)
    };
    let (usual, few) = deploy(&mut world, "Deploy 1111aaaa");
    world.story.as_mut().unwrap().apps[0].troubles.bad_release_comes = true;
    let (bad, many) = deploy(&mut world, "Deploy 2222bbbb");
    let (good, _) = deploy(&mut world, "Rollback to v9");
    assert!(bad > usual * 6 && bad < usual * 11, "p95 {usual} ms, then {bad} ms");
    assert!(good < usual * 2, "p95 {usual} ms, and {good} ms after the rollback");
    assert!(few <= 3 && many >= 50, "{few} time-outs, then {many}");
}

#[test]
fn a_rollback_goes_back_behind_the_bad_release_whatever_was_released_since() {
    let begins_at = BEGINS.parse().unwrap();
    let mut world = World::new(&WorldOptions { seed: 8, apps: 2, releases: 0, begins_at, lines_per_second: 2.0 });
    let bad = |world: &World| {
        let app = world.story.as_ref()?.apps.iter().find(|app| app.troubles.bad_release)?;
        Some((app.id.clone(), app.version))
    };
    let (app, version) = (0..60)
        .find_map(|_| {
            go_on(&mut world, 10 * SECOND);
            bad(&world)
        })
        .unwrap();
    let owner = world.owner().cloned().unwrap();
    world.set_config(&owner, &app, &[("RETRIES".to_owned(), json!("3"))].into_iter().collect()).unwrap();
    go_on(&mut world, 9 * MINUTE);
    let releases: Vec<String> =
        world.objects.of("release", &app).map(|release| release["description"].as_str().unwrap().to_owned()).collect();
    let rolled_back_to: u64 = releases.iter().find_map(|description| description.strip_prefix("Rollback to v")?.parse().ok()).unwrap();
    assert!(rolled_back_to < version, "the bad one is v{version}: {releases:?}");
}

#[test]
fn a_crowded_database_is_seen_from_all_sides() {
    let seen = |is_crowded: bool| {
        let mut world = calm_world(9, 1, 300.0);
        world.story.as_mut().unwrap().apps[0].troubles.database = is_crowded;
        let events = go_on(&mut world, 5 * MINUTE);
        let waiting = lines(&events).filter(|(line, _)| line.process == "heroku-postgres");
        let waiting: u64 = waiting.map(|(_, text)| field(&text, "sample#waiting-connections").parse::<u64>().unwrap()).sum();
        let of = |words: &str| lines(&events).filter(|(_, text)| text.contains(words)).count();
        (waiting, of("could not obtain a connection from the pool"), of("remaining connection slots"))
    };
    let (calm, crowded) = (seen(false), seen(true));
    assert_eq!((calm.1, calm.2), (0, 0));
    assert!(calm.0 <= 2 && crowded.0 > 20 && crowded.1 > 50 && crowded.2 > 5, "{crowded:?}");
}

#[test]
fn memory_rises_before_the_r14_and_the_first_incident_shows_within_ten_minutes() {
    let mut world = world(10, 8, 50.0);
    let events = go_on(&mut world, 12 * MINUTE);
    let (line, _) = lines(&events).find(|(_, text)| text.starts_with("Error R14")).unwrap();
    assert!(line.at < after(&world, -2 * MINUTE));
    let of_dyno = lines(&events).filter(|(other, text)| {
        other.app == line.app && other.process == line.process && text.contains("memory_total=") && other.at <= line.at
    });
    let totals: Vec<f64> = of_dyno.map(|(_, text)| field(&text, "sample#memory_total").trim_end_matches("MB").parse().unwrap()).collect();
    assert!(totals.len() > 8 && totals[totals.len() - 1] > 1.4 * totals[0], "{totals:?}");
}

#[test]
fn only_fir_apps_are_measured_by_telemetry() {
    let mut world = calm_world(11, 5, 100.0);
    let fir: Vec<bool> = world.story.as_ref().unwrap().apps.iter().map(|app| app.profile.is_fir).collect();
    assert_eq!(fir, [false, false, false, true, false]);
    let events = go_on(&mut world, 5 * MINUTE);
    let mut counts = [0; 2];
    for event in &events {
        if let Event::Measured(measure) = event {
            assert_eq!(measure.app, "app-3");
            counts[usize::from(matches!(measure.what, Measured::Dyno { .. }))] += 1;
        }
    }
    let routed = lines(&events).filter(|(line, text)| line.app == "app-3" && line.process == "router" && !field(text, "dyno").is_empty());
    assert_eq!(routed.count(), counts[0]);
    assert!(counts[0] > 100 && counts[1] > 10, "{counts:?}");
}

#[test]
fn without_dynos_the_router_says_why() {
    let router_lines = |state: Option<&str>| -> Vec<String> {
        let mut world = calm_world(12, 1, 200.0);
        let story = world.story.as_mut().unwrap();
        let dynos: Vec<String> = story.apps[0].dynos.iter().map(|dyno| dyno.id.clone()).collect();
        for id in dynos {
            let action = if state.is_some() { Action::Update } else { Action::Destroy };
            tell(story, 0, "dyno", action, json!({ "id": id, "state": state }));
        }
        let events = go_on(&mut world, MINUTE);
        lines(&events).filter(|(line, _)| line.process == "router").map(|(_, text)| text).collect()
    };
    let check = |state, expected: &str| {
        let lines = router_lines(state);
        assert!(!lines.is_empty());
        for text in lines {
            assert!(text.contains(&format!("code={expected} ")) && text.contains(" dyno= connect= service= status=503 bytes= "), "{text}");
        }
    };
    check(Some("crashed"), "H10");
    check(None, "H14");
    // It waits for a dyno that starts, and seldom in vain.
    let starting = router_lines(Some("starting"));
    let in_vain = starting.iter().filter(|text| field(text, "code") == "H20").count();
    assert!(in_vain > 0 && in_vain * 20 < starting.len(), "{in_vain} of {}", starting.len());
    let waited = |text: &&String| field(text, "connect").trim_end_matches("ms").parse().is_ok_and(|milliseconds: u64| milliseconds >= 900);
    assert!(starting.iter().filter(waited).count() * 10 > starting.len() * 9);
}
