//! What Unity Catalog holds: schemas, volumes and tables.

use serde_json::{Value, json};

use super::Workspace;
use super::call::{Call, path_part};
use super::columns::ColumnSpec;
use super::error::WorkspaceError;
use super::grants::{Grant, Securable};

/// Where the catalog is.
const CATALOG: &str = "/api/2.1/unity-catalog";

/// Tables on one page of a list: as many as Databricks gives.
const PAGE: &str = "50";

/// A table's name in three parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The catalog.
    pub catalog: String,
    /// The schema.
    pub schema: String,
    /// The table in it.
    pub table: String,
}

impl TableName {
    /// The table `table` in `catalog`.`schema`.
    #[must_use]
    pub fn new(catalog: &str, schema: &str, table: &str) -> Self {
        Self { catalog: catalog.to_owned(), schema: schema.to_owned(), table: table.to_owned() }
    }

    /// As the API has it: `catalog.schema.table`.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{}.{}.{}", self.catalog, self.schema, self.table)
    }

    /// As SQL has it, whatever the parts hold.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}.{}", quoted(&self.catalog), quoted(&self.schema), quoted(&self.table))
    }
}

/// A name as SQL has it, whatever it holds.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `catalog.schema`.
    pub full_name: String,
    /// Who owns it, and so may do everything in it.
    pub owner: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `catalog.schema.volume`.
    pub full_name: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// `MANAGED` or `EXTERNAL`.
    pub kind: String,
}

/// A table as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogTable {
    /// Its name.
    pub name: TableName,
    /// The catalog's own id for it.
    pub table_id: String,
    /// `MANAGED`, `EXTERNAL`, `VIEW`, …
    pub table_type: String,
    /// `DELTA`, …; none for views.
    pub data_source_format: Option<String>,
    /// Where its files are.
    pub storage_location: Option<String>,
    /// What it is.
    pub comment: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Its columns in order.
    pub columns: Vec<CatalogColumn>,
    /// Its properties.
    pub properties: Vec<(String, String)>,
}

/// A column as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogColumn {
    /// Its name.
    pub name: String,
    /// Its type as SQL has it, in lower case: `map<string,string>`.
    pub type_text: String,
    /// What it means.
    pub comment: Option<String>,
    /// Its place, counted from 0.
    pub position: u64,
    /// Its place among the columns that split the table into folders.
    pub partition_index: Option<u64>,
}

/// An external table to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalTable {
    /// Its name.
    pub name: TableName,
    /// The URL of the folder with its `_delta_log`.
    pub storage_location: String,
    /// Its columns. The catalog believes them without a look at the log.
    pub columns: Vec<ColumnSpec>,
    /// What it is.
    pub comment: Option<String>,
    /// Properties, as of `TBLPROPERTIES`.
    pub properties: Vec<(String, String)>,
}

/// How a registration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The table is in the catalog now.
    Made(Box<CatalogTable>),
    /// There was a table or a view of this name before; it is as it was.
    AlreadyThere,
}

impl CatalogTable {
    fn of(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let column = |(position, column): (usize, &Value)| {
            Some(CatalogColumn {
                name: text(&column["name"])?,
                type_text: column["type_text"].as_str().unwrap_or_default().to_ascii_lowercase(),
                comment: text(&column["comment"]),
                position: column["position"].as_u64().unwrap_or(position as u64),
                partition_index: column["partition_index"].as_u64(),
            })
        };
        let mut columns: Vec<CatalogColumn> = value["columns"].as_array().into_iter().flatten().enumerate().filter_map(column).collect();
        columns.sort_by_key(|column| column.position);
        let property = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(Self {
            name: TableName { catalog: text(&value["catalog_name"])?, schema: text(&value["schema_name"])?, table: text(&value["name"])? },
            table_id: value["table_id"].as_str().unwrap_or_default().to_owned(),
            table_type: value["table_type"].as_str().unwrap_or_default().to_owned(),
            data_source_format: text(&value["data_source_format"]),
            storage_location: text(&value["storage_location"]),
            comment: text(&value["comment"]),
            owner: text(&value["owner"]),
            columns,
            properties: value["properties"].as_object().into_iter().flatten().filter_map(property).collect(),
        })
    }
}

impl Workspace {
    /// Whether the catalog `name` is there and we may see it.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn has_catalog(&self, name: &str) -> Result<bool, WorkspaceError> {
        let call = Call::get(&format!("look for the catalog {name}"), &format!("{CATALOG}/catalogs/{}", path_part(name)));
        let call = call.needing(Grant::new("USE CATALOG", Securable::Catalog(name.to_owned())));
        Ok(self.found(&call).await?.is_some())
    }

    /// The schema `schema` of `catalog`, if it is there.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn schema(&self, catalog: &str, schema: &str) -> Result<Option<Schema>, WorkspaceError> {
        let full = format!("{catalog}.{schema}");
        let call = Call::get(&format!("look for the schema {full}"), &format!("{CATALOG}/schemas/{}", path_part(&full)));
        let found = self.found(&using(call, catalog, schema)).await?;
        Ok(found.map(|value| Schema { full_name: full, owner: value["owner"].as_str().map(str::to_owned) }))
    }

    /// The volume `volume` of `catalog`.`schema`, if it is there.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn volume(&self, catalog: &str, schema: &str, volume: &str) -> Result<Option<Volume>, WorkspaceError> {
        let full = format!("{catalog}.{schema}.{volume}");
        let call = Call::get(&format!("look for the volume {full}"), &format!("{CATALOG}/volumes/{}", path_part(&full)));
        let call = using(call, catalog, schema).needing(Grant::new("READ VOLUME", Securable::Volume(full.clone())));
        let found = self.found(&call).await?;
        Ok(found.map(|value| Volume {
            full_name: full,
            owner: value["owner"].as_str().map(str::to_owned),
            kind: value["volume_type"].as_str().unwrap_or_default().to_owned(),
        }))
    }

    /// Makes a managed volume. Harmless where there is a volume of this name. No warehouse is needed.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn create_volume(&self, catalog: &str, schema: &str, volume: &str, comment: &str) -> Result<(), WorkspaceError> {
        let body = json!({ "catalog_name": catalog, "schema_name": schema, "name": volume, "volume_type": "MANAGED", "comment": comment });
        let call = Call::post(&format!("make the volume {catalog}.{schema}.{volume}"), &format!("{CATALOG}/volumes"), body);
        let call = using(call, catalog, schema).needing(Grant::new("CREATE VOLUME", Securable::Schema(format!("{catalog}.{schema}"))));
        there_now(self.value(&call).await)
    }

    /// Makes a schema. Harmless where there is one of this name. No warehouse is needed.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn create_schema(&self, catalog: &str, schema: &str, comment: &str) -> Result<(), WorkspaceError> {
        let body = json!({ "catalog_name": catalog, "name": schema, "comment": comment });
        let call = Call::post(&format!("make the schema {catalog}.{schema}"), &format!("{CATALOG}/schemas"), body);
        let on = || Securable::Catalog(catalog.to_owned());
        let call = call.needing(Grant::new("USE CATALOG", on())).needing(Grant::new("CREATE SCHEMA", on()));
        there_now(self.value(&call).await)
    }

    /// The table `name` as the catalog has it, if it is there.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn table(&self, name: &TableName) -> Result<Option<CatalogTable>, WorkspaceError> {
        let doing = format!("look for the table {}", name.full());
        let call = Call::get(&doing, &format!("{CATALOG}/tables/{}", path_part(&name.full())));
        let call = using(call, &name.catalog, &name.schema).needing(Grant::new("SELECT", Securable::Table(name.full())));
        let Some(value) = self.found(&call).await? else { return Ok(None) };
        CatalogTable::of(&value).map(Some).ok_or_else(|| WorkspaceError::broken(&doing, "the answer is no table"))
    }

    /// The tables and views of a schema that we may see. None when there is no such schema.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn tables(&self, catalog: &str, schema: &str) -> Result<Vec<CatalogTable>, WorkspaceError> {
        let call = Call::get(&format!("list the tables of {catalog}.{schema}"), &format!("{CATALOG}/tables"));
        let call = call.with("catalog_name", catalog).with("schema_name", schema).with("max_results", PAGE);
        let call = using(call, catalog, schema);
        let mut tables = Vec::new();
        let mut page = call.clone();
        for _ in 0..self.limits().pages_max {
            let Some(value) = self.found(&page).await? else { return Ok(Vec::new()) };
            tables.extend(value["tables"].as_array().into_iter().flatten().filter_map(CatalogTable::of));
            // A page may be empty and not the last.
            let Some(token) = value["next_page_token"].as_str().filter(|token| !token.is_empty()) else { return Ok(tables) };
            page = call.clone().with("page_token", token);
        }
        Err(WorkspaceError::broken(&call.doing, "the list does not end"))
    }

    /// Registers an external Delta table, whose log is there already.
    ///
    /// # Errors
    /// See [`WorkspaceError`]. That a table of this name is there already is no error.
    pub async fn create_external_table(&self, table: &ExternalTable) -> Result<Registered, WorkspaceError> {
        let name = &table.name;
        let columns: Vec<Value> = table.columns.iter().enumerate().map(|(position, column)| column.as_json(position)).collect();
        let properties: serde_json::Map<String, Value> =
            table.properties.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let mut body = json!({
            "name": name.table,
            "catalog_name": name.catalog,
            "schema_name": name.schema,
            "table_type": "EXTERNAL",
            "data_source_format": "DELTA",
            "storage_location": table.storage_location,
            "columns": columns,
            "properties": properties,
        });
        if let Some(comment) = &table.comment {
            body["comment"] = Value::from(comment.as_str());
        }
        let doing = format!("register the table {}", name.full());
        let schema = || Securable::Schema(format!("{}.{}", name.catalog, name.schema));
        let call = Call::post(&doing, &format!("{CATALOG}/tables"), body);
        let call = using(call, &name.catalog, &name.schema)
            .needing(Grant::new("CREATE TABLE", schema()))
            .needing(Grant::new("EXTERNAL USE SCHEMA", schema()))
            .needing(Grant::new("CREATE EXTERNAL TABLE", Securable::ExternalLocation(table.storage_location.clone())));
        match self.value(&call).await {
            Ok(value) => {
                let made = CatalogTable::of(&value).ok_or_else(|| WorkspaceError::broken(&doing, "the answer is no table"))?;
                Ok(Registered::Made(Box::new(made)))
            }
            Err(WorkspaceError::Exists { .. }) => Ok(Registered::AlreadyThere),
            Err(error) => Err(error),
        }
    }
}

/// The call with the rights that all in a schema needs.
fn using(call: Call, catalog: &str, schema: &str) -> Call {
    let grant = Grant::new("USE CATALOG", Securable::Catalog(catalog.to_owned()));
    call.needing(grant).needing(Grant::new("USE SCHEMA", Securable::Schema(format!("{catalog}.{schema}"))))
}

/// Made, or there before.
fn there_now(ended: Result<Value, WorkspaceError>) -> Result<(), WorkspaceError> {
    match ended {
        Ok(_) | Err(WorkspaceError::Exists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        let name = TableName::new("a-b", "s", "t`x");
        assert_eq!((name.full().as_str(), name.quoted().as_str()), ("a-b.s.t`x", "`a-b`.`s`.`t``x`"));
    }

    #[test]
    fn columns_come_in_their_order() {
        let value = json!({ "catalog_name": "c", "schema_name": "s", "name": "t", "table_id": "1", "table_type": "VIEW",
            "columns": [{ "name": "b", "position": 1, "type_text": "BIGINT" }, { "name": "a", "position": 0, "type_text": "string", "comment": "" }],
            "properties": { "p": "1" } });
        let table = CatalogTable::of(&value).unwrap();
        let columns: Vec<(&str, &str)> = table.columns.iter().map(|column| (column.name.as_str(), column.type_text.as_str())).collect();
        assert_eq!(columns, [("a", "string"), ("b", "bigint")]);
        assert_eq!(table.columns[0].comment, None);
        assert_eq!(table.properties, [("p".to_owned(), "1".to_owned())]);
        assert_eq!(CatalogTable::of(&json!({ "name": "t" })), None);
    }
}
