//! What a workspace could not do, named for what the caller can do about it.

use freshet_core::DestinationError;
use freshet_web::Trouble;

use super::grants::Grant;

/// What a workspace could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// What was configured cannot be used as it is.
    #[error("{0}")]
    Settings(String),
    /// The workspace, or whoever gives out its tokens, does not know us.
    #[error("cannot log in to {host}: {why}")]
    Login {
        /// Where.
        host: String,
        /// What was said and what to do about it.
        why: String,
    },
    /// We may not do it.
    #[error("cannot {doing}: {message}{}", advice(grants, principal.as_deref()))]
    Denied {
        /// What was to be done.
        doing: String,
        /// What Databricks said.
        message: String,
        /// What is missing, as far as that is known.
        grants: Vec<Grant>,
        /// Who we are, where that is known.
        principal: Option<String>,
    },
    /// It is not there.
    #[error("cannot {doing}: {message}")]
    Missing {
        /// What was to be done.
        doing: String,
        /// What Databricks said.
        message: String,
    },
    /// It is there already.
    #[error("cannot {doing}: {message}")]
    Exists {
        /// What was to be done.
        doing: String,
        /// What Databricks said.
        message: String,
    },
    /// Databricks tried, and it failed.
    #[error("cannot {doing}: Databricks says {code}: {message}")]
    Failed {
        /// What was to be done.
        doing: String,
        /// Databricks' code for it.
        code: String,
        /// What Databricks said.
        message: String,
        /// Whether the same may succeed later.
        is_transient: bool,
    },
    /// It asks us to wait for longer than we do.
    #[error("cannot {doing}: the workspace is busy (HTTP {status}): {message}")]
    Busy {
        /// What was to be done.
        doing: String,
        /// HTTP status.
        status: u16,
        /// What Databricks said.
        message: String,
    },
    /// There is no answer.
    #[error("cannot {doing}: {host}: {trouble}")]
    Unreachable {
        /// What was to be done.
        doing: String,
        /// Who does not answer.
        host: String,
        /// Why.
        trouble: Trouble,
    },
    /// A statement took too long and was cancelled.
    #[error(
        "cannot {doing}: not done within {within_s} s and cancelled, it was {state}; a warehouse that starts takes some minutes, one with too much to do needs more clusters"
    )]
    Slow {
        /// What was to be done.
        doing: String,
        /// The time there was, in seconds.
        within_s: u64,
        /// What it was doing last.
        state: String,
    },
    /// An answer that makes no sense.
    #[error("cannot {doing}: {flaw}; see whether the host is that of a workspace")]
    Broken {
        /// What was to be done.
        doing: String,
        /// What is wrong with it.
        flaw: String,
    },
}

impl WorkspaceError {
    /// An answer that makes no sense.
    pub(super) fn broken(doing: &str, flaw: &str) -> Self {
        Self::Broken { doing: doing.to_owned(), flaw: flaw.to_owned() }
    }

    /// Whether the same may succeed later without a person's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { is_transient, .. } => *is_transient,
            Self::Unreachable { trouble, .. } => !trouble.is_lasting(),
            Self::Busy { .. } | Self::Slow { .. } => true,
            Self::Settings(_)
            | Self::Login { .. }
            | Self::Denied { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Broken { .. } => false,
        }
    }
}

/// What to do about missing rights.
fn advice(grants: &[Grant], principal: Option<&str>) -> String {
    let statements: Vec<String> = grants.iter().map(|grant| format!("\n  {}", grant.statement(principal))).collect();
    if statements.is_empty() { String::new() } else { format!("\nwho owns it, or a metastore admin, runs:{}", statements.concat()) }
}

impl From<WorkspaceError> for DestinationError {
    fn from(error: WorkspaceError) -> Self {
        match error {
            error if error.is_transient() => {
                let text = error.to_string();
                // What was done, and why it failed.
                let (doing, why) = text.split_once(": ").unwrap_or(("cannot use Databricks", &text));
                Self::Transient { doing: doing.to_owned(), cause: why.into() }
            }
            WorkspaceError::Login { .. } | WorkspaceError::Denied { .. } => Self::NotPermitted { problem: error.to_string() },
            error => Self::Refused { problem: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(is_transient: bool) -> WorkspaceError {
        let (doing, code, message) = ("run `SELECT 1`".to_owned(), "ABORTED".to_owned(), "somebody: was faster".to_owned());
        WorkspaceError::Failed { doing, code, message, is_transient }
    }

    #[test]
    fn callers_learn_what_they_can_do() {
        let DestinationError::Transient { doing, cause } = failed(true).into() else { panic!("it passes") };
        assert_eq!(doing, "cannot run `SELECT 1`");
        assert_eq!(cause.to_string(), "Databricks says ABORTED: somebody: was faster");
        assert!(matches!(failed(false).into(), DestinationError::Refused { problem } if problem.starts_with("cannot run")));
        let login = WorkspaceError::Login { host: "https://w".to_owned(), why: "no".to_owned() };
        assert!(matches!(login.into(), DestinationError::NotPermitted { .. }));
        let (doing, host) = ("log in".to_owned(), "https://w".to_owned());
        let certificate = WorkspaceError::Unreachable { doing: doing.clone(), host: host.clone(), trouble: Trouble::Issuer };
        assert!(!certificate.is_transient(), "a wrong certificate stays wrong");
        assert!(WorkspaceError::Unreachable { doing, host, trouble: Trouble::Refused }.is_transient());
    }
}
