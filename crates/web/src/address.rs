//! Addresses that secrets may be sent to.

use url::{Host, Url};

/// The address in `text`, without a slash at its end, when it may be used: `https`, or `http` to this machine where the
/// secrets that go there stay on it.
///
/// # Errors
/// What it must be; the text itself may hold a password and is not repeated.
pub fn web_address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| url.has_host());
    let url = url.ok_or_else(|| "must be an address such as \"https://logs.example.com\"".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: leave out what is before the `@`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end before `?` and `#`".to_owned());
    }
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && is_local) {
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    Err("must begin with https:// (http:// will do for this machine only): secrets travel there".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_secrets_to_themselves() {
        fn check(text: &str, expected: Result<&str, &str>) {
            match (web_address(text), expected) {
                (Ok(address), Ok(wanted)) => assert_eq!(address, wanted, "{text}"),
                (Err(why), Err(part)) => assert!(why.contains(part) && !why.contains("hunter2"), "{text}: {why}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        check("https://logs.example.com/", Ok("https://logs.example.com"));
        check("https://example.com/freshet/", Ok("https://example.com/freshet"));
        check("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check("http://[::1]:8080", Ok("http://[::1]:8080"));
        check("http://localhost:8080", Ok("http://localhost:8080"));
        check("http://logs.example.com", Err("https://"));
        check("http://localhost.example.com", Err("https://"));
        check("ftp://127.0.0.1", Err("https://"));
        check("logs.example.com", Err("an address such as"));
        check("https:", Err("an address such as"));
        check("", Err("an address such as"));
        check("https://freshet:hunter2@logs.example.com", Err("before the `@`"));
        check("https://logs.example.com/?key=hunter2", Err("must end before"));
    }
}
