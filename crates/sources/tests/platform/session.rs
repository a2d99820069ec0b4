//! Following log sessions.

use std::collections::BTreeSet;
use std::time::Duration;

use freshet_sources::session::{Follower, SessionError, SessionLimits, SessionOptions};
use tokio::time::{Instant, timeout_at};

use super::*;
use crate::server::{Reply, Server};

/// A Heroku that tells its story, with an app of the Fir generation: one in seven is.
async fn telling() -> (FakeHeroku, Api, String) {
    let options = FakeOptions { apps: 7, lines_per_second: 400.0, rate_limit: 1_000_000, ..FakeOptions::default() };
    let fake = FakeHeroku::start(options).await.unwrap();
    let api = Api::new(ApiOptions::new(&fake.url(), Some(Secret::new("any".to_owned()).into()))).unwrap();
    let fir = fake.world().objects().all("app").find(|app| app["generation"] == "fir").unwrap()["id"].as_str().unwrap().to_owned();
    (fake, api, fir)
}

/// The lines until `end`, with their content ids, in the order in which they came.
async fn lines(follower: &mut Follower, end: Instant) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    while let Ok(next) = timeout_at(end, follower.next()).await {
        lines.extend(next.unwrap().into_iter().map(|line| (String::from_utf8_lossy(&line.text).into_owned(), line.content_id)));
    }
    lines
}

#[tokio::test]
async fn sessions_that_replace_each_other_leave_no_gap_and_tell_nothing_twice() {
    let (_fake, api, app) = telling().await;
    let limits = SessionLimits { renew_after: Duration::from_millis(600), overlap: Duration::from_millis(300), ..SessionLimits::default() };
    let mut one = Follower::begin(&api, SessionOptions::new(&app)).await.unwrap();
    let mut many = Follower::begin(&api, SessionOptions { limits, ..SessionOptions::new(&app) }).await.unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    let (whole, renewed) = tokio::join!(lines(&mut one, end), lines(&mut many, end));
    assert!(one.counts().sessions == 1 && many.counts().sessions >= 6, "{:?} {:?}", one.counts(), many.counts());
    assert!(many.counts().repeated > 0, "nothing came twice, so nothing was tried: {:?}", many.counts());
    let ids: BTreeSet<&str> = renewed.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids.len(), renewed.len(), "a line was told twice");
    // Both began and ended a little apart.
    let (first, last) = (&renewed[0].1, &whole[whole.len() - 5].1);
    let from = whole.iter().position(|(_, id)| id == first).unwrap();
    let to = whole.iter().position(|(_, id)| id == last).unwrap();
    let missing: Vec<_> = whole[from..to].iter().filter(|(_, id)| !ids.contains(id.as_str())).collect();
    assert!(to - from > 50 && missing.is_empty(), "{} lines, missing: {missing:#?}", to - from);
}

#[tokio::test]
async fn an_app_that_is_not_there_is_an_error_at_once() {
    let (_fake, api, _) = telling().await;
    let error = Follower::begin(&api, SessionOptions::new("nobody")).await.err().unwrap();
    assert!(matches!(&error, SessionError::Api(_)) && !error.is_temporary() && error.to_string().contains("not there"), "{error}");
}

/// An app's log whose first `refused` sessions end before they have begun.
async fn reluctant(refused: usize) -> Server {
    let listener = Arc::new(std::sync::Mutex::new((String::new(), 0)));
    let told = Arc::clone(&listener);
    let server = Server::start(move |_, head| {
        let mut state = told.lock().unwrap();
        let (url, opened) = &mut *state;
        match head.split(' ').nth(1).unwrap() {
            "/apps/shop" => Reply::json("{\"id\":\"01\",\"name\":\"shop\",\"generation\":{\"name\":\"cedar\"}}"),
            "/apps/01/log-sessions" => Reply::json(&format!("{{\"logplex_url\":\"{url}/stream\"}}")),
            _ => {
                *opened += 1;
                if *opened <= refused {
                    Reply::Bytes(Vec::new())
                } else {
                    Reply::Answer(200, vec![("Content-Type", "text/event-stream".to_owned())], "id: 1\ndata: a line\n\n".to_owned())
                }
            }
        }
    })
    .await;
    listener.lock().unwrap().0 = server.url();
    server
}

#[tokio::test]
async fn a_first_session_that_breaks_is_opened_again_but_not_for_ever() {
    for (refused, is_opened) in [(0, true), (4, true), (5, false)] {
        let server = reluctant(refused).await;
        let limits = SessionLimits { backoff_first: Duration::from_millis(1), ..SessionLimits::default() };
        match Follower::begin(
            &Api::new(ApiOptions::new(&server.url(), None)).unwrap(),
            SessionOptions { limits, ..SessionOptions::new("shop") },
        )
        .await
        {
            Ok(mut follower) => {
                assert!(is_opened, "{refused}");
                assert_eq!(follower.next().await.unwrap()[0].text, b"a line");
            }
            Err(error) => assert!(!is_opened && matches!(error, SessionError::Unreachable(_)), "{refused}: {error}"),
        }
    }
}
