//! A server that says exactly what a test wants, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

/// Answers each request on a connection of its own, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    current: AtomicUsize,
    most: AtomicUsize,
}

/// What a request gets.
pub(crate) enum Reply {
    /// Status, headers, body, with the length that it has.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// These bytes and the end of the connection.
    Bytes(Vec<u8>),
    /// Nothing, and no end.
    Silence,
    /// This, when as many requests wait as the barrier wants.
    Together(Arc<Barrier>, Box<Reply>),
}

impl Reply {
    pub(crate) fn json(body: &str) -> Self {
        Self::Answer(200, Vec::new(), body.to_owned())
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Answer(status, Vec::new(), body.to_owned())
    }

    /// A page that another follows.
    pub(crate) fn part(next: &str, body: &str) -> Self {
        Self::Answer(206, vec![("Next-Range", next.to_owned())], body.to_owned())
    }
}

impl Server {
    /// `answer` is told the number of the request, from 0, and its head.
    pub(crate) async fn start(answer: impl FnMut(usize, &str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Seen::default()), Arc::new(Mutex::new(answer)));
        let task = tokio::spawn(accept(listener, Arc::clone(&seen), answer));
        Self { address, seen, task }
    }

    /// The same answers to everybody.
    pub(crate) async fn always(answer: impl Fn() -> Reply + Send + 'static) -> Self {
        Self::start(move |_, _| answer()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One header of each request; empty text for those without it.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        self.heads().iter().map(|head| header(head, name).to_owned()).collect()
    }

    /// The most requests that were under way at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.seen.most.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The header `name` of a request's head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

async fn accept<F: FnMut(usize, &str) -> Reply + Send + 'static>(listener: TcpListener, seen: Arc<Seen>, answer: Arc<Mutex<F>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        tokio::spawn(async move {
            let _ = serve(stream, &seen, &answer).await;
        });
    }
}

async fn serve<F: FnMut(usize, &str) -> Reply>(mut stream: TcpStream, seen: &Seen, answer: &Mutex<F>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.most.fetch_max(seen.current.fetch_add(1, SeqCst) + 1, SeqCst);
    let number = {
        let mut heads = seen.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(head.clone());
        heads.len() - 1
    };
    let mut reply = (answer.lock().unwrap_or_else(PoisonError::into_inner))(number, &head);
    if let Reply::Together(barrier, inner) = reply {
        barrier.wait().await;
        reply = *inner;
    }
    seen.current.fetch_sub(1, SeqCst);
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
            for (name, value) in headers {
                answer.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{answer}\r\n{body}").as_bytes()).await?;
        }
        Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
        Reply::Silence | Reply::Together(..) => std::future::pending().await,
    }
    stream.shutdown().await?;
    // A connection that is dropped with the body of a request unread is reset, and the answer with it.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
