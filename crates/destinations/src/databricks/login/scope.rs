//! Tokens that are good for one table only, as Zerobus wants them.

use serde_json::{Value, json};

use crate::databricks::{Grant, Securable, TableName, WorkspaceError};

/// What alone a token is good for: writing rows to one table by Zerobus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::databricks) struct Scope {
    /// The table.
    pub(in crate::databricks) table: TableName,
    /// The number of the workspace.
    pub(in crate::databricks) workspace_id: String,
}

impl Scope {
    /// Whom the token is for.
    pub(super) fn resource(&self) -> String {
        format!("api://databricks/workspaces/{}/zerobusDirectWriteApi", self.workspace_id)
    }

    /// The rights that the token is to carry, as the field `authorization_details` has them.
    pub(super) fn details(&self) -> String {
        let TableName { catalog, schema, .. } = &self.table;
        let right = |privileges: &[&str], kind: &str, name: &str| {
            json!({
                "type": "unity_catalog_privileges",
                "privileges": privileges,
                "object_type": kind,
                "object_full_path": name,
            })
        };
        let mut on_table = right(&["SELECT", "MODIFY"], "TABLE", &self.table.full());
        on_table["operations"] = json!(["zerobuswrite"]);
        Value::Array(vec![
            right(&["USE CATALOG"], "CATALOG", catalog),
            right(&["USE SCHEMA"], "SCHEMA", &format!("{catalog}.{schema}")),
            on_table,
        ])
        .to_string()
    }

    /// That no such token is given out, with the right that usually is missing: one on the table itself, because none from above counts.
    pub(super) fn denied(&self, message: &str, principal: Option<&str>) -> WorkspaceError {
        WorkspaceError::Denied {
            doing: format!("get a token for Zerobus and the table {}", self.table.full()),
            message: message.to_owned(),
            grants: vec![self.grant()],
            principal: principal.map(ToOwned::to_owned),
        }
    }

    /// What has to be granted on the table itself.
    pub(in crate::databricks) fn grant(&self) -> Grant {
        Grant::new("SELECT, MODIFY", Securable::Table(self.table.full()))
    }
}
