//! Answers that go on for as long as the other side speaks.

use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;

use super::{Client, Trouble, WebLimits};

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    response: reqwest::Response,
    limits: WebLimits,
}

impl Client {
    /// Sends `request` and returns when its answer begins. To be used with a client [`for_streams`](Client::for_streams).
    ///
    /// # Errors
    /// There is no answer. The address is not in the error: that of a log session is a secret.
    pub async fn open(&self, request: RequestBuilder) -> Result<Stream, Trouble> {
        let sent = request.send().await.map_err(|error| Trouble::of(&error.without_url(), &self.limits));
        Ok(Stream { response: sent?, limits: self.limits })
    }
}

impl Stream {
    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next bytes; none when the other side has ended it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// It broke off, or nothing has come for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        self.response.chunk().await.map_err(|error| Trouble::of(&error.without_url(), &self.limits))
    }
}
