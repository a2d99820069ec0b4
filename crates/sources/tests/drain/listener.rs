//! The listening socket follows the inbox, and stopping loses nothing.

use std::time::Duration;

use freshet_sources::drain::{DrainError, DrainReceiver};
use tokio::net::TcpStream;

use crate::client::{Client, Frame};
use crate::scripted::{Receiver, Script, ScriptedInbox, eventually, limits, options};

async fn refused(receiver: &Receiver) -> bool {
    TcpStream::connect(receiver.address).await.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn a_closed_inbox_refuses_connections_and_an_open_one_takes_them_again() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    let mut idle = Client::connect(receiver.address).await;
    for round in 1..=3 {
        Client::connect(receiver.address).await.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
        inbox.set_open(false);
        eventually("connections are refused", async || refused(&receiver).await).await;
        assert_eq!(idle.until_closed().await, b"", "a resting connection closes");
        assert!(!receiver.stats.snapshot().listener_open);
        assert_eq!(receiver.stats.snapshot().listener_closures, round);
        inbox.set_open(true);
        idle = Client::connect(receiver.address).await;
        idle.deliver(Frame { frame_id: None, ..Frame::default() }.bytes()).await;
        assert!(receiver.stats.snapshot().listener_open);
    }
}

#[tokio::test]
async fn an_inbox_that_is_closed_at_the_start_is_waited_for() {
    let inbox = ScriptedInbox::new();
    inbox.set_open(false);
    let receiver = Receiver::start(&inbox);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(refused(&receiver).await);
    inbox.set_open(true);
    Client::connect(receiver.address).await.deliver(Frame::default().bytes()).await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_inbox_closes() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    inbox.script(Script::Wait);
    let mut client = Client::connect(receiver.address).await;
    client.send(Frame::default().bytes()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    inbox.set_open(false);
    eventually("connections are refused", async || refused(&receiver).await).await;
    inbox.script(Script::Store);
    assert_eq!(client.answer().await.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(client.until_closed().await, b"");
}

#[tokio::test]
async fn stopping_refuses_the_new_and_finishes_the_old() {
    let inbox = ScriptedInbox::new();
    let mut receiver = Receiver::start(&inbox);
    let mut idle = Client::connect(receiver.address).await;
    inbox.script(Script::Wait);
    let mut busy = Client::connect(receiver.address).await;
    busy.send(Frame::default().bytes()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    receiver.stop();
    eventually("connections are refused", async || refused(&receiver).await).await;
    assert_eq!(idle.until_closed().await, b"");
    inbox.script(Script::Store);
    let answer = busy.answer().await;
    assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
    assert!(answer.head.contains("\r\nConnection: close\r\n"), "{answer:?}");
    receiver.stopped().await;
    assert_eq!(inbox.stored().len(), 1);
}

#[tokio::test]
async fn stopping_works_while_the_inbox_is_closed() {
    let inbox = ScriptedInbox::new();
    inbox.set_open(false);
    Receiver::start(&inbox).stopped().await;
}

#[tokio::test]
async fn dropping_the_future_cuts_off_what_does_not_finish() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    inbox.script(Script::Wait);
    let mut client = Client::connect(receiver.address).await;
    client.send(Frame::default().bytes()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stats = std::sync::Arc::clone(&receiver.stats);
    drop(receiver);
    assert_eq!(client.until_closed().await, b"");
    eventually("the connection is gone", async || stats.snapshot().connections_open == 0).await;
    assert_eq!(stats.snapshot().aborted, 1);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(limits(), None);
    options.listen = taken.local_addr().unwrap();
    let bound = DrainReceiver::bind(
        options,
        std::sync::Arc::new(freshet_core::SystemClock),
        std::sync::Arc::default(),
        std::sync::Arc::new(|_| None),
    );
    let error = bound.err().unwrap();
    assert!(matches!(&error, DrainError::Listen { address, .. } if *address == taken.local_addr().unwrap()), "{error}");
    assert!(error.to_string().contains("receive.listen"), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_meanwhile_is_waited_for() {
    let inbox = ScriptedInbox::new();
    let receiver = Receiver::start(&inbox);
    Client::connect(receiver.address).await.deliver(Frame::default().bytes()).await;
    inbox.set_open(false);
    eventually("connections are refused", async || refused(&receiver).await).await;
    let taken = std::net::TcpListener::bind(receiver.address).unwrap();
    inbox.set_open(true);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!receiver.stats.snapshot().listener_open);
    drop(taken);
    eventually("the listener is back", async || receiver.stats.snapshot().listener_open).await;
    Client::connect(receiver.address).await.deliver(Frame::default().bytes()).await;
}
