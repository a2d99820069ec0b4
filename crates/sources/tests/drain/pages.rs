//! Everything that is not a frame.

use crate::client::Client;
use crate::scripted::{Receiver, ScriptedInbox};

async fn check(request_line: &str, status_line: &str, body_part: &str) {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let answer = Client::connect(receiver.address).await.ask(format!("{request_line} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(answer.status_line(), status_line, "{request_line}");
    assert!(String::from_utf8(answer.body).unwrap().contains(body_part), "{request_line}");
    assert_eq!(inbox.stored(), []);
    let misdirected = status_line.contains("404") || status_line.contains("405");
    assert_eq!(receiver.stats.snapshot().misdirected, u64::from(misdirected));
}

#[tokio::test]
async fn pages_come_from_the_app_and_the_rest_says_where_to_go() {
    check("GET /healthz", "HTTP/1.1 200 OK", "ok\n").await;
    check("GET /healthz?verbose", "HTTP/1.1 200 OK", "ok\n").await;
    check("GET /readyz", "HTTP/1.1 503 Service Unavailable", "starting\n").await;
    check("GET /", "HTTP/1.1 404 Not Found", "POST /drain/{app}").await;
    check("POST /healthz", "HTTP/1.1 404 Not Found", "POST /drain/{app}").await;
    check("POST /logs?app=shop", "HTTP/1.1 404 Not Found", "POST /drain/{app}").await;
    check("POST /drain/", "HTTP/1.1 404 Not Found", "POST /drain/{app}").await;
    check("GET /drain/shop", "HTTP/1.1 405 Method Not Allowed", "POST /drain/{app}").await;
}
