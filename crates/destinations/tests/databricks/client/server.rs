//! A server that says exactly what a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each request on a connection of its own, until it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method and path with its query: `GET /x?y=z`.
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The header `name`; empty text without it.
    pub fn header(&self, name: &str) -> &str {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A field of the form in the body.
    pub fn field(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(&self.body).find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
    }
}

/// What a request gets.
pub enum Reply {
    /// Status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The end of the connection, after the request has landed.
    Cut,
}

impl Reply {
    pub fn json(body: Value) -> Self {
        Self::Answer(200, Vec::new(), body.to_string())
    }

    pub fn status(status: u16, body: Value) -> Self {
        Self::Answer(status, Vec::new(), body.to_string())
    }

    /// An error as the API has them.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::status(status, serde_json::json!({ "error_code": code, "message": message }))
    }

    pub fn nothing(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }
}

impl Server {
    /// `answer` is told the number of the request, from 0, and the request.
    pub async fn start(answer: impl FnMut(usize, &Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(answer)));
        let task = tokio::spawn(accept(listener, Arc::clone(&requests), answer));
        Self { address, requests, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Their lines.
    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// How many of them begin so.
    pub fn count(&self, start: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(start)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Requests = Arc<Mutex<Vec<Request>>>;

async fn accept<F: FnMut(usize, &Request) -> Reply + Send + 'static>(listener: TcpListener, requests: Requests, answer: Arc<Mutex<F>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
        tokio::spawn(async move {
            let _ = serve(stream, &requests, &answer).await;
        });
    }
}

async fn serve<F: FnMut(usize, &Request) -> Reply>(mut stream: TcpStream, requests: &Requests, answer: &Mutex<F>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request { line, head, body: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or_default();
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    let reply = {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request.clone());
        (answer.lock().unwrap_or_else(PoisonError::into_inner))(requests.len() - 1, &request)
    };
    if let Reply::Answer(status, headers, body) = reply {
        let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for (name, value) in headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{answer}\r\n{body}").as_bytes()).await?;
    }
    stream.shutdown().await
}
