//! Where a drain's URL leads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;

/// How a drain is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Syslog,
    SyslogTls,
}

/// A drain's URL, read as Logplex reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// What the `Host` header says: with a port where the URL has one.
    pub(super) host_header: String,
    pub(super) path_and_query: String,
    /// The value of the `Authorization` header.
    pub(super) authorization: Option<String>,
}

impl Target {
    /// Reads a URL; says in words why it leads nowhere.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("the URL cannot be read: {error}"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            Some("syslog") => (Scheme::Syslog, 514),
            Some("syslog+tls") => (Scheme::SyslogTls, 6514),
            _ => return Err("the URL begins with none of https, http, syslog+tls, syslog".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL has no host")?.as_str();
        let (user_info, host_header) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        Ok(Self {
            scheme,
            host: uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
            host_header: host_header.to_owned(),
            path_and_query: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authorization: user_info.map(authorization).transpose()?,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::SyslogTls)
    }

    pub(super) fn is_syslog(&self) -> bool {
        matches!(self.scheme, Scheme::Syslog | Scheme::SyslogTls)
    }
}

/// Percent signs are taken as they are, and a second colon kills the drain's process (observed). A user without a password gets an empty one.
fn authorization(user_info: &str) -> Result<String, String> {
    let credentials = match user_info.matches(':').count() {
        0 => format!("{user_info}:"),
        1 => user_info.to_owned(),
        _ => return Err("the URL's user and password hold more than one colon: Logplex never sends to such a drain".to_owned()),
    };
    Ok(format!("Basic {}", STANDARD.encode(credentials)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<(&str, u16, &str, &str, Option<&str>), &str>) {
        match (Target::parse(url), expected) {
            (Ok(target), Ok((host, port, host_header, path_and_query, credentials))) => {
                assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
                assert_eq!((target.host_header.as_str(), target.path_and_query.as_str()), (host_header, path_and_query), "{url}");
                let sent = target.authorization.map(|value| STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap());
                assert_eq!(sent.as_deref(), credentials.map(str::as_bytes), "{url}");
            }
            (Err(trouble), Err(expected)) => assert!(trouble.contains(expected), "{url}: {trouble}"),
            (read, _) => panic!("{url}: {read:?}"),
        }
    }

    #[test]
    fn urls_are_read_as_logplex_reads_them() {
        check("http://127.0.0.1:9911/logs?app=demo", Ok(("127.0.0.1", 9911, "127.0.0.1:9911", "/logs?app=demo", None)));
        check("https://drain.example.com", Ok(("drain.example.com", 443, "drain.example.com", "/", None)));
        check("https://u:p@h.example:8443/a/b", Ok(("h.example", 8443, "h.example:8443", "/a/b", Some("u:p"))));
        check("https://u:p%40ss%3A@h.example/", Ok(("h.example", 443, "h.example", "/", Some("u:p%40ss%3A"))));
        check("https://token@h.example/", Ok(("h.example", 443, "h.example", "/", Some("token:"))));
        check("https://u:p:q@h.example/", Err("more than one colon"));
        check("https://u:@h.example/?x=1", Ok(("h.example", 443, "h.example", "/?x=1", Some("u:"))));
        check("http://[::1]:80/", Ok(("::1", 80, "[::1]:80", "/", None)));
        check("syslog://h.example:1514", Ok(("h.example", 1514, "h.example:1514", "/", None)));
        check("syslog+tls://h.example", Ok(("h.example", 6514, "h.example", "/", None)));
        check("ftp://h.example", Err("begins with none of"));
        check("/only/a/path", Err("begins with none of"));
        check("", Err("cannot be read"));
        check("https://", Err("cannot be read"));
    }
}
