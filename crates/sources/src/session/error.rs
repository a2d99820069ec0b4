//! Why a log cannot be followed.

use freshet_web::Trouble;

use crate::platform::ApiError;

/// Why a log cannot be followed. The address of a session, which is as good as a password, is in none of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The API said no, or nothing.
    #[error(transparent)]
    Api(ApiError),
    /// The API made a session that is nowhere.
    #[error("the API made a log session without an address; see whether `api_url` is right")]
    NoAddress,
    /// Its address is none that may be used.
    #[error("the log session's address {0}; see whether `api_url` is right")]
    Address(String),
    /// This machine cannot make requests at all.
    #[error("no request can be made: {0}; let this machine have certificates to trust, for example with `apt-get install ca-certificates`")]
    Client(Trouble),
    /// The session does not answer.
    #[error("the log session is not answered: {0}; see to the network and the variable HTTPS_PROXY")]
    Unreachable(Trouble),
    /// The session answers with an error. 403 and 404: its time is over.
    #[error("the log session is answered with {status}; try again later")]
    Refused {
        /// HTTP status.
        status: u16,
    },
}

impl SessionError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Api(error) => error.is_temporary(),
            Self::Unreachable(trouble) => !trouble.is_lasting(),
            Self::Refused { .. } => true,
            Self::NoAddress | Self::Address(_) | Self::Client(_) => false,
        }
    }
}
