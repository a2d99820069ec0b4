//! Frames as Logplex sends them, and as nobody should: acknowledged, and what became of their bytes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::freshet::Place;
use crate::http::{Frame, TOKEN, exchange, message};

/// Sends with `send`, stops the daemon and returns the place to look at.
fn after(send: impl FnOnce(&Daemon)) -> Place {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    send(&daemon);
    daemon.stop();
    place
}

fn texts(rows: &[Value], column: &str) -> Vec<String> {
    rows.iter().map(|row| row[column].as_str().unwrap_or("null").to_owned()).collect()
}

#[test]
fn who_does_not_know_the_secret_is_refused_and_leaves_nothing() {
    let place = after(|daemon| {
        let body = message(b"hello");
        for credential in
            [None, Some("freshet:wrong"), Some("freshet:"), Some("other:s3cret"), Some("freshet:s3cret2"), Some("freshet:s3cre")]
        {
            let answer = Frame { credential, ..Frame::of("A1", &body) }.send(daemon.address).unwrap();
            assert_eq!(answer.status, 401, "{credential:?}: {answer:?}");
        }
        for (request, status) in
            [("GET /drain/shop", 405), ("POST /drain/", 404), ("POST /", 404), ("GET /nothing", 404), ("GET /healthz", 200)]
        {
            let answer =
                exchange(daemon.address, format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(answer.status, status, "{request}: {answer:?}");
        }
        assert_eq!(daemon.metric("freshet_drain_requests_total{outcome=\"unauthorized\"}"), Some(6.0));
    });
    assert!(place.data_rows().is_empty(), "{:?}", place.data_rows());
}

#[test]
fn frames_are_named_by_their_id_or_by_their_content() {
    let place = after(|daemon| {
        let (first, second) = (message(b"first"), message(b"second"));
        Frame::of("DA460A08D72CE658CF7F6BB54E921F39", &first).deliver(daemon.address);
        Frame::of("DA460A08D72CE658CF7F6BB54E921F39", &first).deliver(daemon.address);
        // The same id of another drain is another frame.
        Frame { token: Some("d.other"), ..Frame::of("DA460A08D72CE658CF7F6BB54E921F39", &first) }.deliver(daemon.address);
        // Without an id a repetition cannot be told from a new frame that says the same.
        Frame { id: None, ..Frame::of("", &second) }.deliver(daemon.address);
        Frame { id: None, token: None, app: "two%20words", ..Frame::of("", &second) }.deliver(daemon.address);
    });
    let rows =
        place.query("SELECT frame_id, frame_index, app, drain_token, message, source, dyno FROM logs ORDER BY message, app, drain_token");
    assert_eq!(texts(&rows, "message"), ["first", "first", "second", "second"]);
    assert_eq!(texts(&rows, "app"), ["shop", "shop", "shop", "two words"]);
    assert_eq!(texts(&rows, "drain_token"), [TOKEN, "d.other", TOKEN, "null"]);
    assert!(rows.iter().all(|row| row["source"] == "app" && row["dyno"] == "web.1" && row["frame_index"] == 0), "{rows:?}");
    let ids = texts(&rows, "frame_id");
    assert_eq!(ids[..2], ["DA460A08D72CE658CF7F6BB54E921F39", "DA460A08D72CE658CF7F6BB54E921F39"]);
    assert!(ids[2].starts_with("body-") && ids[3].starts_with("body-") && ids[2] != ids[3], "{ids:?}");
}

#[test]
fn a_count_that_is_wrong_is_a_known_loss() {
    let place = after(|daemon| {
        let two = [message(b"one"), message(b"two")].concat();
        Frame { msg_count: Some("2"), ..Frame::of("A1", &two) }.deliver(daemon.address);
        Frame { msg_count: Some("5"), ..Frame::of("A2", &two) }.deliver(daemon.address);
        Frame { msg_count: Some("3"), ..Frame::of("A3", b"") }.deliver(daemon.address);
        Frame { msg_count: Some("0"), ..Frame::of("A4", b"") }.deliver(daemon.address);
        Frame { msg_count: None, ..Frame::of("A5", b"") }.deliver(daemon.address);
        Frame { msg_count: None, ..Frame::of("A6", &two) }.deliver(daemon.address);
    });
    let losses = place.query("SELECT frame_id, kind, messages FROM _loss ORDER BY frame_id");
    assert_eq!(texts(&losses, "frame_id"), ["A2", "A3"], "{losses:?}");
    assert!(losses.iter().all(|row| row["kind"] == "count_mismatch" && row["messages"] == 3), "{losses:?}");
    assert_eq!(place.number("SELECT count(*) FROM logs"), 6);
}

#[test]
fn bytes_that_are_no_messages_are_kept() {
    let place = after(|daemon| {
        let good = message(b"good");
        Frame::of("A1", b"this is not framed at all").deliver(daemon.address);
        Frame { msg_count: Some("2"), ..Frame::of("A2", &[&good[..], b"and then the framing breaks"].concat()) }.deliver(daemon.address);
        Frame::of("A3", b"13 <190>1 no time").deliver(daemon.address);
        Frame::of("A4", &message(b"not \xff\xfe UTF-8")).deliver(daemon.address);
        Frame::of("A5", &message(b"two\nlines")).deliver(daemon.address);
    });
    let rejects = place.query("SELECT frame_id, source_name, CAST(bytes AS STRING) AS text FROM _rejects ORDER BY frame_id, frame_index");
    let kept: String = texts(&rejects, "text").concat();
    for text in ["this is not framed at all", "and then the framing breaks"] {
        assert!(kept.contains(text), "{rejects:?}");
    }
    assert!(texts(&rejects, "source_name").iter().all(|name| name == "drain"));
    let rows = place.query(
        "SELECT frame_id, message, encode(message_raw, 'hex') AS raw FROM logs WHERE frame_id IN ('A2', 'A4', 'A5') ORDER BY frame_id",
    );
    assert_eq!(texts(&rows, "message"), ["good", "not \u{fffd}\u{fffd} UTF-8", "two\nlines"]);
    assert_eq!(texts(&rows, "raw"), ["null", "6e6f7420fffe205554462d38", "null"]);
}

#[test]
fn a_message_of_two_megabytes_comes_through_whole() {
    let long = vec![b'x'; 2 << 20];
    let place = after(|daemon| Frame::of("A1", &message(&long)).deliver(daemon.address));
    assert_eq!(place.number("SELECT octet_length(message) FROM logs"), 2 << 20);
    assert_eq!(place.number("SELECT count(*) FROM logs WHERE replace(message, 'x', '') = ''"), 1);
}

#[test]
fn a_body_over_the_limit_keeps_its_beginning_and_tells() {
    let place = Place::new();
    place.file("freshet.toml", "[receive]\nbody_max = \"64KiB\"\n");
    let daemon = Daemon::start(&place);
    let body: Vec<u8> = (0..2_000).flat_map(|number| message(format!("number {number:06}").as_bytes())).collect();
    Frame { msg_count: Some("2000"), ..Frame::of("A1", &body) }.deliver(daemon.address);
    assert_eq!(daemon.metric("freshet_drain_discarded_bytes_total"), Some((body.len() - (64 << 10)) as f64));
    daemon.stop();
    let kept = place.number("SELECT count(*) FROM logs") + place.number("SELECT count(*) FROM _rejects");
    assert!((700..1_000).contains(&kept), "{kept}");
    assert_eq!(place.number("SELECT messages FROM _loss WHERE kind = 'count_mismatch'"), 2_000 - kept);
}

/// Requests that a real Logplex made, when they lie beside the repository.
fn captured() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heroku/fixtures/captured");
    if !folder.is_dir() {
        eprintln!("skipped: the captured requests are not beside the repository");
        return None;
    }
    Some(folder)
}

#[test]
fn captured_requests_of_logplex() {
    let Some(folder) = captured() else { return };
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
    names.sort();
    assert_eq!(names.len(), 8);
    let place = after(|daemon| {
        for path in &names {
            let request = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
            // They went to another path, without a secret, on connections that stayed open.
            let (line, rest) = request.split_once("\r\n").unwrap();
            assert!(line.starts_with("POST /logs"), "{line}");
            let authorization = crate::http::authorization();
            let ours = format!("POST /drain/demo HTTP/1.1\r\nAuthorization: {authorization}\r\nConnection: close\r\n{rest}");
            assert_eq!(exchange(daemon.address, ours.as_bytes()).unwrap().status, 200, "{}", path.display());
        }
        // cap_retry and cap_l10 hold tries of the same frames.
        assert_eq!(daemon.metric("freshet_drain_requests_total{outcome=\"stored\"}"), Some(4.0));
        assert_eq!(daemon.metric("freshet_drain_requests_total{outcome=\"repeated\"}"), Some(4.0));
    });
    assert_eq!(place.number("SELECT count(*) FROM logs"), 12 + 6 + 2 + 1);
    let losses = place.query("SELECT kind, messages FROM _loss");
    assert_eq!(texts(&losses, "kind"), ["l10"], "the counts are right: {losses:?}");
    assert!(place.query("SELECT * FROM _rejects").is_empty());
}
