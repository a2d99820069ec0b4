//! External tables: a lake in one's own bucket, with keys that the catalog lends for a while, and registered there.
//!
//! S3 refuses a key that has ended, that is for another folder, or that may only read: see `rigs/s3.py`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use freshet_core::{Destination, DestinationError, Secret, TableDef};
use freshet_destinations::databricks::login::Login;
use freshet_destinations::databricks::{ExternalOptions, UnityCatalog, Workspace, WorkspaceOptions};
use freshet_destinations::delta::{CompactionOptions, Lake, LakeOptions, Leased, VacuumOptions, probe_governed};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, package};
use crate::conformance::{self, Subject, assert_rows, checkpoint, commit};
use crate::rigs::Rig;

/// A bucket and the workspace that governs it.
struct Governed {
    bucket: Rig,
    workspace: Rig,
}

impl Governed {
    fn start() -> Option<Self> {
        let (bucket, workspace) = (Rig::s3()?, Rig::databricks()?);
        workspace.tell("settings", &format!(r#"{{"s3":"{}"}}"#, bucket.url()));
        Some(Self { bucket, workspace })
    }

    /// A lake of its own in a schema of its own.
    fn lake(&self, has_warehouse: bool) -> External {
        let options = ExternalOptions {
            catalog: "main".to_owned(),
            schema: self.workspace.fresh_schema(),
            url: self.bucket.fresh_lake(),
            has_warehouse,
        };
        External { lake: self.open(&options), options }
    }

    fn open(&self, options: &ExternalOptions) -> Lake {
        let token = Login::Token(Secret::new("dapi-of-the-test".to_owned()));
        let warehouse = options.has_warehouse.then(|| "0123456789abcdef".to_owned());
        let workspace = Workspace::connect(WorkspaceOptions::new(&self.workspace.url(), warehouse, token)).unwrap();
        let catalog = UnityCatalog::new(workspace, options.clone());
        // What reaches the bucket without a key.
        let storage = self.bucket.options().into_iter().filter(|(name, _)| !name.contains("key")).collect();
        Lake::open(&options.url, LakeOptions { storage, catalog: Some(Arc::new(catalog)), ..LakeOptions::default() }).unwrap()
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&self.workspace.told("state")).unwrap()
    }

    /// Columns with types and comments of a table as the catalog has it.
    fn registered(&self, lake: &External, table: &TableDef) -> Vec<(String, String, String)> {
        let name = format!("main.{}.{}", lake.options.schema, table.name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let table = &self.state()["tables"][&name];
        assert_eq!(table["table_type"], "EXTERNAL", "{name} is not there");
        let columns = table["columns"].as_array().unwrap();
        columns.iter().map(|column| (text(&column["name"]), text(&column["type_text"]), text(&column["comment"]))).collect()
    }
}

struct External {
    lake: Lake,
    options: ExternalOptions,
}

impl Subject for External {
    fn destination(&self) -> &dyn Destination {
        &self.lake
    }

    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>> {
        Box::pin(async move {
            let loaded = self.lake.load(table.name).await.unwrap().unwrap();
            let store = loaded.object_store();
            let mut batches = Vec::new();
            for file in loaded.snapshot().unwrap().log_data().iter() {
                let bytes = store.get(&file.object_store_path()).await.unwrap().bytes().await.unwrap();
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                let date = file.partition_values_map().remove("date").flatten();
                batches.extend(reader.map(|batch| conformance::fit(table, &batch.unwrap(), date.as_deref())));
            }
            batches
        })
    }
}

fn expected(table: &TableDef) -> Vec<(String, String, String)> {
    let column =
        |column: &freshet_core::ColumnDef| (column.name.to_owned(), column.column_type.sql().to_lowercase(), column.comment.to_owned());
    table.columns.iter().map(column).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_tables_conform() {
    let Some(rigs) = Governed::start() else { return };
    conformance::run(|| Box::new(rigs.lake(false))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_registered_and_new_columns_told() {
    let Some(rigs) = Governed::start() else { return };
    for has_warehouse in [true, false] {
        let lake = rigs.lake(has_warehouse);
        lake.lake.prepare(&EVENTS).await.unwrap();
        lake.lake.prepare(&KEYS).await.unwrap();
        assert_eq!(rigs.registered(&lake, &EVENTS), expected(&EVENTS));
        assert_eq!(lake.lake.tables().await.unwrap(), [KEYS.name, EVENTS.name]);
        // Another process, and a version that knows more columns.
        let other = rigs.open(&lake.options);
        other.prepare(&WIDER_EVENTS).await.unwrap();
        let now = if has_warehouse { &WIDER_EVENTS } else { &EVENTS };
        assert_eq!(rigs.registered(&lake, &EVENTS), expected(now), "without a warehouse nobody can tell it");
        commit(&other, &package(&WIDER_EVENTS, 0..5, &[("a", 0, 1)])).await;
        assert_rows(&lake, &WIDER_EVENTS, 0..5).await;
        let tags = rigs.state()["tables"][format!("main.{}.events", lake.options.schema)]["tags"].as_object().unwrap().len();
        assert_eq!(tags > 0, has_warehouse);
        probe_governed(lake.lake.place()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_renewed_before_they_end_and_only_for_what_they_are_for() {
    let Some(rigs) = Governed::start() else { return };
    // Renewed after half of it, at the latest.
    rigs.workspace.tell("settings", r#"{"credential_seconds":3}"#);
    let lake = rigs.lake(false);
    let begun = std::time::Instant::now();
    lake.lake.prepare(&KEYS).await.unwrap();
    let mut at = 0_u64;
    while begun.elapsed() < Duration::from_secs(8) {
        commit(&lake.lake, &package(&KEYS, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        at += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let all = CompactionOptions { all: true, ..CompactionOptions::default() };
    let Leased::Done(merged) = lake.lake.compact(KEYS.name, &all).await.unwrap() else { panic!("held") };
    assert_eq!(merged.files_before, at);
    let at_once = VacuumOptions { retention: Duration::ZERO, force: true, ..VacuumOptions::default() };
    assert!(matches!(lake.lake.vacuum(KEYS.name, &at_once).await.unwrap(), Leased::Done(vacuum) if vacuum.files >= at));
    assert_rows(&lake, &KEYS, 0..i64::try_from(at).unwrap()).await;

    let mut lent = BTreeMap::<String, usize>::new();
    for url in rigs.state()["lent"].as_array().unwrap() {
        *lent.entry(url.as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(lent.len(), 1, "{lent:?}");
    let of_table = lent[&format!("{}/{}", lake.options.url, KEYS.name)];
    assert!((3..=12).contains(&of_table), "{lent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_can_query_and_is_told_what_writing_needs() {
    let Some(rigs) = Governed::start() else { return };
    let lake = rigs.lake(true);
    lake.lake.prepare(&KEYS).await.unwrap();
    commit(&lake.lake, &package(&KEYS, 0..4, &[("a", 0, 1)])).await;
    rigs.workspace.tell("settings", r#"{"may_write":false}"#);
    let reader = External { lake: rigs.open(&lake.options), options: lake.options.clone() };
    assert_eq!(checkpoint(&reader.lake, &KEYS, "a").await, Some(1));
    assert_rows(&reader, &KEYS, 0..4).await;
    assert!(reader.lake.commit(&package(&KEYS, 4..6, &[("a", 1, 2)])).await.is_err());
    // Where the bucket itself says no, nothing is known of grants; who prepares a table is told.
    let error = reader.lake.prepare(&KEYS).await.unwrap_err();
    assert!(matches!(&error, DestinationError::NotPermitted { problem } if problem.contains("GRANT")), "{error:?}");
    let error = reader.lake.prepare(&EVENTS).await.unwrap_err();
    let DestinationError::NotPermitted { problem } = &error else { panic!("{error:?}") };
    assert!(problem.contains("GRANT EXTERNAL USE LOCATION"), "{problem}");
    assert_rows(&lake, &KEYS, 0..4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_somebody_else_is_left_alone() {
    let Some(rigs) = Governed::start() else { return };
    let lake = rigs.lake(false);
    lake.lake.prepare(&KEYS).await.unwrap();
    let elsewhere = ExternalOptions { url: rigs.bucket.fresh_lake(), ..lake.options.clone() };
    let error = rigs.open(&elsewhere).prepare(&KEYS).await.unwrap_err();
    let DestinationError::Refused { problem } = &error else { panic!("{error:?}") };
    assert!(problem.contains("is another table") && problem.contains(&lake.options.url), "{problem}");
    assert_eq!(rigs.open(&elsewhere).tables().await.unwrap(), Vec::<String>::new());
    let listed: Vec<_> = lake.lake.load(KEYS.name).await.unwrap().unwrap().object_store().list(None).try_collect().await.unwrap();
    assert!(!listed.is_empty());
}
