//! Databricks: a workspace as its REST API shows it, and the destinations that are built on it.
//!
//! ```text
//! call ─▶ token (fetched anew before its end) ─▶ request ─▶ answer ─▶ value
//!  ▲                                                │
//!  └── wait, as long as it says or longer each time ◀── no answer, 429, 503, a code that passes
//! ```
//!
//! Every call here may be made twice: reading changes nothing, files are put whole, and of a statement the caller promises it. So
//! whatever may have landed and was not answered is done again.

mod call;
mod catalog;
mod columns;
mod credentials;
mod error;
mod external;
mod files;
mod grants;
pub mod login;
mod managed;
mod statement;
mod warehouse;
mod zerobus;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freshet_web::{Backoff, Client, Peer, RuntimeTimer, Timer, Trouble, WebLimits, random_seed, web_address};
use tokio::sync::{OnceCell, Semaphore};

use call::Call;
use login::{Login, Scope, Tokens};

pub use catalog::{CatalogColumn, CatalogTable, ExternalTable, Registered, Schema, TableName, Volume, quoted};
pub use columns::ColumnSpec;
pub use credentials::{CloudKey, Credentials, PathOperation, TableOperation};
pub use error::WorkspaceError;
pub use external::{ExternalOptions, UnityCatalog};
pub use files::FolderEntry;
pub use grants::{Grant, Privileges, Securable};
pub use managed::{LEDGER, LOAD_ID, Managed, ManagedOptions};
pub use statement::{Rows, Statement};
pub use warehouse::{Warehouse, WarehouseState, warehouse_id};
pub use zerobus::{Zerobus, ZerobusOptions};

/// What a workspace is made from.
#[derive(Clone)]
pub struct WorkspaceOptions {
    /// Where it is: `https://…`, or `http` on this machine.
    pub host: String,
    /// Id of the SQL warehouse that runs statements. Without one the workspace is asked, which must have exactly one.
    pub warehouse: Option<String>,
    /// Who we are.
    pub login: Login,
    /// What the requests say they come from.
    pub user_agent: String,
    /// The bounds on everything.
    pub limits: WorkspaceLimits,
    /// Where the chance in the waits comes from.
    pub seed: u64,
    /// How it waits.
    pub timer: Arc<dyn Timer>,
}

impl WorkspaceOptions {
    /// The workspace at `host`, with the defaults, the system's chance and the runtime's time.
    #[must_use]
    pub fn new(host: &str, warehouse: Option<String>, login: Login) -> Self {
        Self {
            host: host.to_owned(),
            warehouse,
            login,
            user_agent: Client::USER_AGENT.to_owned(),
            limits: WorkspaceLimits::default(),
            seed: random_seed(),
            timer: Arc::new(RuntimeTimer::new()),
        }
    }
}

/// The bounds on what is asked, waited for and held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Time and bytes of one request. Default 60 s, of which a statement may take 30 before it is answered, and 64 MiB.
    pub web: WebLimits,
    /// Time to upload one file. Default 15 minutes: 128 MiB at 150 KB/s.
    pub upload_within: Duration,
    /// Requests at one time. Default 8.
    pub requests_at_once: usize,
    /// Times that a call is made when what keeps it from succeeding may pass. Default 8.
    pub tries_max: u32,
    /// How long all waits of one call may be together. Default 5 minutes.
    pub patience: Duration,
    /// The longest wait after the first failure; doubled after each other. Default 500 ms.
    pub backoff_first: Duration,
    /// The longest wait after any failure that does not say how long. Default 30 s.
    pub backoff_max: Duration,
    /// How long a statement may take from its first request to its end, the start of a stopped warehouse included. It is cancelled
    /// then. Default 1 hour.
    pub statement_within: Duration,
    /// The first wait between two looks at a statement that runs; each next is half as long again. Default 1 s.
    pub look_first: Duration,
    /// The longest. Default 5 s.
    pub look_max: Duration,
    /// Bytes of the values that one statement may return. Databricks itself allows 25 MiB. Default 64 MiB.
    pub rows_bytes_max: usize,
    /// Pages that one list may have. Default 10,000.
    pub pages_max: u32,
}

impl Default for WorkspaceLimits {
    fn default() -> Self {
        Self {
            web: WebLimits { request_within: Duration::from_secs(60), body_bytes_max: 64 << 20, ..WebLimits::default() },
            upload_within: Duration::from_secs(15 * 60),
            requests_at_once: 8,
            tries_max: 8,
            patience: Duration::from_secs(5 * 60),
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            statement_within: Duration::from_secs(3600),
            look_first: Duration::from_secs(1),
            look_max: Duration::from_secs(5),
            rows_bytes_max: 64 << 20,
            pages_max: 10_000,
        }
    }
}

/// A Databricks workspace. Clones share the connections, the token and the permits.
#[derive(Clone)]
pub struct Workspace {
    shared: Arc<Shared>,
}

struct Shared {
    host: String,
    client: Client,
    /// The same with more time.
    uploads: Client,
    tokens: Tokens,
    limits: WorkspaceLimits,
    at_once: Semaphore,
    backoff: Backoff,
    timer: Arc<dyn Timer>,
    is_warehouse_named: bool,
    /// The id of the warehouse, once it is known.
    warehouse: OnceCell<String>,
    /// Who we are, once the workspace has said so.
    principal: Mutex<Option<String>>,
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("host", &self.shared.host).finish_non_exhaustive()
    }
}

impl Workspace {
    /// The workspace that `options` name. No request is made.
    ///
    /// # Errors
    /// The token must not go to the host, or this machine cannot make requests at all.
    pub fn connect(options: WorkspaceOptions) -> Result<Self, WorkspaceError> {
        let host = web_address(&options.host).map_err(|why| WorkspaceError::Settings(format!("the workspace's `host` {why}")))?;
        let limits = options.limits;
        let peer = if host.starts_with("https:") { Peer::Remote } else { Peer::Local };
        let client = |within| {
            Client::new(peer, &options.user_agent, WebLimits { request_within: within, ..limits.web })
                .map_err(|trouble| cannot_ask(&trouble))
        };
        let shared = Shared {
            client: client(limits.web.request_within)?,
            uploads: client(limits.upload_within)?,
            tokens: Tokens::new(&options, &host)?,
            at_once: Semaphore::new(limits.requests_at_once.clamp(1, Semaphore::MAX_PERMITS)),
            backoff: Backoff::new(limits.backoff_first, limits.backoff_max, options.seed),
            timer: options.timer,
            is_warehouse_named: options.warehouse.is_some(),
            warehouse: OnceCell::new_with(options.warehouse),
            principal: Mutex::default(),
            host,
            limits,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where it is, without a slash at its end.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// Whether a warehouse was named, by id. Where none was, statements look for the only one that there is.
    #[must_use]
    pub fn has_warehouse(&self) -> bool {
        self.shared.is_warehouse_named
    }

    /// Who we are: the name of a user, or the application id of a service principal. That is what a `GRANT` names.
    ///
    /// # Errors
    /// The workspace does not say.
    pub async fn who(&self) -> Result<String, WorkspaceError> {
        let me = self.value(&Call::get("ask who we are", "/api/2.0/preview/scim/v2/Me")).await?;
        let name = me["userName"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| WorkspaceError::broken("ask who we are", "the answer has no `userName`"))?;
        *self.shared.principal.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        Ok(name.to_owned())
    }

    /// Who we are, where that was asked before.
    fn principal(&self) -> Option<String> {
        self.shared.principal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tokens of our login that are good for `scope` only.
    fn tokens_for(&self, scope: Scope) -> Result<Tokens, WorkspaceError> {
        self.shared.tokens.scoped(scope)
    }

    fn limits(&self) -> &WorkspaceLimits {
        &self.shared.limits
    }
}

fn cannot_ask(trouble: &Trouble) -> WorkspaceError {
    WorkspaceError::Settings(format!("no request can be made from this machine: {trouble}"))
}
