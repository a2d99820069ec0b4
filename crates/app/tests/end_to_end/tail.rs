//! `freshet tail` against the fake Heroku, whose sessions break off.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;

/// A Heroku on a Monday morning, as by night it says little, and a configuration that points there.
fn busy(place: &Place, flags: &str) -> Heroku {
    let heroku = Heroku::start(place, &format!("--begins-at 2026-11-02T09:00:00Z {flags}"));
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n[load]\nmax_age = \"1s\"\n", heroku.url));
    heroku
}

fn tail(place: &Place, line: &str) -> Command {
    let mut command = place.command(&format!("tail {line}"), &[]);
    command.env("HEROKU_API_KEY", "any");
    command
}

/// How often each line is among `lines`.
fn counts<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

#[test]
fn a_log_is_shown_whole_and_once_however_often_its_sessions_break() {
    let place = Place::new();
    let heroku = busy(&place, "--apps 1 --rate 50");
    let app = heroku.apps[0].clone();
    heroku.fault("session-reset", 0.02, 1000);
    let child = tail(&place, &format!("--app {app} -n 0 --for 12s")).spawn().unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    let resets = heroku.struck("session-reset");
    heroku.pause();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    // What the history has of the same time is the truth.
    heroku.fault("session-reset", 0.0, 0);
    let truth = Ended::from(tail(&place, &format!("--app {app} -n 1500 --for 3s")).output().unwrap());
    // The further lines of a message have no time.
    let timed = |line: &&str| line.starts_with("20");
    let shown: Vec<&str> = ended.stdout.lines().filter(timed).collect();
    let truth: Vec<&str> = truth.stdout.lines().filter(timed).collect();
    assert!(resets >= 3 && shown.len() > 100, "{resets} resets, {} lines", shown.len());
    // The history ends after 1,500 lines: on a busy machine that may be less than what was shown.
    let (first, last) = (shown.iter().min().max(truth.iter().min()).unwrap(), shown.iter().max().unwrap());
    let between = |line: &&str| line > first && line < last;
    let (of_shown, of_truth) = (counts(shown.iter().copied().filter(between)), counts(truth.iter().copied().filter(between)));
    let missing: Vec<_> = of_truth.iter().filter(|(line, times)| of_shown.get(*line) < Some(times)).collect();
    let doubled: Vec<_> = of_shown.iter().filter(|(line, times)| of_truth.get(*line) < Some(times)).collect();
    assert!(missing.is_empty() && doubled.is_empty(), "{resets} resets; missing {missing:#?}, twice {doubled:#?}");
}

#[test]
fn into_the_lake_each_line_goes_once_also_after_a_kill() {
    let place = Place::new();
    let heroku = busy(&place, "--apps 1 --rate 25");
    let app = heroku.apps[0].clone();
    heroku.fault("session-reset", 0.04, 1000);
    let mut killed = tail(&place, &format!("--app {app} --to lake")).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(6));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let first = Ended::from(tail(&place, &format!("--app {app} --to lake --for 6s --output json")).output().unwrap());
    assert_eq!(first.code, Some(0), "{first:#?}");
    heroku.pause();
    heroku.fault("session-reset", 0.0, 0);
    let second = Ended::from(tail(&place, &format!("--app {app} --to lake --for 3s --output json")).output().unwrap());
    let third = Ended::from(tail(&place, &format!("--app {app} --to lake --for 3s --output json")).output().unwrap());
    let report: Value = serde_json::from_str(&third.stdout).unwrap_or_else(|error| panic!("{error}: {third:#?}"));
    assert_eq!((&report["stored"], second.code), (&0.into(), Some(0)), "the story stands still, so all is known: {report} {second:#?}");
    assert!(report["known"].as_u64() > Some(100), "{report}");
    // Everything that the history has is in the lake as often as there.
    let truth = Ended::from(tail(&place, &format!("--app {app} -n 1500 --for 3s --output json")).output().unwrap());
    assert!(truth.stdout.lines().count() < 1500, "the history must hold all of the story");
    let messages = truth.stdout.lines().count() as i64;
    assert_eq!(place.number("SELECT count(*) FROM logs"), messages);
    assert_eq!(place.number("SELECT count(*) FROM (SELECT frame_id FROM logs GROUP BY frame_id HAVING count(*) > 1)"), 0);
    assert_eq!(place.number(&format!("SELECT count(*) FROM logs WHERE app <> '{app}' OR app IS NULL")), 0);
    assert!(place.number("SELECT count(*) FROM router_requests") > 0, "lines reach their typed tables");
}

#[test]
fn ctrl_c_commits_what_was_received() {
    let place = Place::new();
    let heroku = busy(&place, "--apps 1 --rate 40");
    let app = heroku.apps[0].clone();
    let child = tail(&place, &format!("--app {app} --to lake --output json")).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert!(Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap().success());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let stored = report["stored"].as_i64().unwrap();
    assert!(stored > 20, "{report}");
    assert_eq!(place.number("SELECT count(*) FROM logs"), stored);
}

#[test]
fn fir_has_no_past_and_is_followed_all_the_same() {
    let place = Place::new();
    // One app in seven is of the Fir generation.
    let heroku = busy(&place, "--apps 7 --rate 60");
    let is_fir = |app: &&String| heroku.ask("GET", &format!("/apps/{app}"), "")["generation"].to_string().contains("fir");
    let app = heroku.apps.iter().find(is_fir).expect("an app of the Fir generation").clone();
    heroku.wait("the app has written something", |heroku| heroku.status()["lines"].as_u64() > Some(100));
    let ended = Ended::from(tail(&place, &format!("--app {app} --for 8s --output json")).output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["app"] == app.as_str() && line["ts"].is_string()), "{ended:#?}");
}

#[test]
fn what_cannot_be_followed_is_told() {
    let place = Place::new();
    let heroku = busy(&place, "--apps 1 --rate 1");
    let app = &heroku.apps[0];
    let check = |line: &str, code: i32, words: &str| {
        let ended = Ended::from(tail(&place, line).output().unwrap());
        assert!(ended.code == Some(code) && ended.stderr.contains(words), "{line}: {ended:#?}");
    };
    check("--app nobody", 1, "is not there (404");
    check("--app ../x", 1, "no app's name");
    check(&format!("--app {app} --for soon"), 1, "such as 30s");
    check(&format!("--app {app} -n 9999"), 2, "1500");
    let without_token = place.run(&format!("tail --app {app}"), &[]);
    assert!(without_token.code == Some(78) && without_token.stderr.contains("authorizations:create"), "{without_token:#?}");
}
