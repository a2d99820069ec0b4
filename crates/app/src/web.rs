//! Requests that a person waits for, of `freshet check` and `freshet init`.

use std::time::Duration;

use freshet_web::{Client, Peer, Trouble, WebLimits};

/// Time for a whole request. Below the limit of a probe, so that it ends with its own words.
const REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// The bounds on each of them.
pub(crate) fn limits() -> WebLimits {
    WebLimits { request_within: REQUEST_WITHIN, ..WebLimits::default() }
}

/// A client for `peer`.
///
/// # Errors
/// The system's certificates cannot be read.
pub(crate) fn client(peer: Peer) -> Result<Client, Trouble> {
    Client::new(peer, Client::USER_AGENT, limits())
}
