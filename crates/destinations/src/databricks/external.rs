//! Unity Catalog as the one who governs a lake of external tables in somebody's own bucket.
//!
//! Keys to a table that is registered are asked for by the table, those to a table to be by its path: a path below a registered table is
//! not given away. A table is registered when its log is there, and its columns are told again when the log has others: by a warehouse
//! where there is one, which reads the log itself; else by the REST API, which believes what it is told, and cannot be told of new columns.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use freshet_core::{ColumnType, DestinationError, Micros};

use super::Workspace;
use super::catalog::{CatalogTable, ExternalTable, Registered, TableName};
use super::columns::ColumnSpec;
use super::credentials::{CloudKey, Credentials, PathOperation, TableOperation};
use super::error::WorkspaceError;
use super::statement::Statement;
use crate::delta::{Catalog, ColumnInfo, KeyKind, Keys, Shape};

/// How long keys are kept that can only read: half of this.
const READ_KEYS_FOR: Duration = Duration::from_secs(120);

/// Where a lake's tables are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalOptions {
    /// The catalog.
    pub catalog: String,
    /// The schema in it, which is made where it is missing.
    pub schema: String,
    /// The lake's URL: each table lies in a folder of its own below.
    pub url: String,
    /// Whether there is a warehouse that may be woken for statements: once for a new table, and once for new columns.
    pub has_warehouse: bool,
}

/// The schema of Unity Catalog that a lake is registered in.
pub struct UnityCatalog {
    workspace: Workspace,
    options: ExternalOptions,
    /// What the catalog is known to say.
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    table_id: Option<String>,
    shape: Option<Shape>,
    /// Why only keys to read are to be had.
    denied: Option<WorkspaceError>,
}

impl UnityCatalog {
    /// The schema, of which nothing is asked yet.
    #[must_use]
    pub fn new(workspace: Workspace, options: ExternalOptions) -> Self {
        let url = options.url.trim_end_matches('/').to_owned();
        Self { workspace, options: ExternalOptions { url, ..options }, known: Mutex::default() }
    }

    fn name(&self, table: &str) -> TableName {
        TableName::new(&self.options.catalog, &self.options.schema, table)
    }

    fn location(&self, table: &str) -> String {
        format!("{}/{table}", self.options.url)
    }

    fn known(&self, table: &str) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned().unwrap_or_default()
    }

    fn learn(&self, table: &str, known: Known) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), known);
    }

    /// The table as the catalog has it, which has to be ours.
    async fn registered(&self, table: &str) -> Result<Option<CatalogTable>, DestinationError> {
        let Some(found) = self.workspace.table(&self.name(table)).await? else { return Ok(None) };
        let lies_at = found.storage_location.as_deref().unwrap_or_default().trim_end_matches('/');
        if found.table_type == "EXTERNAL" && lies_at == self.location(table) {
            return Ok(Some(found));
        }
        let kind = found.table_type.to_ascii_lowercase();
        Err(DestinationError::Refused {
            problem: format!(
                "{} is another table: {kind}, at {}. Name another `schema` under [destination], or rename that table",
                found.name.full(),
                if lies_at.is_empty() { "no place of its own" } else { lies_at }
            ),
        })
    }

    async fn lent(&self, table: &str) -> Result<Credentials, DestinationError> {
        let table_id = match self.known(table).table_id {
            Some(table_id) => Some(table_id),
            None => self.registered(table).await?.map(|found| found.table_id),
        };
        let Some(table_id) = table_id else {
            return Ok(self.workspace.path_credentials(&self.location(table), PathOperation::CreateTable).await?);
        };
        let (name, known) = (self.name(table), Known { table_id: Some(table_id.clone()), denied: None, ..self.known(table) });
        self.learn(table, known.clone());
        match self.workspace.table_credentials(&name, &table_id, TableOperation::ReadWrite).await {
            // Who may only read can query.
            Err(denied @ WorkspaceError::Denied { .. }) => {
                // What writing lacks is what a person wants to know.
                let Ok(lent) = self.workspace.table_credentials(&name, &table_id, TableOperation::Read).await else {
                    return Err(denied.into());
                };
                self.learn(table, Known { denied: Some(denied), ..known });
                // The right to write may be given at any moment.
                Ok(Credentials { expires_at: lent.expires_at.min(SystemTime::now() + READ_KEYS_FOR), ..lent })
            }
            Err(error) => {
                // The table may have been dropped and made again.
                self.learn(table, Known::default());
                Err(error.into())
            }
            Ok(lent) => Ok(lent),
        }
    }

    async fn register(&self, table: &str, shape: &Shape) -> Result<(), DestinationError> {
        let ExternalOptions { catalog, schema, .. } = &self.options;
        if self.workspace.schema(catalog, schema).await?.is_none() {
            self.workspace.create_schema(catalog, schema, "What Heroku says, by Freshet").await?;
        }
        let (name, location) = (self.name(table), self.location(table));
        if self.options.has_warehouse {
            let text = format!("CREATE TABLE IF NOT EXISTS {} USING DELTA LOCATION {}", name.quoted(), literal(&location));
            self.workspace.run(&Statement::new(text)).await?;
            let text = format!("ALTER TABLE {} SET TAGS ('source' = 'heroku', 'loaded_by' = 'freshet')", name.quoted());
            if let Err(error) = self.workspace.run(&Statement::new(text)).await {
                tracing::warn!(table = name.full(), %error, "the table has no tags: APPLY TAG is needed for them");
            }
        } else {
            let columns = shape.columns.iter().map(|column| spec(&name, column, shape)).collect::<Result<_, _>>()?;
            let external = ExternalTable {
                name: name.clone(),
                storage_location: location,
                columns,
                comment: shape.comment.clone(),
                properties: Vec::new(),
            };
            if self.workspace.create_external_table(&external).await? == Registered::AlreadyThere {
                self.registered(table).await?;
            }
        }
        tracing::info!(table = name.full(), "table registered in unity catalog");
        Ok(())
    }

    /// Tells the catalog of columns that it does not have.
    async fn tell(&self, found: &CatalogTable, shape: &Shape) -> Result<(), DestinationError> {
        let is_told = |column: &ColumnInfo| {
            found
                .columns
                .iter()
                .any(|told| told.name.eq_ignore_ascii_case(&column.name) && told.type_text.eq_ignore_ascii_case(&column.sql_type))
        };
        let missing: Vec<&str> = shape.columns.iter().filter(|column| !is_told(column)).map(|column| column.name.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let text = format!("MSCK REPAIR TABLE {} SYNC METADATA", found.name.quoted());
        if self.options.has_warehouse {
            self.workspace.run(&Statement::new(text)).await?;
            tracing::info!(table = found.name.full(), columns = missing.join(", "), "unity catalog was told of columns");
        } else {
            tracing::warn!(
                table = found.name.full(),
                columns = missing.join(", "),
                statement = text,
                "unity catalog does not know these columns, and without a `warehouse` it cannot be told: run the statement once"
            );
        }
        Ok(())
    }
}

impl fmt::Debug for UnityCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnityCatalog").field(&self.options).finish()
    }
}

#[async_trait]
impl Catalog for UnityCatalog {
    async fn tables(&self) -> Result<Vec<String>, DestinationError> {
        let all = self.workspace.tables(&self.options.catalog, &self.options.schema).await?;
        let is_ours = |table: &CatalogTable| {
            table.storage_location.as_deref().is_some_and(|place| place.trim_end_matches('/') == self.location(&table.name.table))
        };
        let ours: Vec<CatalogTable> = all.into_iter().filter(is_ours).collect();
        for table in &ours {
            let name = &table.name.table;
            self.learn(name, Known { table_id: Some(table.table_id.clone()), ..self.known(name) });
        }
        Ok(ours.into_iter().map(|table| table.name.table).collect())
    }

    async fn keys(&self, name: &str) -> Result<Keys, DestinationError> {
        let lent = self.lent(name).await?;
        let end = lent.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let kind = match lent.key {
            CloudKey::Aws { access_key_id, secret_access_key, session_token, .. }
            | CloudKey::R2 { access_key_id, secret_access_key, session_token } => {
                KeyKind::Aws { access_key_id, secret_access_key, session_token: Some(session_token) }
            }
            CloudKey::AzureSas(query) => KeyKind::AzureSas(query),
            CloudKey::AzureToken(token) => KeyKind::AzureToken(token),
            CloudKey::GcpToken(token) => KeyKind::GoogleToken(token),
        };
        Ok(Keys { kind, end: Micros(i64::try_from(end).unwrap_or(i64::MAX)) })
    }

    async fn publish(&self, name: &str, shape: &Shape) -> Result<(), DestinationError> {
        let known = self.known(name);
        if let Some(denied) = known.denied {
            // Only who wants to write publishes.
            return Err(denied.into());
        }
        if known.shape.as_ref() == Some(shape) {
            return Ok(());
        }
        match self.registered(name).await? {
            Some(found) => self.tell(&found, shape).await?,
            None => self.register(name, shape).await?,
        }
        self.learn(name, Known { shape: Some(shape.clone()), ..self.known(name) });
        Ok(())
    }
}

/// The column as the REST API wants to be told of it.
fn spec(table: &TableName, column: &ColumnInfo, shape: &Shape) -> Result<ColumnSpec, DestinationError> {
    let Some(column_type) = ColumnType::ALL.into_iter().find(|known| known.sql() == column.sql_type) else {
        return Err(DestinationError::Refused {
            problem: format!(
                "{} cannot be registered without a warehouse: its column {} is {}, which Freshet does not make. Name a `warehouse` under [destination]",
                table.full(),
                column.name,
                column.sql_type
            ),
        });
    };
    Ok(ColumnSpec {
        name: column.name.clone(),
        column_type,
        comment: column.comment.clone().unwrap_or_default(),
        partition_index: shape.partition_columns.iter().position(|partition| *partition == column.name),
    })
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
