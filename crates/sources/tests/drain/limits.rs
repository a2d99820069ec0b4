//! What a peer cannot make the receiver do.

use std::time::Duration;

use freshet_sources::drain::DrainLimits;

use crate::client::{Client, Frame};
use crate::scripted::{Receiver, Script, ScriptedInbox, eventually, limits, options};

#[tokio::test]
async fn of_a_body_over_the_limit_the_beginning_is_kept() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start_with(&inbox, options(DrainLimits { body_bytes_max: 100_000, ..limits() }, None));
    let mut client = Client::connect(receiver.address).await;
    let body: Vec<u8> = (0..1_000_000_u32).map(|index| index as u8).collect();
    client.deliver(Frame { body: body.clone(), ..Frame::default() }.bytes()).await;
    client.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
    assert_eq!(inbox.stored()[0].body, body[..100_000]);
    assert_eq!(inbox.stored()[0].msg_count, Some(1));
    assert_eq!(receiver.stats.snapshot().discarded_bytes, 900_000);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let silent = Client::connect(receiver.address).await;
    let mut slow = Client::connect(receiver.address).await;
    slow.deliver(Frame::default().bytes()).await;
    slow.send("POST /drain/shop HTTP/1.1\r\nX-Slow: ").await;
    let dripping = async {
        let (mut reading, mut writing) = slow.0.into_split();
        let drip = async {
            while tokio::io::AsyncWriteExt::write_all(&mut writing, b"z").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut seen = Vec::new();
        tokio::select! {
            _ = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut seen) => {}
            () = drip => {}
        }
        seen
    };
    let seen = tokio::time::timeout(Duration::from_secs(3), dripping).await.expect("the connection is cut off");
    assert_eq!(seen, b"");
    drop(silent);
}

#[tokio::test]
async fn a_connection_may_rest_far_longer_than_a_head_may_take() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    for _ in 0..2 {
        client.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
        tokio::time::sleep(limits().head_timeout * 4).await;
    }
    client.deliver(Frame::default().bytes()).await;
    assert_eq!(receiver.stats.snapshot().connections, 1);
}

#[test]
fn a_connection_outlives_the_idle_close_of_logplex() {
    assert!(DrainLimits::default().idle_timeout > Duration::from_secs(144 + 15));
}

#[tokio::test]
async fn a_connection_that_rests_for_too_long_is_closed() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start_with(&inbox, options(DrainLimits { idle_timeout: Duration::from_millis(200), ..limits() }, None));
    let mut client = Client::connect(receiver.address).await;
    client.deliver(Frame::default().bytes()).await;
    assert_eq!(client.until_closed().await, b"");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_without_an_answer() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut client = Client::connect(receiver.address).await;
    let whole = Frame::default().bytes();
    client.send(&whole[..whole.len() - 1]).await;
    assert_eq!(client.until_closed().await, b"");
    assert_eq!(inbox.stored(), []);
    assert_eq!(receiver.stats.snapshot().aborted, 1);
}

#[tokio::test]
async fn bodies_wait_for_room_in_memory() {
    let inbox = ScriptedInbox::new();
    let few = DrainLimits { body_bytes_max: 1000, bodies_bytes_max: 2000, ..limits() };
    let receiver = Receiver::start_with(&inbox, options(few, None));
    inbox.script(Script::Wait);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(receiver.address).await;
        client.send(Frame { frame_id: None, body: vec![b'x'; 1000], ..Frame::default() }.bytes()).await;
        clients.push(client);
    }
    eventually("two bodies are in", async || inbox.offered() == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(inbox.offered(), 2, "the third has no room");
    inbox.script(Script::Store);
    for client in &mut clients {
        assert_eq!(client.answer().await.status_line(), "HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn at_the_limit_of_connections_the_next_is_refused_until_one_ends() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start_with(&inbox, options(DrainLimits { connections_max: 2, ..limits() }, None));
    let mut first = Client::connect(receiver.address).await;
    let mut second = Client::connect(receiver.address).await;
    first.deliver(Frame::default().bytes()).await;
    second.deliver(Frame::default().bytes()).await;
    eventually("the listener closes", async || !receiver.stats.snapshot().listener_open).await;
    assert!(tokio::net::TcpStream::connect(receiver.address).await.is_err());
    // Those that are there are served.
    first.deliver(Frame::default().bytes()).await;
    drop(second);
    Client::connect(receiver.address).await.deliver(Frame::default().bytes()).await;
}
