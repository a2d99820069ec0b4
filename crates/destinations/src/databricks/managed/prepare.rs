//! Making tables exist, with comments, tags and all their columns.

use freshet_core::{ColumnDef, ColumnType, DestinationError, TableDef, TableKind};

use super::super::{CatalogColumn, CatalogTable, WorkspaceError, quoted};
use super::sql::literal;
use super::{LEDGER, LOAD_ID, Managed};
use crate::delta::encode::has_statistics;

/// The property by which a table is known as one of ours.
const OURS: &str = "freshet.managed";

/// What [`LOAD_ID`] means.
const LOAD_ID_COMMENT: &str = "The load or merge that brought this row, see _freshet_ledger";

/// The ledger's columns.
const LEDGER_COLUMNS: [(&str, &str, &str); 18] = [
    ("table_name", "STRING", "The table"),
    ("table_id", "STRING", "The catalog's id of the table; rows of a table that was dropped count no more"),
    ("version", "BIGINT", "Number of the row within its table, from 1"),
    ("kind", "STRING", "load: rows by their id. merge: objects by their key. bookmarks: nothing but spans"),
    ("load_id", "STRING", "What the rows have in _load_id"),
    ("writer", "STRING", "The process and the attempt that made this row"),
    ("settled", "BOOLEAN", "Of a merge: whether its objects are in the table. A load has landed when there is a later one"),
    ("rows", "BIGINT", "Rows written"),
    ("files", "BIGINT", "Files they came in"),
    ("bytes", "BIGINT", "Bytes in those files"),
    ("ts_min", "TIMESTAMP", "Earliest ts of the rows"),
    ("ts_max", "TIMESTAMP", "Latest ts of the rows"),
    ("date_min", "DATE", "Earliest date of the rows, where each has one"),
    ("date_max", "DATE", "Latest date of the rows, where each has one"),
    ("committed_at", "TIMESTAMP", "When"),
    ("folder", "STRING", "The folder in the volume where the files were"),
    ("columns", "STRING", "Names of the columns in those files, with commas"),
    (
        "spans",
        "ARRAY<STRUCT<shard: STRING, from_position: BIGINT, to_position: BIGINT>>",
        "How far each source is in the table with these rows",
    ),
];

/// What makes two statements that add the same rows collide. With deletion vectors Databricks looks for conflicts row by row, and two that
/// only add rows have none.
const EXCLUSIVE: &str = "'delta.isolationLevel' = 'Serializable', 'delta.enableDeletionVectors' = 'false'";

impl Managed {
    /// Makes `table` exist with at least its columns; its id and the columns it has.
    pub(in crate::databricks) async fn prepare_table(
        &self,
        table: &'static TableDef,
    ) -> Result<(String, Vec<CatalogColumn>), DestinationError> {
        self.prepare_ground().await?;
        let name = self.name(table.name);
        let found = match self.workspace.table(&name).await? {
            Some(found) => found,
            None => self.create(table).await?,
        };
        check_kind(&found)?;
        let missing = missing_columns(table, &found.columns)?;
        if missing.is_empty() {
            return Ok((found.table_id, found.columns));
        }
        let added: Vec<String> = missing.iter().map(|(name, kind, comment)| column(name, kind, comment)).collect();
        let widened = self.run(format!("ALTER TABLE {} ADD COLUMNS ({})", name.quoted(), added.join(", ")), table.name).await;
        // Another process may have added them a moment ago, or the answer was lost: what the catalog says now counts.
        let found = self.workspace.table(&name).await?.ok_or_else(|| removed(table.name))?;
        if missing_columns(table, &found.columns)?.is_empty() {
            return Ok((found.table_id, found.columns));
        }
        widened?;
        Err(DestinationError::Refused {
            problem: format!("table {} still lacks the columns {} after they were added", table.name, added.join(", ")),
        })
    }

    async fn create(&self, table: &'static TableDef) -> Result<CatalogTable, DestinationError> {
        let name = self.name(table.name);
        let text = |clustering: &str| {
            let columns: Vec<String> =
                table.columns.iter().map(of_definition).chain([(LOAD_ID, "STRING", LOAD_ID_COMMENT)]).map(sql).collect();
            format!(
                "CREATE TABLE IF NOT EXISTS {} ({}) USING DELTA{clustering} COMMENT {} \
                 TBLPROPERTIES ({} = 'true', 'delta.dataSkippingStatsColumns' = {}, {EXCLUSIVE})",
                name.quoted(),
                columns.join(", "),
                literal(table.comment),
                literal(OURS),
                literal(&statistics_columns(table))
            )
        };
        let mut created = self.run(text(" CLUSTER BY AUTO"), table.name).await;
        if created.as_ref().is_err_and(|error| error.to_string().contains("CLUSTER_BY_AUTO")) {
            tracing::info!(table = table.name, "the workspace does not choose clustering columns, table made without");
            created = self.run(text(""), table.name).await;
        }
        let found = self.workspace.table(&name).await?;
        let Some(found) = found else {
            created?;
            return Err(removed(table.name));
        };
        let kind = match table.kind {
            TableKind::Log => "log",
            TableKind::System => "system",
            TableKind::Platform => "platform",
        };
        // For people who look around; they can do without.
        if let Err(error) = self.run(format!("ALTER TABLE {} SET TAGS ('freshet' = {})", name.quoted(), literal(kind)), table.name).await {
            tracing::info!(table = table.name, %error, "table has no tags");
        }
        Ok(found)
    }

    /// Makes schema, volume and ledger exist, once per process.
    pub(super) async fn prepare_ground(&self) -> Result<(), DestinationError> {
        let mut is_there = self.ground.lock().await;
        if *is_there {
            return Ok(());
        }
        let (catalog, schema, volume) = (&self.options.catalog, &self.options.schema, &self.options.volume);
        if self.workspace.schema(catalog, schema).await?.is_none() {
            self.workspace.create_schema(catalog, schema, "What Heroku apps say and are, by Freshet").await?;
        }
        if self.workspace.volume(catalog, schema, volume).await?.is_none() {
            self.workspace.create_volume(catalog, schema, volume, "Files of Freshet on their way into tables").await?;
        }
        let ledger = self.name(LEDGER);
        if self.workspace.table(&ledger).await?.is_none() {
            self.create_ledger().await?;
        }
        *is_there = true;
        Ok(())
    }

    async fn create_ledger(&self) -> Result<(), DestinationError> {
        // Without it nobody knows what the tables hold, and all would be loaded once more.
        let tables = self.workspace.tables(&self.options.catalog, &self.options.schema).await?;
        let ours = tables.iter().find(|table| table.properties.iter().any(|(name, _)| name == OURS));
        // Unless another process has just made both.
        if let Some(ours) = ours
            && self.workspace.table(&self.name(LEDGER)).await?.is_none()
        {
            let ledger = self.ledger();
            let problem = format!(
                "table {} is filled by Freshet, but {ledger}, which says how far, is gone. Bring it back (UNDROP TABLE {ledger}), or drop Freshet's tables too",
                ours.name.full()
            );
            return Err(DestinationError::Refused { problem });
        }
        let columns: Vec<String> = LEDGER_COLUMNS.into_iter().map(sql).collect();
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {} ({}) USING DELTA PARTITIONED BY (`table_name`) \
             COMMENT 'What Freshet has loaded into the tables beside this one. Neither change nor drop it' \
             TBLPROPERTIES ({EXCLUSIVE}, 'delta.autoOptimize.autoCompact' = 'true')",
            self.ledger(),
            columns.join(", ")
        );
        let created = self.run(text, LEDGER).await;
        if self.workspace.table(&self.name(LEDGER)).await?.is_none() {
            created?;
            return Err(removed(LEDGER));
        }
        Ok(())
    }
}

/// Refuses what rows cannot be put into.
fn check_kind(found: &CatalogTable) -> Result<(), DestinationError> {
    let is_delta = found.data_source_format.as_deref().is_some_and(|format| format.eq_ignore_ascii_case("DELTA"));
    if is_delta && matches!(found.table_type.as_str(), "MANAGED" | "EXTERNAL") {
        return Ok(());
    }
    let problem = format!("{} is no Delta table but {}; rename it, or choose another schema", found.name.full(), found.table_type);
    Err(DestinationError::Refused { problem })
}

type Column = (&'static str, &'static str, &'static str);

fn of_definition(column: &ColumnDef) -> Column {
    (column.name, column.column_type.sql(), column.comment)
}

/// The columns by whose values files are passed over: else only the first 32 have any, and each load would look into every file for rows
/// of its own.
fn statistics_columns(table: &TableDef) -> String {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().filter(|column| has_statistics(column)).map(|column| column.name().as_str());
    columns.chain([LOAD_ID]).collect::<Vec<_>>().join(",")
}

/// The columns that `found` lacks; one of another type is refused.
fn missing_columns(table: &TableDef, found: &[CatalogColumn]) -> Result<Vec<Column>, DestinationError> {
    let mut missing = Vec::new();
    for (name, kind, comment) in table.columns.iter().map(of_definition).chain([(LOAD_ID, ColumnType::Text.sql(), LOAD_ID_COMMENT)]) {
        match found.iter().find(|column| column.name.eq_ignore_ascii_case(name)) {
            None => missing.push((name, kind, comment)),
            Some(column) if plain(&column.type_text) == plain(kind) => {}
            Some(column) => {
                let problem = format!(
                    "column {name} of table {} is {} and would have to be {kind}; rename it, or move the table away",
                    table.name,
                    column.type_text.to_uppercase()
                );
                return Err(DestinationError::Refused { problem });
            }
        }
    }
    Ok(missing)
}

/// A type without regard to how it is written.
pub(super) fn plain(kind: &str) -> String {
    kind.chars().filter(|character| !character.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn sql((name, kind, comment): Column) -> String {
    column(name, kind, comment)
}

fn column(name: &str, kind: &str, comment: &str) -> String {
    format!("{} {kind} COMMENT {}", quoted(name), literal(comment))
}

fn removed(table: &str) -> DestinationError {
    let gone = WorkspaceError::Settings(format!("table {table} was removed while it was prepared"));
    DestinationError::Transient { doing: format!("prepare table {table}"), cause: gone.into() }
}
