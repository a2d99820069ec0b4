//! The way that Heroku takes: through the public address, whatever stands there, to the listener.

use std::time::Instant;

use freshet_web::{Answer, Peer, Trouble};

use super::Subject;
use super::finding::Finding;
use crate::web;

/// What `/healthz` says.
const HEALTHY: &[u8] = b"ok\n";

/// The app in the path of the empty frame that tries the secret. An empty frame leaves nothing behind.
const APP: &str = "freshet-check";

/// Whether `answer` is what our `/healthz` gives.
pub(super) fn is_healthy(answer: &Answer) -> bool {
    answer.status == 200 && answer.body == HEALTHY
}

/// Asks `/healthz` through the public address, then sends an empty frame with the secret, as a drain would.
/// `is_running` says that this machine's Freshet is up, so that a front without anything behind it is a fault.
pub(super) async fn probe(subject: &Subject, is_running: bool) -> Finding {
    let name = "public address";
    let Some(url) = &subject.public_url else {
        return Finding::skipped(name, "not tried: set `public_url` under [receive], or give --url https://HOST");
    };
    let client = match web::client(Peer::Remote) {
        Ok(client) => client,
        Err(trouble) => return unreachable(name, url, &trouble, is_running),
    };
    let begun = Instant::now();
    let answer = match client.send(client.get(format!("{url}/healthz"))).await {
        Ok(answer) => answer,
        Err(trouble) => return unreachable(name, url, &trouble, is_running),
    };
    let took_ms = begun.elapsed().as_millis();
    if !is_healthy(&answer) {
        return other_answer(name, url, &answer, is_running);
    }
    let Some(secret) = subject.settings.drain_secrets().ok().and_then(|secrets| secrets.into_iter().next()) else {
        return Finding::good(name, format!("{url} leads to a Freshet ({took_ms} ms); without a secret no drain was tried"));
    };
    let frame = client
        .post(format!("{url}/drain/{APP}"))
        .basic_auth("freshet", Some(secret.reveal()))
        .header("content-type", "application/logplex-1")
        .header("logplex-msg-count", "0")
        .body(Vec::new());
    match client.send(frame).await {
        Ok(answer) if (200..300).contains(&answer.status) => {
            Finding::good(name, format!("{url} leads to a Freshet that takes drains with this secret ({took_ms} ms)"))
        }
        Ok(answer) if answer.status == 401 => Finding::failed(
            name,
            format!("{url} leads to a Freshet that does not take this secret (401)"),
            "restart it with this secret; or let the front pass on the header Authorization",
        ),
        Ok(answer) => Finding::failed(
            name,
            format!("{url}/healthz is well, but a drain's POST is answered with {}", answer.status),
            "let the front pass on POST /drain/…, with bodies of up to `body_max`",
        ),
        Err(trouble) => Finding::failed(name, format!("{url}/healthz is well, but a drain's POST is not answered: {trouble}"), START),
    }
}

const START: &str = "is it running and open? See:  freshet status";

fn unreachable(name: &'static str, url: &str, trouble: &Trouble, is_running: bool) -> Finding {
    let found = format!("{url} cannot be reached: {trouble}");
    match trouble {
        trouble if trouble.is_certificate() => Finding::failed(
            name,
            found,
            "Logplex refuses such a certificate too (error L14): give the front one from a public authority, for this name, with its intermediates",
        ),
        Trouble::Tls(_) => {
            Finding::failed(name, found, "let the front speak TLS 1.2 or 1.3 on this port, or correct `public_url` under [receive]")
        }
        Trouble::Name => Finding::failed(name, found, "make a DNS record for the host, or correct `public_url` under [receive]"),
        // Nothing of ours answers before it was started, and no front need be there for a Freshet with TLS of its own.
        Trouble::Refused if !is_running => {
            Finding::warning(name, found, "nothing can be there before `freshet run` is; start it and check again")
        }
        _ => Finding::failed(name, found, "let the front listen there, and the firewalls between it and Heroku let it through"),
    }
}

fn other_answer(name: &'static str, url: &str, answer: &Answer, is_running: bool) -> Finding {
    let status = answer.status;
    match status {
        502..=504 if !is_running => Finding::warning(
            name,
            format!("the front at {url} answers {status}: nothing answers it yet"),
            "start `freshet run` and check again. A front that answers 502 or 503 for us makes Logplex drop frames: let it refuse connections, or pass TCP through",
        ),
        502..=504 => Finding::failed(
            name,
            format!("the front at {url} answers {status}: it does not reach the Freshet that runs here"),
            "point it at the address of `listen` under [receive]",
        ),
        404 => Finding::failed(
            name,
            format!("{url}/healthz is answered with 404: something else answers there"),
            "let the front pass every path on to Freshet, or correct `public_url` under [receive]",
        ),
        401 | 403 => Finding::failed(
            name,
            format!("{url}/healthz is answered with {status}: the front asks for a login of its own"),
            "let it pass /drain/ and /healthz through; Freshet checks the drain secret itself",
        ),
        300..=399 => Finding::failed(
            name,
            format!("{url}/healthz is answered with {status}, a redirect; Logplex follows none"),
            "set `public_url` under [receive], and the drains, to where it leads",
        ),
        200 => Finding::failed(
            name,
            format!("{url}/healthz is answered with 200, but not by Freshet"),
            "let the front pass every path on to Freshet, or correct `public_url` under [receive]",
        ),
        _ => Finding::failed(name, format!("{url}/healthz is answered with {status}"), "look into the front's log"),
    }
}
