//! Answers on their way out.

use std::io;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3Default;

use crate::http::{Body, full};
use crate::world::Refusal;

/// An answer whose body is still at hand.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A JSON value.
    pub(super) fn one(status: StatusCode, value: &Value) -> Self {
        Self::text(status, serde_json::to_string(value).unwrap_or_default())
    }

    /// JSON that is text already.
    pub(super) fn text(status: StatusCode, body: String) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self { status, headers, body: body.into_bytes() }
    }

    /// A packed file.
    pub(super) fn file(body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/gzip"))]);
        Self { status: StatusCode::OK, headers, body }
    }

    /// An error, as Heroku words it.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let mut body = json!({ "id": refusal.id, "message": refusal.message });
        if refusal.id == "rate_limit" {
            body["url"] = json!("https://devcenter.heroku.com/articles/platform-api-reference#rate-limits");
        }
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::one(status, &body)
    }

    /// Gives it an entity tag; becomes 304 when the client knows it.
    pub(super) fn tag(&mut self, known: Option<&HeaderValue>) {
        if !self.status.is_success() {
            return;
        }
        // The same page may come to have a next one: that is news, too.
        let mut hash = Xxh3Default::new();
        hash.update(&self.body);
        hash.update(self.headers.get("next-range").map_or(&[][..], HeaderValue::as_bytes));
        let tag = format!("W/\"{:032x}\"", hash.digest128());
        let Ok(value) = HeaderValue::from_str(&tag) else { return };
        self.headers.insert(ETAG, value);
        let known = known.and_then(|known| known.to_str().ok()).unwrap_or_default();
        let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        if known.split(',').any(|known| known.trim() == "*" || bare(known) == bare(&tag)) {
            self.status = StatusCode::NOT_MODIFIED;
            self.body.clear();
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// An answer that promises `body` and ends after `sent` bytes of it, with an error that resets the connection.
pub(super) fn broken_off(status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Response<Body> {
    let whole = Bytes::copy_from_slice(body.get(..sent).unwrap_or(body));
    let frames = [Ok(Frame::data(whole)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers.clone();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len().max(1)));
    response
}
