//! What a request is allowed by.

use std::sync::Arc;
use std::time::Duration;

use freshet_core::Secret;
use freshet_web::header::HeaderValue;

use super::error::ApiError;
use super::oauth::{OAuth, Refresher};
use super::options::ApiOptions;

/// A token, or how to come by one.
#[derive(Clone, Debug)]
pub enum Token {
    /// One that stays as it is.
    Fixed(Secret),
    /// Those that an OAuth client fetches, each good for some hours.
    OAuth(OAuth),
}

impl From<Secret> for Token {
    fn from(token: Secret) -> Self {
        Self::Fixed(token)
    }
}

/// A token for a request.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: Secret,
    /// Which of those that were fetched it is.
    pub(super) number: u64,
    /// When it ends, by the client's timer, where that is known.
    pub(super) ends: Option<Duration>,
    /// From when on another is fetched in its place.
    pub(super) renewed: Option<Duration>,
}

/// Where requests get their token from.
pub(super) enum TokenSource {
    /// Nowhere: the answer will be 401.
    None,
    Fixed(Access),
    OAuth(Arc<Refresher>),
}

impl TokenSource {
    /// The source that `options` name.
    ///
    /// # Errors
    /// No header can carry the token, or the OAuth client's secrets must not go to its address.
    pub(super) fn new(options: &ApiOptions) -> Result<Self, ApiError> {
        Ok(match &options.token {
            None => Self::None,
            Some(Token::Fixed(token)) => {
                authorization(token).ok_or(ApiError::Token)?;
                Self::Fixed(Access { token: token.clone(), number: 0, ends: None, renewed: None })
            }
            Some(Token::OAuth(oauth)) => Self::OAuth(Arc::new(Refresher::new(oauth.clone(), options)?)),
        })
    }

    /// The token for the next request.
    ///
    /// # Errors
    /// None can be fetched.
    pub(super) async fn get(&self) -> Result<Option<Access>, ApiError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(access) => Ok(Some(access.clone())),
            Self::OAuth(refresher) => refresher.get().await.map(Some),
        }
    }

    /// Takes note that the API refuses `access`; says whether there may be another.
    pub(super) fn refused(&self, access: &Access) -> bool {
        match self {
            Self::None | Self::Fixed(_) => false,
            Self::OAuth(refresher) => {
                refresher.refused(access);
                true
            }
        }
    }

    /// How long the token at hand is good, where that is known.
    pub(super) fn ends_in(&self) -> Option<Duration> {
        match self {
            Self::None | Self::Fixed(_) => None,
            Self::OAuth(refresher) => refresher.ends_in(),
        }
    }

    /// All that a server could repeat and nobody may see.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::None => Vec::new(),
            Self::Fixed(access) => vec![access.token.clone()],
            Self::OAuth(refresher) => refresher.secrets(),
        }
    }
}

/// The header with `token`; none when it is no token.
pub(super) fn authorization(token: &Secret) -> Option<HeaderValue> {
    let is_token = !token.reveal().is_empty() && token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok().filter(|_| is_token)?;
    value.set_sensitive(true);
    Some(value)
}
