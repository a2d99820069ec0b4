//! A Delta table as DataFusion reads it: the active files of one version, and what the log says of each.
//!
//! delta-rs has a table provider of its own. It would make delta-rs wait for DataFusion wherever either is compiled, and bring
//! DataFusion's writers along; reading takes no more than this.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::ObjectMeta;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::LogicalFileView;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use serde_json::{Map, Value};

/// Microseconds by which the largest timestamp of a file may be cut: statistics have milliseconds.
const STATISTICS_CUT_US: i64 = 999;

/// One version of a table.
#[derive(Debug)]
pub(crate) struct FilesOfTable {
    store: ObjectStoreUrl,
    /// The columns in the table's order.
    schema: SchemaRef,
    /// Those in the files, and then those in the folders' names.
    layout: TableSchema,
    files: Vec<PartitionedFile>,
    rows: Precision<usize>,
}

impl FilesOfTable {
    /// The version that `table` holds, whose files are reached through `store`, relative to the table's root.
    ///
    /// # Errors
    /// The table needs something of a reader that this one does not do.
    pub(crate) fn new(name: &str, table: &DeltaTable, store: ObjectStoreUrl) -> Result<Self> {
        let state = table.snapshot().map_err(external)?;
        let schema: Schema = state.schema().as_ref().try_into_arrow()?;
        if state.metadata().configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
            return Err(unreadable(name, "its columns are mapped to other names in the files", "write it anew without column mapping"));
        }
        let partitions = state.metadata().partition_columns().to_vec();
        let is_partition = |name: &String| partitions.contains(name);
        let in_files: Vec<_> = schema.fields().iter().filter(|field| !is_partition(field.name())).cloned().collect();
        let in_folders: Vec<_> =
            partitions.iter().map(|name| schema.field_with_name(name).cloned().map(Arc::new)).collect::<std::result::Result<_, _>>()?;
        let layout = TableSchema::builder(Arc::new(Schema::new(in_files))).with_table_partition_cols(in_folders).build();
        let mut files = Vec::new();
        for file in state.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                let fix = "purge them with the engine that wrote them: REORG TABLE … APPLY (PURGE) in Spark";
                return Err(unreadable(name, "some of its rows are deleted by deletion vectors", fix));
            }
            files.push(partitioned_file(&file, &layout)?);
        }
        let rows = |file: &PartitionedFile| file.statistics.as_ref().and_then(|statistics| statistics.num_rows.get_value().copied());
        let rows = files.iter().map(rows).sum::<Option<usize>>().map_or(Precision::Absent, Precision::Exact);
        Ok(Self { store, schema: Arc::new(schema), layout, files, rows })
    }

    /// Where a column of the table's order is in the layout.
    fn place(&self, index: usize) -> Result<usize> {
        Ok(self.layout.table_schema().index_of(self.schema.field(index).name())?)
    }
}

#[async_trait]
impl TableProvider for FilesOfTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.map_or_else(|| (0..self.schema.fields().len()).collect(), Clone::clone);
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        let places = wanted.into_iter().map(|index| self.place(index)).collect::<Result<Vec<_>>>()?;
        let statistics = Statistics { num_rows: self.rows, ..Statistics::new_unknown(self.layout.table_schema()) };
        let format = ParquetFormat::default().with_options(state.table_options().parquet.clone());
        // Filters reach the files by DataFusion's own rule, which compares them with each file's statistics before it opens one.
        let scan = FileScanConfigBuilder::new(self.store.clone(), format.file_source(self.layout.clone()))
            .with_file_groups(FileGroup::new(self.files.clone()).split_files(state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(Some(places))?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, scan).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

fn partitioned_file(file: &LogicalFileView, layout: &TableSchema) -> Result<PartitionedFile> {
    let meta = ObjectMeta {
        location: file.object_store_path(),
        last_modified: file.modification_datetime().map_err(external)?,
        size: u64::try_from(file.size()).unwrap_or_default(),
        e_tag: None,
        version: None,
    };
    let mut values = file.partition_values_map();
    let value = |field: &arrow_schema::FieldRef| match values.remove(field.name()).flatten() {
        Some(text) => ScalarValue::try_from_string(text, field.data_type()),
        None => ScalarValue::try_from(field.data_type()),
    };
    let partition_values = layout.table_partition_cols().iter().map(value).collect::<Result<Vec<_>>>()?;
    let mut statistics = statistics(file, layout.file_schema());
    statistics.column_statistics.extend(partition_values.iter().map(|value| of_folder(value, statistics.num_rows)));
    let mut partitioned = PartitionedFile::new_from_meta(meta).with_partition_values(partition_values);
    partitioned.statistics = Some(Arc::new(statistics));
    Ok(partitioned)
}

/// What is known of a column that has one value in all of a file's rows.
fn of_folder(value: &ScalarValue, rows: Precision<usize>) -> ColumnStatistics {
    if value.is_null() {
        return ColumnStatistics { null_count: rows, ..ColumnStatistics::new_unknown() };
    }
    let known = Precision::Exact(value.clone());
    ColumnStatistics { null_count: Precision::Exact(0), min_value: known.clone(), max_value: known, ..ColumnStatistics::new_unknown() }
}

/// What the log says of the columns in a file. Bounds are taken for bounds only: writers cut long text, and microseconds.
fn statistics(file: &LogicalFileView, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.total_byte_size = usize::try_from(file.size()).map_or(Precision::Absent, Precision::Inexact);
    let Some(Value::Object(told)) = file.stats().and_then(|text| serde_json::from_str(&text).ok()) else { return statistics };
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    statistics.num_rows = number(told.get("numRecords")).map_or(Precision::Absent, Precision::Exact);
    let of = |kind: &str| told.get(kind).and_then(Value::as_object);
    let (least, most, nulls) = (of("minValues"), of("maxValues"), of("nullCount"));
    for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
        let bound = |bounds: Option<&Map<String, Value>>| bounds.and_then(|bounds| scalar(bounds.get(field.name())?, field.data_type()));
        column.null_count = number(nulls.and_then(|nulls| nulls.get(field.name()))).map_or(Precision::Absent, Precision::Exact);
        column.min_value = bound(least).map_or(Precision::Absent, Precision::Inexact);
        column.max_value = bound(most).map(widened).map_or(Precision::Absent, Precision::Inexact);
    }
    statistics
}

fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_true) => is_true.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    ScalarValue::try_from_string(text, data_type).ok().filter(|value| !value.is_null())
}

fn widened(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::TimestampMicrosecond(Some(at), zone) => {
            ScalarValue::TimestampMicrosecond(Some(at.saturating_add(STATISTICS_CUT_US)), zone)
        }
        other => other,
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn unreadable(name: &str, why: &str, fix: &str) -> DataFusionError {
    DataFusionError::Plan(format!("table {name} cannot be read here: {why}; {fix}"))
}
