//! The verbs that look at a lake: what they print, and what they say when there is nothing.

use crate::freshet::{Ended, Place, sample};

/// A lake with the sample in it.
fn shop() -> Place {
    let place = Place::new();
    place.import(&[&sample("shop.log")]);
    place
}

fn assert_says(ended: &Ended, code: i32, stdout: &[&str], stderr: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    assert!(stdout.iter().all(|words| ended.stdout.contains(words)), "{stdout:?}: {ended:#?}");
    assert!(stderr.iter().all(|words| ended.stderr.contains(words)), "{stderr:?}: {ended:#?}");
}

#[test]
fn tables_are_listed_and_described() {
    let place = shop();
    assert_says(&place.ok("tables list", &[]), 0, &["router_requests", "One HTTP request seen by the router", "last commit"], &[]);
    let list = place.json("tables list", &[]);
    assert_eq!(list.as_array().unwrap().len(), 15, "{list}");
    assert!(list.as_array().unwrap().iter().all(|table| table["comment"].is_string()), "{list}");

    assert_says(
        &place.ok("tables describe logs", &[]),
        0,
        &["logs: Every log message, once", "in folders by date", "The time written in the line"],
        &[],
    );
    let logs = place.json("tables describe logs", &[]);
    assert_eq!(logs["partition_columns"], serde_json::json!(["date"]));
    let columns = logs["columns"].as_array().unwrap();
    assert!(columns.iter().all(|column| column["comment"].is_string()), "{logs}");
    let types: Vec<_> =
        columns.iter().map(|column| format!("{} {}", column["name"].as_str().unwrap(), column["type"].as_str().unwrap())).collect();
    assert_eq!(types[..3], ["ts TIMESTAMP", "app STRING", "source STRING"]);
}

#[test]
fn loads_are_the_commits() {
    let place = shop();
    let rows: Vec<serde_json::Value> =
        place.ok("loads --output json", &[]).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tables = place.data_rows();
    assert_eq!(rows.len(), tables.len());
    for row in &rows {
        assert_eq!(row["rows"].as_i64(), tables.get(row["table_name"].as_str().unwrap()).copied(), "{row}");
    }
    assert_eq!(place.ok("loads --output json --limit 3", &[]).stdout.lines().count(), 3);
    assert_eq!(place.ok("loads --output json --table logs", &[]).stdout.lines().count(), 1);
    assert_says(&place.run("loads --table log", &[]), 1, &[], &["there is no table log"]);
}

#[test]
fn queries_answer_in_each_form() {
    let place = shop();
    let sql = "SELECT status, count(*) AS requests FROM router_requests WHERE status = 200 GROUP BY status";
    assert_eq!(place.ask(sql, "csv").lines().next(), Some("status,requests"));
    let json: serde_json::Value = serde_json::from_str(&place.ask(sql, "json")).unwrap();
    assert_eq!(json["status"], 200);
    assert!(place.ask(sql, "text").contains("requests"));
    assert_says(
        &place.run_with_input("query - --limit 2", &[], b"SELECT ts FROM logs"),
        0,
        &["ts"],
        &["the first 2 shown (--limit 0 shows all)"],
    );
    // Types that JSON and CSV lack.
    let odd = "SELECT extra, date, ts FROM router_requests WHERE extra IS NOT NULL LIMIT 1";
    assert!(place.ask(odd, "csv").lines().count() <= 2);
}

#[test]
fn wrong_queries_are_answered_with_a_hint() {
    let place = shop();
    let ask = |sql: &str| place.run_with_input("query -", &[], sql.as_bytes());
    assert_says(&ask("SELECT * FROM router_request"), 1, &[], &["did you mean router_requests?", "tables: "]);
    assert_says(&ask("SELECT nothing FROM logs"), 1, &[], &["nothing", "frame_id"]);
    for writes in ["DROP TABLE logs", "INSERT INTO logs SELECT * FROM logs", "CREATE TABLE t AS SELECT 1", "COPY logs TO 'x.csv'", ""] {
        let ended = ask(writes);
        assert_eq!(ended.code, Some(1), "{writes}: {ended:#?}");
        assert!(ended.stderr.starts_with("error: "), "{writes}: {ended:#?}");
    }
    assert!(!place.path("x.csv").exists());
    assert_eq!(place.number("SELECT count(*) FROM logs"), place.data_rows()["logs"]);
}

#[test]
fn rejects_are_listed_shown_and_replayed_once() {
    let place = Place::new();
    // Two log lines that an earlier version, so to say, could not read: they stand within a file of another format.
    let frame = b"63 <190>1 2026-11-22T10:01:00.000001+00:00 host app web.1 - seq=1\n";
    let cli = b"2026-11-20T10:00:00.000001+00:00 app[web.1]: from the terminal\n";
    let file = place.file("mixed.frames", [&frame.repeat(5)[..], cli, b"\n\nno message\n"].concat());
    let ended = place.ok("import --rejects-max 100", &[&file]);
    assert!(ended.stdout.contains("freshet rejects list"), "{ended:#?}");
    let before = place.data_rows();
    assert_eq!(before["logs"], 5);
    assert_says(&place.ok("rejects list", &[]), 0, &["reason", "framing"], &[]);
    assert_says(&place.ok("rejects show", &[]), 0, &["from the terminal"], &["freshet rejects replay"]);
    assert_says(&place.run("rejects show --reason nonsense", &[]), 1, &[], &["there is no reason", "framing"]);

    let foretold = place.json("rejects replay --dry-run", &[]);
    assert_eq!(place.data_rows(), before, "{foretold}");
    assert_eq!(foretold["messages"], 1, "{foretold}");
    let report = place.json("rejects replay", &[]);
    assert_eq!(report["messages"], 1, "{report}");
    let after = place.data_rows();
    assert_eq!(after["logs"], 6);
    assert_eq!(after["_rejects"], before["_rejects"], "a reject that fails again is not another one");
    let again = place.json("rejects replay", &[]);
    assert_eq!((again["rows"].as_i64(), again["replayed_before"].as_i64()), (Some(0), Some(1)), "{again}");
    assert_eq!(place.data_rows(), after);
}

#[test]
fn status_tells_whether_it_runs_and_how_fresh_it_is() {
    let place = shop();
    assert_says(&place.ok("status", &[]), 0, &["not running", "freshet run --lake", "router_requests"], &[]);
    let daemon = crate::daemon::Daemon::start(&place);
    daemon.wait("reports", || place.path("data/status.json").exists());
    assert_says(&place.ok("status", &[]), 0, &["running, process", "0 B waiting"], &[]);
    let status = place.json("status", &[]);
    assert_eq!(status["running"]["spool_state"], "open", "{status}");
    daemon.stop();
    assert!(place.json("status", &[])["running"].is_null());
}

#[test]
fn nothing_yet_comes_with_what_to_do() {
    let place = Place::new();
    for line in ["tables list", "status", "loads", "rejects list", "rejects replay", "query SELECT", "tables optimize"] {
        assert_says(&place.run(line, &[]), 1, &[], &["there is no lake at", "freshet import app.log", "freshet run --lake"]);
    }
    std::fs::create_dir(place.lake()).unwrap();
    assert_says(&place.run("tables list", &[]), 0, &["the lake has no tables yet"], &[]);
    assert_says(&place.run_with_input("query -", &[], b"SELECT * FROM logs"), 1, &[], &["it has none yet: freshet import"]);

    let place = Place::new();
    place.import(&[&place.file("a.log", "2026-11-20T10:00:00.000001+00:00 app[web.1]: hello\n")]);
    assert_says(&place.ok("rejects list", &[]), 0, &[], &["no rejects: every byte so far became a row"]);
    assert_says(&place.ok("rejects replay", &[]), 0, &[], &["no rejects"]);
    assert_eq!(place.ok("rejects list --output json", &[]).stdout, "");
}

#[test]
fn schema_and_completions_need_no_lake() {
    let place = Place::new();
    assert_says(&place.ok("schema", &[]), 0, &["# Configuration", "## [spool]"], &[]);
    assert_eq!(place.json("schema", &[])["type"], "object");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert_says(&place.ok(&format!("completions {shell}"), &[]), 0, &["freshet", "import"], &[]);
    }
    assert_eq!(place.run("completions tcsh", &[]).code, Some(2));
    assert_eq!(place.run("frobnicate", &[]).code, Some(2));
    assert_says(&place.ok("--version", &[]), 0, &["freshet "], &[]);
    let broken = place.file("broken.toml", "[load]\nmax_age = 30\nmax_row = 5\n");
    let ended = place.run("tables list --config", &[&broken]);
    assert_says(&ended, 78, &[], &["has 2 problems", "line 2, column 1", "did you mean `load.max_rows`?"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = shop();
    let mut child = place.command("tables list --output json", &[]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
