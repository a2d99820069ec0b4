//! The SQL warehouse that runs statements.

use serde_json::Value;

use super::Workspace;
use super::call::{Call, path_part};
use super::error::WorkspaceError;

/// A SQL warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warehouse {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: WarehouseState,
    /// Minutes without statements after which it stops by itself; none when it never does.
    pub auto_stop_minutes: Option<u64>,
    /// Whether it is serverless, and so starts within seconds.
    pub is_serverless: bool,
}

/// What a warehouse is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarehouseState {
    /// It runs, and costs.
    Running,
    /// It is about to.
    Starting,
    /// It is about to stop; a statement starts it again.
    Stopping,
    /// It costs nothing; a statement starts it.
    Stopped,
    /// It is gone, or about to be.
    Deleted,
    /// A state that this version does not know.
    Other(String),
}

impl Warehouse {
    fn of(value: &Value) -> Option<Self> {
        let state = match value["state"].as_str().unwrap_or_default() {
            "RUNNING" => WarehouseState::Running,
            "STARTING" => WarehouseState::Starting,
            "STOPPING" => WarehouseState::Stopping,
            "STOPPED" => WarehouseState::Stopped,
            "DELETED" | "DELETING" => WarehouseState::Deleted,
            other => WarehouseState::Other(other.to_owned()),
        };
        Some(Self {
            id: value["id"].as_str()?.to_owned(),
            name: value["name"].as_str().unwrap_or_default().to_owned(),
            state,
            auto_stop_minutes: value["auto_stop_mins"].as_u64().filter(|minutes| *minutes > 0),
            is_serverless: value["enable_serverless_compute"].as_bool().unwrap_or_default(),
        })
    }
}

/// The id in what people write for a warehouse: the id itself, or its HTTP path, `/sql/1.0/warehouses/ID`.
///
/// # Errors
/// What it must be.
pub fn warehouse_id(text: &str) -> Result<String, String> {
    let id = ["/sql/1.0/warehouses/", "/sql/1.0/endpoints/"].into_iter().find_map(|start| {
        let path = text.strip_prefix('/').unwrap_or(text);
        path.strip_prefix(&start[1..])
    });
    let id = id.unwrap_or(text);
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(id.to_owned());
    }
    Err("must be the id of a SQL warehouse, such as \"1a2b3c4d5e6f7a8b\", or its HTTP path, \"/sql/1.0/warehouses/1a2b3c4d5e6f7a8b\""
        .to_owned())
}

impl Workspace {
    /// The warehouse that runs statements. Without a configured id, the only one that we may see.
    ///
    /// # Errors
    /// There is none, or there are several; see also [`WorkspaceError`].
    pub async fn warehouse(&self) -> Result<Warehouse, WorkspaceError> {
        let doing = "ask for the SQL warehouse";
        if let Some(id) = self.shared.warehouse.get() {
            let call = Call::get(&format!("{doing} {id}"), &format!("/api/2.0/sql/warehouses/{}", path_part(id)));
            let value = self.value(&call).await?;
            return Warehouse::of(&value).ok_or_else(|| WorkspaceError::broken(doing, "the answer has no `id`"));
        }
        let value = self.value(&Call::get(doing, "/api/2.0/sql/warehouses")).await?;
        let mut found: Vec<Warehouse> = value["warehouses"].as_array().into_iter().flatten().filter_map(Warehouse::of).collect();
        if found.len() > 1 {
            let list: Vec<String> =
                found.iter().map(|warehouse| format!("\n  warehouse = \"{}\"   # {}", warehouse.id, warehouse.name)).collect();
            return Err(WorkspaceError::Settings(format!("the workspace has several SQL warehouses; say which:{}", list.concat())));
        }
        let only = found.pop().ok_or_else(|| {
            WorkspaceError::Settings(
                "the workspace shows no SQL warehouse: make one, or let whoever owns one give us `Can use` on it".to_owned(),
            )
        })?;
        // Whoever was first counts.
        let _ = self.shared.warehouse.set(only.id.clone());
        Ok(only)
    }

    /// The id of that warehouse.
    pub(super) async fn warehouse_id(&self) -> Result<String, WorkspaceError> {
        match self.shared.warehouse.get() {
            Some(id) => Ok(id.clone()),
            None => self.warehouse().await.map(|warehouse| warehouse.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warehouse_is_written_in_several_ways() {
        for text in ["1a2b", "/sql/1.0/warehouses/1a2b", "sql/1.0/warehouses/1a2b", "/sql/1.0/endpoints/1a2b"] {
            assert_eq!(warehouse_id(text).as_deref(), Ok("1a2b"), "{text}");
        }
        for text in ["", "/sql/1.0/warehouses/", "/sql/protocolv1/o/1/2", "a b", "../x"] {
            assert!(warehouse_id(text).is_err(), "{text}");
        }
    }
}
