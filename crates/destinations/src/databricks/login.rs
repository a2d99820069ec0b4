//! Who we are to a workspace, found and kept as Databricks' own tools do ("unified authentication").
//!
//! What is configured counts before the environment (`DATABRICKS_*`), and that before a profile in `~/.databrickscfg`. A token that
//! ends is fetched anew some minutes before.

mod fetch;
mod find;
mod profile;
mod program;
mod scope;
mod tokens;

use std::fmt;
use std::path::PathBuf;

use freshet_core::Secret;

pub use find::{AUTH_TYPES, Found, LoginSettings, find, host_address};
pub(super) use scope::Scope;
pub(super) use tokens::{Access, Tokens};

/// The variables of the environment, as an argument.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A way to log in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// `pat`: a token that somebody made by hand.
    Token(Secret),
    /// `oauth-m2m`: a service principal with a secret.
    ServicePrincipal {
        /// Its application id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// `env-oidc`, `file-oidc`, `github-oidc`: whoever runs us vouches for us, and there is no secret.
    Federated {
        /// The service principal's application id; without one, a policy of the account finds it.
        client_id: Option<String>,
        /// Where the word of whoever runs us is.
        subject: Subject,
        /// Whom it is to be for, where that can be asked for.
        audience: Option<String>,
    },
    /// `azure-client-secret`: a service principal of Microsoft Entra.
    Azure {
        /// Where it is known, such as `https://login.microsoftonline.com`.
        authority: String,
        /// Its tenant.
        tenant: String,
        /// Its application id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// `databricks-cli`: whoever is logged in there.
    DatabricksCli {
        /// The program.
        program: PathBuf,
        /// The profile, where one was named.
        profile: Option<String>,
    },
    /// `azure-cli`: whoever is logged in there.
    AzureCli {
        /// The program.
        program: PathBuf,
        /// The tenant, where one was named.
        tenant: Option<String>,
    },
}

/// Where the word of whoever runs us is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It was in a variable.
    Known(Secret),
    /// In a file that is written anew from time to time.
    File(PathBuf),
    /// With GitHub, which gives it to its runners.
    GitHub {
        /// Where to ask.
        url: String,
        /// What to ask with.
        token: Secret,
    },
}

impl Login {
    /// The name of this way, as `auth_type` has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token(_) => "pat",
            Self::ServicePrincipal { .. } => "oauth-m2m",
            Self::Federated { subject: Subject::Known(_), .. } => "env-oidc",
            Self::Federated { subject: Subject::File(_), .. } => "file-oidc",
            Self::Federated { subject: Subject::GitHub { .. }, .. } => "github-oidc",
            Self::Azure { .. } => "azure-client-secret",
            Self::DatabricksCli { .. } => "databricks-cli",
            Self::AzureCli { .. } => "azure-cli",
        }
    }

    /// All of it that nobody may see.
    fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Token(secret)
            | Self::ServicePrincipal { client_secret: secret, .. }
            | Self::Azure { client_secret: secret, .. }
            | Self::Federated { subject: Subject::Known(secret) | Subject::GitHub { token: secret, .. }, .. } => vec![secret.clone()],
            Self::Federated { subject: Subject::File(_), .. } | Self::DatabricksCli { .. } | Self::AzureCli { .. } => Vec::new(),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.name())
    }
}
