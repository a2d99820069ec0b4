//! A Delta table as DataFusion reads it: the active files of one version, and what the log says of each.
//!
//! delta-rs has a table provider of its own. It would make delta-rs wait for DataFusion wherever either is compiled, and bring
//! DataFusion's writers along; reading takes no more than this.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, ArrayRef, BooleanArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::ObjectMeta;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::LogicalFileView;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use serde_json::Value;

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
    files: Vec<File>,
    rows: Precision<usize>,
}

/// A file, and what the log says of it.
#[derive(Debug)]
struct File {
    file: PartitionedFile,
    /// The columns that are in its folder's name.
    folders: HashMap<String, ScalarValue>,
    /// Its statistics, as JSON.
    statistics: Option<String>,
}

impl File {
    fn new(file: &LogicalFileView, layout: &TableSchema) -> Result<Self> {
        let meta = ObjectMeta {
            location: file.object_store_path(),
            last_modified: file.modification_datetime().map_err(external)?,
            size: u64::try_from(file.size()).unwrap_or_default(),
            e_tag: None,
            version: None,
        };
        let mut values = file.partition_values_map();
        let value = |field: &FieldRef| match values.remove(field.name()).flatten() {
            Some(text) => ScalarValue::try_from_string(text, field.data_type()),
            None => ScalarValue::try_from(field.data_type()),
        };
        let columns = layout.table_partition_cols();
        let values = columns.iter().map(value).collect::<Result<Vec<_>>>()?;
        let folders = columns.iter().map(|field| field.name().clone()).zip(values.iter().cloned()).collect();
        Ok(Self { file: PartitionedFile::new_from_meta(meta).with_partition_values(values), folders, statistics: file.stats() })
    }
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
        let (mut files, mut rows) = (Vec::new(), Some(0));
        for file in state.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                let fix = "purge them with the engine that wrote them: REORG TABLE … APPLY (PURGE) in Spark";
                return Err(unreadable(name, "some of its rows are deleted by deletion vectors", fix));
            }
            rows = rows.zip(file.num_records()).map(|(rows, more)| rows + more);
            files.push(File::new(&file, &layout)?);
        }
        let rows = rows.map_or(Precision::Absent, Precision::Exact);
        Ok(Self { store, schema: Arc::new(schema), layout, files, rows })
    }

    /// The files that may have rows for which all of `filters` are true.
    fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let may_match = self.may_match(state, filters)?;
        Ok(self.files.iter().zip(may_match).filter(|(_, may_match)| *may_match).map(|(file, _)| file.file.clone()).collect())
    }

    /// For each file, in the order of the log's data, whether it may have such rows.
    pub(crate) fn may_match(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<bool>> {
        let all = || vec![true; self.files.len()];
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(all()) };
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&self.schema))?)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).try_build(filter)?;
        if predicate.always_true() {
            return Ok(all());
        }
        predicate.prune(&Told::new(self))
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
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.map_or_else(|| (0..self.schema.fields().len()).collect(), Clone::clone);
        let files = self.files(state, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        let places = wanted.into_iter().map(|index| self.place(index)).collect::<Result<Vec<_>>>()?;
        let rows = if files.len() == self.files.len() { self.rows } else { Precision::Absent };
        let statistics = Statistics { num_rows: rows, ..Statistics::new_unknown(self.layout.table_schema()) };
        let format = ParquetFormat::default().with_options(state.table_options().parquet.clone());
        // Filters also reach the files by a rule of DataFusion's, which skips row groups and pages.
        let scan = FileScanConfigBuilder::new(self.store.clone(), format.file_source(self.layout.clone()))
            .with_file_groups(FileGroup::new(files).split_files(state.config().target_partitions()))
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

/// What the log says of the files, for the columns that a filter names.
struct Told<'a> {
    schema: &'a SchemaRef,
    files: Vec<ToldOfFile<'a>>,
}

struct ToldOfFile<'a> {
    folders: &'a HashMap<String, ScalarValue>,
    statistics: Value,
}

impl<'a> Told<'a> {
    fn new(table: &'a FilesOfTable) -> Self {
        let statistics = |text: Option<&String>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let of_file = |file: &'a File| ToldOfFile { folders: &file.folders, statistics: statistics(file.statistics.as_ref()) };
        Self { schema: &table.schema, files: table.files.iter().map(of_file).collect() }
    }

    /// A bound of `column` in each file; bounds are taken for bounds only, since writers cut long text, and microseconds.
    fn bounds(&self, column: &Column, kind: &str) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(&column.name).ok()?.data_type();
        let unknown = ScalarValue::try_from(data_type).ok()?;
        let bound = |file: &ToldOfFile<'_>| match file.folders.get(&column.name) {
            Some(value) => value.clone(),
            None => scalar(&file.statistics[kind][&column.name], data_type).unwrap_or_else(|| unknown.clone()),
        };
        ScalarValue::iter_to_array(self.files.iter().map(bound)).ok()
    }
}

impl PruningStatistics for Told<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, "minValues")
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let bounds = self.bounds(column, "maxValues")?;
        let DataType::Timestamp(TimeUnit::Microsecond, zone) = bounds.data_type().clone() else { return Some(bounds) };
        let moments: TimestampMicrosecondArray =
            bounds.as_primitive::<TimestampMicrosecondType>().unary(|at: i64| at.saturating_add(STATISTICS_CUT_US));
        Some(Arc::new(moments.with_timezone_opt(zone)))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let count = |file: &ToldOfFile<'_>| match file.folders.get(&column.name) {
            Some(value) if value.is_null() => file.statistics["numRecords"].as_u64(),
            Some(_) => Some(0),
            None => file.statistics["nullCount"][&column.name].as_u64(),
        };
        Some(Arc::new(self.files.iter().map(count).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| file.statistics["numRecords"].as_u64()).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
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

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn unreadable(name: &str, why: &str, fix: &str) -> DataFusionError {
    DataFusionError::Plan(format!("table {name} cannot be read here: {why}; {fix}"))
}
