//! The Delta destination: the conformance suite, and what can go wrong with logs, files and other writers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(unreachable_pub, missing_docs)]

#[path = "../conformance/mod.rs"]
mod conformance;
mod crowd;
mod faults;
mod faulty;
mod governed;
mod lint;
mod maintenance;
mod objects;
mod probe;
mod refusals;
mod removal;
mod requests;
#[path = "../rigs/mod.rs"]
mod rigs;
mod stores;
mod storm;

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use freshet_core::{Destination, TableDef};
use freshet_destinations::delta::{Lake, LakeOptions};
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use self::conformance::Subject;

/// A lake in a directory that goes away with it. The directory's name has what paths like to trip over.
pub struct TestLake {
    pub lake: Lake,
    pub directory: TempDir,
}

impl TestLake {
    pub fn fresh() -> Self {
        Self::with_options(LakeOptions::default())
    }

    pub fn with_options(options: LakeOptions) -> Self {
        let directory = tempfile::Builder::new().prefix("a lake, ü+#1 ").tempdir().unwrap();
        let lake = Lake::open(directory.path().join("lake").to_str().unwrap(), options).unwrap();
        Self { lake, directory }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        self.lake.place().local().unwrap()
    }

    /// The lake as another process would open it.
    pub fn other(&self) -> Lake {
        Lake::open(self.root().to_str().unwrap(), LakeOptions::default()).unwrap()
    }
}

impl Subject for TestLake {
    fn destination(&self) -> &dyn Destination {
        &self.lake
    }

    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>> {
        Box::pin(read(&self.lake, table))
    }
}

/// The rows of the active files, through the Parquet reader alone.
pub async fn read(lake: &Lake, table: &'static TableDef) -> Vec<RecordBatch> {
    let loaded = lake.load(table.name).await.unwrap().unwrap();
    let mut batches = Vec::new();
    for file in loaded.snapshot().unwrap().log_data().iter() {
        let path = lake.place().local().unwrap().join(table.name).join(file.path().as_ref());
        let date = file.partition_values_map().remove("date").flatten();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
        let before = batches.len();
        batches.extend(reader.map(|batch| conformance::fit(table, &batch.unwrap(), date.as_deref())));
        let rows: usize = batches[before..].iter().map(RecordBatch::num_rows).sum();
        assert_eq!(file.num_records(), Some(rows), "{path:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), u64::try_from(file.size()).unwrap());
    }
    batches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::run(|| Box::new(TestLake::fresh())).await;
}

#[tokio::test]
async fn conforms_on_one_thread() {
    conformance::run(|| Box::new(TestLake::fresh())).await;
}
