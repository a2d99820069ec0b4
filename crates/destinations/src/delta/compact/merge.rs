//! Reading the rows of many files in the shape of the table as it is now.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, RecordBatch, new_null_array};
use arrow_cast::cast;
use arrow_schema::{Schema, SchemaRef};
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::Stream;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::plan::{Group, Partition, SmallFile};

/// Batches that may wait for the writer.
const BATCHES_AHEAD: usize = 4;

/// Rows per batch.
const BATCH_ROWS: usize = 8192;

/// All rows of `group`, in `schema`, read on a thread of their own, one file at a time.
pub(in crate::delta) fn rows_of(
    store: Arc<dyn ObjectStore>,
    group: &Group,
    schema: &SchemaRef,
) -> impl Stream<Item = DeltaResult<RecordBatch>> + Send + Unpin + 'static {
    read_files(store, group, Shape::of(group, schema))
}

/// As [`rows_of`], for only those columns that are in `schema`: the others are not read at all.
pub(in crate::delta) fn columns_of(
    store: Arc<dyn ObjectStore>,
    group: &Group,
    schema: &SchemaRef,
) -> impl Stream<Item = DeltaResult<RecordBatch>> + Send + Unpin + 'static {
    read_files(store, group, Shape { is_whole: false, ..Shape::of(group, schema) })
}

fn read_files(
    store: Arc<dyn ObjectStore>,
    group: &Group,
    shape: Shape,
) -> impl Stream<Item = DeltaResult<RecordBatch>> + Send + Unpin + 'static {
    let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
    let (files, runtime) = (group.files.clone(), Handle::current());
    spawn_blocking(move || {
        for file in &files {
            let read = runtime.block_on(get(store.as_ref(), file)).and_then(|found| read(found, file, &shape, &sender));
            match read {
                Ok(true) => {}
                // The writer has given up and says why.
                Ok(false) => return,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        }
    });
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// What every row must become.
struct Shape {
    schema: SchemaRef,
    partition: Partition,
    /// Whether every column of the files is wanted.
    is_whole: bool,
}

impl Shape {
    fn of(group: &Group, schema: &SchemaRef) -> Self {
        Self { schema: Arc::clone(schema), partition: group.partition.clone(), is_whole: true }
    }

    /// The columns by name: those that the file lacks are NULL, and the partition's is the same in all rows.
    fn fit(&self, batch: &RecordBatch) -> DeltaResult<RecordBatch> {
        let column = |field: &arrow_schema::FieldRef| -> DeltaResult<ArrayRef> {
            Ok(match (batch.column_by_name(field.name()), &self.partition) {
                (Some(column), _) if column.data_type() == field.data_type() => Arc::clone(column),
                (Some(column), _) => cast(column, field.data_type())?,
                (None, Partition::Date(Some(date))) if field.name() == "date" => Arc::new(Date32Array::from_value(*date, batch.num_rows())),
                (None, _) => new_null_array(field.data_type(), batch.num_rows()),
            })
        };
        let columns = self.schema.fields().iter().map(column).collect::<DeltaResult<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// A column that the table does not have would be lost.
    fn covers(&self, file: &Schema) -> bool {
        file.fields().iter().all(|field| self.schema.field_with_name(field.name()).is_ok())
    }
}

async fn get(store: &dyn ObjectStore, file: &SmallFile) -> DeltaResult<Source> {
    let found = store.get(&Path::parse(&file.path)?).await?;
    Ok(match found.payload {
        GetResultPayload::File(file, _) => Source::File(file),
        GetResultPayload::Stream(_) => Source::Bytes(found.bytes().await?),
    })
}

enum Source {
    File(std::fs::File),
    Bytes(bytes::Bytes),
}

/// Sends the rows of one file; false when nobody wants them any more.
fn read(source: Source, file: &SmallFile, shape: &Shape, sender: &mpsc::Sender<DeltaResult<RecordBatch>>) -> DeltaResult<bool> {
    let batches = match source {
        Source::File(opened) => reader(opened, file, shape)?,
        Source::Bytes(bytes) => reader(bytes, file, shape)?,
    };
    for batch in batches {
        if sender.blocking_send(Ok(shape.fit(&batch?)?)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn reader<Chunks: ChunkReader + 'static>(chunks: Chunks, file: &SmallFile, shape: &Shape) -> DeltaResult<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(chunks)?;
    let rows = builder.metadata().file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        return Err(DeltaTableError::Generic(format!("{} has {rows} rows, and {} by the log", file.path, file.rows)));
    }
    if shape.is_whole && !shape.covers(builder.schema()) {
        return Err(DeltaTableError::Generic(format!("{} has columns that the table does not", file.path)));
    }
    let wanted = ProjectionMask::columns(builder.parquet_schema(), shape.schema.fields().iter().map(|field| field.name().as_str()));
    Ok(builder.with_projection(wanted).with_batch_size(BATCH_ROWS).build()?)
}
