//! Signatures of webhooks, in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_core::Secret;
use hyper::header::HeaderValue;
use ring::hmac;

/// The header in which Heroku sends the signature: base64 of HMAC-SHA256 of the raw body.
pub(super) const SIGNATURE: &str = "heroku-webhook-hmac-sha256";

/// Characters of a signature's header that are looked at: 44 are right, and what is much longer is not.
const HEADER_BYTES_MAX: usize = 64;

/// The secrets with which deliveries may be signed.
pub(super) struct Signers(Vec<hmac::Key>);

impl Signers {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        Self(secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes())).collect())
    }

    /// Whether there is no secret, so that nothing can be right.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the secrets made `signature` of `body`. How long it takes tells nothing about secrets and right signatures: each
    /// secret is tried, and the library compares in constant time.
    pub(super) fn admit(&self, signature: &HeaderValue, body: &[u8]) -> bool {
        let header = signature.as_bytes().trim_ascii();
        let Some(offered) = (header.len() <= HEADER_BYTES_MAX).then(|| STANDARD.decode(header).ok()).flatten() else { return false };
        self.0.iter().fold(false, |admitted, key| admitted | hmac::verify(key, body, &offered).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"what do ya want for nothing?";

    fn signers(secrets: &[&str]) -> Signers {
        Signers::new(&secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect::<Vec<_>>())
    }

    fn check(secrets: &[&str], signature: &str, body: &[u8], expected: bool) {
        let header = HeaderValue::from_bytes(signature.as_bytes()).unwrap();
        assert_eq!(signers(secrets).admit(&header, body), expected, "{secrets:?} {signature:?}");
    }

    /// Test case 2 of RFC 4231, in base64.
    const RIGHT: &str = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";

    #[test]
    fn only_what_a_secret_has_signed_is_right() {
        check(&["Jefe"], RIGHT, BODY, true);
        check(&["Jefe"], &format!(" {RIGHT} "), BODY, true);
        check(&["new", "Jefe"], RIGHT, BODY, true);
        check(&["Jefe", "new"], RIGHT, BODY, true);
        check(&[], RIGHT, BODY, false);
        check(&["jefe"], RIGHT, BODY, false);
        check(&["Jefe"], RIGHT, b"what do ya want for nothing!", false);
        check(&["Jefe"], RIGHT, b"", false);
        for wrong in ["", "=", "AAAA", &RIGHT[..43], &RIGHT.replace('W', "X"), &RIGHT.repeat(2), "5bdcc146bf60754e6a042426089575c75a003f08"]
        {
            check(&["Jefe"], wrong, BODY, false);
        }
        assert!(signers(&[]).is_empty() && !signers(&["x"]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn one_bit_anywhere_is_enough(bit in 0..256_usize, secret in "[ -~]{1,80}", body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let signers = signers(&[&secret]);
            let mut tag = hmac::sign(&signers.0[0], &body).as_ref().to_vec();
            let header = |tag: &[u8]| HeaderValue::from_str(&STANDARD.encode(tag)).unwrap();
            proptest::prop_assert!(signers.admit(&header(&tag), &body));
            tag[bit / 8] ^= 1 << (bit % 8);
            proptest::prop_assert!(!signers.admit(&header(&tag), &body));
        }
    }
}
