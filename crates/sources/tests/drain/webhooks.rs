//! Webhooks: who is let in, what is kept, and who is told.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_core::{Format, Micros, Payload, SourceKind};
use freshet_sources::drain::{DrainLimits, DrainOptions};
use ring::hmac;

use crate::client::{Answer, Client, Frame};
use crate::scripted::{Receiver, Script, ScriptedInbox, WEBHOOK_SECRET, eventually, limits, options};

const EVENT: &str = r#"{"id":"4273290b-193c-42fa-8931-7f2c92c5b28f","resource":"release","action":"create"}"#;

fn signature(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body))
}

fn request(signature: Option<&str>, body: &[u8]) -> Vec<u8> {
    let signature = signature.map(|value| format!("Heroku-Webhook-Hmac-SHA256: {value}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /webhooks/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{signature}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn signed(body: &[u8]) -> Vec<u8> {
    request(Some(&signature(WEBHOOK_SECRET, body)), body)
}

async fn ask(receiver: &Receiver, request: Vec<u8>) -> Answer {
    Client::connect(receiver.address).await.ask(request).await
}

#[tokio::test]
async fn a_delivery_is_stored_as_it_came_and_its_event_once() {
    let inbox = ScriptedInbox::new();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = Arc::clone(&told);
    let options =
        DrainOptions { told: Some(Arc::new(move |resource| tell.lock().unwrap().push(resource.to_owned()))), ..options(limits(), None) };
    let receiver = Receiver::start_with(&inbox, options);
    let mut client = Client::connect(receiver.address).await;
    client.deliver(signed(EVENT.as_bytes())).await;
    // The same event by another subscription, signed with the secret before: another body, and nothing new.
    let other = EVENT.replace('}', ",\"webhook_metadata\":{\"attempt\":{\"id\":\"2\"}}}");
    client.deliver(request(Some(&signature("older", other.as_bytes())), other.as_bytes())).await;
    let expected = Payload {
        source: SourceKind::Webhook,
        format: Format::Webhook,
        app: Some("shop".into()),
        drain_token: None,
        frame_id: Some("4273290b-193c-42fa-8931-7f2c92c5b28f".into()),
        msg_count: None,
        received_at: Micros(0),
        body: EVENT.into(),
    };
    assert_eq!(inbox.stored(), [expected]);
    assert_eq!(*told.lock().unwrap(), ["release"]);
    let snapshot = receiver.stats.snapshot();
    assert_eq!((snapshot.webhooks_stored, snapshot.webhooks_repeated, snapshot.webhooks_refused, snapshot.stored), (1, 1, 0, 0));
}

#[tokio::test]
async fn nothing_is_kept_without_the_right_signature() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let body = EVENT.as_bytes();
    let of_another = signature(WEBHOOK_SECRET, b"{}");
    for wrong in [None, Some(""), Some("AAAA"), Some(&*signature("guess", body)), Some(&*of_another)] {
        let answer = client.ask(request(wrong, body)).await;
        assert_eq!(answer.status_line(), "HTTP/1.1 401 Unauthorized", "{wrong:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(WEBHOOK_SECRET));
    }
    assert_eq!((inbox.offered(), receiver.stats.snapshot().webhooks_refused), (0, 5));
    // The drains' password is another matter.
    let drain = Frame::default().head().replace("/drain/", "/webhooks/");
    assert_eq!(client.ask([drain.as_bytes(), &Frame::default().body].concat()).await.status_line(), "HTTP/1.1 401 Unauthorized");
    client.deliver(signed(body)).await;
    assert_eq!(inbox.stored().len(), 1);
}

#[tokio::test]
async fn content_is_never_refused() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let bodies = [&b""[..], b"{", b"\xff\x00", b"[]", b"{\"id\":7}"];
    for body in bodies {
        client.deliver(signed(body)).await;
    }
    let stored: Vec<_> = inbox.stored().into_iter().map(|payload| (payload.frame_id, payload.body.to_vec())).collect();
    assert_eq!(stored, bodies.map(|body| (None, body.to_vec())));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start_with(&inbox, options(DrainLimits { webhook_bytes_max: 100, ..limits() }, None));
    let mut client = Client::connect(receiver.address).await;
    let answer = client.ask(signed(&[b'x'; 101])).await;
    assert_eq!(answer.status_line(), "HTTP/1.1 413 Payload Too Large");
    client.deliver(signed(&[b'x'; 100])).await;
    assert_eq!((inbox.stored().len(), receiver.stats.snapshot().webhooks_refused), (1, 1));
}

#[tokio::test]
async fn without_a_secret_nothing_is_received() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start_with(&inbox, DrainOptions { webhook_secrets: vec![], ..options(limits(), None) });
    let answer = ask(&receiver, signed(EVENT.as_bytes())).await;
    assert_eq!(answer.status_line(), "HTTP/1.1 404 Not Found");
    assert!(String::from_utf8_lossy(&answer.body).contains("webhook_secret"));
    assert_eq!(inbox.offered(), 0);
}

#[tokio::test]
async fn a_2xx_waits_for_the_disk_and_what_is_not_kept_gets_no_answer() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    inbox.script(Script::Wait);
    let mut client = Client::connect(receiver.address).await;
    client.send(signed(EVENT.as_bytes())).await;
    eventually("the delivery is offered", async || inbox.offered() == 1).await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), client.answer()).await;
    assert!(early.is_err(), "{early:?}");
    inbox.script(Script::FailDisk);
    let mut other = Client::connect(receiver.address).await;
    other.send(signed(EVENT.as_bytes())).await;
    assert_eq!(other.until_closed().await, b"");
    assert_eq!((inbox.stored().len(), receiver.stats.snapshot().webhooks_stored), (0, 0));
}
