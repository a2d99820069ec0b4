//! Where rows are handed over: one request, one token for each table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_core::{DestinationError, TableDef};
use freshet_web::web_address;

use super::ZerobusOptions;
use crate::databricks::call::{Call, Elsewhere, path_part};
use crate::databricks::login::Scope;
use crate::databricks::{Managed, TableName, Workspace, WorkspaceError};

/// Time after which rights are asked for again that could not be had: each time wakes a warehouse.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The way into tables.
pub(super) struct Inlet {
    workspace: Workspace,
    host: String,
    workspace_id: String,
    /// By table.
    ways: Mutex<HashMap<String, Arc<Way>>>,
}

/// The way into one table.
struct Way {
    elsewhere: Arc<Elsewhere>,
    /// The table, by the catalog's id, on which rights were asked for last, and when.
    asked: Mutex<Option<(String, Instant)>>,
}

/// Rows that were not taken.
pub(super) enum Unsent {
    /// Because of what they are; in words.
    Rows(String),
    /// For another reason.
    For(DestinationError),
}

impl From<WorkspaceError> for Unsent {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Failed { code, message, is_transient: false, .. } if code == "INVALID_PARAMETER_VALUE" => Self::Rows(message),
            error => Self::For(error.into()),
        }
    }
}

impl Inlet {
    pub(super) fn new(workspace: Workspace, options: &ZerobusOptions) -> Result<Self, WorkspaceError> {
        let host = web_address(&options.endpoint).map_err(|why| WorkspaceError::Settings(format!("the endpoint of Zerobus {why}")))?;
        let inlet = Self { workspace, host, workspace_id: options.workspace_id.clone(), ways: Mutex::default() };
        // Says whether this way to log in will do at all.
        inlet.way(&TableName::new("", "", ""))?;
        Ok(inlet)
    }

    pub(super) async fn reach(&self) -> Result<(), WorkspaceError> {
        let call = Call::get("reach Zerobus", "/").to(&self.way(&TableName::new("", "", ""))?.elsewhere);
        self.workspace.reach(&call).await
    }

    pub(super) async fn log_in(&self, table: &TableName) -> Result<(), WorkspaceError> {
        self.way(table)?.elsewhere.tokens.get().await.map(drop)
    }

    /// Hands over `rows` of a table of `managed`, a list of objects as JSON. When it returns without an error, they are durable. Rows that
    /// are handed over twice are in the table twice.
    pub(super) async fn insert(&self, managed: &Managed, table: &'static TableDef, rows: Bytes) -> Result<(), Unsent> {
        let name = managed.name(table.name);
        let way = self.way(&name)?;
        let path = format!("/zerobus/v1/tables/{}/insert", path_part(&name.full()));
        let call = Call::post_written(&format!("hand rows of {} to Zerobus", name.full()), &path, rows);
        let call = call.needing(self.scope(&name).grant()).to(&way.elsewhere);
        match self.workspace.ask(&call).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => tracing::info!(table = table.name, %error, "Zerobus takes no rows, the table is looked at"),
        }
        // Somebody may have dropped it, or taken away a column or a right.
        let (table_id, _) = managed.prepare_table(table).await.map_err(Unsent::For)?;
        way.elsewhere.tokens.forget();
        match self.workspace.ask(&call).await {
            Err(denied @ WorkspaceError::Denied { .. }) => {
                self.grant(managed, table, &way, table_id, denied).await?;
                Ok(self.workspace.ask(&call).await.map(drop)?)
            }
            ended => Ok(ended.map(drop)?),
        }
    }

    /// Rights that come from above do not count here, as users of Zerobus tell (error 4024). Where they are missing on the table itself,
    /// and it is ours, they are granted.
    async fn grant(
        &self,
        managed: &Managed,
        table: &TableDef,
        way: &Way,
        table_id: String,
        denied: WorkspaceError,
    ) -> Result<(), WorkspaceError> {
        let tokens = &way.elsewhere.tokens;
        let principal = tokens.client_id();
        let was_asked = {
            let mut asked = way.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let was_asked = asked.as_ref().is_some_and(|(of, at)| *of == table_id && at.elapsed() < ASK_AGAIN);
            if !was_asked {
                *asked = Some((table_id, Instant::now()));
            }
            was_asked
        };
        if was_asked || principal.is_none() {
            return Err(denied);
        }
        let statement = self.scope(&managed.name(table.name)).grant().statement(principal);
        match managed.run(statement.trim_end_matches(';').to_owned(), table.name).await {
            Ok(_) => tracing::info!(table = table.name, "rights for Zerobus granted to ourselves"),
            Err(error) if error.is_transient() => {
                *way.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(table = table.name, %error, "rights for Zerobus not granted");
                return Err(denied);
            }
        }
        tokens.forget();
        Ok(())
    }

    fn way(&self, table: &TableName) -> Result<Arc<Way>, WorkspaceError> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(&table.full()) {
            return Ok(Arc::clone(way));
        }
        let tokens = self.workspace.tokens_for(self.scope(table))?;
        let elsewhere = Arc::new(Elsewhere { host: self.host.clone(), tokens });
        let way = Arc::new(Way { elsewhere, asked: Mutex::default() });
        ways.insert(table.full(), Arc::clone(&way));
        Ok(way)
    }

    fn scope(&self, table: &TableName) -> Scope {
        Scope { table: table.clone(), workspace_id: self.workspace_id.clone() }
    }
}
