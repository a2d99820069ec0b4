//! Telling `_loss` of the times in which nothing could be received.

use std::sync::Arc;

use bytes::Bytes;
use freshet_core::{Clock, Format, Inbox as _, Payload, SourceKind};
use freshet_spool::Spool;
use tracing::{error, info, warn};

/// Waits for the spool to close and to open again, and notes each time in the spool itself, so that it reaches the table
/// like any other payload.
pub(crate) async fn tell_of_closures(spool: Arc<Spool>, clock: Arc<dyn Clock>) {
    loop {
        spool.closed().await;
        let closed_at = clock.now();
        let state = spool.stats().state.as_str();
        error!(state, "spool takes nothing, listener closed");
        spool.opened().await;
        let now = clock.now();
        let seconds = now.seconds_since(closed_at);
        info!(state, seconds, "spool takes payloads again, listener open");
        let text = format!(
            "intake_closed: connections were refused for {seconds:.1} s because the spool was {state}; what Logplex could not keep, it reports as L10"
        );
        let notice = Payload {
            source: SourceKind::Freshet,
            format: Format::Notice,
            app: None,
            drain_token: None,
            frame_id: None,
            msg_count: None,
            received_at: closed_at,
            body: Bytes::from(text),
        };
        if let Err(cause) = spool.accept(notice).await {
            warn!(%cause, "closure could not be noted");
        }
    }
}
