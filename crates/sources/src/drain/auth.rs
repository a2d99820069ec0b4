//! Basic authentication of drains, in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_core::Secret;
use hyper::header::HeaderValue;
use subtle::{Choice, ConstantTimeEq};

/// The user name in every drain URL.
pub const USER: &str = "freshet";

/// `freshet:` and the secret, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 264;

/// Room to decode a header into: what is longer cannot be right.
const DECODED_BYTES_MAX: usize = 3 * CREDENTIAL_BYTES_MAX;

/// The credentials that are accepted.
pub(super) struct Credentials(Vec<Credential>);

/// A secret that no drain could present.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nobody could ever be let in.
    #[error("no drain secret is set: set `receive.drain_secret`")]
    Missing,
    /// Too long or empty.
    #[error("a drain secret must have 1 to 256 characters, not {length}")]
    Length {
        /// How many it has.
        length: usize,
    },
    /// Logplex sends the userinfo of a drain URL undecoded, and a second `:` in it stops the drain for good.
    #[error("a drain secret may hold only letters, digits and `-._~`: it is part of a URL that Logplex does not decode")]
    Characters,
}

/// One `user:password`, padded so that each comparison does the same work.
struct Credential {
    bytes: [u8; CREDENTIAL_BYTES_MAX],
    length: usize,
}

impl Credentials {
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        if secrets.is_empty() {
            return Err(SecretError::Missing);
        }
        secrets.iter().map(Credential::of_secret).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an `Authorization` header opens the door. How long it takes tells nothing about the secrets.
    pub(super) fn admit(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(offered) = authorization.and_then(|value| offered(value.as_bytes())) else { return false };
        let accepted = self.0.iter().fold(Choice::from(0), |accepted, credential| accepted | credential.ct_eq(&offered));
        accepted.into()
    }
}

impl Credential {
    fn of_secret(secret: &Secret) -> Result<Self, SecretError> {
        let text = secret.reveal();
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            return Err(SecretError::Characters);
        }
        let whole = format!("{USER}:{text}");
        Self::of_bytes(whole.as_bytes()).filter(|_| !text.is_empty()).ok_or(SecretError::Length { length: text.len() })
    }

    fn of_bytes(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; CREDENTIAL_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: text.len() })
    }

    fn ct_eq(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length)
    }
}

/// Whether `offered` is `secret`. How long it takes tells nothing about the secret.
#[must_use]
pub fn is_secret(secret: &Secret, offered: &str) -> bool {
    let whole = format!("{USER}:{offered}");
    match (Credential::of_secret(secret), Credential::of_bytes(whole.as_bytes())) {
        (Ok(secret), Some(offered)) => secret.ct_eq(&offered).into(),
        _ => false,
    }
}

/// The credential in a header of the form `Basic BASE64`, or nothing when it has no such form.
fn offered(header: &[u8]) -> Option<Credential> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = [0; DECODED_BYTES_MAX];
    let length = STANDARD.decode_slice(encoded.trim_ascii(), &mut decoded).ok()?;
    Credential::of_bytes(&decoded[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: Option<&str>, admitted: bool) {
        let credentials = Credentials::new(&[Secret::new("old-one".into()), Secret::new("new.one_~9".into())]).unwrap();
        let value = header.map(|text| HeaderValue::from_str(text).unwrap());
        assert_eq!(credentials.admit(value.as_ref()), admitted, "{header:?}");
    }

    fn basic(credential: &str) -> String {
        format!("Basic {}", STANDARD.encode(credential))
    }

    #[test]
    fn both_secrets_open_the_door_and_nothing_else_does() {
        check(Some(&basic("freshet:old-one")), true);
        check(Some(&basic("freshet:new.one_~9")), true);
        check(Some(&basic("freshet:old-one").replace("Basic", "bAsIc")), true);
        check(None, false);
        for wrong in ["", "freshet:", "freshet:old-on", "freshet:old-one\0", "freshet:old-onee", "Freshet:old-one", "old-one", ":old-one"] {
            check(Some(&basic(wrong)), false);
        }
        check(Some(&basic(&"x".repeat(100_000))), false);
        for malformed in ["", "Basic", "Basic ", "Basic %%%", "Bearer old-one", "freshet:old-one"] {
            check(Some(malformed), false);
        }
    }

    #[test]
    fn a_secret_is_the_same_or_not() {
        let secret = Secret::new("new.one_~9".into());
        assert!(is_secret(&secret, "new.one_~9"));
        for other in ["", "new.one_~", "new.one_~99", "new.one_~9\0", &"x".repeat(1000)] {
            assert!(!is_secret(&secret, other), "{other}");
        }
        assert!(!is_secret(&Secret::new(String::new()), ""));
    }

    #[test]
    fn a_secret_no_drain_could_send_is_refused() {
        let refused = |text: &str| Credentials::new(&[Secret::new(text.into())]).err();
        assert_eq!(Credentials::new(&[]).err(), Some(SecretError::Missing));
        assert_eq!(refused(""), Some(SecretError::Length { length: 0 }));
        assert_eq!(refused(&"s".repeat(257)), Some(SecretError::Length { length: 257 }));
        assert_eq!(refused(&"s".repeat(256)), None);
        for text in ["a:b", "a b", "p%40ss", "p@ss", "a/b", "ü"] {
            assert_eq!(refused(text), Some(SecretError::Characters), "{text}");
        }
    }
}
