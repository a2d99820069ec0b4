//! Every statement that the Databricks bundle has, on tables filled from the sample log: each column that a view, a dashboard or an alert
//! names must be in the catalogue, or the statement cannot be planned.
//!
//! The statements run as they are, but for three things: where a table is (`catalog`.`schema`.), what time it is, and backticks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use bytes::Bytes;
use freshet_core::{Destination, Format, LoadId, Micros, Package, Payload, ShardId, SourceKind, Span, TableDef};
use freshet_destinations::delta::{Lake, LakeOptions};
use freshet_query::Engine;
use freshet_tables::{Delivery, PositionOf, Rows};
use serde_json::Value;
use tempfile::TempDir;

/// The end of the sample log, microseconds: the time that it is in the statements.
const NOW: i64 = 1_795_176_000_000_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// As our engine takes a statement that is for Databricks.
fn translated(sql: &str) -> String {
    sql.replace("`${var.catalog}`.`${var.schema}`.", "")
        .replace("current_timestamp", "TIMESTAMP '2026-11-20T12:00:00Z'")
        .replace("current_date", "DATE '2026-11-20'")
        .replace('`', "\"")
}

struct Test {
    engine: Engine,
    _directory: TempDir,
}

impl Test {
    /// A lake with the sample log, two releases, and a commit.
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let lake = Arc::new(Lake::open(directory.path().to_str().unwrap(), LakeOptions::default()).unwrap());
        for table in freshet_tables::TABLES {
            lake.prepare(table).await.unwrap();
        }
        let payload = Payload {
            source: SourceKind::File,
            format: Format::Cli,
            app: Some("shop".into()),
            drain_token: None,
            frame_id: None,
            msg_count: None,
            received_at: Micros(NOW),
            body: Bytes::from(fs::read(root().join("samples/shop.log")).unwrap()),
        };
        let mut rows = Rows::default();
        rows.add(&Delivery { payload: &payload, frame_id: "frame", position: PositionOf::MessageEnd, resumed_at: &[] });
        for filled in rows.finish() {
            commit(&lake, filled.table, filled.batch).await;
        }
        let hours = |hours: i64| Field::Time(NOW - hours * 3_600_000_000);
        let release = |version: &'static str, created| {
            vec![
                ("app_id", Field::Text("1")),
                ("app_name", Field::Text("shop")),
                ("version", Field::Number(version)),
                ("status", Field::Text("succeeded")),
                ("created_at", created),
            ]
        };
        rows_of(&lake, "releases", &[release("7", hours(48)), release("8", hours(1))]).await;
        rows_of(&lake, "builds", &[]).await;
        rows_of(&lake, "formation_history", &[]).await;
        let load = vec![
            ("table_name", Field::Text("logs")),
            ("committed_at", hours(2)),
            ("rows", Field::Number("5")),
            ("bytes", Field::Number("50")),
        ];
        rows_of(&lake, "_loads", &[load]).await;
        Self { engine: Engine::new(lake).await.unwrap(), _directory: directory }
    }

    async fn ask(&self, what: &str, sql: &str) -> Vec<RecordBatch> {
        let answer = self.engine.query(sql).await.unwrap_or_else(|error| panic!("{what}: {error}\n{sql}"));
        answer.collect().await.unwrap_or_else(|error| panic!("{what}: {error}\n{sql}"))
    }

    async fn number(&self, what: &str, sql: &str) -> Option<f64> {
        let batch = self.ask(what, &format!("SELECT CAST(({sql}) AS DOUBLE)")).await.remove(0);
        let column = batch.column(0).as_primitive::<Float64Type>();
        column.is_valid(0).then(|| column.value(0))
    }

    async fn count(&self, what: &str, sql: &str) -> i64 {
        self.ask(what, &format!("SELECT count(*) FROM ({sql}) AS answer")).await[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}

#[derive(Clone, Copy)]
enum Field {
    Text(&'static str),
    Number(&'static str),
    Time(i64),
}

/// Rows of which only some columns matter.
async fn rows_of(lake: &Lake, table: &str, rows: &[Vec<(&str, Field)>]) {
    let table = freshet_tables::find(table).unwrap_or_else(|| panic!("no table {table}"));
    lake.prepare(table).await.unwrap();
    let schema = table.arrow_schema();
    for (name, _) in rows.iter().flatten() {
        assert!(schema.index_of(name).is_ok(), "{}.{name}", table.name);
    }
    for row in rows {
        let column = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
            match row.iter().find(|(name, _)| name == field.name()) {
                None => new_null_array(field.data_type(), 1),
                Some((_, Field::Text(text))) => Arc::new(StringArray::from(vec![*text])),
                Some((_, Field::Number(number))) => Arc::new(arrow_array::Int64Array::from(vec![number.parse::<i64>().unwrap()])),
                Some((_, Field::Time(micros))) => Arc::new(TimestampMicrosecondArray::from(vec![*micros]).with_timezone("UTC")),
            }
        };
        commit(lake, table, RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect()).unwrap()).await;
    }
}

async fn commit(lake: &Lake, table: &'static TableDef, batch: RecordBatch) {
    static COMMITS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = COMMITS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let span = Span { shard: ShardId::new(&format!("test/{number}")), from: 0, to: 1 };
    let package = Package { table, load_id: LoadId(u128::from(number)), spans: vec![span], batches: vec![batch], ts_range: None };
    lake.commit(&package).await.unwrap();
}

#[tokio::test]
async fn views_have_rows_that_add_up() {
    let test = Test::new().await;
    let views = test.ask("releases", "SELECT release_version, requests FROM latency_by_release ORDER BY release_version").await;
    let versions: Vec<i64> = views.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(versions, [7, 8]);
    for (what, sql) in [
        ("every request has one release", "SELECT sum(requests) - (SELECT count(*) FROM router_requests) FROM latency_by_release"),
        ("percentiles are in order", "SELECT count(*) FROM latency_by_release WHERE NOT (p50_ms <= p95_ms AND p95_ms <= p99_ms)"),
        (
            "failures are counted",
            "SELECT sum(failed_requests) - (SELECT count(*) FROM router_requests WHERE status >= 500) FROM error_budget",
        ),
        ("one day is its own window", "SELECT max(abs(requests - requests_30d)) FROM error_budget"),
        ("the budget", "SELECT max(abs(budget_left - (1 - (1 - availability_30d) / 0.001))) FROM error_budget"),
    ] {
        let found = test.number(what, sql).await.unwrap_or_else(|| panic!("{what}: nothing"));
        assert!(found.abs() < 1e-6, "{what}: {found}");
    }
    assert!(test.number("spent", "SELECT min(budget_left) FROM error_budget").await.unwrap() < 0.0);
}

#[tokio::test]
async fn every_alert_runs_and_would_tell_of_the_sample_log() {
    let test = Test::new().await;
    let mut files: Vec<_> =
        fs::read_dir(root().join("crates/app/assets/databricks/resources/alerts")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut told = BTreeMap::new();
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(file).unwrap();
        let value = |key: &str| {
            text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": ")).unwrap_or_else(|| panic!("{name}: {key}"))
        };
        let query: String = text
            .lines()
            .skip_while(|line| !line.ends_with("query_text: |"))
            .skip(1)
            .take_while(|line| line.starts_with("        "))
            .map(|line| format!("{line}\n"))
            .collect();
        let sql = format!("SELECT {}({}) FROM ({}) AS alert", value("aggregation"), value("name"), translated(&query));
        let found = test.number(name, &sql).await;
        let threshold: f64 = value("double_value").parse().unwrap();
        let is_told = found.is_some_and(|found| match value("comparison_operator") {
            "GREATER_THAN" => found > threshold,
            "LESS_THAN" => found < threshold,
            other => panic!("{name}: {other}"),
        });
        told.insert(name.to_owned(), (is_told, found));
    }
    let told: Vec<(&str, bool)> = told.iter().map(|(name, (told, _))| (name.as_str(), *told)).collect();
    // The last hour has 109 requests with a p95 of 930 ms, three errors of a code at most, and too few requests for a budget.
    let silent = ["error_budget", "platform_errors", "slow_requests"];
    let expected: Vec<(&str, bool)> = told.iter().map(|(name, _)| (*name, !silent.contains(name))).collect();
    assert_eq!(told, expected);
    assert_eq!(told.len(), 7);
}

#[tokio::test]
async fn every_dataset_has_rows_and_every_widget_can_be_drawn() {
    let test = Test::new().await;
    let dashboard: Value = serde_json::from_str(&text("crates/app/assets/databricks/src/freshet.lvdash.json")).unwrap();
    let mut datasets = BTreeMap::new();
    for dataset in dashboard["datasets"].as_array().unwrap() {
        let name = dataset["name"].as_str().unwrap();
        let lines: String = dataset["queryLines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let sql = translated(&lines);
        assert!(test.count(name, &sql).await > 0, "{name} has no rows");
        datasets.insert(name, sql);
    }
    let widgets =
        dashboard["pages"].as_array().unwrap().iter().flat_map(|page| page["layout"].as_array().unwrap()).map(|place| &place["widget"]);
    for widget in widgets {
        let name = widget["name"].as_str().unwrap();
        for query in widget["queries"].as_array().into_iter().flatten().map(|query| &query["query"]) {
            let fields: Vec<(&str, &str)> = query["fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|field| (field["name"].as_str().unwrap(), field["expression"].as_str().unwrap()))
                .collect();
            let columns: Vec<String> =
                fields.iter().map(|(name, expression)| format!("{} AS \"{name}\"", translated(expression))).collect();
            let mut sql = format!("SELECT {} FROM ({}) AS dataset", columns.join(", "), datasets[query["datasetName"].as_str().unwrap()]);
            if query["disaggregated"] == false {
                // What is not summed up is a group.
                let groups: Vec<String> = fields
                    .iter()
                    .filter(|(_, expression)| !expression.contains('('))
                    .map(|(_, expression)| translated(expression))
                    .collect();
                if !groups.is_empty() {
                    sql = format!("{sql} GROUP BY {}", groups.join(", "));
                }
            }
            assert!(test.count(name, &sql).await > 0, "{name} shows nothing");
        }
    }
}
