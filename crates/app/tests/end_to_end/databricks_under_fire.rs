//! Verbs that fill a Databricks workspace, killed at any moment, by answers that get lost and statements that come late. Afterwards each
//! row is in its managed table once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::time::Duration;

use freshet_bench::random::Random;
use serde_json::{Value, json};

use crate::chance;
use crate::daemon::Daemon;
use crate::databricks::Bench;
use crate::freshet::Place;
use crate::heroku::Heroku;
use crate::keys::{keyed_lines, keys_in};
use crate::senders::{Habits, Senders};
use crate::sync::sync;

impl Bench {
    /// Requests fail, answers get lost, statements take their time, and some come when their sender has long gone.
    fn strike(&self, random: &mut Random) {
        self.rig.tell("settings", &json!({ "statement_ms": [0, 150] }).to_string());
        let faults = json!({
            "seed": random.below(1_000_000), "throttled": 0.01, "unavailable": 0.01, "cut_before": 0.01, "cut_after": 0.03,
            "failed_before": 0.01, "failed_after": 0.03, "zombie": 0.03, "zombie_ms": [0, 1_500],
        });
        self.rig.tell("faults", &faults.to_string());
    }

    /// All is well again, and nothing is on its way.
    fn calm(&self) {
        self.rig.tell("faults", "{}");
        self.quiet();
    }

    fn quiet(&self) {
        while self.state()["busy"] != 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&self.rig.told("state")).unwrap()
    }

    /// Rows of each table; tables without rows, and those that depend on how often was committed, are left out.
    fn rows_by_table(&self) -> BTreeMap<String, i64> {
        let schema = format!("main.{}.", self.schema);
        let state = self.state();
        let names = state["tables"].as_object().unwrap().keys().filter_map(|name| name.strip_prefix(&schema));
        let counted =
            names.map(|name| (name.to_owned(), self.value(&format!("SELECT count(*) AS n FROM SCHEMA.`{name}`")).parse().unwrap()));
        counted.filter(|(name, rows)| *rows > 0 && name != "_loads" && name != "_freshet_ledger").collect()
    }

    /// How often each key stands in `logs`.
    fn keys(&self) -> BTreeMap<u64, u64> {
        let mut keys = BTreeMap::new();
        for row in self.rows("SELECT message FROM SCHEMA.`logs`") {
            for key in keys_in(row[0].as_deref().unwrap_or_default().as_bytes()) {
                *keys.entry(key).or_default() += 1;
            }
        }
        keys
    }

    /// Every key of `at_least` is there once, and none that is not in `at_most`.
    fn assert_once(&self, at_least: &BTreeSet<u64>, at_most: &BTreeSet<u64>) {
        assert!(!at_least.is_empty(), "a test that expects nothing proves nothing");
        let found = self.keys();
        let lost: Vec<_> = at_least.iter().filter(|key| !found.contains_key(key)).take(10).collect();
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times != 1).take(10).collect();
        let strange: Vec<_> = found.keys().filter(|key| !at_most.contains(key)).take(10).collect();
        assert!(lost.is_empty() && doubled.is_empty() && strange.is_empty(), "lost {lost:?}, doubled {doubled:?}, strange {strange:?}");
        for table in ["logs", "router_requests", "app_events", "platform_errors"] {
            let rows = self.rows(&format!("SELECT frame_id, frame_index FROM SCHEMA.`{table}`"));
            let unique: BTreeSet<_> = rows.iter().collect();
            assert_eq!(unique.len(), rows.len(), "{table} has a message twice");
        }
    }
}

/// Lets a process live for so long, if it does not end before.
fn lives(mut child: Child, life: Duration) {
    std::thread::sleep(life);
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_lost_answers_in_a_workspace() {
    let Some(bench) = Bench::new("[load]\nmax_age = \"400ms\"") else { return };
    let kills = if chance::full() { 40 } else { 4 };
    let mut random = chance::random("run on Databricks, kill -9");
    let mut daemon = Daemon::start(&bench.place);
    let address = daemon.address;
    let senders = Senders::start(address, Habits::beside_a_store(&mut random));
    for _ in 0..kills {
        bench.strike(&mut random);
        std::thread::sleep(Duration::from_millis(500 + random.below(5_000)));
        daemon.kill();
        daemon = Daemon::start_at(&bench.place, address);
    }
    let sent = senders.stop();
    bench.calm();
    daemon.stop();
    bench.quiet();
    eprintln!("{} keys sent, {} acknowledged", sent.all.len(), sent.acknowledged.len());
    bench.assert_once(&sent.acknowledged, &sent.all);
}

#[test]
fn a_file_is_in_a_workspace_once_however_often_its_import_was_killed() {
    let Some(bench) = Bench::new("[load]\nmax_rows = 1000") else { return };
    let mut random = chance::random("import into Databricks, kill -9");
    let text = keyed_lines(7, 1, 6_000);
    let keys: BTreeSet<u64> = keys_in(&text).into_iter().collect();
    let file = bench.place.file("in.log", &text);
    let undisturbed = Place::new();
    undisturbed.import(&[&file]);
    for _ in 0..if chance::full() { 30 } else { 4 } {
        bench.strike(&mut random);
        lives(bench.place.command("import", &[&file]).spawn().unwrap(), Duration::from_millis(300 + random.below(4_000)));
    }
    bench.calm();
    bench.place.import(&[&file]);
    let again = bench.place.import(&[&file]);
    assert_eq!(again["files"][0]["known_bytes"], text.len(), "{again}");
    bench.assert_once(&keys, &keys);
    let mut expected = undisturbed.rows_by_table();
    expected.remove("_loads");
    assert_eq!(bench.rows_by_table(), expected);
}

#[test]
fn a_workspace_agrees_with_heroku_whatever_failed() {
    let Some(bench) = Bench::new("") else { return };
    let mut random = chance::random("sync into Databricks under fire");
    let destination = std::fs::read_to_string(bench.place.path("freshet.toml")).unwrap();
    let heroku = Heroku::still(&bench.place, "--seed 7");
    let config = std::fs::read_to_string(bench.place.path("freshet.toml")).unwrap() + &destination;
    bench.place.file("freshet.toml", config);
    for round in 0..if chance::full() { 20 } else { 3 } {
        bench.strike(&mut random);
        heroku.ask("POST", "/apps", &format!("{{\"name\":\"newcomer-{round}\"}}"));
        let mut command = bench.place.command("sync apps releases dynos --full", &[]);
        let life = Duration::from_millis(500 + random.below(6_000));
        lives(command.env("HEROKU_API_KEY", "any").spawn().unwrap(), life);
    }
    bench.calm();
    // The first goes on with pages that a run has kept which was killed; only the second reads all lists as they are now.
    for _ in 0..2 {
        let (ended, _) = sync(&bench.place, "apps releases dynos --full");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    for (table, resource) in [("apps", "app"), ("releases", "release"), ("dynos", "dyno")] {
        let there: BTreeSet<String> = heroku.objects(resource).iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect();
        let rows = bench.rows(&format!("SELECT id FROM SCHEMA.`{table}` WHERE `_deleted_at` IS NULL"));
        let found: BTreeSet<String> = rows.iter().map(|row| row[0].clone().unwrap()).collect();
        assert!(!there.is_empty() && found == there && rows.len() == there.len(), "{table}: {found:?}, {there:?}");
    }
    let current = bench.rows("SELECT id FROM SCHEMA.`releases_history` WHERE is_current");
    assert_eq!(current.len(), heroku.objects("release").len());
    // Nothing is new, and nothing is written.
    let before = bench.rows_by_table();
    let (ended, report) = sync(&bench.place, "apps releases dynos --full");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for stream in report["streams"].as_array().unwrap() {
        assert_eq!([&stream["new"], &stream["changed"], &stream["gone"]].map(|count| count.as_u64()), [Some(0); 3], "{stream}");
    }
    let mut after = bench.rows_by_table();
    let runs = after.insert("_runs".to_owned(), before["_runs"]);
    assert!(runs > Some(before["_runs"]), "the run is not on record");
    assert_eq!(after, before);
}
