use std::collections::BTreeMap;

use super::*;
use crate::faults::Strike;
use crate::logplex::{Logplex, LogplexOptions};

fn line(second: i64, source: &'static str, process: &str, text: &[u8]) -> Line {
    let at = Timestamp::from_second(1_763_805_900 + second).unwrap();
    Line { at, app: "shop".into(), priority: 190, source, process: process.into(), text: Bytes::copy_from_slice(text) }
}

fn session() -> Session {
    Session { app: "shop".into(), dyno: None, source: None, lines: 100, tail: false, is_fir: false, made_at: Timestamp::now() }
}

fn logplex(lines: &[Line]) -> Logplex {
    let options = LogplexOptions { keep_alive_every: Duration::from_millis(50), ..LogplexOptions::new(1) };
    let logplex = Logplex::with_options(options, Faults::new(1));
    lines.iter().for_each(|line| logplex.take(line));
    logplex
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn next(body: &mut Body) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

async fn check(session: &Session, events: bool, last_event_id: Option<&str>, expected: &str) {
    let mut other = line(9, "app", "web.1", b"of another app");
    other.app = "blog".into();
    let lines = [
        line(0, "app", "web.1", b"one"),
        line(1, "heroku", "router", b"at=info"),
        line(1, "app", "worker.1", b"two\nrows"),
        line(2, "app", "api", b"Release v2 created"),
        line(3, "heroku", "web.1", b"State changed"),
        other,
    ];
    let logplex = logplex(&lines);
    let path = logplex.open_session(session.clone());
    let answer = logplex.stream(&path, events, last_event_id).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await, expected, "{session:?}");
}

#[tokio::test]
async fn history_is_filtered_and_written_as_asked() {
    check(
        &session(),
        false,
        None,
        "2025-11-22T10:05:00.000000+00:00 app[web.1]: one\n2025-11-22T10:05:01.000000+00:00 heroku[router]: at=info\n\
         2025-11-22T10:05:01.000000+00:00 app[worker.1]: two\nrows\n2025-11-22T10:05:02.000000+00:00 app[api]: Release v2 created\n\
         2025-11-22T10:05:03.000000+00:00 heroku[web.1]: State changed\n",
    )
    .await;
    let router = "2025-11-22T10:05:01.000000+00:00 heroku[router]: at=info\n";
    let state = "2025-11-22T10:05:03.000000+00:00 heroku[web.1]: State changed\n";
    let heroku = Session { source: Some("heroku".into()), ..session() };
    check(&heroku, false, None, &format!("{router}{state}")).await;
    check(&Session { lines: 1, ..heroku.clone() }, false, None, state).await;
    check(&Session { lines: 0, ..heroku.clone() }, false, None, "").await;
    check(&Session { dyno: Some("web".into()), ..heroku.clone() }, false, None, state).await;
    check(&Session { dyno: Some("we".into()), ..heroku.clone() }, false, None, "").await;
    check(&Session { dyno: Some("router".into()), ..session() }, false, None, router).await;
    check(&Session { is_fir: true, ..session() }, false, None, "").await;
    let worker = Session { dyno: Some("worker.1".into()), ..session() };
    check(&worker, true, None, "id: 1763805901\ndata: 2025-11-22T10:05:01.000000+00:00 app[worker.1]: two\ndata: rows\n\n").await;
    // A reader that was here before goes on after the second it saw, however few lines it asked for at first.
    let resumed = "id: 1763805902\ndata: 2025-11-22T10:05:02.000000+00:00 app[api]: Release v2 created\n\n\
                   id: 1763805903\ndata: 2025-11-22T10:05:03.000000+00:00 heroku[web.1]: State changed\n\n";
    check(&Session { lines: 1, ..session() }, true, Some("1763805901"), resumed).await;
    check(&session(), true, Some("1763805903"), "").await;
}

#[tokio::test]
async fn the_history_ends_at_1500_lines() {
    let lines: Vec<Line> = (0..2000).map(|number| line(number, "app", "web.1", number.to_string().as_bytes())).collect();
    let logplex = logplex(&lines);
    let path = logplex.open_session(Session { lines: 9999, ..session() });
    let text = text(logplex.stream(&path, false, None).await).await;
    assert_eq!(text.lines().count(), 1500);
    assert!(text.lines().next().unwrap().ends_with("app[web.1]: 500"), "{}", &text[..80]);
}

#[tokio::test]
async fn a_session_is_good_for_six_minutes_and_to_those_who_know_it() {
    let logplex = logplex(&[]);
    let ago = |seconds| Session { made_at: Timestamp::now() - SignedDuration::from_secs(seconds), ..session() };
    for (path, status) in [
        (logplex.open_session(ago(350)), StatusCode::OK),
        (logplex.open_session(ago(361)), StatusCode::NOT_FOUND),
        ("/streams/00000000-0000-4000-8000-000000000000?srv=1".to_owned(), StatusCode::NOT_FOUND),
        ("/".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(logplex.stream(&path, true, None).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_tail_goes_on_with_signs_of_life() {
    let logplex = logplex(&[line(0, "app", "web.1", b"before")]);
    let tail = Session { tail: true, ..session() };
    let path = logplex.open_session(tail.clone());
    let mut plain = logplex.stream(&path, false, None).await.into_body();
    let mut events = logplex.stream(&path, true, None).await.into_body();
    assert!(next(&mut plain).await.ends_with("app[web.1]: before\n"));
    assert_eq!(next(&mut plain).await, "\0");
    assert!(next(&mut events).await.starts_with("id: 1763805900\ndata: "));
    assert_eq!(next(&mut events).await, ":\n\n");
    logplex.take(&line(1, "app", "web.1", b"after"));
    assert!(next(&mut plain).await.ends_with("app[web.1]: after\n"));
    let fir = logplex.open_session(Session { is_fir: true, source: Some("heroku-router".into()), ..tail });
    let mut fir = logplex.stream(&fir, false, None).await.into_body();
    logplex.take(&line(2, "app", "web-1234abcde-123ab", b"no"));
    logplex.take(&line(2, "heroku", "router", b"yes"));
    assert_eq!(next(&mut fir).await, "2025-11-22T10:05:02.000000+00:00 heroku-router[router]: yes\n");
}

#[tokio::test]
async fn a_slow_reader_loses_lines_and_is_told() {
    let logplex = logplex(&[]);
    let path = logplex.open_session(Session { tail: true, ..session() });
    let mut body = logplex.stream(&path, false, None).await.into_body();
    (0..2000).for_each(|number| logplex.take(&line(number, "app", "web.1", number.to_string().as_bytes())));
    for number in 0..1024 {
        assert!(next(&mut body).await.ends_with(&format!(": {number}\n")));
    }
    logplex.take(&line(2000, "app", "web.1", b"2000"));
    let told = next(&mut body).await;
    let expected =
        "heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped 976 messages since 2025-11-22T10:22:04+00:00.\n";
    assert!(told.ends_with(expected), "{told}");
    assert!(next(&mut body).await.ends_with(": 2000\n"));
}

#[tokio::test]
async fn a_stream_is_cut_where_the_fault_strikes() {
    let faults = Faults::new(1);
    faults.set(BTreeMap::from([(Fault::SessionReset, Strike { probability: 1.0, times: Some(1) })]));
    let logplex = Logplex::with_options(LogplexOptions::new(1), faults);
    logplex.take(&line(0, "app", "web.1", b"one"));
    let path = logplex.open_session(session());
    assert!(logplex.stream(&path, false, None).await.into_body().collect().await.is_err());
    assert!(text(logplex.stream(&path, false, None).await).await.ends_with(": one\n"));
}
