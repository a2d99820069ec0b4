//! The audit trail: its days by the API, its months by archives, and both in one table.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;
use crate::sync::{stream, sync};

/// A Heroku whose August of 2026 is over.
fn heroku(place: &Place) -> Heroku {
    let heroku = Heroku::start(place, "--apps 2 --rate 0 --begins-at 2026-08-29T12:00:00Z --speed 60000");
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n", heroku.url));
    heroku.wait("August is over", |heroku| heroku.status()["story_time"].as_str().unwrap() > "2026-09-01T06");
    heroku.pause();
    heroku
}

fn list(heroku: &Heroku, path: &str) -> Vec<Value> {
    heroku.ask("GET", path, "").as_array().unwrap().clone()
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn archives_and_days_are_one_table() {
    let place = Place::new();
    let heroku = heroku(&place);
    let account = list(&heroku, "/enterprise-accounts")[0]["id"].as_str().unwrap().to_owned();
    let of_day = |day: u32| list(&heroku, &format!("/enterprise-accounts/{account}/events?day=2026-08-{day:02}"));
    let august: BTreeSet<String> = (1..=31).flat_map(|day| ids(&of_day(day))).collect();
    assert!(august.len() > 10, "{}", august.len());
    // All that the log can say, to see that what opens the archive is not in it.
    let mut command = place.command("sync audit_events --archives 2026-08 --output json -vv", &[]);
    let ended = Ended::from(command.env("HEROKU_API_KEY", "any").env("RUST_LOG", "debug").output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!ended.stderr.contains("Signature") && !ended.stdout.contains("Signature"), "{ended:#?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(stream(&report, "audit_events")["new"], august.len(), "{report}");
    assert_eq!(ids(&place.query("SELECT id FROM audit_events")), august);
    assert_eq!(place.number("SELECT count(*) FROM audit_events WHERE _deleted_at IS NOT NULL"), 0);
    let (_, again) = sync(&place, "audit_events --archives 2026-08..2026-08");
    let again = stream(&again, "audit_events");
    assert_eq!((&again["new"], &again["changed"], &again["unchanged"]), (&0.into(), &0.into(), &august.len().into()), "{again}");
    // A month that is not over has none; the others are read all the same.
    let (ended, partly) = sync(&place, "audit_events --archives 2026-08..2026-09");
    assert_eq!((ended.code, &stream(&partly, "audit_events")["unread_lists"]), (Some(1), &1.into()), "{partly}");
    assert!(partly.to_string().contains("2026-09"), "{partly}");
}

#[test]
fn what_is_no_month_is_told() {
    let place = Place::new();
    assert_eq!(place.run("sync audit_events --archives soon", &[]).code, Some(2));
    let wrong = place.run("sync apps --archives 2026-08", &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("only audit_events"), "{}", wrong.stderr);
}
