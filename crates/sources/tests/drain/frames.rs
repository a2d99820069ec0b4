//! What is acknowledged, what is kept, and what gets no answer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use freshet_core::{Format, Micros, Payload, SourceKind};

use crate::client::{Client, FRAME_ID, Frame, MESSAGE, TOKEN};
use crate::scripted::{Receiver, Script, ScriptedInbox, eventually};

#[tokio::test]
async fn a_frame_is_stored_as_it_came_and_answered_as_logplex_wants_it() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let answer = Client::connect(receiver.address).await.ask(Frame::default().bytes()).await;
    assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
    assert!(answer.head.contains("\r\nContent-Length: 0\r\n"), "{answer:?}");
    let expected = Payload {
        source: SourceKind::Drain,
        format: Format::Frames,
        app: Some("shop".into()),
        drain_token: Some(TOKEN.into()),
        frame_id: Some(FRAME_ID.into()),
        msg_count: Some(1),
        received_at: Micros(0),
        body: MESSAGE.into(),
    };
    assert_eq!(inbox.stored(), [expected]);
    let snapshot = receiver.stats.snapshot();
    assert_eq!((snapshot.stored, snapshot.body_bytes, snapshot.connections_open), (1, MESSAGE.len() as u64, 1));
    assert_eq!((snapshot.ack_counts[0], snapshot.ack_counts[12]), (1, 1));
    assert!((snapshot.ack_seconds - 0.001).abs() < 1e-9);
}

#[tokio::test]
async fn a_repeated_frame_is_acknowledged_and_not_stored_again() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    for _ in 0..3 {
        client.deliver(Frame::default().bytes()).await;
    }
    client.deliver(Frame { frame_id: Some("01A94C179C720E15164680638607123E"), ..Frame::default() }.bytes()).await;
    assert_eq!(inbox.stored().len(), 2);
    let snapshot = receiver.stats.snapshot();
    assert_eq!((snapshot.stored, snapshot.repeated, snapshot.connections), (2, 2, 1));
}

/// Delivers `frame` and gives back what was stored of it.
async fn stored(frame: Frame) -> Vec<Payload> {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    client.deliver(frame.bytes()).await;
    // The connection is in order afterwards.
    client.deliver(Frame { frame_id: Some("AFTER"), ..Frame::default() }.bytes()).await;
    let mut stored = inbox.stored();
    assert_eq!(stored.pop().unwrap().frame_id.as_deref(), Some("AFTER"));
    stored
}

async fn check_kept(frame: Frame, body: &[u8], msg_count: Option<u32>) {
    let stored = stored(frame).await;
    assert_eq!(stored.iter().map(|payload| (&payload.body[..], payload.msg_count)).collect::<Vec<_>>(), [(body, msg_count)]);
}

#[tokio::test]
async fn content_is_never_refused() {
    let frame = Frame::default;
    check_kept(Frame { msg_count: Some("77"), ..frame() }, MESSAGE, Some(77)).await;
    check_kept(Frame { msg_count: Some("many"), ..frame() }, MESSAGE, None).await;
    check_kept(Frame { msg_count: None, ..frame() }, MESSAGE, None).await;
    for body in [&b"no framing at all"[..], b"99999 <190>1 short", b"5 \xff\xfe\x00\x1b[", b"0"] {
        check_kept(Frame { body: body.to_vec(), ..frame() }, body, Some(1)).await;
    }
    let huge = [b"2000000 ", &[b'x'; 2_000_000][..]].concat();
    check_kept(Frame { body: huge.clone(), ..frame() }, &huge, Some(1)).await;
}

#[tokio::test]
async fn an_empty_body_is_kept_only_when_messages_were_announced() {
    check_kept(Frame { msg_count: Some("3"), body: vec![], ..Frame::default() }, b"", Some(3)).await;
    check_kept(Frame { msg_count: Some("3"), body: vec![], extra: "Content-Length: 0\r\n", ..Frame::default() }, b"", Some(3)).await;
    for msg_count in [None, Some("0")] {
        assert_eq!(stored(Frame { msg_count, body: vec![], ..Frame::default() }).await, []);
    }
}

#[tokio::test]
async fn a_shield_drain_names_neither_frame_nor_token_and_closes_each_time() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let frame = Frame { frame_id: None, token: None, extra: "connection: close\r\n", ..Frame::default() };
    for _ in 0..2 {
        let mut client = Client::connect(receiver.address).await;
        client.deliver(frame.bytes()).await;
        assert_eq!(client.until_closed().await, b"");
    }
    let stored = inbox.stored();
    assert_eq!(stored.len(), 2);
    assert_eq!((&stored[0].frame_id, &stored[0].drain_token), (&None, &None));
}

#[tokio::test]
async fn a_proxy_may_speak_http_1_0() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let request = Frame::default().head().replace("HTTP/1.1", "HTTP/1.0");
    let answer = client.ask([request.as_bytes(), MESSAGE].concat()).await;
    assert_eq!(answer.status_line(), "HTTP/1.0 200 OK");
    assert_eq!(client.until_closed().await, b"");
    assert_eq!(inbox.stored()[0].body, MESSAGE);
}

#[tokio::test]
async fn an_empty_frame_id_is_no_frame_id() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    for _ in 0..2 {
        client.deliver(Frame { frame_id: Some(""), ..Frame::default() }.bytes()).await;
    }
    assert_eq!(inbox.stored().len(), 2);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_unpacked_or_else_kept_as_it_came() {
    let frame = |body| Frame { extra: "Content-Encoding: gzip\r\n", body, ..Frame::default() };
    check_kept(frame(gzip(MESSAGE)), MESSAGE, Some(1)).await;
    check_kept(frame(MESSAGE.to_vec()), MESSAGE, Some(1)).await;
    let cut = gzip(MESSAGE)[..20].to_vec();
    check_kept(frame(cut.clone()), &cut, Some(1)).await;
    let bomb = gzip(&vec![0; 5 * 1024 * 1024]);
    check_kept(frame(bomb.clone()), &bomb, Some(1)).await;
}

#[tokio::test]
async fn chunked_and_expecting_senders_are_served() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let head = Frame { body: vec![], extra: "Transfer-Encoding: chunked\r\n", ..Frame::default() }.head();
    client.deliver(head + "3\r\n5 h\r\n4\r\nello\r\n0\r\n\r\n").await;
    let polite = Frame { frame_id: None, extra: "Expect: 100-continue\r\n", ..Frame::default() };
    client.send(polite.head()).await;
    let mut interim = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.deliver(&polite.body).await;
    let bodies: Vec<_> = inbox.stored().into_iter().map(|payload| payload.body).collect();
    assert_eq!(bodies, [&b"5 hello"[..], MESSAGE]);
}

#[tokio::test]
async fn pipelined_frames_are_answered_in_order() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let frames: Vec<_> = (0..50_u8).map(|index| Frame { frame_id: None, body: vec![index], ..Frame::default() }.bytes()).collect();
    client.send(frames.concat()).await;
    for _ in &frames {
        assert_eq!(client.answer().await.status_line(), "HTTP/1.1 200 OK");
    }
    let bodies: Vec<_> = inbox.stored().iter().map(|payload| payload.body[0]).collect();
    assert_eq!(bodies, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frame_may_arrive_byte_by_byte() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    client.0.set_nodelay(true).unwrap();
    for byte in Frame::default().bytes() {
        client.send([byte]).await;
    }
    assert_eq!(client.answer().await.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(inbox.stored()[0].body, MESSAGE);
}

#[tokio::test]
async fn without_the_secret_nobody_comes_in() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let wrong = [None, Some("freshet:wrong"), Some("someone:s3cret"), Some("freshet:s3cret "), Some("s3cret")];
    for credential in wrong {
        let answer = client.ask(Frame { credential, ..Frame::default() }.bytes()).await;
        assert_eq!(answer.status_line(), "HTTP/1.1 401 Unauthorized");
        assert!(answer.head.contains("\r\nWww-Authenticate: Basic realm=\"freshet\"\r\n"), "{answer:?}");
    }
    assert_eq!(receiver.stats.snapshot().unauthorized, wrong.len() as u64);
    assert_eq!(inbox.stored(), []);
    // The connection goes on, and so does a drain that still has the secret from before the rotation.
    client.deliver(Frame { credential: Some("freshet:old-secret"), ..Frame::default() }.bytes()).await;
    // A large body is not read to its end for a stranger.
    let mut stranger = Client::connect(receiver.address).await;
    let answer = stranger.ask(Frame { credential: None, body: vec![b'x'; 300_000], ..Frame::default() }.bytes()).await;
    assert_eq!(answer.status_line(), "HTTP/1.1 401 Unauthorized");
    assert_eq!(stranger.until_closed().await, b"");
    assert_eq!(inbox.stored().len(), 1);
}

#[tokio::test]
async fn what_is_not_durable_gets_no_answer_at_all() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    for script in [Script::FailFull, Script::FailDisk] {
        inbox.script(Script::Store);
        let mut client = Client::connect(receiver.address).await;
        client.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
        inbox.script(script);
        client.send(Frame::default().bytes()).await;
        assert_eq!(client.until_closed().await, b"", "{script:?}");
    }
    inbox.script(Script::Store);
    Client::connect(receiver.address).await.deliver(Frame::default().bytes()).await;
    assert_eq!(inbox.stored().len(), 3);
    assert_eq!(receiver.stats.snapshot().aborted, 2);
}

#[tokio::test]
async fn no_answer_leaves_before_the_payload_is_durable() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    inbox.script(Script::Wait);
    let mut client = Client::connect(receiver.address).await;
    client.send(Frame::default().bytes()).await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), client.answer()).await;
    assert!(early.is_err(), "answered although nothing was stored");
    inbox.script(Script::Store);
    assert_eq!(client.answer().await.status_line(), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn half_a_body_is_not_stored() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let whole = Frame::default().bytes();
    let mut client = Client::connect(receiver.address).await;
    client.send(&whole[..whole.len() - 1]).await;
    drop(client);
    eventually("the abort is counted", async || receiver.stats.snapshot().aborted == 1).await;
    assert_eq!(inbox.stored(), []);
}

/// Requests that a real Logplex sent, where the fixtures are at hand.
#[tokio::test]
async fn captured_requests_are_acknowledged() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heroku/fixtures/captured");
    let Ok(entries) = std::fs::read_dir(&directory) else {
        println!("skipped: there are no captured requests beside the repository");
        return;
    };
    for entry in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "http")) {
        let inbox = ScriptedInbox::new();
        let receiver = Receiver::start(&inbox);
        let request = std::fs::read(&entry).unwrap();
        let credential = "Basic ZnJlc2hldDpzM2NyZXQ=";
        let line_end = request.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let ours = [format!("POST /drain/demo HTTP/1.1\r\nAuthorization: {credential}").as_bytes(), &request[line_end..]].concat();
        Client::connect(receiver.address).await.deliver(ours).await;
        let stored = inbox.stored();
        assert!(request.ends_with(&stored[0].body), "{}", entry.display());
        assert!(stored[0].frame_id.is_some() && stored[0].drain_token.is_some() && stored[0].msg_count.is_some());
    }
}
