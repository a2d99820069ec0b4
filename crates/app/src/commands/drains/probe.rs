//! Whether the Freshet at the public address takes the secret.

use freshet_core::Secret;
use freshet_sources::drain::USER;
use freshet_web::{Peer, Trouble};

use crate::exit::{Exit, Failure};
use crate::web;

/// The app in the path of the empty frame. An empty frame leaves nothing behind.
const APP: &str = "freshet-drains";

/// What came back.
pub(super) enum Probed {
    /// It takes drains with this secret.
    Accepted,
    /// Nothing answers.
    Unreachable(Trouble),
}

/// Sends an empty frame to `url` with `secret`, as a drain would.
///
/// # Errors
/// What answers there does not take it: Logplex would drop every frame.
pub(super) async fn probe(url: &str, secret: &Secret) -> anyhow::Result<Probed> {
    let peer = if url.starts_with("http://") { Peer::Local } else { Peer::Remote };
    let client = web::client(peer)?;
    let frame = client.post(format!("{url}/drain/{APP}")).basic_auth(USER, Some(secret.reveal())).header("logplex-msg-count", "0");
    let answer = match client.send(frame.header("content-type", "application/logplex-1").body(Vec::new())).await {
        Ok(answer) => answer,
        Err(trouble) => return Ok(Probed::Unreachable(trouble)),
    };
    let says = match answer.status {
        200..=299 => return Ok(Probed::Accepted),
        401 => "it does not take the drain secret (401): set it as `drain_secret` under [receive] there, and restart it".to_owned(),
        status => format!("a drain's POST is answered with {status}: is that Freshet, and does the front pass /drain/ on?"),
    };
    let message = format!("nothing was changed, for Logplex drops what is refused. At {url}, {says}\n  --unprobed does it all the same");
    Err(Failure::error(Exit::Failed, message))
}
