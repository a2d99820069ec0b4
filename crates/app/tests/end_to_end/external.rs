//! External tables of Databricks: a lake in a bucket, with keys that the catalog lends and S3 refuses when they have ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::chance;
use crate::daemon::Daemon;
use crate::freshet::{Place, sample};
use crate::heroku::Heroku;
use crate::keys::assert_once;
use crate::rigs::Rig;
use crate::senders::{Habits, Senders};
use crate::sync::sync;

/// A folder whose configuration names a bucket, and the workspace that governs it.
struct Bench {
    place: Place,
    bucket: Rig,
    workspace: Rig,
    schema: String,
    url: String,
}

impl Bench {
    fn new(more: &str) -> Option<Self> {
        let (bucket, workspace) = (Rig::s3()?, Rig::databricks()?);
        workspace.tell("settings", &json!({ "s3": bucket.url() }).to_string());
        let schema = workspace.fresh_schema();
        let url = bucket.fresh_lake();
        // How to reach the bucket, and no key to it.
        let of_bucket = bucket.environment.iter().filter(|(name, _)| !name.contains("KEY"));
        let environment: Vec<_> = of_bucket.chain(&workspace.environment).cloned().collect();
        let place = Place::without_lake(&environment);
        let bench = Self { place, bucket, workspace, schema, url };
        bench.configure(more);
        Some(bench)
    }

    fn configure(&self, more: &str) {
        let destination = format!(
            "[destination.db]\ntype = \"databricks\"\nmode = \"external\"\nurl = \"{}\"\ncatalog = \"main\"\nschema = \"{}\"\n",
            self.url, self.schema
        );
        self.place.file("freshet.toml", destination + more);
    }

    /// The tables of the schema as the catalog has them.
    fn registered(&self) -> Vec<String> {
        let state: Value = serde_json::from_slice(&self.workspace.told("state")).unwrap();
        let prefix = format!("main.{}.", self.schema);
        let tables = state["tables"].as_object().unwrap();
        let ours = tables.iter().filter(|(_, table)| table["storage_location"].as_str().is_some_and(|place| place.starts_with(&self.url)));
        ours.filter_map(|(name, _)| name.strip_prefix(&prefix)).map(str::to_owned).collect()
    }
}

#[test]
fn every_verb_works_on_external_tables() {
    let Some(bench) = Bench::new("") else { return };
    let (here, there) = (Place::new(), &bench.place);
    let nothing_yet = there.run("query SELECT", &[]);
    assert!(nothing_yet.code == Some(1) && nothing_yet.stderr.contains("there is no lake at s3://"), "{nothing_yet:#?}");
    for place in [&here, there] {
        for name in ["shop.log", "shop.frames"] {
            place.import(&[&sample(name)]);
            place.import(&[&sample(name)]);
        }
    }
    assert_eq!(there.rows_by_table(), here.rows_by_table());
    let sql = "SELECT app, code, count(*) AS n FROM platform_errors GROUP BY app, code ORDER BY app, code";
    assert_eq!(there.query(sql), here.query(sql));
    for line in ["tables optimize", "tables vacuum", "tables describe logs", "tables history logs", "loads", "rejects list", "status"] {
        there.ok(line, &[]);
    }
    assert_eq!(there.rows_by_table(), here.rows_by_table());
    let mut registered = bench.registered();
    registered.retain(|name| there.rows_by_table().contains_key(name));
    assert_eq!(registered.len(), there.rows_by_table().len(), "{registered:?}");

    let check = there.run("check --output json", &[]);
    let document: Value = serde_json::from_str(&check.stdout).unwrap();
    let probes = document["probes"].as_array().unwrap();
    let found = |name: &str| probes.iter().find(|probe| probe["section"] == "Databricks" && probe["probe"] == name).unwrap();
    for name in ["login", "warehouse", "schema", "lake", "writers"] {
        assert_eq!(found(name)["state"], "good", "{}", found(name));
    }
    assert!(found("lake")["found"].as_str().unwrap().contains("put of a taken name refused"), "{document:#}");
    assert!(!there.lake().exists(), "something was written to a folder");
}

#[test]
fn the_platform_api_is_synced_into_external_tables() {
    let Some(bench) = Bench::new("") else { return };
    let destination = std::fs::read_to_string(bench.place.path("freshet.toml")).unwrap();
    let _heroku = Heroku::still(&bench.place, "--seed 7");
    let both = std::fs::read_to_string(bench.place.path("freshet.toml")).unwrap() + &destination;
    bench.place.file("freshet.toml", both);
    for _ in 0..2 {
        let (ended, _) = sync(&bench.place, "apps releases");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    assert!(bench.place.number("SELECT count(*) FROM releases") > 0);
    assert_eq!(bench.place.number("SELECT count(*) - count(DISTINCT id) FROM releases"), 0);
    assert!(bench.registered().contains(&"releases".to_owned()), "{:?}", bench.registered());
}

#[test]
fn what_was_acknowledged_survives_kill_9_while_keys_end_and_answers_get_lost() {
    let kills = if chance::full() { 40 } else { 4 };
    let mut random = chance::random("run on external tables, kill -9");
    let Some(bench) = Bench::new("[load]\nmax_age = \"400ms\"\n[maintenance]\nevery = \"1s\"\nmin_files = 2\n") else { return };
    bench.workspace.tell("settings", &json!({ "credential_seconds": 3 }).to_string());
    let mut daemon = Daemon::start(&bench.place);
    let address = daemon.address;
    let senders = Senders::start(address, Habits::beside_a_store(&mut random));
    bench.bucket.lose_answers(17);
    bench
        .workspace
        .tell("faults", &json!({ "seed": random.bits() % 1000, "throttled": 0.05, "cut_after": 0.05, "unavailable": 0.05 }).to_string());
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(1_500 + random.below(4_000)));
        daemon.kill();
        daemon = Daemon::start_at(&bench.place, address);
    }
    let sent = senders.stop();
    bench.bucket.lose_answers(0);
    bench.workspace.tell("faults", "{}");
    daemon.stop();
    eprintln!("{} keys sent, {} acknowledged", sent.all.len(), sent.acknowledged.len());
    assert_once(&bench.place, &sent.acknowledged, &sent.all);
}
