//! Which route a request means.

use std::collections::BTreeMap;

use hyper::Uri;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::catalogue::{ROUTES, Route};
use crate::world::Refusal;

/// A request, understood.
pub(super) struct Call<'a> {
    pub(super) route: &'static Route,
    /// What stands for the variable parts of the path, in order.
    pub(super) names: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Map<String, Value>,
    pub(super) range: Option<&'a str>,
    /// What is left of the rate limit.
    pub(super) remaining: u32,
    /// Where this server is reached.
    pub(super) base_url: &'a str,
}

/// All routes of the catalogue, by path.
pub(super) struct Routes(matchit::Router<Vec<&'static Route>>);

impl Routes {
    pub(super) fn new() -> Self {
        let mut by_path: BTreeMap<String, Vec<&'static Route>> = BTreeMap::new();
        for route in ROUTES.iter() {
            by_path.entry(numbered(route.path)).or_default().push(route);
        }
        let mut router = matchit::Router::new();
        for (path, routes) in by_path {
            let inserted = router.insert(path, routes);
            assert!(inserted.is_ok(), "the catalogue's paths do not contradict each other");
        }
        Self(router)
    }

    /// The route, and the variable parts of the path.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<(&'static Route, Vec<String>)> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = self.0.at(path).ok()?;
        let route = found.value.iter().find(|route| route.method == method)?;
        let names = found.params.iter().map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned());
        Some((route, names.collect()))
    }
}

/// The path with its variable parts numbered: paths that differ in their words for them are the same path.
fn numbered(path: &str) -> String {
    let mut number = 0;
    let parts = path.split('/').map(|part| {
        if !part.starts_with('{') {
            return part.to_owned();
        }
        number += 1;
        format!("{{{number}}}")
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The query's parameters; of those given twice, the last.
pub(super) fn query_of(uri: &Uri) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

impl Call<'_> {
    /// A text field of the body, which must be there.
    pub(super) fn required(&self, field: &str) -> Result<&str, Refusal> {
        let value = self.body.get(field).and_then(Value::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::invalid(format!("{field} must be specified.")))
    }

    /// A text field of the body.
    pub(super) fn optional(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// What the path's variable parts are called, in order: `app`, `dyno`.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = self.route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        parts.zip(self.names.iter().map(String::as_str))
    }
}
