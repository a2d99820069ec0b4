//! Where rows are handed over: one request, one token for each table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use freshet_web::web_address;

use super::ZerobusOptions;
use crate::databricks::call::{Call, Elsewhere, path_part};
use crate::databricks::login::Scope;
use crate::databricks::{Managed, TableName, Workspace, WorkspaceError};

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
    /// Whether rights on the table itself were granted, or tried to be.
    granted: AtomicBool,
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
    pub(super) async fn insert(&self, managed: &Managed, table: &str, rows: Bytes) -> Result<(), WorkspaceError> {
        let name = managed.name(table);
        let way = self.way(&name)?;
        let path = format!("/zerobus/v1/tables/{}/insert", path_part(&name.full()));
        let call = Call::post_written(&format!("hand rows of {} to Zerobus", name.full()), &path, rows);
        let call = call.needing(self.scope(&name).grant()).to(&way.elsewhere);
        match self.workspace.ask(&call).await {
            Err(denied @ WorkspaceError::Denied { .. }) => {
                self.grant(managed, table, &way, denied).await?;
                self.workspace.ask(&call).await.map(drop)
            }
            ended => ended.map(drop),
        }
    }

    /// Rights that come from above do not count here (Databricks: "explicit grants on the table"). Where they are missing on the table
    /// itself, and it is ours, they are granted, once for each process.
    async fn grant(&self, managed: &Managed, table: &str, way: &Way, denied: WorkspaceError) -> Result<(), WorkspaceError> {
        let tokens = &way.elsewhere.tokens;
        let principal = tokens.client_id();
        if way.granted.swap(true, Ordering::Relaxed) || principal.is_none() {
            return Err(denied);
        }
        let statement = self.scope(&managed.name(table)).grant().statement(principal);
        if let Err(error) = managed.run(statement.trim_end_matches(';').to_owned(), table).await {
            tracing::warn!(table, %error, "rights on the table not granted");
            return Err(denied);
        }
        tracing::info!(table, "rights for Zerobus granted to ourselves");
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
        let way = Arc::new(Way { elsewhere, granted: AtomicBool::new(false) });
        ways.insert(table.full(), Arc::clone(&way));
        Ok(way)
    }

    fn scope(&self, table: &TableName) -> Scope {
        Scope { table: table.clone(), workspace_id: self.workspace_id.clone() }
    }
}
