//! The token at hand, and when another is fetched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_core::Secret;
use freshet_web::Timer;
use freshet_web::header::HeaderValue;
use tokio::sync::Semaphore;

use super::fetch::{Fetched, Fetcher};
use super::{Login, Scope};
use crate::databricks::{WorkspaceError, WorkspaceOptions};

/// How long before its end a token is fetched anew; of one that lives less than ten times as long, a tenth of its life.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long a token that could not be fetched anew is used before that is tried again.
const PAUSE: Duration = Duration::from_secs(30);

/// A token for a request.
#[derive(Clone)]
pub(in crate::databricks) struct Access {
    secret: Secret,
    header: HeaderValue,
    /// Which of those that were fetched it is.
    number: u64,
    /// When it ends, by the timer.
    ends: Option<Duration>,
    /// From when on another is fetched in its place.
    renewed: Option<Duration>,
}

impl Access {
    /// The value of `Authorization`.
    pub(in crate::databricks) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// Where requests get their token from. One fetches for all who wait.
pub(in crate::databricks) struct Tokens {
    fetcher: Fetcher,
    timer: Arc<dyn Timer>,
    /// One permit: who has it fetches.
    door: Semaphore,
    state: Mutex<State>,
    /// What of the login nobody may see.
    secrets: Vec<Secret>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// How many were fetched.
    count: u64,
}

impl Tokens {
    /// What gives tokens for the workspace at `host`.
    pub(in crate::databricks) fn new(options: &WorkspaceOptions, host: &str) -> Result<Self, WorkspaceError> {
        if let Login::Token(secret) = &options.login
            && authorization(secret).is_none()
        {
            return Err(WorkspaceError::Settings(
                "the token for the workspace is none: it is empty, or has a space or a line break in it".into(),
            ));
        }
        Ok(Self {
            fetcher: Fetcher::new(options, host)?,
            timer: Arc::clone(&options.timer),
            door: Semaphore::new(1),
            state: Mutex::default(),
            secrets: options.login.secrets(),
        })
    }

    /// Tokens of the same login that are good for `scope` only.
    ///
    /// # Errors
    /// There are none for this way to log in.
    pub(in crate::databricks) fn scoped(&self, scope: Scope) -> Result<Self, WorkspaceError> {
        Ok(Self {
            fetcher: self.fetcher.scoped(scope)?,
            timer: Arc::clone(&self.timer),
            door: Semaphore::new(1),
            state: Mutex::default(),
            secrets: self.secrets.clone(),
        })
    }

    /// The token at hand, or a new one.
    ///
    /// # Errors
    /// There is none, and none can be fetched.
    pub(in crate::databricks) async fn get(&self) -> Result<Access, WorkspaceError> {
        if let Some(access) = self.at_hand() {
            return Ok(access);
        }
        // It is never closed.
        let _turn = self.door.acquire().await.ok();
        if let Some(access) = self.at_hand() {
            return Ok(access);
        }
        let asked = self.timer.now();
        let ended = self.fetcher.fetch().await.and_then(|fetched| self.access(fetched, asked));
        let mut state = self.state();
        match ended {
            Ok(access) => {
                state.count = access.number;
                Ok(state.access.insert(access).clone())
            }
            Err(error) => {
                let now = self.timer.now();
                let lives = |access: &&mut Access| error.is_transient() && access.ends.is_some_and(|ends| now < ends);
                let Some(access) = state.access.as_mut().filter(lives) else { return Err(error) };
                tracing::warn!(%error, "databricks token not renewed, the old one is still used");
                access.renewed = access.ends.min(Some(now + PAUSE));
                Ok(access.clone())
            }
        }
    }

    /// The service principal, if it is one.
    pub(in crate::databricks) fn client_id(&self) -> Option<&str> {
        self.fetcher.client_id()
    }

    /// Lets go of the token at hand: another may do what it does not.
    pub(in crate::databricks) fn forget(&self) {
        self.state().access = None;
    }

    /// Takes note that the workspace refuses `access`; says whether there may be another.
    pub(in crate::databricks) fn refused(&self, access: &Access) -> bool {
        self.state().access.take_if(|current| current.number == access.number);
        self.fetcher.can_fetch_anew()
    }

    /// All that a server could repeat and nobody may see.
    pub(in crate::databricks) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = self.secrets.clone();
        secrets.extend(self.state().access.as_ref().map(|access| access.secret.clone()));
        secrets
    }

    fn at_hand(&self) -> Option<Access> {
        let now = self.timer.now();
        self.state().access.clone().filter(|access| access.renewed.is_none_or(|renewed| now < renewed))
    }

    fn access(&self, fetched: Fetched, asked: Duration) -> Result<Access, WorkspaceError> {
        let header = authorization(&fetched.token).ok_or_else(|| WorkspaceError::broken("log in", "the token that came is none"))?;
        let ends = fetched.lives.and_then(|lives| asked.checked_add(lives));
        let renewed = fetched.lives.and_then(|lives| asked.checked_add(lives - MARGIN.min(lives / 10)));
        let number = self.state().count + 1;
        Ok(Access { secret: fetched.token, header, number, ends, renewed })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header with `token`; none when it is no token.
fn authorization(token: &Secret) -> Option<HeaderValue> {
    let is_token = !token.reveal().is_empty() && token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok().filter(|_| is_token)?;
    value.set_sensitive(true);
    Some(value)
}
