//! Which request is meant: a drain's frame, or one of the pages that the app supplies.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;

/// Answers `GET path` with a page, or nothing when there is no such page. It must not block.
pub type Pages = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// One page, for example `/healthz` or `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The page itself.
    pub body: Bytes,
}

/// Characters of an app's name. Heroku allows 30; we are lenient, for the name comes from the operator's own URL.
const APP_CHARS_MAX: usize = 128;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `POST /drain/{app}`.
    Drain {
        /// The app's name, percent-decoded.
        app: String,
    },
    /// `POST /webhooks/{name}`.
    Webhook {
        /// The name, percent-decoded: by custom the app's.
        name: String,
    },
    /// A `GET` or `HEAD` of something else.
    Page(&'a str),
    /// `/drain/{app}` or `/webhooks/{name}` with another method than `POST`.
    NotPosted,
    /// Nothing of ours.
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn of(method: &Method, path: &'a str) -> Self {
        let is_post = method == Method::POST;
        match (path.strip_prefix("/drain/"), path.strip_prefix("/webhooks/")) {
            (Some(_), _) | (_, Some(_)) if !is_post => Self::NotPosted,
            (Some(app), _) => app_name(app).map_or(Self::Unknown, |app| Self::Drain { app }),
            (_, Some(name)) => app_name(name).map_or(Self::Unknown, |name| Self::Webhook { name }),
            _ if method == Method::GET || method == Method::HEAD => Self::Page(path),
            _ => Self::Unknown,
        }
    }
}

fn app_name(encoded: &str) -> Option<String> {
    let encoded = encoded.strip_suffix('/').unwrap_or(encoded);
    let plain = !encoded.contains('/');
    let name = percent_decoded(encoded).filter(|_| plain)?;
    let fits = (1..=APP_CHARS_MAX).contains(&name.chars().count());
    (fits && !name.chars().any(char::is_control)).then_some(name)
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let digit = |index: usize| (digits.as_bytes()[index] as char).to_digit(16);
        bytes.push((digit(0)? * 16 + digit(1)?) as u8);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str, expected: Route<'_>) {
        assert_eq!(Route::of(&method, path), expected, "{method} {path}");
    }

    fn drain(app: &str) -> Route<'static> {
        Route::Drain { app: app.to_owned() }
    }

    #[test]
    fn requests_find_their_route() {
        check(Method::POST, "/drain/shop-1", drain("shop-1"));
        check(Method::POST, "/drain/shop/", drain("shop"));
        check(Method::POST, "/drain/my%20sh%C3%B6p", drain("my shöp"));
        check(Method::POST, &format!("/drain/{}", "a".repeat(128)), drain(&"a".repeat(128)));
        for unknown in [
            "/drain",
            "/drain/",
            "/drain//",
            "/drain/a/b",
            "/drain/%",
            "/drain/%4",
            "/drain/%zz",
            "/drain/%+1",
            "/drain/%ff",
            "/drain/a%0a",
            "/",
            "/healthz",
        ] {
            check(Method::POST, unknown, Route::Unknown);
        }
        check(Method::POST, &format!("/drain/{}", "a".repeat(129)), Route::Unknown);
        check(Method::POST, "/webhooks/my%20shop/", Route::Webhook { name: "my shop".to_owned() });
        for unknown in ["/webhooks", "/webhooks/", "/webhooks/a/b", "/webhooks/%0a"] {
            check(Method::POST, unknown, Route::Unknown);
        }
        check(Method::GET, "/webhooks/shop", Route::NotPosted);
        check(Method::GET, "/drain/shop", Route::NotPosted);
        check(Method::PUT, "/drain/shop", Route::NotPosted);
        check(Method::GET, "/healthz", Route::Page("/healthz"));
        check(Method::HEAD, "/metrics", Route::Page("/metrics"));
        check(Method::DELETE, "/metrics", Route::Unknown);
    }
}
