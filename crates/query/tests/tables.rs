//! Tables as SQL sees them: those of Freshet, and those of others that lie in the same lake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use freshet_core::{ColumnDef, ColumnType, Destination, LoadId, Package, ShardId, Span, TableDef, TableKind};
use freshet_destinations::delta::{Lake, LakeOptions, RowFilter};
use freshet_query::{Condition, Engine, QueryError};
use serde_json::json;
use tempfile::TempDir;

const fn column(name: &'static str, column_type: ColumnType) -> ColumnDef {
    ColumnDef { name, column_type, nullable: true, comment: "" }
}

/// The date stands in the middle: in the files it is not. The last column comes later.
static COLUMNS: [ColumnDef; 5] = [
    column("number", ColumnType::Long),
    column("date", ColumnType::Date),
    column("ts", ColumnType::Timestamp),
    column("text", ColumnType::Text),
    column("added", ColumnType::Text),
];

const fn lines(columns: &'static [ColumnDef]) -> TableDef {
    TableDef { name: "lines", comment: "", kind: TableKind::Log, columns }
}

static LINES: TableDef = lines(COLUMNS.split_at(4).0);
static WIDER: TableDef = lines(&COLUMNS);

/// A row: its number, its date and its moment, microseconds.
type Row = (i64, Option<i32>, i64);

struct Test {
    lake: Arc<Lake>,
    directory: TempDir,
}

impl Test {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("a lake, ü+#1 ").tempdir().unwrap();
        let lake = Lake::open(directory.path().to_str().unwrap(), LakeOptions::default()).unwrap();
        Self { lake: Arc::new(lake), directory }
    }

    async fn commit(&self, table: &'static TableDef, rows: &[Row]) {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            Arc::new(rows.iter().map(|row| Some(format!("line {}", row.0))).collect::<StringArray>()),
        ];
        if table.columns.len() == 5 {
            columns.push(Arc::new(rows.iter().map(|row| Some(format!("added {}", row.0))).collect::<StringArray>()));
        }
        let (from, to) = (rows[0].0.unsigned_abs(), rows[0].0.unsigned_abs() + 1);
        self.lake.prepare(table).await.unwrap();
        let package = Package {
            table,
            load_id: LoadId(u128::from(to)),
            spans: vec![Span { shard: ShardId::new(&format!("test/{to}")), from, to }],
            batches: vec![RecordBatch::try_new(table.arrow_schema(), columns).unwrap()],
            ts_range: None,
        };
        self.lake.commit(&package).await.unwrap();
    }

    async fn ask(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        Engine::new(Arc::clone(&self.lake)).await?.query(sql).await?.collect().await
    }

    async fn numbers(&self, sql: &str) -> Vec<i64> {
        let batches = self.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    async fn explained(&self, sql: &str) -> String {
        let batches = self.ask(&format!("EXPLAIN ANALYZE {sql}")).await.unwrap();
        batches
            .iter()
            .flat_map(|batch| batch.column(1).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

#[tokio::test]
async fn folders_are_columns_where_the_table_has_them() {
    let test = Test::new();
    test.commit(&LINES, &[(1, Some(20_000), 10), (2, Some(20_001), 20), (3, None, 30)]).await;
    test.commit(&LINES, &[(4, Some(20_000), 40)]).await;
    let all = test.ask("SELECT * FROM lines ORDER BY number").await.unwrap();
    let names: Vec<_> = all[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["number", "date", "ts", "text"]);
    assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    for (filter, expected) in [
        ("date = DATE '2024-10-04'", &[1, 4][..]),
        ("date > DATE '2024-10-04'", &[2]),
        ("date IS NULL", &[3]),
        ("date IS NOT NULL", &[1, 2, 4]),
        ("date = DATE '2024-10-04' AND number > 1", &[4]),
        ("text = 'line 2'", &[2]),
        ("date = DATE '1999-01-01'", &[]),
    ] {
        assert_eq!(test.numbers(&format!("SELECT number FROM lines WHERE {filter} ORDER BY number")).await, expected, "{filter}");
    }
    assert_eq!(test.numbers("SELECT count(*) FROM lines").await, [4]);
    assert_eq!(test.numbers("SELECT count(date) FROM lines").await, [3]);
    assert_eq!(test.numbers("SELECT count(DISTINCT date) FROM lines").await, [2]);
    assert_eq!(test.numbers("SELECT number FROM lines ORDER BY ts DESC LIMIT 2").await, [4, 3]);
}

#[tokio::test]
async fn a_column_that_came_later_is_null_before() {
    let test = Test::new();
    test.commit(&LINES, &[(1, Some(20_000), 10)]).await;
    test.commit(&WIDER, &[(2, Some(20_000), 20)]).await;
    assert_eq!(test.numbers("SELECT number FROM lines WHERE added IS NULL").await, [1]);
    assert_eq!(test.numbers("SELECT number FROM lines WHERE added = 'added 2'").await, [2]);
    assert_eq!(test.numbers("SELECT count(added) FROM lines").await, [1]);
}

/// Statistics say milliseconds, rows have microseconds.
#[tokio::test]
async fn no_row_is_lost_to_rounded_statistics() {
    let test = Test::new();
    let day = 20_000 * 86_400_000_000_i64;
    for (number, micros) in (0..).zip([0, 1, 999, 1_000, 1_001, 999_999]) {
        test.commit(&LINES, &[(number, Some(20_000), day + micros)]).await;
    }
    for (micros, expected) in [(0, 6), (1, 5), (998, 4), (999, 4), (1_000, 3), (1_001, 2), (999_999, 1)] {
        let moment = format!("2024-10-04T00:00:00.{micros:06}Z");
        assert_eq!(test.numbers(&format!("SELECT count(*) FROM lines WHERE ts >= '{moment}'")).await, [expected], "{moment}");
    }
    assert_eq!(test.numbers("SELECT number FROM lines WHERE ts = (SELECT max(ts) FROM lines)").await, [5]);
    assert_eq!(test.numbers("SELECT number FROM lines WHERE ts = (SELECT min(ts) FROM lines)").await, [0]);
}

#[tokio::test]
async fn files_that_cannot_match_are_not_opened() {
    let test = Test::new();
    for number in 0..8 {
        test.commit(&LINES, &[(number, Some(20_000 + i32::try_from(number % 4).unwrap()), number * 1_000_000)]).await;
    }
    for filter in
        ["date = DATE '2024-10-05'", "number IN (1, 5)", "ts IN (TIMESTAMP '1970-01-01T00:00:01Z', TIMESTAMP '1970-01-01T00:00:05Z')"]
    {
        let plan = test.explained(&format!("SELECT text FROM lines WHERE {filter}")).await;
        assert!(plan.contains("files_opened=2,"), "{filter}: {plan}");
    }
}

/// A table of somebody else, with one file that is not there: nobody may get as far as opening it.
fn foreign_table(root: &Path, features: &[&str], configuration: &serde_json::Value, add: &serde_json::Value) {
    let log = root.join("foreign/_delta_log");
    fs::create_dir_all(&log).unwrap();
    let field = json!({ "name": "key", "type": "long", "nullable": true,
        "metadata": { "delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-1" } });
    let entry = [
        json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features } }),
        json!({ "metaData": {
            "id": "6f1f5b0e-5a7c-4f0e-9d0c-0123456789ab", "format": { "provider": "parquet", "options": {} },
            "schemaString": json!({ "type": "struct", "fields": [field] }).to_string(),
            "partitionColumns": [], "configuration": configuration, "createdTime": 0,
        } }),
        json!({ "add": add }),
    ];
    fs::write(log.join("00000000000000000000.json"), entry.map(|action| action.to_string()).join("\n")).unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_to_do() {
    let add = |vector: serde_json::Value| {
        json!({ "path": "part-1.parquet", "partitionValues": {}, "size": 100, "modificationTime": 0, "dataChange": true,
            "stats": "{\"numRecords\":3}", "deletionVector": vector })
    };
    let vector =
        json!({ "storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40, "cardinality": 1 });
    let mapped = json!({ "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1" });
    for (features, configuration, add, words) in [
        (&["deletionVectors"][..], json!({ "delta.enableDeletionVectors": "true" }), add(vector), ["deletion vectors", "PURGE"]),
        (&["columnMapping"][..], mapped, add(json!(null)), ["column mapping", "write it anew"]),
    ] {
        let test = Test::new();
        foreign_table(test.directory.path(), features, &configuration, &add);
        test.commit(&LINES, &[(1, None, 10)]).await;
        let error = test.ask("SELECT * FROM foreign").await.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("foreign"), "{error}");
        assert_eq!(test.numbers("SELECT count(*) FROM lines").await, [1], "other tables are not disturbed");
    }
}

#[tokio::test]
async fn tables_as_they_were() {
    let test = Test::new();
    test.commit(&LINES, &[(1, Some(20_000), 10)]).await;
    test.commit(&LINES, &[(2, Some(20_000), 20), (3, None, 30)]).await;
    let count = async |sql: &str| test.numbers(sql).await[0];
    assert_eq!(count("SELECT count(*) FROM lines VERSION AS OF 1").await, 1);
    assert_eq!(count("SELECT count(*) FROM lines version as of 2 AS l WHERE l.number > 1").await, 2);
    assert_eq!(count("SELECT new.number - old.number FROM lines new, Lines VERSION AS OF 1 old WHERE new.number = 3").await, 2);
    assert_eq!(count("SELECT count(*) FROM lines VERSION AS OF 0 WHERE lines.text = 'lines VERSION AS OF 1'").await, 0);
    assert_eq!(count("SELECT count(*) FROM lines TIMESTAMP AS OF '2200-01-01 00:00:00'").await, 3);
    for (sql, says) in [
        ("SELECT 1 FROM lines VERSION AS OF 9", "no version 9"),
        ("SELECT 1 FROM lines TIMESTAMP AS OF '1999-01-01'", "does not go back"),
        ("SELECT 1 FROM lines TIMESTAMP AS OF 'yesterday'", "wants a time"),
        ("SELECT 1 FROM line VERSION AS OF 1", "no table line"),
    ] {
        let error = test.ask(sql).await.unwrap_err().to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn conditions_name_the_rows_that_sql_names() {
    let rows: Vec<Row> =
        (0..40).map(|number| (number, (number % 4 < 3).then_some(20_000 + number as i32 % 4), number * 1_000_001)).collect();
    for condition in [
        "text LIKE 'line 1%'",
        "number >= 10 AND number < 12 OR text = 'line 3'",
        "date = '2024-10-05'",
        "date IS NULL",
        "NOT (date = DATE '2024-10-05')",
        "ts > '1970-01-01T00:00:10Z' AND length(text) = 7",
        "added = 'x'",
        "number = 1000",
        "\"number\" % 2 = 0",
        "number IN (1, 5, 39)",
    ] {
        let test = Test::new();
        for part in rows.chunks(7) {
            test.commit(&WIDER, part).await;
        }
        // What is not true stays, also when it is not known.
        let kept = format!("SELECT number FROM lines WHERE ({condition}) IS NOT TRUE ORDER BY number");
        let expected = test.numbers(&kept).await;
        let table = test.lake.load("lines").await.unwrap().unwrap();
        let predicate = Condition::parse(condition).unwrap().of("lines", &table).unwrap();
        let erased = test.lake.erase_unleased("lines", &predicate, false).await.unwrap();
        assert_eq!(test.numbers("SELECT number FROM lines ORDER BY number").await, expected, "{condition}");
        assert_eq!(usize::try_from(erased.rows).unwrap(), rows.len() - expected.len(), "{condition}");
        assert!(!predicate.shape().contains("line") && !predicate.shape().contains("2024"), "{}", predicate.shape());
    }
}

#[tokio::test]
async fn conditions_that_do_not_fit_are_refused() {
    let test = Test::new();
    test.commit(&LINES, &[(1, Some(20_000), 10)]).await;
    let table = test.lake.load("lines").await.unwrap().unwrap();
    for (condition, says) in [
        ("added = 'x'", "no column added"),
        ("number + 1", "no condition"),
        ("number > random()", "another answer each time"),
        ("number = nothing(1)", "nothing"),
    ] {
        let error = Condition::parse(condition).unwrap().of("lines", &table).err().unwrap().to_string();
        assert!(error.contains(says), "{condition}: {error}");
    }
}
