//! `freshet sync` against the fake Heroku.

use std::net::SocketAddr;
use std::process::Child;

use serde_json::Value;

use crate::freshet::{Ended, Place};
use crate::http;

/// A fake Heroku that stands still, and a configuration that points there.
pub(crate) struct Heroku {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Heroku {
    pub(crate) fn start(place: &Place, flags: &str) -> Self {
        let heroku = Self::running(place, &format!("--apps 3 --rate 1 {flags}"));
        assert_eq!(heroku.ask("POST", "/_control/pause", "").status, 200);
        heroku
    }

    /// One in which time passes.
    pub(crate) fn running(place: &Place, flags: &str) -> Self {
        let mut child = place.command(&format!("fake-heroku --port 0 --output json {flags}"), &[]).spawn().unwrap();
        let mut documents = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter::<Value>();
        let said = documents.next().unwrap().unwrap();
        let url = said["url"].as_str().unwrap();
        place.file("freshet.toml", format!("[heroku]\napi_url = \"{url}\"\n"));
        let address = url.trim_start_matches("http://").parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> http::Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: heroku\r\nAuthorization: Bearer any\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        http::exchange(self.address, format!("{head}\r\n{body}").as_bytes()).unwrap()
    }
}

impl Drop for Heroku {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn sync(place: &Place, line: &str) -> (Ended, Value) {
    let ended = Ended::from(place.command(&format!("sync --output json {line}"), &[]).env("HEROKU_API_KEY", "any").output().unwrap());
    let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    (ended, report)
}

pub(crate) fn stream<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn all_streams_are_read_and_a_second_time_nothing_is_written() {
    let place = Place::new();
    let _heroku = Heroku::start(&place, "");
    let (ended, first) = sync(&place, "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(first["streams"].as_array().unwrap().len() >= 45);
    assert_eq!(stream(&first, "apps")["read"], place.number("SELECT count(*) FROM apps"));
    for name in ["apps", "releases", "dynos", "formation", "addons", "collaborators", "domains", "teams"] {
        assert!(stream(&first, name)["new"].as_u64().unwrap() > 0, "{name}: {first}");
    }
    assert_eq!(place.number("SELECT count(*) FROM releases WHERE app_id NOT IN (SELECT id FROM apps)"), 0);
    let (ended, second) = sync(&place, "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for stream in second["streams"].as_array().unwrap() {
        assert_eq!((&stream["new"], &stream["changed"], &stream["gone"]), (&0.into(), &0.into(), &0.into()), "{stream}");
    }
}

#[test]
fn what_is_gone_is_marked_and_what_comes_back_is_not() {
    let place = Place::new();
    let heroku = Heroku::start(&place, "");
    let (_, first) = sync(&place, "apps");
    let apps = stream(&first, "apps")["read"].as_u64().unwrap();
    let counts = |report: &Value| ["read", "new", "changed", "gone"].map(|count| stream(report, "apps")[count].as_u64().unwrap());
    assert_eq!(heroku.ask("POST", "/apps", "{\"name\":\"newcomer\"}").status, 201);
    assert_eq!(counts(&sync(&place, "apps").1), [apps + 1, 1, 0, 0]);
    assert_eq!(heroku.ask("PATCH", "/apps/newcomer", "{\"maintenance\":true}").status, 200);
    assert_eq!(counts(&sync(&place, "apps").1), [apps + 1, 0, 1, 0]);
    assert_eq!(place.number("SELECT count(*) FROM apps WHERE name = 'newcomer' AND maintenance AND _deleted_at IS NULL"), 1);
    assert_eq!(heroku.ask("DELETE", "/apps/newcomer", "").status, 200);
    assert_eq!(counts(&sync(&place, "apps").1), [apps, 0, 0, 1]);
    assert_eq!(place.number("SELECT count(*) FROM apps WHERE name = 'newcomer' AND _deleted_at IS NOT NULL"), 1);
}

#[test]
fn what_cannot_be_asked_is_told() {
    let place = Place::new();
    let wrong = place.run("sync aps", &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("did you mean apps?"), "{}", wrong.stderr);
    let without = place.run("sync apps", &[]);
    assert_eq!(without.code, Some(78));
    assert!(without.stderr.contains("authorizations:create"), "{}", without.stderr);
    assert!(place.ok("sync --list", &[]).stdout.contains("releases"));
}
