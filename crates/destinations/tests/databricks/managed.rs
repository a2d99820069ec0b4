//! Managed tables, against a workspace that follows the documented contract.

mod crowd;
mod kills;
mod objects;
mod traces;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_cast::cast;
use freshet_core::{Destination, Secret, TableDef};
use freshet_destinations::databricks::login::Login;
use freshet_destinations::databricks::{Managed, ManagedOptions, Statement, Workspace, WorkspaceLimits, WorkspaceOptions};
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::conformance::{self, Subject};
use crate::rigs::Rig;

/// The faults that tests go through, as shares of all requests.
pub const FAULTS: &str = r#""throttled": 0.04, "unavailable": 0.04, "cut_before": 0.04, "cut_after": 0.06, "failed_before": 0.04,
    "failed_after": 0.06, "zombie": 0.06, "zombie_ms": [0, 300]"#;

/// Managed tables in a schema of their own.
pub struct TestTables {
    pub rig: Arc<Rig>,
    pub schema: String,
    pub tables: Managed,
}

impl TestTables {
    pub fn fresh(rig: &Arc<Rig>) -> Self {
        let schema = rig.fresh_schema();
        let tables = open(rig, &schema);
        Self { rig: Arc::clone(rig), schema, tables }
    }

    /// The tables as another process would open them.
    pub fn other(&self) -> Managed {
        open(&self.rig, &self.schema)
    }

    /// Has the warehouse do what a person would.
    pub async fn sql(&self, text: &str) {
        let text = text.replace("SCHEMA", &format!("`main`.`{}`", self.schema));
        workspace(&self.rig).run(&Statement::new(text)).await.unwrap();
    }

    /// What the simulator has of a table.
    pub fn table(&self, name: &str) -> Value {
        self.state()["tables"][format!("main.{}.{name}", self.schema)].clone()
    }

    /// What the simulator has.
    pub fn state(&self) -> Value {
        serde_json::from_slice(&self.rig.told("state")).unwrap()
    }

    /// Waits until no statement is under way, whoever sent it.
    pub async fn quiet(&self) {
        while self.state()["busy"] != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All rows of a table as the simulator has them.
    pub fn rows(&self, table: &TableDef) -> Vec<RecordBatch> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&self.rig.told(&format!("table/main.{}.{}", self.schema, table.name))).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.map(|batch| fit(table, &batch.unwrap())).collect()
    }
}

impl Subject for TestTables {
    fn destination(&self) -> &dyn Destination {
        &self.tables
    }

    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>> {
        Box::pin(async move {
            self.quiet().await;
            self.rows(table)
        })
    }
}

/// The rows in the shape of the table's definition.
fn fit(table: &TableDef, batch: &RecordBatch) -> RecordBatch {
    let schema = table.arrow_schema();
    let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
        match batch.column_by_name(field.name()) {
            Some(column) => cast(column, field.data_type()).unwrap(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        }
    };
    RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect()).unwrap()
}

pub fn workspace(rig: &Rig) -> Workspace {
    let login = Login::Token(Secret::new("dapi-of-the-test".to_owned()));
    let limits = WorkspaceLimits {
        tries_max: 40,
        backoff_first: Duration::from_millis(10),
        backoff_max: Duration::from_millis(200),
        look_first: Duration::from_millis(10),
        look_max: Duration::from_millis(50),
        ..WorkspaceLimits::default()
    };
    let options = WorkspaceOptions { limits, seed: 1, ..WorkspaceOptions::new(&rig.url(), Some("0123456789abcdef".to_owned()), login) };
    Workspace::connect(options).unwrap()
}

pub fn open(rig: &Rig, schema: &str) -> Managed {
    let patience = Duration::from_millis(1_500);
    Managed::new(workspace(rig), ManagedOptions { merge_patience: patience, ..ManagedOptions::new("main", schema) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_tables_conform() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    conformance::run(|| Box::new(TestTables::fresh(&rig))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_tables_conform_under_faults() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"statement_ms": [0, 20], "chunk_rows": 100}"#);
    for seed in [1, 2] {
        rig.tell("faults", &format!(r#"{{"seed": {seed}, {FAULTS}}}"#));
        conformance::run(|| Box::new(TestTables::fresh(&rig))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_that_sleeps_is_woken() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"cold_start_ms": 1500}"#);
    let test = TestTables::fresh(&rig);
    conformance::commit(&test.tables, &conformance::rows::package(&conformance::rows::KEYS, 0..5, &[("a", 0, 1)])).await;
    rig.tell("stop", "{}");
    assert_eq!(conformance::checkpoint(&test.tables, &conformance::rows::KEYS, "a").await, Some(1));
}
