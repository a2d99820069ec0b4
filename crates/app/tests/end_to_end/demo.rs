//! `freshet demo` and `freshet fake-heroku`, as a person or a script starts them.

use serde_json::Value;

use crate::freshet::Place;
use crate::http;

#[test]
fn the_demo_ends_by_itself_and_its_account_adds_up() {
    let place = Place::new();
    let ended = place.ok("demo --for 12s --rate 300 --apps 3 --output json", &[]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let drains = &report["drains"];
    assert_eq!((&drains["unaccounted"], &drains["waiting"], &drains["lost"]), (&0.into(), &0.into(), &0.into()), "{report}");
    let stored = drains["stored"].as_i64().unwrap();
    assert!(stored > 500, "{report}");
    // Heroku's own count, and the lake's.
    let lake = |sql: &str| {
        let ended = place.run_with_input("query - --lake freshet-demo/lake --output json", &[], sql.as_bytes());
        assert_eq!(ended.code, Some(0), "{sql}: {ended:?}");
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(lake("SELECT count(*) AS messages FROM logs")[0]["messages"], stored);
    assert_eq!(lake("SELECT count(*) AS messages FROM logs WHERE app IS NULL OR kind = ''")[0]["messages"], 0);
    let first = lake("SELECT min(committed_at) < (SELECT max(received_at) FROM logs) AS soon FROM _loads");
    assert_eq!(first[0]["soon"], true, "rows are there while the demo runs");
    let queries = report["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 3);
    for query in queries {
        let command = query["command"].as_str().unwrap();
        let sql = command.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).unwrap().0;
        assert!(command.starts_with("freshet query --lake ./freshet-demo/lake "), "{command}");
        let _ = lake(sql);
    }
    assert!(!lake(queries[0]["command"].as_str().unwrap().split('"').nth(1).unwrap()).is_empty(), "every app has releases");
}

#[test]
fn a_second_demo_begins_anew_and_spares_what_is_not_its_own() {
    let place = Place::new();
    place.file("mine/notes.txt", "keep me");
    let refused = place.run("demo --for 1s --dir mine", &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--dir"), "{}", refused.stderr);
    assert!(place.path("mine/notes.txt").exists());
    let running = place.path("running");
    std::fs::create_dir(&running).unwrap();
    let marker = std::fs::File::create(running.join("freshet-demo.txt")).unwrap();
    place.file("running/lake/kept.txt", "keep me");
    marker.lock().unwrap();
    let busy = place.run("demo --for 1s --dir running", &[]);
    assert_eq!(busy.code, Some(75), "{}", busy.stderr);
    assert!(busy.stderr.contains("--dir") && running.join("lake/kept.txt").exists(), "{}", busy.stderr);
    let count = || {
        place.ok("demo --for 3s --rate 100 --apps 1", &[]);
        place.path("freshet-demo/lake/logs").exists()
    };
    assert!(count() && count());
    for wrong in ["demo --for soon", "demo --speed 0.1", "demo --rate 0", "demo --speed 1e30", "demo --for 1s --speed 1e300"] {
        assert_eq!(place.run(wrong, &[]).code, Some(1), "{wrong}");
    }
}

#[test]
fn a_fake_heroku_answers_and_counts() {
    let place = Place::new();
    let mut child = place
        .command("fake-heroku --port 0 --apps 2 --rate 100 --speed 60 --begins-at 2026-11-02T09:00:00Z --output json", &[])
        .spawn()
        .unwrap();
    let mut documents = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter();
    let said: Value = documents.next().unwrap().unwrap();
    let address = said["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
    assert_eq!(said["apps"].as_array().unwrap().len(), 2);
    let status: Value = serde_json::from_str(&http::get(address, "/_control/status").unwrap().body).unwrap();
    assert_eq!(status["is_running"], true);
    assert!(status["story_time"].as_str().unwrap().starts_with("2026-11-02T09:"), "{status}");
    assert_eq!(http::get(address, "/apps").unwrap().status, 401, "without a token");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_drain_without_an_address_and_a_beginning_to_come_are_refused() {
    let place = Place::new();
    for (flags, said) in [
        ("--drain nonsense", "http://"),
        ("--drain http://127.0.0.1:1/x --drain http://127.0.0.1:1/x", "each once"),
        ("--begins-at 9999-01-01T00:00:00Z", "future"),
    ] {
        let refused = place.run(&format!("fake-heroku --port 0 --apps 1 {flags}"), &[]);
        assert_eq!(refused.code, Some(1), "{flags}: {refused:?}");
        assert!(refused.stderr.contains(said), "{flags}: {}", refused.stderr);
    }
}

#[test]
fn a_fault_that_does_not_exist_is_refused_with_a_way_to_find_those_that_do() {
    let place = Place::new();
    let refused = place.run("fake-heroku --port 0 --fault drain-on-fire=1", &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--fault list"), "{}", refused.stderr);
    assert!(place.ok("fake-heroku --fault list", &[]).stdout.contains("drain-reset"));
}
