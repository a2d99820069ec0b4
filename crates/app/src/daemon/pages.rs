//! The pages of the listener: health, readiness, metrics.

use std::sync::Arc;

use bytes::Bytes;
use freshet_sources::drain::{Page, Pages};
use freshet_spool::State;

use super::live::Live;
use super::metrics;

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers `/healthz`, `/readyz` and `/metrics`.
#[must_use]
pub(crate) fn pages(live: Live) -> Pages {
    Arc::new(move |path| match path {
        "/healthz" => Some(text(200, "ok\n".to_owned())),
        "/readyz" => Some(readiness(&live)),
        "/metrics" => {
            let now_seconds = live.clock.now().0 as f64 / 1e6;
            let body = metrics::page(&live.snapshot(), live.spool_bytes_max, now_seconds);
            Some(Page { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body: Bytes::from(body) })
        }
        _ => None,
    })
}

/// Ready means that drains can be received, and no more: a balancer that turned senders away because the destination is
/// down would lose what the spool can keep.
fn readiness(live: &Live) -> Page {
    let snapshot = live.snapshot();
    let failures = snapshot.loader.failures_in_a_row;
    match snapshot.spool.state {
        State::Open if failures == 0 => text(200, "ready\n".to_owned()),
        State::Open => text(200, format!("ready; the destination failed {failures} times in a row, data waits in the spool\n")),
        state => text(503, format!("the spool is {}\n", state.as_str())),
    }
}

fn text(status: u16, body: String) -> Page {
    Page { status, content_type: TEXT, body: Bytes::from(body) }
}
