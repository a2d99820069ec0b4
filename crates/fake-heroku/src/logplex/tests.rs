use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::faults::Strike;
use crate::receiver::{refusing, unsigned, until};

const TOKEN: &str = "d.11111111-2222-3333-4444-555555555555";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const NO_REASON: &str = "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n";
const EMPTY_REASON: &str = "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
const CLOSING: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const SILENCE: &str = "";
const SECONDS: Duration = Duration::from_secs(20);

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Received {
    connection: usize,
    head: String,
    body: Vec<u8>,
    is_whole: bool,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A receiver that answers by a script, the last answer for ever.
#[derive(Clone)]
struct Receiver(Arc<Mutex<Vec<Received>>>);

impl Receiver {
    fn start(listener: TcpListener, script: &'static [&'static str], tls: Option<TlsAcceptor>) -> Self {
        let receiver = Self(Arc::default());
        let shared = receiver.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return shared.serve(connection, stream, script).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        shared.serve(connection, stream, script).await;
                    }
                });
            }
        });
        receiver
    }

    async fn serve(self, connection: usize, mut stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin, script: &[&str]) {
        while let Some(received) = read_request(&mut stream, connection).await {
            let (number, is_whole) = (self.all().len(), received.is_whole);
            self.0.lock().unwrap().push(received);
            let answer = script[number.min(script.len() - 1)];
            if is_whole && !answer.is_empty() {
                // A sender that does not hear may be gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    }

    fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap().clone()
    }

    /// The texts of what was received, in the order of arrival.
    fn texts(&self) -> Vec<String> {
        self.all().iter().flat_map(|received| texts(&received.body)).collect()
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), connection: usize) -> Option<Received> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let mut received = Received { connection, head: String::from_utf8(bytes).unwrap(), body: Vec::new(), is_whole: true };
    let length: u64 = received.header("Content-Length").unwrap().parse().unwrap();
    let read = stream.take(length).read_to_end(&mut received.body).await;
    received.is_whole = read.is_ok_and(|read| read as u64 == length);
    Some(received)
}

/// The texts of a body, read by the book.
fn texts(mut body: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while !body.is_empty() {
        let blank = body.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&body[..blank]).unwrap().parse().unwrap();
        let message = String::from_utf8_lossy(&body[blank + 1..blank + 1 + length]).into_owned();
        texts.push(message.split_once(" - ").unwrap().1.trim_end().to_owned());
        body = &body[blank + 1 + length..];
    }
    texts
}

fn line(number: usize) -> Line {
    let at = Timestamp::from_microsecond(1_763_805_920_000_000 + number as i64).unwrap();
    Line { at, app: "shop".into(), priority: 190, source: "app", process: "web.1".into(), text: format!("seq={number}").into() }
}

fn options() -> LogplexOptions {
    LogplexOptions { record: true, ..LogplexOptions::new(7) }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/logs?app=demo", listener.local_addr().unwrap());
    (listener, url)
}

fn count(logplex: &Logplex) -> DrainCounts {
    let counts = logplex.counts().remove(0);
    assert_eq!(counts.account.sent, counts.account.acknowledged + counts.account.dropped + counts.account.waiting, "{counts:?}");
    counts
}

/// Sends lines one frame at a time against a script; gives what arrived and what was counted.
async fn run(script: &'static [&'static str], frames: usize, strikes: &[(Fault, u64)]) -> (Vec<Received>, DrainCounts) {
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, script, None);
    let faults = Faults::new(1);
    faults.set(strikes.iter().map(|(fault, times)| (*fault, Strike { probability: 1.0, times: Some(*times) })).collect());
    // Short only where it is waited for: a busy machine is no silent receiver.
    let request_timeout = if script.contains(&SILENCE) { Duration::from_millis(300) } else { options().request_timeout };
    let logplex = Logplex::with_options(LogplexOptions { request_timeout, ..options() }, faults);
    logplex.add_drain("drain", TOKEN, "shop", &url);
    for number in 1..=frames {
        logplex.take(&line(number));
        assert!(logplex.settled(SECONDS).await, "{:?}", logplex.counts());
    }
    (receiver.all(), count(&logplex))
}

async fn check(script: &'static [&'static str], frames: usize, strikes: &[(Fault, u64)], expected: (u64, u64, u64), arrivals: &[&str]) {
    let (received, counts) = run(script, frames, strikes).await;
    assert_eq!((counts.account.acknowledged, counts.account.dropped, counts.account.maybe), expected, "{script:?} {strikes:?} {counts:?}");
    let whole = received.iter().filter(|received| received.is_whole).map(|received| texts(&received.body).join(" "));
    assert_eq!(whole.collect::<Vec<_>>(), arrivals, "{script:?} {strikes:?}");
}

#[tokio::test]
async fn answers_mean_what_they_mean_to_logplex() {
    check(&[OK], 3, &[], (3, 0, 0), &["seq=1", "seq=2", "seq=3"]).await;
    check(&[NO_CONTENT], 2, &[], (2, 0, 0), &["seq=1", "seq=2"]).await;
    check(&[UNAVAILABLE, UNAVAILABLE, OK], 1, &[], (1, 0, 0), &["seq=1", "seq=1", "seq=1"]).await;
    check(&[UNAVAILABLE], 1, &[], (0, 1, 0), &["seq=1", "seq=1", "seq=1"]).await;
    check(&[SILENCE, OK], 2, &[], (2, 0, 0), &["seq=1", "seq=1", "seq=2"]).await;
    check(&[SILENCE], 1, &[], (0, 1, 1), &["seq=1", "seq=1", "seq=1"]).await;
    check(&[NO_REASON], 1, &[], (0, 1, 1), &["seq=1", "seq=1", "seq=1"]).await;
    check(&[EMPTY_REASON], 2, &[], (2, 0, 0), &["seq=1", "seq=2"]).await;
    // A body longer than what is read at one time is skipped before the next answer.
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000));
    check(vec![&*long.leak()].leak(), 3, &[], (3, 0, 0), &["seq=1", "seq=2", "seq=3"]).await;
    // Every second frame twice.
    check(&[CHUNKED], 3, &[], (3, 0, 0), &["seq=1", "seq=2", "seq=2", "seq=3", "seq=3"]).await;
}

#[tokio::test]
async fn a_refused_frame_is_told_of_with_the_next() {
    let (received, counts) = run(&[FORBIDDEN, OK], 2, &[]).await;
    assert_eq!(
        (counts.account.acknowledged, counts.account.dropped, counts.account.l10_acknowledged, counts.trouble.as_str()),
        (1, 1, 1, "")
    );
    assert_eq!(received[1].header("Logplex-Msg-Count"), Some("2"));
    let told = texts(&received[1].body);
    assert!(told[0].starts_with("Error L10 (output buffer overflow): 1 messages dropped since 2025-11-22T10:05:20"), "{told:?}");
    assert_eq!(told[1], "seq=2");
    // The body of the 403 was skipped and its connection kept.
    assert_eq!(received.iter().map(|received| received.connection).collect::<Vec<_>>(), [0, 0]);
}

/// The head is compared with captured traffic.
#[tokio::test]
async fn requests_are_logplex_s_to_the_byte() {
    let (listener, url) = listen().await;
    let host = listener.local_addr().unwrap();
    let receiver = Receiver::start(listener, &[UNAVAILABLE, UNAVAILABLE, OK], None);
    let logplex = Logplex::with_options(options(), Faults::new(1));
    // Before there is a drain, and of another app: neither arrives.
    logplex.take(&line(0));
    logplex.add_drain("drain", TOKEN, "shop", &url);
    logplex.take(&Line { app: "blog".into(), ..line(0) });
    (1..=6).for_each(|number| logplex.take(&line(number)));
    assert!(logplex.settled(SECONDS).await);
    let received = receiver.all();
    let id = received[0].header("Logplex-Frame-Id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')), "{id}");
    let head = format!(
        "POST /logs?app=demo HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/logplex-1\r\nLogplex-Msg-Count: 6\r\n\
         Logplex-Frame-Id: {id}\r\nLogplex-Drain-Token: {TOKEN}\r\nUser-Agent: Logplex/v104\r\nContent-Length: 396\r\n\r\n"
    );
    let body: String =
        (1..=6).map(|number| format!("63 <190>1 2025-11-22T10:05:20.00000{number}+00:00 host app web.1 - seq={number}\n")).collect();
    assert_eq!(received.len(), 3);
    for received in &received {
        assert_eq!((&received.head, std::str::from_utf8(&received.body).unwrap()), (&head, body.as_str()));
    }
    let acknowledged = logplex.acknowledged("drain");
    assert_eq!(acknowledged.len(), 6);
    assert_eq!(acknowledged[5], Acknowledged { frame_id: id.to_owned(), index: 5, text_hash: machine::text_hash(b"seq=6") });
}

#[tokio::test]
async fn each_of_three_tries_has_its_own_connection() {
    let (received, _) = run(&[UNAVAILABLE], 1, &[]).await;
    assert_eq!(received.iter().map(|received| received.connection).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn connections_are_kept_until_somebody_closes_them() {
    let (received, _) = run(&[OK, OK, CLOSING, OK], 4, &[]).await;
    assert_eq!(received.iter().map(|received| received.connection).collect::<Vec<_>>(), [0, 0, 0, 1]);
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, &[OK], None);
    let logplex = Logplex::with_options(LogplexOptions { idle_timeout: Duration::from_millis(50), ..options() }, Faults::new(1));
    logplex.add_drain("drain", TOKEN, "shop", &url);
    for number in 1..=2 {
        logplex.take(&line(number));
        assert!(logplex.settled(SECONDS).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(receiver.all().iter().map(|received| received.connection).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_closed_port_makes_messages_wait() {
    let (listener, url) = listen().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let socket = refusing(address).await;
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_drain("drain", TOKEN, "shop", &url);
    (1..=500).for_each(|number| logplex.take(&line(number)));
    assert!(!logplex.settled(Duration::from_millis(200)).await);
    assert!(count(&logplex).trouble.contains("refused"), "{:?}", count(&logplex));
    assert_eq!((count(&logplex).account.waiting, count(&logplex).account.frames), (500, 0));
    (501..=3000).for_each(|number| logplex.take(&line(number)));
    let receiver = Receiver::start(socket.listen(64).unwrap(), &[OK], None);
    assert!(logplex.settled(SECONDS).await);
    let counts = count(&logplex);
    assert_eq!(
        (counts.account.sent, counts.account.acknowledged, counts.account.dropped, counts.account.l10_acknowledged),
        (3000, 1024, 1976, 1)
    );
    let texts = receiver.texts();
    assert!(texts[0].contains(": 1976 messages dropped"), "{}", texts[0]);
    assert_eq!((texts.len(), texts[1].as_str(), texts[1024].as_str()), (1025, "seq=1977", "seq=3000"));
}

#[tokio::test]
async fn faults_strike_and_the_counts_stay_exact() {
    let three = ["seq=1", "seq=2", "seq=3"];
    check(&[OK], 3, &[(Fault::DrainSlow, 1)], (3, 0, 0), &three).await;
    check(&[OK], 3, &[(Fault::DrainReset, 2)], (3, 0, 0), &three).await;
    check(&[OK], 1, &[(Fault::DrainReset, 3)], (0, 1, 0), &[]).await;
    check(&[OK], 1, &[(Fault::DrainReorder, 1)], (1, 0, 0), &["seq=1"]).await;
    let (received, counts) = run(&[OK], 1, &[(Fault::DrainWrongCount, 1)]).await;
    assert!(counts.account.acknowledged == 1 && received[0].header("Logplex-Msg-Count") != Some("1"));
    let (received, _) = run(&[OK], 2, &[(Fault::DrainClockSkew, 1)]).await;
    let hour = |received: &Received| String::from_utf8(received.body[..23].to_vec()).unwrap();
    assert!(hour(&received[0]) != hour(&received[1]), "{received:?}");
    // A frame that was not heard of arrives again, with the same id.
    let (received, counts) = run(&[OK], 2, &[(Fault::DrainTimeout, 1)]).await;
    assert_eq!((counts.account.acknowledged, received.last().map(|last| texts(&last.body))), (2, Some(vec!["seq=2".to_owned()])));
    let (_, counts) = run(&[OK], 1, &[(Fault::DrainTimeout, 3)]).await;
    assert_eq!((counts.account.acknowledged, counts.account.dropped, counts.account.maybe), (0, 1, 1));
    let (received, counts) = run(&[OK], 3, &[(Fault::DrainDuplicate, 1)]).await;
    assert_eq!((counts.account.acknowledged, counts.account.requests, received.len()), (3, 4, 4));
    assert_eq!((&received[0].head, &received[0].body), (&received[1].head, &received[1].body));
}

#[tokio::test]
async fn a_held_back_frame_arrives_after_the_next() {
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, &[OK], None);
    let faults = Faults::new(1);
    faults.set(BTreeMap::from([(Fault::DrainReorder, Strike { probability: 1.0, times: Some(1) })]));
    let logplex = Logplex::with_options(options(), faults.clone());
    logplex.add_drain("drain", TOKEN, "shop", &url);
    logplex.take(&line(1));
    while faults.struck().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    logplex.take(&line(2));
    assert!(logplex.settled(SECONDS).await);
    assert_eq!(receiver.texts(), ["seq=2", "seq=1"]);
}

#[tokio::test]
async fn basic_auth_is_sent_as_it_stands_or_kills_the_drain() {
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, &[OK], None);
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_drain("dead", "d.1", "shop", &url.replace("http://", "http://user:pa:ss@"));
    logplex.add_drain("live", "d.2", "shop", &url.replace("http://", "http://user:p%40ss@"));
    logplex.take(&line(1));
    assert!(!logplex.settled(Duration::from_millis(300)).await);
    let counts = logplex.counts();
    assert_eq!((counts[0].account.waiting, counts[0].account.requests, counts[1].account.acknowledged), (1, 0, 1));
    assert!(counts[0].trouble.contains("colon"), "{counts:?}");
    // user:p%40ss
    assert_eq!(receiver.all()[0].header("Authorization"), Some("Basic dXNlcjpwJTQwc3M="));
    logplex.remove_drain("dead");
    assert!(logplex.settled(SECONDS).await);
    let removed = logplex.counts().pop().unwrap();
    assert_eq!(
        (removed.id.as_str(), removed.account.dropped, removed.account.waiting, removed.trouble.as_str()),
        ("dead", 1, 0, "removed")
    );
}

#[tokio::test]
async fn private_drains_tell_nothing_and_close() {
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, &[OK], None);
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_private_drain("drain", TOKEN, "shop", &url);
    for number in 1..=2 {
        logplex.take(&line(number));
        assert!(logplex.settled(SECONDS).await);
    }
    let received = receiver.all();
    assert_eq!(received.iter().map(|received| received.connection).collect::<Vec<_>>(), [0, 1]);
    let names = received[0].head.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name);
    assert_eq!(names.collect::<Vec<_>>(), ["Host", "Content-Type", "Logplex-Msg-Count", "connection", "Content-Length"]);
    assert_eq!((count(&logplex).account.acknowledged, receiver.texts().len()), (2, 2));
}

#[tokio::test]
async fn https_works_and_is_verified_away_from_this_machine() {
    let (listener, url) = listen().await;
    let address = listener.local_addr().unwrap();
    let (tls, certificate) = unsigned("0.0.0.0", &[]);
    let receiver = Receiver::start(listener, &[OK], Some(tls));
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_drain("drain", TOKEN, "shop", &url.replace("http:", "https:"));
    logplex.take(&line(1));
    assert!(logplex.settled(SECONDS).await, "{:?}", logplex.counts());
    assert_eq!(receiver.texts(), ["seq=1"]);
    // This address leads here, too, but is not one of this machine's own: there, somebody must vouch for the certificate.
    let target = Target::parse(&format!("https://0.0.0.0:{}/", address.port())).unwrap();
    let reaches = async |roots: &[CertificateDer<'static>]| Dialer::new(roots, Duration::from_secs(3)).dial(&target).await.is_ok();
    assert_eq!((reaches(&[certificate]).await, reaches(&[unsigned("0.0.0.0", &[]).1]).await, reaches(&[]).await), (true, false, false));
}

async fn collect(mut stream: TcpStream, received: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        received.lock().unwrap().extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn syslog_drains_write_and_wait_for_no_answer() {
    let (listener, url) = listen().await;
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let shared = Arc::clone(&received);
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        collect(stream, shared).await;
    });
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_drain("drain", TOKEN, "shop", &url.replace("http://", "syslog://").replace("/logs?app=demo", ""));
    (1..=500).for_each(|number| logplex.take(&line(number)));
    assert!(logplex.settled(SECONDS).await);
    assert_eq!((count(&logplex).account.acknowledged, count(&logplex).account.dropped), (500, 0));
    logplex.remove_drain("drain");
    serving.await.unwrap();
    let expected: String = (1..=500)
        .map(|number| {
            let message = format!("<190>1 2025-11-22T10:05:20.{number:06}+00:00 {TOKEN} app web.1 - - seq={number}\n");
            format!("{} {message}", message.len())
        })
        .collect();
    assert_eq!(String::from_utf8(received.lock().unwrap().clone()).unwrap(), expected);
}

/// What lies unread on a TLS connection (tickets, the alert of its end) is not taken for life.
#[tokio::test]
async fn a_syslog_drain_sees_that_its_connection_was_closed() {
    let (listener, url) = listen().await;
    let (tls, _) = unsigned("somewhere.else", &[]);
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(stream).await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            // The first says that it ends, the second just does.
            if connection == 0 {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            said.send((connection, String::from_utf8(buffer[..read].to_vec()).unwrap())).unwrap();
        }
    });
    let logplex = Logplex::with_options(options(), Faults::new(1));
    logplex.add_drain("drain", TOKEN, "shop", &url.replace("http://", "syslog+tls://"));
    for number in 1..=3 {
        logplex.take(&line(number));
        let (connection, text) = tokio::time::timeout(SECONDS, heard.recv()).await.unwrap().unwrap();
        assert!(connection + 1 == number && text.ends_with(&format!(" - - seq={number}\n")), "{connection} {text:?}");
        // Once the runtime has had nothing to do, it has heard of the end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&logplex).account.acknowledged, 3);
}

#[tokio::test]
async fn removed_drains_make_room_and_an_app_that_is_gone_is_forgotten() {
    let logplex = Logplex::new(1, Faults::new(1));
    logplex.add_drain("first", TOKEN, "shop", "no url");
    logplex.take(&line(1));
    logplex.remove_drain("first");
    assert_eq!((count(&logplex).id.as_str(), count(&logplex).account.dropped), ("first", 1));
    for number in 0..REMOVED_KEPT {
        logplex.add_drain(&number.to_string(), TOKEN, "shop", "no url");
        logplex.remove_drain(&number.to_string());
    }
    assert_eq!((logplex.counts().len(), count(&logplex).id.as_str()), (REMOVED_KEPT, "0"));
    let lines = |logplex: &Logplex| logplex.state().history.of("shop", line(1).at).count();
    assert_eq!((lines(&logplex), logplex.state().by_app.len()), (1, 0));
    logplex.forget("shop");
    assert_eq!(lines(&logplex), 0);
}

/// A receiver that keeps what it gets whole, under all faults at once: what it has is what the counts allow.
#[tokio::test]
async fn everything_at_once_and_the_sums_are_right() {
    let (listener, url) = listen().await;
    let receiver = Receiver::start(listener, &[OK], None);
    let faults = Faults::new(5);
    let all = [Fault::DrainReset, Fault::DrainTimeout, Fault::DrainDuplicate, Fault::DrainReorder, Fault::DrainWrongCount];
    faults.set(all.into_iter().map(|fault| (fault, Strike { probability: 0.3, times: None })).collect());
    let logplex = Logplex::with_options(options(), faults.clone());
    logplex.add_drain("drain", TOKEN, "shop", &url);
    for number in 1..=600 {
        logplex.take(&line(number));
        if number % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            count(&logplex);
        }
    }
    assert!(logplex.settled(SECONDS).await);
    let counts = count(&logplex);
    // What was sent whole and not heard of may still have to be read.
    let whole = counts.account.requests - faults.struck()[&Fault::DrainReset];
    until(|| receiver.all().iter().filter(|received| received.is_whole).count() as u64 == whole).await;
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for received in receiver.all().into_iter().filter(|received| received.is_whole) {
        stored.entry(received.header("Logplex-Frame-Id").unwrap().to_owned()).or_insert_with(|| texts(&received.body));
    }
    let messages = stored.values().flatten().filter(|text| text.starts_with("seq=")).count() as u64;
    assert!(
        (counts.account.acknowledged..=counts.account.acknowledged + counts.account.maybe).contains(&messages),
        "{messages} {counts:?}"
    );
    for acknowledged in logplex.acknowledged("drain") {
        let text = &stored[&acknowledged.frame_id][acknowledged.index as usize];
        assert_eq!(machine::text_hash(text.as_bytes()), acknowledged.text_hash);
    }
    assert!(counts.account.maybe > 0 && counts.account.dropped > 0 && counts.account.l10_acknowledged > 0, "{counts:?}");
}
