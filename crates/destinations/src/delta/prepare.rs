//! Making a table exist with at least its columns, and finding out beforehand whether we can write to it.

use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, PROTOCOL, TransactionError};
use deltalake_core::kernel::{Action, DataType, MetadataExt, StructField, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaResult, DeltaTable};
use freshet_core::{DestinationError, TableDef};

use super::encode::has_statistics;
use super::failure::failure;
use super::lake::{Lake, OpenTable};

/// Attempts to create or widen a table while others write to it. More than a commit has: any entry in between ends an attempt, and
/// one that only adds rows is written faster than this one.
const ATTEMPTS: u32 = 32;

/// The table property that names the columns with statistics.
const STATISTICS_COLUMNS: &str = "delta.dataSkippingStatsColumns";

impl Lake {
    /// Makes `table` exist with at least its columns and leaves `slot` at a version that has them.
    pub(super) async fn prepare_table(&self, table: &'static TableDef, slot: &mut Option<OpenTable>) -> Result<(), DestinationError> {
        let wanted = kernel_schema(table).map_err(|error| failure(format!("describe table {}", table.name), error))?;
        let mut last_error = None;
        for _ in 0..ATTEMPTS {
            let made = match self.refresh(table.name, slot).await? {
                None => self.create(table, &wanted).await,
                Some(open) => {
                    let state = open.table.snapshot().map_err(|error| failure(format!("read table {}", table.name), error))?;
                    check_writable(table.name, state)?;
                    let missing = missing_columns(table.name, &state.schema(), &wanted)?;
                    if missing.is_empty() {
                        return self.publish(table.name, &open.table).await;
                    }
                    tracing::info!(table = table.name, columns = missing.len(), "adding columns to table");
                    add_columns(table, &open.table, missing).await
                }
            };
            // Losing a race looks like an error too; the next round reads what the winner made.
            *slot = None;
            if let Err(error) = made {
                tracing::debug!(table = table.name, %error, "preparing table was not the first to commit");
                last_error = Some(error);
            }
        }
        match (self.refresh(table.name, slot).await?, last_error) {
            (None, Some(error)) => Err(failure(format!("create table {}", table.name), error)),
            (_, Some(error)) => Err(failure(format!("add columns to table {}", table.name), error)),
            (_, None) => Ok(()),
        }
    }

    async fn create(&self, table: &'static TableDef, columns: &StructType) -> DeltaResult<()> {
        let days = |days: u16| Some(format!("interval {days} days"));
        CreateBuilder::new()
            .with_log_store(self.place().table(table.name)?.log_store())
            .with_table_name(table.name)
            .with_comment(table.comment)
            .with_columns(columns.fields().cloned())
            .with_partition_columns(table.partition_column())
            // These and no others: most properties need a table feature that delta-rs would not declare.
            .with_configuration([
                ("delta.logRetentionDuration", days(self.options.log_retention_days)),
                ("delta.deletedFileRetentionDuration", days(self.options.deleted_file_retention_days)),
                ("delta.checkpointInterval", Some(self.options.checkpoint_every.to_string())),
                ("delta.isolationLevel", Some("WriteSerializable".to_owned())),
                (STATISTICS_COLUMNS, Some(statistics_columns(table, |_| true))),
            ])
            .with_save_mode(SaveMode::ErrorIfExists)
            // With retries, the loser of a race would add its own metadata as version 1.
            .with_commit_properties(quiet().with_max_retries(0))
            .await?;
        Ok(())
    }
}

/// Commit properties without the work that delta-rs would do after a commit, where a failure looks like a failed commit.
pub(super) fn quiet() -> CommitProperties {
    CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false))
}

async fn add_columns(definition: &TableDef, table: &DeltaTable, missing: Vec<StructField>) -> DeltaResult<()> {
    let state = table.snapshot()?;
    let widened = StructType::try_new(state.schema().fields().cloned().chain(missing.iter().cloned()))?;
    let mut metadata = state.metadata().clone().with_schema(&widened)?;
    if let Some(before) = state.metadata().configuration().get(STATISTICS_COLUMNS) {
        let added = statistics_columns(definition, |name| missing.iter().any(|field| field.name() == name));
        let all = [before.as_str(), &added].into_iter().filter(|names| !names.is_empty()).collect::<Vec<_>>().join(",");
        metadata = metadata.add_config_key(STATISTICS_COLUMNS.to_owned(), all)?;
    }
    CommitBuilder::from(quiet().with_max_retries(0))
        .with_actions(vec![Action::Metadata(metadata)])
        .build(Some(state), table.log_store(), DeltaOperation::AddColumn { fields: missing })
        .await?;
    Ok(())
}

/// The names of those columns that have statistics and that `keep` keeps, as the table property wants them.
fn statistics_columns(definition: &TableDef, keep: impl Fn(&str) -> bool) -> String {
    let schema = definition.arrow_schema();
    let columns = schema
        .fields()
        .iter()
        .filter(|column| has_statistics(column) && definition.partition_column() != Some(column.name().as_str()) && keep(column.name()));
    columns.map(|column| column.name().as_str()).collect::<Vec<_>>().join(",")
}

/// Delta's schema of a table: every column nullable, with its comment.
fn kernel_schema(table: &TableDef) -> DeltaResult<StructType> {
    Ok(table.arrow_schema().as_ref().try_into_kernel()?)
}

/// The columns of `wanted` that `existing` lacks; a column of another type is refused.
fn missing_columns(table: &str, existing: &StructType, wanted: &StructType) -> Result<Vec<StructField>, DestinationError> {
    let mut missing = Vec::new();
    for field in wanted.fields() {
        match existing.field(field.name()) {
            None => missing.push(field.clone()),
            Some(found) if same_type(found.data_type(), field.data_type()) => {}
            Some(found) => {
                return Err(DestinationError::Refused {
                    problem: format!(
                        "column {} of table {table} is {} and would have to be {}; rename it, or move the table away",
                        field.name(),
                        sql_type(found.data_type()),
                        sql_type(field.data_type())
                    ),
                });
            }
        }
    }
    Ok(missing)
}

/// Whether values of both types are the same in files, whatever may be null.
fn same_type(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::Array(left), DataType::Array(right)) => same_type(left.element_type(), right.element_type()),
        (DataType::Map(left), DataType::Map(right)) => {
            same_type(left.key_type(), right.key_type()) && same_type(left.value_type(), right.value_type())
        }
        _ => left == right,
    }
}

/// A type by its name in Spark SQL.
pub(super) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Primitive(primitive) => match primitive.to_string().as_str() {
            "integer" => "INT".to_owned(),
            "long" => "BIGINT".to_owned(),
            "short" => "SMALLINT".to_owned(),
            "byte" => "TINYINT".to_owned(),
            other => other.to_uppercase(),
        },
        DataType::Array(array) => format!("ARRAY<{}>", sql_type(array.element_type())),
        DataType::Map(map) => format!("MAP<{},{}>", sql_type(map.key_type()), sql_type(map.value_type())),
        DataType::Struct(fields) | DataType::Variant(fields) => {
            let fields: Vec<_> = fields.fields().map(|field| format!("{}: {}", field.name(), sql_type(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
    }
}

/// Refuses a table whose rules we would break by appending, and says which and what would help.
pub(super) fn check_writable(table: &str, state: &DeltaTableState) -> Result<(), DestinationError> {
    let mut problems: Vec<String> = Vec::new();
    match PROTOCOL.can_write_to(state) {
        Ok(()) => {}
        Err(TransactionError::UnsupportedTableFeatures(features)) => {
            problems.extend(features.iter().map(|feature| drop_feature(table, feature.as_ref())));
        }
        Err(other) => problems.push(other.to_string()),
    }
    // Features that only some builds of delta-rs know, and that appending Parquet files would bypass either way.
    let features: Vec<&str> = state.protocol().writer_features().into_iter().flatten().map(AsRef::as_ref).collect();
    problems.extend(features.iter().filter(|name| BYPASSED.contains(name)).map(|name| drop_feature(table, name)));
    let configuration = state.metadata().configuration();
    if configuration.get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        problems.push(drop_feature(table, "columnMapping"));
    }
    for name in configuration.keys().filter_map(|key| key.strip_prefix("delta.constraints.")) {
        problems.push(format!("constraint {name} (ALTER TABLE {table} DROP CONSTRAINT {name})"));
    }
    for field in state.schema().fields() {
        if !field.is_nullable() {
            problems.push(format!("column {0} is NOT NULL (ALTER TABLE {table} ALTER COLUMN {0} DROP NOT NULL)", field.name()));
        }
        for rule in field.metadata().keys().filter(|key| COLUMN_RULES.iter().any(|rule| key.starts_with(rule))) {
            problems.push(format!("column {} has {rule}, which only the engine that made it can keep", field.name()));
        }
    }
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        return Ok(());
    }
    Err(DestinationError::Refused { problem: format!("cannot write to table {table}: it uses {}", problems.join("; ")) })
}

/// Table features whose rules a writer of plain files does not keep.
const BYPASSED: &[&str] = &[
    "columnMapping",
    "identityColumns",
    "rowTracking",
    "inCommitTimestamp",
    "clustering",
    "v2Checkpoint",
    "icebergCompatV1",
    "icebergCompatV2",
];

/// Column metadata that asks writers to check or compute values.
const COLUMN_RULES: &[&str] = &["delta.invariants", "delta.generationExpression", "delta.identity."];

fn drop_feature(table: &str, feature: &str) -> String {
    format!("table feature {feature} (ALTER TABLE {table} DROP FEATURE {feature})")
}
