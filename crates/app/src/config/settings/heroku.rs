//! How to reach the Platform API.

use std::path::Path;

use freshet_core::Secret;
use freshet_sources::platform::{OAuth, Token};

use super::{Values, address, resolve};
use crate::config::netrc;

/// How to reach the Platform API.
#[derive(Clone, Debug)]
pub(crate) struct HerokuSettings {
    /// As written: `env:NAME`, `file:PATH` or itself.
    token: Secret,
    /// Whether the file names another place than the usual for it.
    is_token_written: bool,
    /// The OAuth client, as written.
    client_secret: Secret,
    refresh_token: Secret,
    oauth_url: String,
    /// Whether the file names another place than the usual for one of its secrets.
    is_oauth_written: bool,
    /// Whether the file asks for something of the API, so that a missing token is worth a warning.
    pub(crate) is_wanted: bool,
    /// Without a slash at its end.
    pub(crate) api_url: String,
    /// Names and patterns of apps; empty for all.
    pub(crate) apps: Vec<String>,
}

/// Why there is no token. Its words are few.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoToken {
    /// Nobody has given one.
    #[error("{0}")]
    Missing(String),
    /// Something was given, and is of no use as it is.
    #[error("{0}")]
    Mistaken(String),
}

/// The file in the data directory for a refresh token that came in place of the configured one.
const REFRESH_TOKEN_FILE: &str = "oauth.json";

impl HerokuSettings {
    /// What `values` say, and what of it is refused.
    pub(super) fn of(values: &Values, refuse: &mut impl FnMut(&str, String)) -> Self {
        let is_token_written = !values.is_default("heroku.token");
        let oauth_key = ["heroku.oauth_client_secret", "heroku.oauth_refresh_token"].into_iter().find(|key| !values.is_default(key));
        if let Some(key) = oauth_key.filter(|_| is_token_written) {
            refuse(key, format!("`{key}` and `heroku.token` exclude each other: leave out the token, or the OAuth client"));
        }
        Self {
            token: Secret::new(values.text("heroku.token")),
            is_token_written,
            client_secret: Secret::new(values.text("heroku.oauth_client_secret")),
            refresh_token: Secret::new(values.text("heroku.oauth_refresh_token")),
            oauth_url: address(values, "heroku.oauth_url", refuse).unwrap_or_default(),
            is_oauth_written: oauth_key.is_some(),
            is_wanted: values.is_written("heroku.apps") || is_token_written || oauth_key.is_some(),
            api_url: address(values, "heroku.api_url", refuse).unwrap_or_default(),
            apps: values.list("heroku.apps"),
        }
    }

    /// The token, or the OAuth client that fetches them, read from where the file says it is.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn token(&self, data_dir: &Path) -> Result<Token, NoToken> {
        let token = resolve(&self.token);
        if self.is_oauth_written || (!self.is_token_written && resolve(&self.refresh_token).is_ok()) {
            if !self.is_oauth_written && token.is_ok() {
                return Err(NoToken::Mistaken(
                    "HEROKU_API_KEY and HEROKU_OAUTH_REFRESH_TOKEN are both set, and nobody knows which is meant: unset one".to_owned(),
                ));
            }
            return self.oauth(data_dir).map(Token::OAuth).map_err(NoToken::Mistaken);
        }
        token.map(Token::Fixed).map_err(NoToken::Missing)
    }

    fn oauth(&self, data_dir: &Path) -> Result<OAuth, String> {
        let secret = |key: &str, written| resolve(written).map_err(|why| format!("`{key}` of the OAuth client is not there: {why}"));
        Ok(OAuth {
            url: self.oauth_url.clone(),
            client_secret: secret("oauth_client_secret", &self.client_secret)?,
            refresh_token: secret("oauth_refresh_token", &self.refresh_token)?,
            kept_in: data_dir.join(REFRESH_TOKEN_FILE),
        })
    }

    /// The same for verbs that a person runs: where nothing is said of any, the Heroku CLI's token.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn token_or_that_of_cli(&self, data_dir: &Path) -> Result<Token, NoToken> {
        match self.token(data_dir) {
            Err(NoToken::Missing(why)) if !self.is_token_written => self
                .token_of_cli()
                .map(Token::Fixed)
                .ok_or_else(|| NoToken::Missing(format!("{why}, and the Heroku CLI is not logged in (~/.netrc)"))),
            token => token,
        }
    }

    /// The token that the Heroku CLI keeps for the API's host.
    fn token_of_cli(&self) -> Option<Secret> {
        let host = self.api_url.split_once("://")?.1.split(['/', ':']).next()?;
        netrc::password(&std::fs::read_to_string(netrc::path()?).ok()?, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::examine_text;

    #[test]
    fn a_token_and_an_oauth_client_exclude_each_other() {
        let problems = |source: &str| examine_text(source).1.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = "[heroku]\ntoken = \"x\"\noauth_refresh_token = \"y\"\n";
        assert_eq!(
            problems(both),
            [
                "line 3, column 1: `heroku.oauth_refresh_token` and `heroku.token` exclude each other: leave out the token, or the OAuth client"
            ]
        );
        let token = |lines: &str| examine_text(&format!("[heroku]\n{lines}\n")).0.heroku.token(Path::new("data"));
        let Ok(Token::OAuth(oauth)) = token("oauth_client_secret = \"s\"\noauth_refresh_token = \"r\"") else { panic!("no client") };
        assert_eq!((oauth.client_secret.reveal(), oauth.refresh_token.reveal()), ("s", "r"));
        assert_eq!((oauth.url.as_str(), oauth.kept_in.as_path()), ("https://id.heroku.com", Path::new("data/oauth.json")));
        assert!(matches!(token("token = \"x\""), Ok(Token::Fixed(_))));
        // Half a client is not passed over in silence.
        let half = token("oauth_client_secret = \"s\"\noauth_refresh_token = \"file:/no/such\"");
        assert!(matches!(&half, Err(NoToken::Mistaken(why)) if why.contains("`oauth_refresh_token`")), "{half:?}");
        let elsewhere = problems("[heroku]\noauth_url = \"http://id.example.com\"\n");
        assert!(elsewhere.len() == 1 && elsewhere[0].contains("`oauth_url` must"), "{elsewhere:?}");
    }
}
