//! What a drain is to us, by its address.

use freshet_core::Secret;
use freshet_sources::drain::{USER, is_secret};
use serde_json::Value;
use url::Url;

/// What drains of ours look like.
pub(super) struct Ours {
    /// The address by which Heroku reaches us, without a slash at its end; none when nobody said.
    pub(super) url: Option<String>,
    /// The present secret, then the one before it; empty when nobody said.
    pub(super) secrets: Vec<Secret>,
}

/// A log drain that an app has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) id: String,
    /// What it calls itself in what it sends.
    pub(super) token: String,
    /// When it was made, as Heroku writes it.
    pub(super) created_at: String,
    /// Where it leads, without what could be a secret.
    pub(super) place: String,
    pub(super) standing: Standing,
}

/// What a drain is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours, as it should be.
    Right,
    /// Ours, with the secret before the present one: it delivers for as long as that is accepted.
    OldSecret,
    /// Ours, with a secret that we do not know: what it sends is refused, and gone.
    OtherSecret,
    /// Ours, with a secret that cannot be judged, because none is at hand.
    SomeSecret,
    /// Ours, but its lines come under the name of another app.
    OtherApp,
    /// A Freshet's, at another address than ours, or nobody knows ours.
    Elsewhere,
    /// Somebody else's.
    Foreign,
}

impl Standing {
    /// Whether it leads to this Freshet.
    pub(super) fn is_here(self) -> bool {
        !matches!(self, Self::Elsewhere | Self::Foreign)
    }

    /// In a few words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::OldSecret => "old secret",
            Self::OtherSecret => "unknown secret",
            Self::SomeSecret => "here, secret not compared",
            Self::OtherApp => "names another app",
            Self::Elsewhere => "another Freshet",
            Self::Foreign => "not ours",
        }
    }
}

impl Ours {
    /// The drain that `object` of the API describes, of the app with this name.
    pub(super) fn read(&self, app: &str, object: &Value) -> Drain {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let (standing, place) = self.judge(app, object["url"].as_str().unwrap_or_default());
        Drain { id: text("id"), token: text("token"), created_at: text("created_at"), place, standing }
    }

    fn judge(&self, app: &str, address: &str) -> (Standing, String) {
        let Ok(mut url) = Url::parse(address) else { return (Standing::Foreign, "(no address)".to_owned()) };
        let secret = url.password().map(str::to_owned);
        let target = url.path().rsplit_once("/drain/").map(|(before, app)| (before.to_owned(), app.trim_end_matches('/').to_owned()));
        let (true, Some(secret), Some((before, names))) = (url.username() == USER, secret, target) else {
            // Tokens hide in paths and queries, too.
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            return (Standing::Foreign, format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default()));
        };
        // It has a host, or it would have no user: neither can fail.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        let place = url.to_string();
        url.set_path(&before);
        let standing = match &self.url {
            Some(ours) if ours == url.as_str().trim_end_matches('/') => self.judge_secret(&secret, names == app),
            _ => Standing::Elsewhere,
        };
        (standing, place)
    }

    fn judge_secret(&self, secret: &str, is_app: bool) -> Standing {
        match self.secrets.iter().position(|ours| is_secret(ours, secret)) {
            _ if self.secrets.is_empty() => Standing::SomeSecret,
            None => Standing::OtherSecret,
            Some(_) if !is_app => Standing::OtherApp,
            Some(0) => Standing::Right,
            Some(_) => Standing::OldSecret,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ours(url: &str, secrets: &[&str]) -> Ours {
        let secrets = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Ours { url: Some(url.to_owned()).filter(|url| !url.is_empty()), secrets }
    }

    fn check(ours: &Ours, url: &str, standing: Standing, place: &str) {
        let drain = ours.read("shop", &json!({ "id": "1", "token": "d.1", "url": url }));
        assert_eq!((drain.standing, drain.place.as_str()), (standing, place), "{url}");
        assert!(!format!("{drain:?}").contains("s3cret"), "{drain:?}");
    }

    #[test]
    fn drains_are_known_by_their_address() {
        let all = ours("https://logs.example.com", &["s3cret-new", "s3cret-old"]);
        let place = "https://logs.example.com/drain/shop";
        check(&all, "https://freshet:s3cret-new@logs.example.com/drain/shop", Standing::Right, place);
        check(&all, "https://freshet:s3cret-new@logs.example.com:443/drain/shop/", Standing::Right, &format!("{place}/"));
        check(&all, "https://freshet:s3cret-old@logs.example.com/drain/shop", Standing::OldSecret, place);
        check(&all, "https://freshet:s3cret@logs.example.com/drain/shop", Standing::OtherSecret, place);
        check(&all, "https://freshet:s3cret-new@logs.example.com/drain/cart", Standing::OtherApp, "https://logs.example.com/drain/cart");
        check(&all, "https://freshet:s3cret-new@x.example.com/drain/shop", Standing::Elsewhere, "https://x.example.com/drain/shop");
        check(&all, "http://freshet:s3cret-new@logs.example.com/drain/shop", Standing::Elsewhere, "http://logs.example.com/drain/shop");
        check(
            &all,
            "https://freshet:s3cret-new@logs.example.com/p/drain/shop",
            Standing::Elsewhere,
            "https://logs.example.com/p/drain/shop",
        );
        check(&all, "https://user:s3cret-new@logs.example.com/drain/shop", Standing::Foreign, "https://logs.example.com");
        check(&all, "https://logs.example.com/drain/shop?key=s3cret", Standing::Foreign, "https://logs.example.com");
        check(&all, "https://in.example.com/s3cret", Standing::Foreign, "https://in.example.com");
        check(&all, "syslog+tls://s3cret@logs.papertrailapp.com:514", Standing::Foreign, "syslog+tls://logs.papertrailapp.com:514");
        check(&all, "what?", Standing::Foreign, "(no address)");
        let prefixed = ours("https://example.com/freshet", &["s3cret-new"]);
        let place = "https://example.com/freshet/drain/shop";
        check(&prefixed, "https://freshet:s3cret-new@example.com/freshet/drain/shop", Standing::Right, place);
        check(&ours("", &[]), "https://freshet:s3cret-new@example.com/freshet/drain/shop", Standing::Elsewhere, place);
        check(
            &ours("https://example.com/freshet", &[]),
            "https://freshet:s3cret@example.com/freshet/drain/shop",
            Standing::SomeSecret,
            place,
        );
    }
}
