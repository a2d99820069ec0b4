//! The listening side: one port for the API, log sessions and the control endpoint.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::debug;

use crate::control;
use crate::fake::Shared;
use crate::http::{Body, Request, json as json_answer};
use crate::platform::Api;

/// Longest request body that is read, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Serves until aborted; its connections end with it.
pub(crate) async fn run(listener: TcpListener, shared: Shared, api: Arc<Api>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (shared, api) = (shared.clone(), Arc::clone(&api));
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, shared.clone(), Arc::clone(&api)));
                    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                        debug!(%error, "connection closed");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: hyper::Request<Incoming>, shared: Shared, api: Arc<Api>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let error = json!({ "id": "bad_request", "message": "The request body could not be read." });
        return Ok(json_answer(StatusCode::BAD_REQUEST, &error));
    };
    let body: Bytes = body.to_bytes();
    let request: Request = Request::from_parts(head, body);
    let path = request.uri().path();
    if path.starts_with("/_control/") {
        return Ok(control::answer(&request, &shared, &api).await);
    }
    if path.starts_with("/streams/") {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let wants_events = header(ACCEPT.as_str()).contains("text/event-stream");
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        return Ok(shared.logplex.stream(target, wants_events, Some(header("last-event-id")).filter(|id| !id.is_empty())).await);
    }
    Ok(api.answer(request).await)
}
