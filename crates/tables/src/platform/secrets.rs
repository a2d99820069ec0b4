//! What must not reach a table is taken out of an object before anything else looks at it.

use freshet_core::{SecretDef, SecretRule};
use serde_json::Value;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// A copy of `object` without its secrets. Once more changes nothing.
#[must_use]
pub fn redacted(object: &Value, secrets: &[SecretDef]) -> Value {
    let mut object = object.clone();
    for secret in secrets {
        let names: Vec<&str> = secret.path.split('.').collect();
        apply(&mut object, &names, secret.rule);
    }
    object
}

/// Where the path meets an array, it goes into each element.
fn apply(value: &mut Value, path: &[&str], rule: SecretRule) {
    match (value, path) {
        (value, []) => below(value, rule),
        (Value::Array(elements), _) => elements.iter_mut().for_each(|element| apply(element, path, rule)),
        (Value::Object(members), [last]) if rule == SecretRule::Remove => {
            members.remove(*last);
        }
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(member) = members.get_mut(*name) {
                apply(member, rest, rule);
            }
        }
        _ => {}
    }
}

/// The rule holds for every text here and below.
fn below(value: &mut Value, rule: SecretRule) {
    match value {
        Value::String(text) => *text = replaced(text, rule),
        Value::Array(elements) => elements.iter_mut().for_each(|element| below(element, rule)),
        Value::Object(members) => members.values_mut().for_each(|member| below(member, rule)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replaced(text: &str, rule: SecretRule) -> String {
    let words = |redacted: Option<Vec<u8>>| redacted.map_or_else(|| text.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    match rule {
        SecretRule::Remove => REDACTED.to_owned(),
        SecretRule::Host => host(text),
        SecretRule::Address => address(text),
        SecretRule::Command => words(freshet_parse::redact_command(text.as_bytes())),
    }
}

/// Scheme, host and port.
fn host(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return REDACTED.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let gone = if place.len() < rest.len() { format!("/{REDACTED}") } else { String::new() };
    format!("{scheme}://{place}{gone}")
}

/// An address without the user's part and the values of its query; other text as it is.
fn address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let place = match authority.rsplit_once('@') {
        Some((_, place)) => format!("{REDACTED}@{place}"),
        None => authority.to_owned(),
    };
    let query = query.map(|query| {
        let value = |pair: &str| pair.split_once('=').map_or_else(|| REDACTED.to_owned(), |(name, _)| format!("{name}={REDACTED}"));
        format!("?{}", query.split('&').map(value).collect::<Vec<_>>().join("&"))
    });
    let fragment = fragment.map(|_| format!("#{REDACTED}"));
    format!("{scheme}://{place}{path}{}{}", query.unwrap_or_default(), fragment.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules() {
        fn check(rule: SecretRule, text: &str, expected: &str) {
            assert_eq!(replaced(text, rule), expected, "{text}");
        }
        check(SecretRule::Host, "https://user:pass@logs.example.com:8443/drain/shop?token=t", "https://logs.example.com:8443/[redacted]");
        check(SecretRule::Host, "syslog+tls://logs.example.com:6514", "syslog+tls://logs.example.com:6514");
        check(SecretRule::Host, "https://a@b@host/", "https://host/[redacted]");
        check(SecretRule::Host, "nothing like it", "[redacted]");
        check(
            SecretRule::Address,
            "https://user:pass@host/path?a=1&b#x",
            "https://[redacted]@host/path?a=[redacted]&[redacted]#[redacted]",
        );
        check(SecretRule::Address, "https://github.com/heroku/ruby", "https://github.com/heroku/ruby");
        check(SecretRule::Address, "heroku/ruby", "heroku/ruby");
        check(SecretRule::Command, "node server.js", "node server.js");
        assert!(!replaced("DATABASE_URL=postgres://u:s3cret@host/db rake", SecretRule::Command).contains("s3cret"));
    }

    #[test]
    fn paths_go_into_arrays_and_below() {
        let secret = |path: &'static str, rule: SecretRule| SecretDef { path, rule };
        let object = json!({
            "url": "https://u:p@host/x", "token": "t",
            "list": [{ "token": "t", "name": "n" }, { "name": "m" }, 7],
            "deep": { "headers": { "Authorization": "Bearer t", "n": 1 } },
        });
        let secrets = [
            secret("token", SecretRule::Remove),
            secret("list.token", SecretRule::Remove),
            secret("url", SecretRule::Host),
            secret("deep.headers", SecretRule::Remove),
            secret("not.there", SecretRule::Remove),
        ];
        let expected = json!({ "url": "https://host/[redacted]", "list": [{ "name": "n" }, { "name": "m" }, 7], "deep": {} });
        assert_eq!(redacted(&object, &secrets), expected);
    }
}
