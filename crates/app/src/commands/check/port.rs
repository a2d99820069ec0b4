//! What stands between Heroku and the spool: the secret, the certificate, the port, and the front before it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use freshet_core::{Clock as _, SystemClock};
use freshet_sources::drain::TlsFiles;
use freshet_web::Peer;
use tokio::net::TcpSocket;

use super::finding::Finding;
use super::{Subject, bounded, front};
use crate::daemon::Report;
use crate::exit::Exit;
use crate::web;

/// Characters of a drain secret below which guessing is worth a try.
const SECRET_CHARS_LOW: usize = 16;

/// Characters that the receiver takes at most.
const SECRET_CHARS_MAX: usize = 256;

const MAKE_SECRET: &str = "make one:  export FRESHET_DRAIN_SECRET=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')";

/// The probes of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    let mut findings = vec![secret(&subject), certificate(&subject)];
    let process = Report::read(&subject.data_dir, SystemClock.now()).and_then(|report| report.0["pid"].as_u64());
    let (port, front) =
        tokio::join!(bounded("port", port(&subject, process)), bounded("public address", front::probe(&subject, process.is_some())));
    findings.extend([port, front]);
    findings
}

fn secret(subject: &Subject) -> Finding {
    let name = "drain secret";
    let secrets = match subject.settings.drain_secrets() {
        Ok(secrets) => secrets,
        Err(error) => {
            let text = error.to_string();
            let (found, fix) = text.split_once('\n').unwrap_or((&text, MAKE_SECRET));
            let fix: Vec<&str> = fix.lines().map(str::trim).collect();
            return Finding::failed_with(Exit::BadConfig, name, found, fix.join("\n"));
        }
    };
    let lengths: Vec<usize> = secrets.iter().map(|secret| secret.reveal().len()).collect();
    let (shortest, longest) = (lengths.iter().min().copied().unwrap_or_default(), lengths.iter().max().copied().unwrap_or_default());
    if longest > SECRET_CHARS_MAX {
        let found = format!("it has {longest} characters, and the receiver takes {SECRET_CHARS_MAX} at most");
        return Finding::failed_with(Exit::BadConfig, name, found, MAKE_SECRET);
    }
    if shortest < SECRET_CHARS_LOW {
        let found = format!("it has only {shortest} characters, and whoever guesses it can write into your tables");
        return Finding::warning(name, found, MAKE_SECRET);
    }
    let second = if lengths.len() > 1 { ", and an old one is accepted too" } else { "" };
    Finding::good(name, format!("{} characters, fit for a drain's URL{second}", lengths[0]))
}

fn certificate(subject: &Subject) -> Finding {
    let name = "TLS";
    let Some(tls) = &subject.settings.tls else {
        return Finding::skipped(name, "none of our own: a front has to speak HTTPS with Heroku");
    };
    match (TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }).check() {
        Ok(()) => Finding::good(name, format!("{} and its key belong together", tls.certificate.display())),
        Err(error) => {
            let text = error.to_string();
            let (found, fix) = text
                .split_once(": give")
                .map_or((text.as_str(), "give files that belong together".to_owned()), |(found, fix)| (found, format!("give{fix}")));
            Finding::failed_with(Exit::BadConfig, name, found, fix)
        }
    }
}

/// `process` is the Freshet that runs with the same data directory.
async fn port(subject: &Subject, process: Option<u64>) -> Finding {
    let name = "port";
    let listen = subject.listen;
    match bind(listen) {
        Ok(()) => Finding::good(name, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match (is_freshet(subject).await, process) {
            (true, Some(process)) => Finding::good(name, format!("{listen}: this Freshet runs there, as process {process}")),
            (true, None) => Finding::failed(
                name,
                format!("{listen} is taken by a Freshet with another data directory"),
                "stop that one, or set another `listen` under [receive]",
            ),
            (false, _) => Finding::failed(
                name,
                format!("{listen} is taken by another program"),
                format!("find it:  ss -ltnp 'sport = :{}'\nor set another `listen` under [receive]", listen.port()),
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::failed_with(
            Exit::NotPermitted,
            name,
            format!("{listen} may not be taken by this user"),
            "choose a port from 1024 up in `listen` under [receive], and let a front have the low one",
        ),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Finding::failed(
            name,
            format!("this machine has no address {}", listen.ip()),
            "set `listen` under [receive] to 0.0.0.0 or to an address of this machine",
        ),
        Err(error) => Finding::failed(name, format!("{listen} cannot be taken: {error}"), "set another `listen` under [receive]"),
    }
}

/// Takes the port for a moment, as `freshet run` would. It never listens: a connection that were accepted now would cost a
/// waiting drain its frame.
fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Whether what listens at our address answers as Freshet does.
async fn is_freshet(subject: &Subject) -> bool {
    let mut address = subject.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    let scheme = if subject.settings.tls.is_some() { "https" } else { "http" };
    let Ok(client) = web::client(Peer::OwnPort) else { return false };
    let page = async |path: &str| client.send(client.get(format!("{scheme}://{address}{path}"))).await;
    match page("/healthz").await {
        Ok(health) if front::is_healthy(&health) => page("/metrics").await.is_ok_and(|answer| answer.body.starts_with(b"# HELP freshet_")),
        _ => false,
    }
}
