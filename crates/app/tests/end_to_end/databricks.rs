//! Tables in a Databricks workspace, by every verb that fills them and by those that look at them.

use std::process::Command;
use std::time::Duration;

use freshet_core::Secret;
use freshet_destinations::databricks::login::Login;
use freshet_destinations::databricks::{Statement, Workspace, WorkspaceOptions};
use serde_json::{Value, json};

use crate::check::api::Server;
use crate::daemon::Daemon;
use crate::freshet::{Ended, Place, sample};
use crate::heroku::Heroku;
use crate::http;
use crate::rigs::Rig;

/// A folder whose configuration names a schema of its own in the workspace of a rig.
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) rig: Rig,
    pub(crate) schema: String,
}

impl Bench {
    pub(crate) fn new(more: &str) -> Option<Self> {
        let rig = Rig::databricks()?;
        let schema = rig.fresh_schema();
        let place = Place::without_lake(&rig.environment);
        place.file("freshet.toml", format!("[destination.db]\ntype = \"databricks\"\ncatalog = \"main\"\nschema = \"{schema}\"\n{more}\n"));
        Some(Self { place, rig, schema })
    }

    /// The one value that `sql` gives, asked as another program would; SCHEMA stands for the schema.
    pub(crate) fn value(&self, sql: &str) -> String {
        self.rows(sql)[0][0].clone().unwrap()
    }

    /// The rows that it gives.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let login = Login::Token(Secret::new("dapi-of-the-test".to_owned()));
        let workspace = Workspace::connect(WorkspaceOptions::new(&self.rig.url(), None, login)).unwrap();
        let statement = Statement::new(sql.replace("SCHEMA", &format!("`main`.`{}`", self.schema)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(workspace.run(&statement)).unwrap().rows
    }

    pub(crate) fn check(&self, adjust: impl FnOnce(&mut Command)) -> (Ended, Value) {
        let mut command = self.place.command("check --listen 127.0.0.1:0 --output json", &[]);
        adjust(command.env("FRESHET_DRAIN_SECRET", "drain-secret"));
        let ended = Ended::from(command.output().unwrap());
        let document = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
        (ended, document)
    }
}

/// What the probe `name` of the section on Databricks found: its state and its words.
pub(crate) fn found(document: &Value, name: &str) -> String {
    let probes = document["probes"].as_array().unwrap();
    let probe = probes.iter().find(|probe| probe["section"] == "Databricks" && probe["probe"] == name);
    let probe = probe.unwrap_or_else(|| panic!("no {name}: {document}"));
    format!("{}: {} | {}", probe["state"].as_str().unwrap(), probe["found"].as_str().unwrap(), probe["fix"].as_str().unwrap_or_default())
}

#[test]
fn files_are_imported_once_and_verbs_on_lakes_say_what_to_do() {
    let Some(bench) = Bench::new("") else { return };
    let first = bench.place.import(&[&sample("shop.log")]);
    let rows = first["tables"].as_array().unwrap().iter().find(|table| table["table"] == "logs").unwrap()["rows"].as_u64().unwrap();
    assert!(rows > 0, "{first}");
    // By its name as well, whatever else is named in the environment.
    let mut command = bench.place.command("--lake elsewhere import --to databricks --output json", &[&sample("shop.log")]);
    let again: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(again["files"][0]["known_bytes"], first["files"][0]["bytes"], "{again}");
    assert_eq!(bench.value("SELECT count(*) AS n FROM SCHEMA.`logs`"), rows.to_string());
    let frames = b"63 <190>1 2026-11-22T10:01:00.000001+00:00 host app web.1 - seq=1\n".repeat(5);
    let odd = bench.place.file("odd.frames", [&frames[..], b"no message\n"].concat());
    let told = bench.place.ok("import --rejects-max 100", &[&odd]);
    let look = format!("SELECT * FROM `main`.`{}`.`_rejects`", bench.schema);
    assert!(told.stdout.contains(&look), "{told:#?}");

    for verb in ["query SELECT", "tables list", "rejects list", "loads", "tables optimize"] {
        let ended = bench.place.run(verb, &[]);
        assert_eq!(ended.code, Some(2), "{verb}: {ended:#?}");
        assert!(ended.stderr.contains(&format!("SHOW TABLES IN `main`.`{}`;", bench.schema)), "{verb}: {ended:#?}");
    }
    let status = bench.place.ok("status", &[]);
    assert!(status.stdout.contains("not running") && status.stderr.contains("in Databricks"), "{status:#?}");
    // A lake beside them can still be named.
    bench.place.ok("import --to beside", &[&sample("shop.log")]);
    bench.place.ok("--lake beside tables list", &[]);
}

#[test]
fn the_platform_api_is_synced_into_a_workspace() {
    let Some(bench) = Bench::new("") else { return };
    let config = |place: &Place| std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    let destination = config(&bench.place);
    let _heroku = Heroku::still(&bench.place, "--seed 7");
    bench.place.file("freshet.toml", config(&bench.place) + &destination);
    for _ in 0..2 {
        let (ended, _) = crate::sync::sync(&bench.place, "apps releases");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    let releases = bench.value("SELECT count(*) AS n FROM SCHEMA.`releases`");
    assert_ne!(releases, "0");
    assert_eq!(bench.value("SELECT count(DISTINCT id) AS n FROM SCHEMA.`releases`"), releases);
    let state = bench.place.ok("state show", &[]);
    assert!(state.stdout.contains("releases"), "{state:#?}");
}

#[test]
fn drains_are_loaded_into_a_workspace() {
    let Some(bench) = Bench::new("[load]\nmax_age = \"300ms\"") else { return };
    bench.rig.tell("settings", &json!({ "cold_start_ms": 1_500 }).to_string());
    let daemon = Daemon::start(&bench.place);
    for line in 0..3 {
        let body = http::message(format!("line {line}").as_bytes());
        http::Frame::of(&format!("frame-{line}"), &body).deliver(daemon.address);
        std::thread::sleep(Duration::from_millis(400));
    }
    daemon.stop();
    assert_eq!(bench.value("SELECT count(*) AS n FROM SCHEMA.`logs`"), "3");
}

#[test]
fn a_workspace_that_is_as_it_should_be() {
    let Some(bench) = Bench::new("") else { return };
    let (_, document) = bench.check(|_| ());
    let login = format!("good: freshet@example.com at {}, by pat | ", bench.rig.url());
    assert_eq!(found(&document, "login"), login);
    let stopped = "good: tests (0123456789abcdef) is stopped and costs nothing; a load starts it, which takes some seconds.";
    assert!(found(&document, "warehouse").starts_with(stopped), "{document}");
    assert!(found(&document, "schema").contains("(made with the first load)"), "{document}");
    bench.place.import(&[&sample("shop.log")]);
    let (_, document) = bench.check(|command| {
        command.env_remove("DATABRICKS_TOKEN");
        command.envs([("DATABRICKS_CLIENT_ID", "client-of-the-test"), ("DATABRICKS_CLIENT_SECRET", "secret-of-the-test")]);
    });
    assert!(found(&document, "login").ends_with("by oauth-m2m | "), "{document}");
    assert!(
        found(&document, "warehouse").contains("runs. It stops after 10 min without statements, and loads come every 10"),
        "{document}"
    );
    assert_eq!(found(&document, "volume"), format!("good: main.{}._freshet: put, delete | ", bench.schema));
}

#[test]
fn a_workspace_that_is_not_named_or_does_not_know_us() {
    let Some(bench) = Bench::new("") else { return };
    let (ended, document) = bench.check(|command| {
        command.env("DATABRICKS_TOKEN", "dapi-wr0ng");
    });
    assert!(found(&document, "login").starts_with("failed: cannot log in to"), "{document}");
    assert!(!ended.stdout.contains("wr0ng"), "{ended:#?}");
    let (ended, document) = bench.check(|command| {
        command.env_remove("DATABRICKS_HOST").env("HOME", bench.place.path("nobody"));
    });
    assert!(found(&document, "login").contains("it is not said where the workspace is"), "{document}");
    assert_eq!(ended.code, Some(78), "{ended:#?}");
    let (_, document) = bench.check(|command| {
        command.env("DATABRICKS_CLIENT_SECRET", "secret-of-the-test");
    });
    assert!(found(&document, "login").contains("pat (by the variable DATABRICKS_TOKEN), oauth-m2m"), "{document}");
    let (_, document) = bench.check(|command| {
        command.env("DATABRICKS_WAREHOUSE_ID", "none");
    });
    assert!(found(&document, "warehouse").starts_with("failed: no such warehouse | correct `warehouse`"), "{document}");
    // Nobody is there.
    let (_, document) = bench.check(|command| {
        command.env("DATABRICKS_HOST", "http://127.0.0.1:1");
    });
    assert!(found(&document, "login").contains("connection refused"), "{document}");
}

#[test]
fn missing_rights_are_named_with_the_statements_that_give_them() {
    let server = Server::start(|request| {
        let line = request.line.as_str();
        let denied = |message: &str| (403, Vec::new(), json!({ "error_code": "PERMISSION_DENIED", "message": message }).to_string());
        let good = |value: Value| (200, Vec::new(), value.to_string());
        if line.contains("/scim/v2/Me") {
            good(json!({ "userName": "6f1c-svc" }))
        } else if line.contains("/sql/warehouses/") {
            denied("You do not have permission to use the SQL warehouse.")
        } else if line.contains("/effective-permissions/schema/") {
            good(
                json!({ "privilege_assignments": [{ "principal": "6f1c-svc", "privileges": [{ "privilege": "USE_SCHEMA" }, { "privilege": "SELECT" }] }] }),
            )
        } else if line.contains("/volumes/") {
            denied("User does not have READ VOLUME on Volume 'main.heroku._freshet'.")
        } else {
            good(json!({ "owner": "ada@example.com" }))
        }
    });
    let place = Place::without_lake(&[]);
    let source = format!(
        "[destination.db]\ntype = \"databricks\"\nhost = \"{}\"\ncatalog = \"main\"\nwarehouse = \"ab12\"\ntoken = \"dapi-x\"\n",
        server.url()
    );
    place.file("freshet.toml", source);
    let ended = place.run("check --listen 127.0.0.1:0 --output json", &[]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(found(&document, "warehouse").contains("You do not have permission to use the SQL warehouse. | ask whoever"), "{document}");
    let schema = found(&document, "schema");
    assert!(schema.starts_with("warning: main.heroku: not among our own rights: CREATE TABLE, MODIFY"), "{schema}");
    assert!(schema.contains("GRANT CREATE TABLE ON SCHEMA `main`.`heroku` TO `6f1c-svc`;\nGRANT MODIFY ON SCHEMA"), "{schema}");
    assert!(found(&document, "volume").contains("GRANT READ VOLUME ON VOLUME `main`.`heroku`.`_freshet` TO `6f1c-svc`;"), "{document}");
    assert!(server.seen().iter().all(|line| !line.contains("/sql/statements")), "a warehouse was woken: {:?}", server.seen());
}
