//! Rows to Parquet files: which columns get statistics, dictionaries and which encodings, and how the work leaves the async threads.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::Add;
use deltalake_core::operations::get_num_idx_cols_and_stats_columns;
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::{Stream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tokio::task::spawn_blocking;

/// Rows after which a row group ends: what the reader of a file has to hold, and what it can skip.
const ROW_GROUP_ROWS: usize = 512 * 1024;

/// Text whose minimum and maximum say nothing and would fill the log.
const WIDE_TEXT: &[&str] = &["message", "text", "body", "frame_id", "request_id", "path", "detail", "command", "fwd", "_raw", "_extra"];

/// Text that hardly ever repeats within a row group, so that a dictionary only costs.
const RARELY_REPEATED: &[&str] = &["message", "text", "body", "frame_id", "request_id", "path", "_raw", "_extra"];

/// A Parquet file and the action that makes it part of a table.
pub(super) struct EncodedFile {
    pub(super) add: Add,
    pub(super) bytes: Bytes,
}

/// How the files of one table are written.
#[derive(Clone)]
pub(super) struct Encoder {
    schema: SchemaRef,
    partition_columns: Vec<String>,
    properties: WriterProperties,
}

impl Encoder {
    /// For rows of `schema`, partitioned by `partition_columns`; files name `created_by` as their maker.
    pub(super) fn new(schema: &Schema, partition_columns: Vec<String>, created_by: &str) -> Self {
        // The comments are in the table's metadata; here they would cost kilobytes in each small file.
        let bare: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new())).collect();
        Self { properties: properties(&bare, created_by), schema: Arc::new(Schema::new(bare)), partition_columns }
    }

    /// The rows' schema, without comments.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// One file per partition with all rows of `batches`, each with its statistics. No rows, no files.
    pub(super) async fn encode(&self, batches: Vec<RecordBatch>) -> DeltaResult<Vec<EncodedFile>> {
        self.encode_stream(futures::stream::iter(batches.into_iter().map(Ok))).await
    }

    /// As [`Self::encode`], for rows that arrive while it works.
    pub(super) async fn encode_stream(
        &self,
        batches: impl Stream<Item = DeltaResult<RecordBatch>> + Send + Unpin + 'static,
    ) -> DeltaResult<Vec<EncodedFile>> {
        let encoder = self.clone();
        let encoded = spawn_blocking(move || {
            // A runtime of its own keeps the tasks that the writer spawns, which compress, off the async threads.
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(encoder.encode_here(batches))
        });
        encoded.await.map_err(|error| DeltaTableError::Generic(format!("the Parquet writer stopped: {error}")))?
    }

    async fn encode_here(&self, mut batches: impl Stream<Item = DeltaResult<RecordBatch>> + Unpin) -> DeltaResult<Vec<EncodedFile>> {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        // Which columns have statistics is said in the properties; this only keeps delta-rs from stopping at the 32nd.
        let no_limit = HashMap::from([("delta.dataSkippingNumIndexedCols".to_owned(), Some(u16::MAX.to_string()))]);
        let (indexed_columns, _) = get_num_idx_cols_and_stats_columns(None, no_limit);
        let config = WriterConfig::new(
            Arc::clone(&self.schema),
            self.partition_columns.clone(),
            Some(self.properties.clone()),
            None,
            None,
            indexed_columns,
            None,
        );
        let mut writer = DeltaWriter::new(Arc::clone(&memory), config);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?).await?;
        }
        let mut files = Vec::new();
        for add in writer.close().await? {
            let bytes = memory.get(&Path::parse(&add.path)?).await?.bytes().await?;
            files.push(EncodedFile { add, bytes });
        }
        Ok(files)
    }
}

/// Whether files carry minimum, maximum and null count of `column`.
pub(super) fn has_statistics(column: &Field) -> bool {
    let scalar = !matches!(column.data_type(), DataType::Binary | DataType::List(_) | DataType::Map(..) | DataType::Struct(_));
    scalar && !WIDE_TEXT.contains(&column.name().as_str())
}

fn properties(columns: &[Field], created_by: &str) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(created_by.to_owned());
    for column in columns {
        for leaf in leaves(column) {
            if !has_statistics(column) {
                properties = properties.set_column_statistics_enabled(leaf.clone(), EnabledStatistics::None);
            }
            if RARELY_REPEATED.contains(&column.name().as_str()) || *column.data_type() == DataType::Binary {
                properties = properties.set_column_dictionary_enabled(leaf.clone(), false);
            }
            if matches!(column.data_type(), DataType::Timestamp(..)) {
                properties =
                    properties.set_column_dictionary_enabled(leaf.clone(), false).set_column_encoding(leaf, Encoding::DELTA_BINARY_PACKED);
            }
        }
    }
    properties.build()
}

/// The Parquet columns that an Arrow column becomes.
fn leaves(column: &Field) -> Vec<ColumnPath> {
    let below =
        |parts: &[&str]| ColumnPath::new(std::iter::once(column.name().as_str()).chain(parts.iter().copied()).map(str::to_owned).collect());
    match column.data_type() {
        DataType::List(item) => vec![below(&["list", item.name()])],
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.iter().map(|field| below(&[entries.name(), field.name()])).collect(),
            _ => Vec::new(),
        },
        _ => vec![below(&[])],
    }
}
