//! Requests to others: one kind of client, bounded answers, and failures in words for a person.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
mod backoff;
mod stream;
mod timer;
mod trouble;

use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;

pub use address::web_address;
pub use backoff::{Backoff, random_seed};
pub use reqwest::{Method, RequestBuilder, header};
pub use stream::Stream;
pub use timer::{RuntimeTimer, Timer};
pub use trouble::Trouble;

/// Who a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A server out there, through the proxy that the environment names, with a certificate that holds.
    Remote,
    /// A server on this machine: what is sent to it must not leave the machine, so there is no proxy in between.
    Local,
    /// Whatever listens on this machine; it is only asked who it is, so any certificate will do.
    OwnPort,
}

/// The bounds on one request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebLimits {
    /// Time to connect, TLS included. Default 5 s.
    pub connect_within: Duration,
    /// Time for a whole request, the answer's body included. Heroku's routers give up after 30 s. Default 40 s.
    pub request_within: Duration,
    /// Bytes of an answer's body that are read. A page of 1,000 apps has about 2 MB. Default 32 MiB.
    pub body_bytes_max: usize,
}

impl Default for WebLimits {
    fn default() -> Self {
        Self { connect_within: Duration::from_secs(5), request_within: Duration::from_secs(40), body_bytes_max: 32 << 20 }
    }
}

/// What requests are made with. It follows no redirect, so that a secret goes only where it was meant to go.
pub struct Client {
    inner: reqwest::Client,
    limits: WebLimits,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// The name by which requests are known unless told otherwise.
    pub const USER_AGENT: &str = concat!("freshet/", env!("CARGO_PKG_VERSION"));

    /// A client for `peer` that calls itself `user_agent`.
    ///
    /// # Errors
    /// The system's certificates cannot be read, or no header can carry `user_agent`.
    pub fn new(peer: Peer, user_agent: &str, limits: WebLimits) -> Result<Self, Trouble> {
        Self::build(builder(peer, user_agent, &limits).timeout(limits.request_within), limits)
    }

    /// A client for answers that go on and on, see [`Client::open`]: such an answer ends when nothing has come for
    /// `limits.request_within`.
    ///
    /// # Errors
    /// The system's certificates cannot be read, or no header can carry `user_agent`.
    pub fn for_streams(peer: Peer, user_agent: &str, limits: WebLimits) -> Result<Self, Trouble> {
        Self::build(builder(peer, user_agent, &limits).read_timeout(limits.request_within), limits)
    }

    fn build(builder: ClientBuilder, limits: WebLimits) -> Result<Self, Trouble> {
        let inner = builder.build().map_err(|error| Trouble::of(&error, &limits))?;
        Ok(Self { inner, limits })
    }

    /// The beginning of a `GET`.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.inner.get(url.as_ref())
    }

    /// The beginning of a `POST`.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.inner.post(url.as_ref())
    }

    /// The beginning of a request by `method`.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        self.inner.request(method, url.as_ref())
    }

    /// Sends `request` and reads its answer.
    ///
    /// # Errors
    /// There is none, or it is too long.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Trouble> {
        let trouble = |error| Trouble::of(&error, &self.limits);
        let mut response = request.send().await.map_err(trouble)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(trouble)? {
            if body.len() + chunk.len() > self.limits.body_bytes_max {
                return Err(Trouble::TooLong { bytes_max: self.limits.body_bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), headers: std::mem::take(response.headers_mut()), body })
    }
}

fn builder(peer: Peer, user_agent: &str, limits: &WebLimits) -> ClientBuilder {
    let builder = reqwest::Client::builder().user_agent(user_agent).connect_timeout(limits.connect_within).redirect(Policy::none());
    match peer {
        Peer::Remote => builder,
        Peer::Local => builder.no_proxy(),
        Peer::OwnPort => builder.no_proxy().tls_danger_accept_invalid_certs(true),
    }
}
