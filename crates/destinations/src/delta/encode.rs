//! Rows to Parquet files: which columns get statistics, dictionaries and which encodings, and how the work leaves the async threads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::Add;
use deltalake_core::operations::get_num_idx_cols_and_stats_columns;
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::{Stream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tokio::task::spawn_blocking;

use super::split;

/// Rows after which a row group ends: what the reader of a file has to hold, and what it can skip.
const ROW_GROUP_ROWS: usize = 512 * 1024;

/// Rows that go to the Parquet writer at once; delta-rs would take 1,024.
const WRITE_ROWS: usize = 64 * 1024;

/// Text whose minimum and maximum say nothing and would fill the log.
const WIDE_TEXT: &[&str] = &["message", "text", "body", "frame_id", "request_id", "path", "detail", "command", "fwd", "_raw", "_extra"];

/// Text that hardly ever repeats within a row group, so that a dictionary only costs.
const RARELY_REPEATED: &[&str] = &["message", "text", "body", "frame_id", "request_id", "path", "_raw", "_extra"];

/// The dates that Delta's readers agree on, years 1 to 9999, in days since 1970-01-01.
const DATES: RangeInclusive<i32> = -719_162..=2_932_896;

/// A Parquet file and the action that makes it part of a table.
pub(crate) struct EncodedFile {
    pub(crate) add: Add,
    pub(crate) bytes: Bytes,
}

/// How the files of one table are written.
#[derive(Clone)]
pub(crate) struct Encoder {
    schema: SchemaRef,
    partition_columns: Vec<String>,
    properties: WriterProperties,
}

impl Encoder {
    /// For rows of `schema`, partitioned by `partition_columns`; files name `created_by` as their maker.
    pub(crate) fn new(schema: &Schema, partition_columns: Vec<String>, created_by: &str) -> Self {
        // The comments are in the table's metadata; here they would cost kilobytes in each small file.
        let bare: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new())).collect();
        Self { properties: properties(&bare, created_by), schema: Arc::new(Schema::new(bare)), partition_columns }
    }

    /// The rows' schema, without comments.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// One file per partition with all rows of `batches`, each with its statistics. No rows, no files.
    pub(crate) async fn encode(&self, batches: Vec<RecordBatch>) -> DeltaResult<Vec<EncodedFile>> {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let adds = self.encode_to(Arc::clone(&memory), futures::stream::iter(batches.into_iter().map(Ok))).await?;
        let mut files = Vec::with_capacity(adds.len());
        for add in adds {
            let bytes = memory.get(&Path::parse(&add.path)?).await?.bytes().await?;
            files.push(EncodedFile { add, bytes });
        }
        Ok(files)
    }

    /// As [`Self::encode`], for rows that arrive while it works, into files that need not fit into memory.
    pub(super) async fn encode_to(
        &self,
        store: Arc<dyn ObjectStore>,
        batches: impl Stream<Item = DeltaResult<RecordBatch>> + Send + Unpin + 'static,
    ) -> DeltaResult<Vec<Add>> {
        let encoder = self.clone();
        let encoded = spawn_blocking(move || {
            // A runtime of its own keeps the tasks that the writer spawns, which compress, off the async threads. It has a clock, which
            // stores wait by; their connections are elsewhere.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(encoder.encode_here(&store, batches))
        });
        encoded.await.map_err(|error| DeltaTableError::Generic(format!("the Parquet writer stopped: {error}")))?
    }

    async fn encode_here(
        &self,
        store: &Arc<dyn ObjectStore>,
        mut batches: impl Stream<Item = DeltaResult<RecordBatch>> + Unpin,
    ) -> DeltaResult<Vec<Add>> {
        let mut folders: BTreeMap<Option<String>, DeltaWriter> = BTreeMap::new();
        while let Some(batch) = batches.next().await {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch?.columns().to_vec())?;
            check_dates(&batch)?;
            for (value, rows) in self.by_folder(batch)? {
                let writer = match folders.entry(value) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(new) => {
                        let folder = self.folder(new.key().as_deref());
                        new.insert(self.writer(Arc::new(PrefixStore::new(Arc::clone(store), folder)), rows.schema()))
                    }
                };
                writer.write(&rows).await?;
            }
        }
        let mut adds = Vec::new();
        for (value, writer) in folders {
            for mut add in writer.close().await? {
                add.path = format!("{}", self.folder(value.as_deref()).join(add.path));
                if let (Some(value), Some(column)) = (&value, self.partition_columns.first()) {
                    add.partition_values = [(column.clone(), (value != split::NULL_VALUE).then(|| value.clone()))].into();
                }
                adds.push(add);
            }
        }
        Ok(adds)
    }

    /// Where the files with `value` in the partition column lie, below the table's root.
    fn folder(&self, value: Option<&str>) -> Path {
        match (value, self.partition_columns.first()) {
            (Some(value), Some(column)) => Path::from_iter([format!("{column}={value}")]),
            _ => Path::default(),
        }
    }

    /// The rows by the value that names their folder, which is not in the file itself. Delta-rs can do this too, but
    /// copies every row even where all of them have one date.
    fn by_folder(&self, batch: RecordBatch) -> DeltaResult<Vec<(Option<String>, RecordBatch)>> {
        match self.partition_columns.as_slice() {
            [] => Ok(vec![(None, batch)]),
            [column] => Ok(split::by_value(&batch, column)?.into_iter().map(|(value, rows)| (Some(value), rows)).collect()),
            several => Err(DeltaTableError::Generic(format!("tables are partitioned by one column, this one by {}", several.join(", ")))),
        }
    }

    /// A writer of files in the folder `store`, whose rows have `schema`.
    fn writer(&self, store: Arc<dyn ObjectStore>, schema: SchemaRef) -> DeltaWriter {
        // Which columns have statistics is said in the properties; this only keeps delta-rs from stopping at the 32nd.
        let no_limit = HashMap::from([("delta.dataSkippingNumIndexedCols".to_owned(), Some(u16::MAX.to_string()))]);
        let (indexed_columns, _) = get_num_idx_cols_and_stats_columns(None, no_limit);
        let properties = Some(self.properties.clone());
        let config = WriterConfig::new(schema, Vec::new(), properties, None, Some(WRITE_ROWS), indexed_columns, None);
        DeltaWriter::new(store, config)
    }
}

/// Refuses dates that have no name of four digits: delta-rs would stop at them, and folders of such names help nobody.
fn check_dates(batch: &RecordBatch) -> DeltaResult<()> {
    let columns = batch.columns().iter().filter_map(|column| column.as_primitive_opt::<Date32Type>());
    match columns.flat_map(|dates| dates.iter().flatten()).find(|days| !DATES.contains(days)) {
        Some(days) => Err(DeltaTableError::InvalidData { message: format!("a row has a date {days} days from 1970-01-01") }),
        None => Ok(()),
    }
}

/// Whether files carry minimum, maximum and null count of `column`.
pub(crate) fn has_statistics(column: &Field) -> bool {
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
