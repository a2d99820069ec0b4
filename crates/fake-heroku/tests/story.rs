//! The company as a whole: what its people do shows in the objects, in the changes that webhooks tell, and in the lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use freshet_fake_heroku::{Change, Event, Line, World, WorldOptions};
use jiff::{SignedDuration, Timestamp};

fn world(seed: u64, apps: usize, begins_at: &str, lines_per_second: f64) -> World {
    World::new(&WorldOptions { seed, apps, releases: 0, begins_at: begins_at.parse().unwrap(), lines_per_second })
}

fn go_on(world: &mut World, span: SignedDuration) -> Vec<Event> {
    world.advance(world.now() + span);
    world.take_events()
}

fn lines(events: &[Event]) -> impl Iterator<Item = (&Line, String)> {
    events.iter().filter_map(|event| match event {
        Event::Line(line) => Some((line, String::from_utf8_lossy(&line.text).into_owned())),
        _ => None,
    })
}

fn changes<'e>(events: &'e [Event], resource: &'e str) -> impl Iterator<Item = &'e Change> {
    events.iter().filter_map(move |event| match event {
        Event::Changed(change) if change.resource == resource => Some(change),
        _ => None,
    })
}

#[test]
fn the_same_options_make_the_same_company_however_it_is_told_to_go_on() {
    let whole_span = SignedDuration::from_mins(25);
    let told = |piece_ms: i64| {
        let mut world = world(1, 6, "2026-11-18T10:00:00Z", 20.0);
        let (mut events, mut left) = (String::new(), whole_span);
        while left > SignedDuration::ZERO {
            let piece = SignedDuration::from_millis(piece_ms).min(left);
            for event in go_on(&mut world, piece) {
                events.push_str(&format!("{event:?}\n"));
            }
            left -= piece;
        }
        (events, world.objects().journal().len())
    };
    let whole = told(2_000_000);
    assert!(whole.0.contains("Changed") && whole.0.len() > 1_000_000);
    for piece_ms in [7, 250, 10_000] {
        let pieces = told(piece_ms);
        let differs = whole.0.lines().zip(pieces.0.lines()).find(|(left, right)| left != right);
        assert!(whole == pieces, "in pieces of {piece_ms} ms: {differs:?}");
    }
}

#[test]
fn it_begins_with_a_history_and_without_news() {
    let mut world = world(2, 5, "2026-11-18T10:00:00Z", 20.0);
    assert!(world.take_events().is_empty());
    let begins: Timestamp = "2026-11-18T10:00:00Z".parse().unwrap();
    let objects = world.objects();
    let apps: Vec<&str> = objects.all("app").map(|app| app["id"].as_str().unwrap()).collect();
    assert_eq!(apps.len(), 5);
    for app in apps {
        let releases: Vec<Timestamp> =
            objects.of("release", app).map(|release| release["created_at"].as_str().unwrap().parse().unwrap()).collect();
        assert!(releases.len() > 5 && releases.is_sorted() && releases.iter().all(|at| *at < begins), "{releases:?}");
        assert!(objects.of("dyno", app).next().is_some() && objects.of("dyno", app).all(|dyno| dyno["state"] == "up"));
        assert!(objects.of("domain", app).next().is_some() && objects.of("collaborator", app).next().is_some());
    }
    assert!(objects.all("add-on").count() >= 3);
    let founded = objects.all("team").next().unwrap()["created_at"].as_str().unwrap();
    assert!(objects.all("app").all(|app| app["created_at"].as_str().unwrap() > founded), "an app is older than its company");
}

#[test]
fn three_working_days_show_in_lines_changes_and_objects_alike() {
    let mut world = world(3, 8, "2026-11-17T08:00:00Z", 3.0);
    let events = go_on(&mut world, SignedDuration::from_hours(60));
    let said: HashSet<(String, String)> =
        lines(&events).filter(|(line, _)| line.process == "api").map(|(line, text)| (line.app.clone(), text)).collect();
    let mut releases = 0;
    for change in changes(&events, "release").filter(|change| change.action.as_str() == "create") {
        releases += 1;
        let line = format!("Release v{} created by user {}", change.data["version"], change.actor.email);
        assert!(said.contains(&(change.app.clone().unwrap(), line.clone())), "{line}");
        assert!(world.objects().get("release", &change.id).is_some());
    }
    assert!(releases >= 15, "{releases} releases");
    for words in
        ["Build started", "Build succeeded", "Build failed", "Deploy ", "Set ", "Scaled to", "Rollback to", "Starting process with command"]
    {
        assert!(said.iter().any(|(_, text)| text.starts_with(words)), "nobody said {words}");
    }
    let seen = |words: &str| lines(&events).filter(|(line, text)| line.source == "heroku" && text.starts_with(words)).count();
    for words in [
        "Error R14",
        "Error R15",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
        "State changed from crashed to starting",
        "Restarting",
        "Cycling",
    ] {
        assert!(seen(words) > 0, "{words}");
    }
    assert!(lines(&events).any(|(line, text)| line.process.starts_with("scheduler.") && line.source == "app" && text.contains("started")));
    assert!(lines(&events).any(|(line, text)| line.process.starts_with("release.") && text.contains("X-Amz-Signature=")));
}

#[test]
fn the_first_incidents_show_a_bad_release_a_leak_and_a_crowded_database() {
    for (seed, apps, begins_at) in [(4, 8, "2026-11-18T03:00:00Z"), (5, 8, "2026-11-22T12:00:00Z"), (6, 1, "2026-11-18T03:00:00Z")] {
        let mut world = world(seed, apps, begins_at, 50.0);
        let events = go_on(&mut world, SignedDuration::from_mins(10));
        let later = go_on(&mut world, SignedDuration::from_mins(10));
        let of = |events: &[Event], words: &str| lines(events).filter(|(_, text)| text.contains(words)).count();
        let (timeouts, deploys) = (of(&events, "code=H12"), of(&events, "Deploy "));
        // Where the leak and the bad release are the same app's, deploy and rollback give the leak a new start.
        let leaks = of(&events, "Error R14") + if apps == 1 { of(&later, "Error R14") } else { 0 };
        assert!(timeouts >= 3 && leaks >= 1 && deploys >= 1, "{apps} apps: {timeouts} H12, {leaks} R14, {deploys} deploys");
        assert!(of(&events, "Rollback to v") + of(&later, "Rollback to v") > 0, "{apps} apps: no rollback");
        assert!(of(&later, "remaining connection slots") > 0, "{apps} apps: no crowded Postgres");
    }
}

#[test]
fn a_day_with_all_its_people_and_incidents_has_the_lines_that_were_asked_for() {
    for (apps, rate) in [(1, 2.0), (12, 5.0)] {
        let mut world = world(6, apps, "2026-11-18T00:00:00Z", rate);
        let count: usize = (0..24).map(|_| lines(&go_on(&mut world, SignedDuration::from_hours(1))).count()).sum();
        let found = count as f64 / 86_400.0;
        assert!((found / rate - 1.0).abs() < 0.1, "{found} lines/s of {apps} apps instead of {rate}");
    }
}

#[test]
fn traffic_comes_to_every_app_and_most_of_it_to_a_few() {
    let mut world = world(7, 12, "2026-11-18T12:00:00Z", 100.0);
    let events = go_on(&mut world, SignedDuration::from_mins(20));
    let mut requests: HashMap<&str, usize> = HashMap::new();
    for (line, _) in lines(&events).filter(|(line, _)| line.process == "router") {
        *requests.entry(&line.app).or_default() += 1;
    }
    let mut counts: Vec<usize> = requests.into_values().collect();
    counts.sort_unstable_by(|left, right| right.cmp(left));
    assert_eq!(counts.len(), 12);
    assert!(counts[..4].iter().sum::<usize>() * 2 > counts.iter().sum(), "{counts:?}");
}
