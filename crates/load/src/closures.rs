//! Telling `_loss` of the times in which nothing could be received.

use std::sync::Arc;

use bytes::Bytes;
use freshet_core::{Clock, Format, Inbox as _, InboxError, Micros, Payload, SourceKind};
use freshet_spool::Spool;
use tracing::{error, info, warn};

/// Waits for the spool to close and to open again, and notes each time in the spool itself, so that it reaches the table
/// like any other payload. Returns when the spool is closed for good.
pub async fn tell_of_closures(spool: Arc<Spool>, clock: Arc<dyn Clock>) {
    loop {
        spool.closed().await;
        let closed_at = clock.now();
        let state = spool.stats().state.as_str();
        error!(state, "spool takes nothing, listener closed");
        loop {
            spool.opened().await;
            let seconds = clock.now().seconds_since(closed_at);
            info!(state, seconds, "spool takes payloads again, listener open");
            match spool.accept(notice(state, seconds, closed_at)).await {
                Ok(_) => break,
                Err(InboxError::Stopped) => return,
                // It has closed again: the next notice tells of both times.
                Err(cause) => warn!(%cause, "closure could not be noted yet"),
            }
        }
    }
}

fn notice(state: &str, seconds: f64, closed_at: Micros) -> Payload {
    let text = format!(
        "intake_closed: connections were refused for {seconds:.1} s because the spool was {state}; what Logplex could not keep, it reports as L10"
    );
    Payload {
        source: SourceKind::Freshet,
        format: Format::Notice,
        app: None,
        drain_token: None,
        frame_id: None,
        msg_count: None,
        received_at: closed_at,
        body: Bytes::from(text),
    }
}
