//! `freshet sync` against the fake Heroku.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;

pub(crate) fn sync(place: &Place, line: &str) -> (Ended, Value) {
    let ended = Ended::from(place.command(&format!("sync --output json {line}"), &[]).env("HEROKU_API_KEY", "any").output().unwrap());
    let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    (ended, report)
}

pub(crate) fn stream<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// Version of each table, which every write moves.
pub(crate) fn versions(place: &Place) -> BTreeMap<String, i64> {
    let list = place.json("tables list", &[]);
    let tables = list.as_array().unwrap().iter().filter(|table| !table["table"].as_str().unwrap().starts_with('_'));
    tables.map(|table| (table["table"].as_str().unwrap().to_owned(), table["version"].as_i64().unwrap())).collect()
}

fn counts(report: &Value, name: &str) -> [u64; 4] {
    ["read", "new", "changed", "gone"].map(|count| stream(report, name)[count].as_u64().unwrap())
}

#[test]
fn all_streams_are_read_and_a_second_time_nothing_is_written() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let (ended, first) = sync(&place, "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(first["streams"].as_array().unwrap().len() >= 45);
    for (name, resource) in [("apps", "app"), ("releases", "release"), ("dynos", "dyno"), ("addons", "add-on"), ("domains", "domain")] {
        let there = heroku.objects(resource).len();
        assert!(there > 0 && counts(&first, name)[..2] == [there as u64; 2], "{name}: {there}, {}", stream(&first, name));
        assert_eq!(place.number(&format!("SELECT count(*) FROM {name}")), there as i64, "{name}");
    }
    assert_eq!(place.number("SELECT count(*) FROM releases WHERE app_id NOT IN (SELECT id FROM apps)"), 0);
    assert_eq!(place.number("SELECT count(*) FROM releases_history WHERE is_current"), place.number("SELECT count(*) FROM releases"));
    let before = versions(&place);
    for flags in ["", "--full"] {
        let (ended, again) = sync(&place, flags);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        for stream in again["streams"].as_array().unwrap() {
            let name = stream["stream"].as_str().unwrap();
            assert_eq!(counts(&again, name)[1..], [0, 0, 0], "{stream}");
        }
        assert_eq!(versions(&place), before, "{flags}");
        if flags.is_empty() {
            assert!(again["not_modified"].as_u64().unwrap() > 0 && !again["fresh"].as_array().unwrap().is_empty(), "{again}");
            assert!(again["requests"].as_u64() < first["requests"].as_u64());
        }
    }
    let status = place.json("status", &[]);
    assert_eq!((&status["last_run"]["reason"], &status["last_run"]["rows_inserted"]), (&json!("command"), &json!(0)), "{status}");
    let shown = place.ok("status", &[]).stdout;
    assert!(shown.contains("objects read, 0 new, 0 changed, 0 gone") && !shown.contains("app_features"), "{shown}");
    let runs = place
        .query("SELECT count(DISTINCT run_id) AS runs, sum(rows_inserted) AS new, count(*) AS streams FROM _runs WHERE reason = 'command'");
    let new: u64 = first["streams"].as_array().unwrap().iter().map(|stream| stream["new"].as_u64().unwrap()).sum();
    assert_eq!((runs[0]["runs"].as_u64(), runs[0]["new"].as_u64()), (Some(3), Some(new)), "{runs:?}");
}

#[test]
fn what_is_gone_is_marked_and_what_comes_back_is_not() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let apps = counts(&sync(&place, "apps").1, "apps")[0];
    heroku.ask("POST", "/apps", "{\"name\":\"newcomer\"}");
    let [_, new, changed, gone] = counts(&sync(&place, "apps").1, "apps");
    assert_eq!((new, changed, gone), (1, 0, 0));
    heroku.ask("PATCH", "/apps/newcomer", "{\"maintenance\":true}");
    let [_, new, changed, gone] = counts(&sync(&place, "apps").1, "apps");
    assert_eq!((new, changed, gone), (0, 1, 0));
    assert_eq!(place.number("SELECT count(*) FROM apps WHERE name = 'newcomer' AND maintenance AND _deleted_at IS NULL"), 1);
    heroku.ask("DELETE", "/apps/newcomer", "");
    assert_eq!(counts(&sync(&place, "apps --full").1, "apps"), [apps, 0, 0, 1]);
    assert_eq!(place.number("SELECT count(*) FROM apps WHERE name = 'newcomer' AND _deleted_at IS NOT NULL"), 1);
    let history = place
        .query("SELECT maintenance, is_current, valid_to IS NULL AS holds FROM apps_history WHERE name = 'newcomer' ORDER BY valid_from");
    let row = |maintenance: bool| json!({ "maintenance": maintenance, "is_current": false, "holds": false });
    assert_eq!(history, [row(false), row(true)]);
}

#[test]
fn what_hangs_below_something_that_was_gone_comes_back_with_it() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let app = heroku.objects("app")[0]["id"].as_str().unwrap().to_owned();
    let pipeline = heroku.objects("pipeline")[0]["id"].as_str().unwrap().to_owned();
    let hidden = [("app", app.as_str()), ("pipeline", pipeline.as_str())];
    let of_app = format!("WHERE app_id = '{app}' AND _deleted_at IS NULL");
    let counted =
        |place: &Place| ["releases", "dynos", "formation"].map(|name| place.number(&format!("SELECT count(*) FROM {name} {of_app}")));
    let reviews = |place: &Place| place.number("SELECT count(*) FROM review_apps WHERE _deleted_at IS NULL");
    let run = || assert_eq!(sync(&place, "releases dynos formation review_apps").0.code, Some(0));
    run();
    let before = (counted(&place), reviews(&place));
    assert!(before.0[0] > 20 && before.1 > 0, "{before:?}");
    hidden.iter().for_each(|(resource, id)| _ = heroku.ask("POST", &format!("/_control/hide/{resource}/{id}"), ""));
    run();
    assert_eq!(counted(&place), [0; 3]);
    assert!(reviews(&place) < before.1);
    hidden.iter().for_each(|(resource, id)| _ = heroku.ask("POST", &format!("/_control/show/{resource}/{id}"), ""));
    heroku.ask("PATCH", &format!("/apps/{app}"), "{\"maintenance\":true}");
    run();
    assert_eq!((counted(&place), reviews(&place)), before);
}

#[test]
fn only_what_is_new_is_read_and_a_deletion_shows_all_the_same() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let (_, first) = sync(&place, "releases dynos");
    let app = heroku.objects("app")[0].clone();
    let (id, name) = (app["id"].as_str().unwrap(), app["name"].as_str().unwrap());
    heroku.ask("PATCH", &format!("/apps/{name}/config-vars"), "{\"GREETING\":\"hunter2\"}");
    let (_, second) = sync(&place, "releases");
    let [read, new, changed, gone] = counts(&second, "releases");
    assert_eq!((stream(&second, "releases")["mode"].as_str(), new, gone), (Some("new"), 1, 0), "{second}");
    assert_eq!(changed, 1, "the release before is not the current one any more: {second}");
    assert!(read < counts(&first, "releases")[0] + 1, "{second}");
    assert_eq!(place.number(&format!("SELECT count(*) FROM releases WHERE app_id = '{id}' AND \"current\"")), 1);
    assert_eq!(place.number("SELECT count(*) FROM releases_history WHERE NOT is_current"), 1);
    // An app that is deleted takes all below it with it, although nobody lists that.
    let releases = place.number(&format!("SELECT count(*) FROM releases WHERE app_id = '{id}'"));
    assert!(releases > 1);
    heroku.ask("DELETE", &format!("/apps/{name}"), "");
    let (ended, third) = sync(&place, "releases dynos");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(counts(&third, "releases")[3] as i64, releases, "{third}");
    assert_eq!(counts(&third, "apps")[3], 1, "{third}");
    assert_eq!(place.number(&format!("SELECT count(*) FROM dynos WHERE app_id = '{id}' AND _deleted_at IS NULL")), 0);
}

#[test]
fn state_is_shown_set_and_forgotten() {
    let place = Place::new();
    let _heroku = Heroku::still(&place, "");
    let nothing = place.run("state show", &[]);
    assert_eq!(nothing.code, Some(1), "{nothing:#?}");
    let (_, first) = sync(&place, "releases");
    let all = counts(&first, "releases")[0];
    let bookmarks = |place: &Place| place.json("state show releases", &[])[0]["bookmarks"].as_object().unwrap().clone();
    let marks = bookmarks(&place);
    assert_eq!(marks.len() as i64, place.number("SELECT count(DISTINCT app_id) FROM releases"));
    for (app, mark) in &marks {
        let highest = place.number(&format!("SELECT max(version) FROM releases WHERE app_id = '{app}'"));
        assert_eq!(mark.as_str().unwrap(), highest.to_string());
    }
    place.ok("state set releases 1", &[]);
    assert!(bookmarks(&place).values().all(|mark| mark == "1"));
    let (_, again) = sync(&place, "releases");
    assert_eq!((stream(&again, "releases")["mode"].as_str(), counts(&again, "releases")), (Some("new"), [all, 0, 0, 0]));
    assert_eq!(bookmarks(&place), marks);
    place.ok("state reset releases", &[]);
    let (_, full) = sync(&place, "releases");
    assert_eq!((stream(&full, "releases")["mode"].as_str(), counts(&full, "releases")), (Some("full"), [all, 0, 0, 0]));
    for (line, words) in [("state set dynos 7", "always read in full"), ("state set releases soon", "a number such as 41")] {
        let wrong = place.run(line, &[]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains(words), "{line}: {wrong:#?}");
    }
}

#[test]
fn what_the_catalogue_does_not_know_is_kept_and_told() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    heroku.strike("{\"api-unknown-field\":{\"probability\":1.0},\"api-other-type\":{\"probability\":1.0}}");
    let (ended, report) = sync(&place, "apps");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(stream(&report, "apps")["drift"].as_array().unwrap().len() >= 2, "{report}");
    assert!(place.number("SELECT count(*) FROM apps WHERE _extra LIKE '%field_of_tomorrow%'") > 0);
    heroku.strike("{}");
    let drift = place.json("drift --offline", &[]);
    let tomorrow = drift.as_array().unwrap().iter().find(|line| line["stream"] == "apps" && line["path"] == "field_of_tomorrow");
    let since = tomorrow.unwrap_or_else(|| panic!("{drift}"))["first_seen_at"].as_str().unwrap().to_owned();
    assert!(drift.as_array().unwrap().iter().any(|line| line["what"].as_str().unwrap().contains("and the column is")), "{drift}");
    // Heroku's own schema says the same as the catalogue, and the first time stays the first time.
    let ended = place.command("drift --output json", &[]).env("HEROKU_API_KEY", "any").output().unwrap();
    let online: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let again = online.as_array().unwrap().iter().find(|line| line["path"] == "field_of_tomorrow" && line["stream"] == "apps").unwrap();
    assert_eq!(again["first_seen_at"], since.as_str());
    // All is well again, and the rows are.
    assert_eq!(sync(&place, "apps --full").0.code, Some(0));
    assert_eq!(place.number("SELECT count(*) FROM apps WHERE _extra IS NOT NULL OR name IS NULL"), 0);
}

#[test]
fn an_object_that_nothing_names_is_a_reject_once() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let all = heroku.objects("stack").len() as i64;
    assert_eq!(sync(&place, "stacks").0.code, Some(0));
    for time in 0..2 {
        heroku.strike("{\"api-no-id\":{\"probability\":1,\"times\":1}}");
        let (ended, report) = sync(&place, "stacks --full");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let drift = &stream(&report, "stacks")["drift"][0];
        assert_eq!((&drift["kind"], &drift["path"], &drift["objects"]), (&json!("key"), &json!("id"), &json!(1)), "{report}");
        assert_eq!(place.number("SELECT count(*) FROM _rejects WHERE reason = 'nameless' AND source_name = 'stacks'"), 1, "{time}");
    }
    let shown = place.json("rejects show --reason nameless", &[]);
    assert!(shown["text"].as_str().unwrap().contains("\"name\":"), "{shown}");
    let replayed = place.json("rejects replay", &[]);
    assert_eq!(replayed["rejects"], 0, "an object is no log line: {replayed}");
    // Nobody can say that the object which it seems to be is gone.
    assert_eq!(place.number("SELECT count(*) FROM stacks WHERE _deleted_at IS NULL"), all);
}

#[test]
fn secrets_are_in_no_table_and_no_file() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let app = heroku.objects("app")[0]["name"].as_str().unwrap().to_owned();
    let drain = "{\"url\":\"https://user:hunter2@logs.example.com/in?key=hunter2\"}";
    heroku.ask("POST", &format!("/apps/{app}/log-drains"), drain);
    heroku.ask("PATCH", &format!("/apps/{app}/config-vars"), "{\"HIDDEN_KEY\":\"hunter2\"}");
    let (ended, _) = sync(&place, "-vv");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!ended.stderr.contains("hunter2") && !ended.stdout.contains("hunter2"));
    assert!(place.number("SELECT count(*) FROM releases WHERE description LIKE '%HIDDEN_KEY%'") > 0, "names and changes are told");
    assert!(place.number("SELECT count(*) FROM log_drains WHERE url LIKE 'https://logs.example.com/%'") > 0);
    for table in place.rows_by_table().keys().filter(|table| !table.starts_with('_')) {
        let found =
            format!("SELECT count(*) FROM {table} WHERE coalesce(_raw, '') LIKE '%hunter2%' OR coalesce(_extra, '') LIKE '%hunter2%'");
        assert_eq!(place.number(&found), 0, "{table}");
    }
    assert_eq!(place.number("SELECT count(*) FROM log_drains WHERE url LIKE '%hunter2%'"), 0);
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    heroku.strike("{\"api-slow\":{\"probability\":0.3}}");
    let mut child = place.command("sync releases dynos formation", &[]).env("HEROKU_API_KEY", "any").spawn().unwrap();
    let pages = place.path("data/sync");
    let has_pages = || {
        let entries = std::fs::read_dir(&pages).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pages"))
            .any(|entry| entry.metadata().is_ok_and(|found| found.len() > 2_000))
    };
    let started = Instant::now();
    while !has_pages() && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "no page was kept");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    heroku.strike("{}");
    let (ended, report) = sync(&place, "releases dynos formation");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for (name, resource) in [("apps", "app"), ("releases", "release"), ("dynos", "dyno"), ("formation", "formation")] {
        assert_eq!(
            place.number(&format!("SELECT count(*) FROM {name} WHERE _deleted_at IS NULL")),
            heroku.objects(resource).len() as i64,
            "{report}"
        );
    }
    assert!(!has_pages(), "pages are dropped when they are in the table");
}

#[test]
fn only_the_apps_that_are_wanted_are_walked() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let names: Vec<String> = heroku.objects("app").iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect();
    let config = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    place.file("freshet.toml", format!("{config}apps = [\"{}\"]\n", names[0]));
    sync(&place, "releases");
    assert_eq!(place.query("SELECT DISTINCT app_name FROM releases"), [json!({ "app_name": names[0] })]);
    // The others are not gone because nobody looks at them any more.
    place.file("freshet.toml", &config);
    sync(&place, "releases");
    place.file("freshet.toml", format!("{config}apps = [\"{}\"]\n", names[0]));
    assert_eq!(counts(&sync(&place, "releases --full").1, "releases")[3], 0);
    assert_eq!(place.number("SELECT count(*) FROM releases WHERE _deleted_at IS NOT NULL"), 0);
}

#[test]
fn the_daemon_keeps_objects_current() {
    let place = Place::new();
    let heroku = Heroku::still(&place, "");
    let config = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    place.file(
        "freshet.toml",
        format!("{config}[schedule]\ndefault = \"off\"\napps = \"every 1m\"\nformation = \"0 6 * * * Europe/Berlin\"\n"),
    );
    let mut daemon = place.command("run --listen 127.0.0.1:0", &[]);
    let mut daemon = daemon.env("HEROKU_API_KEY", "any").env("FRESHET_DRAIN_SECRET", "s").env_remove("PORT").spawn().unwrap();
    let started = Instant::now();
    let apps = heroku.objects("app").len() as i64;
    // Version 0 is the table without rows.
    while !place.lake().join("_runs/_delta_log/00000000000000000001.json").exists() {
        assert!(started.elapsed() < Duration::from_secs(60) && daemon.try_wait().unwrap().is_none(), "the schedule did nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
    // A sync by hand beside it waits its turn or is told to.
    let by_hand = place.command("sync apps", &[]).env("HEROKU_API_KEY", "any").output().unwrap();
    assert!(matches!(by_hand.status.code(), Some(0 | 75)), "{by_hand:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(place.number("SELECT count(*) FROM apps"), apps);
    assert!(place.number("SELECT count(*) FROM formation") > 0, "what never ran is made up for");
    assert_eq!(place.number("SELECT count(*) FROM _runs WHERE reason = 'schedule' AND stream = 'apps' AND outcome = 'ok'"), 1);
}

#[test]
fn what_cannot_be_asked_is_told() {
    let place = Place::new();
    let wrong = place.run("sync aps", &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("did you mean apps?"), "{}", wrong.stderr);
    let without = place.run("sync apps", &[]);
    assert_eq!(without.code, Some(78), "{without:#?}");
    assert!(without.stderr.contains("authorizations:create"), "{}", without.stderr);
    assert!(place.ok("sync --list", &[]).stdout.contains("releases"));
    // Who is logged in with the Heroku CLI needs no other token.
    let _heroku = Heroku::still(&place, "--token HRKU-of-cli");
    place.file("netrc", "machine 127.0.0.1\n  login me@example.com\n  password HRKU-of-cli\n");
    let ended = place.ok("sync regions", &[]);
    assert!(!format!("{ended:?}").contains("HRKU-of-cli"));
}

/// Imports a request before and one after the newest release of an app with web dynos; the newer release's number, and a command that
/// imports the same lines elsewhere.
pub(crate) fn requests_around_a_release(place: &Place) -> (Value, String, std::path::PathBuf) {
    let _heroku = Heroku::still(place, "");
    sync(place, "");
    let release = &place.query(
        "SELECT app_name, version, created_at FROM releases r WHERE EXISTS (SELECT 1 FROM formation f WHERE f.app_id = r.app_id AND f.type = 'web') ORDER BY created_at DESC LIMIT 1",
    )[0];
    let (app, at) = (release["app_name"].as_str().unwrap(), release["created_at"].as_str().unwrap());
    let at: jiff::Timestamp = at.parse().unwrap();
    let line = |seconds: i64| {
        let ts = (at + jiff::SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%S.000000+00:00");
        format!(
            "{ts} heroku[router]: at=info method=GET path=\"/\" host=x request_id=r{} fwd=\"1.2.3.4\" dyno=web.1 connect=0ms service=1ms status=200 bytes=1 protocol=https\n",
            seconds + 60
        )
    };
    let log = place.file("router.log", line(-60) + &line(60));
    let import = format!("import --app {app}");
    place.ok(&import, &[&log]);
    (release["version"].clone(), import, log)
}

#[test]
fn requests_know_the_release_that_served_them() {
    let place = Place::new();
    let (version, import, log) = requests_around_a_release(&place);
    let rows = place.query("SELECT request_id, release_version, dyno_size FROM router_requests_enriched ORDER BY ts");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[1]["release_version"], version, "{rows:?}");
    assert_ne!(rows[0]["release_version"], version, "{rows:?}");
    assert!(rows.iter().all(|row| row["dyno_size"].is_string()), "{rows:?}");
    let other = Place::new();
    other.ok(&import, &[&log]);
    let without = other.run("query", &[Path::new("SELECT * FROM router_requests_enriched")]);
    assert!(without.code == Some(1) && without.stderr.contains("freshet sync"), "{without:#?}");
}
