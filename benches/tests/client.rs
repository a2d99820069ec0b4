//! The load client behaves as Logplex does when the receiver misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use freshet_bench::client::{Connection, Delivery, Target, Troubles};

/// What the receiver does with the next request on its way.
#[derive(Clone, Copy)]
enum Turn {
    Hang,
    Answer(&'static str),
}

/// Reads one request and returns its head and body; `None` at the end of the connection.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Serves the turns in order and returns the frame id of every request it read.
fn serve(listener: &TcpListener, turns: &[Turn]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut turns = turns.iter();
    while turns.len() > 0 {
        let (mut stream, _) = listener.accept().unwrap();
        while let Some((head, body)) = request(&mut stream) {
            assert_eq!(body, b"12 <190>1 hello");
            assert!(head.contains("\r\nLogplex-Msg-Count: 1\r\n") && head.contains("\r\nAuthorization: Basic abc\r\n"), "{head}");
            ids.push(head.lines().find_map(|line| line.strip_prefix("Logplex-Frame-Id: ")).unwrap().to_owned());
            match turns.next().unwrap() {
                Turn::Hang => break,
                Turn::Answer(answer) => stream.write_all(answer.as_bytes()).unwrap(),
            }
            if turns.len() == 0 {
                break;
            }
        }
    }
    ids
}

fn check(turns: &'static [Turn], expected: Troubles) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/drain/shop", listener.local_addr().unwrap());
    let server = thread::spawn(move || serve(&listener, turns));
    let target = Target::parse(&url, Some("Basic abc".to_owned())).unwrap();
    let mut connection = Connection::new(target, "d.0".to_owned());
    let mut troubles = Troubles::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    assert_eq!(connection.deliver("A1", 1, b"12 <190>1 hello", deadline, &mut troubles), Delivery::Acknowledged);
    assert_eq!(troubles, expected);
    let ids = server.join().unwrap();
    assert_eq!(ids, vec!["A1"; turns.len()], "each try carries the same frame id");
}

const OK: Turn = Turn::Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const UNAVAILABLE: Turn = Turn::Answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");

#[test]
fn the_same_frame_goes_out_until_it_is_acknowledged() {
    check(&[OK], Troubles::default());
    check(&[Turn::Hang, Turn::Hang, OK], Troubles { broken: 2, ..Troubles::default() });
    check(&[UNAVAILABLE, OK], Troubles { rejected: 1, ..Troubles::default() });
}

#[test]
fn a_refused_connection_is_waited_for() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target::parse(&format!("http://{address}/drain/shop"), None).unwrap();
    let mut troubles = Troubles::default();
    let deadline = Instant::now() + Duration::from_millis(200);
    assert_eq!(Connection::new(target, "d.0".to_owned()).deliver("A1", 1, b"", deadline, &mut troubles), Delivery::Unknown);
    assert!(troubles.refused >= 2, "{troubles:?}");
}
