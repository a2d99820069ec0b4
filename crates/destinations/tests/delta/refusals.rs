//! Tables and places that we must not write to.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Date32Array, RecordBatch};
use freshet_core::{Destination, DestinationError};
use freshet_destinations::delta::{CompactionOptions, Lake, LakeOptions, VacuumOptions};
use serde_json::{Value, json};

use crate::TestLake;
use crate::conformance::rows::{EVENTS, KEYS, package};
use crate::conformance::{assert_rows, commit};

/// A table somebody else made: `KEYS` with one thing that is different.
fn foreign_table(root: &Path, protocol: Value, configuration: Value, key: Value) {
    let log = root.join("_keys/_delta_log");
    fs::create_dir_all(&log).unwrap();
    let field = |name: &str, sql_type: &str| json!({ "name": name, "type": sql_type, "nullable": true, "metadata": {} });
    let schema = json!({ "type": "struct", "fields": [key, field("app", "string")] });
    let metadata = json!({
        "id": "6f1f5b0e-5a7c-4f0e-9d0c-0123456789ab", "format": { "provider": "parquet", "options": {} },
        "schemaString": schema.to_string(), "partitionColumns": [], "configuration": configuration, "createdTime": 0,
    });
    let entry = [json!({ "protocol": protocol }), json!({ "metaData": metadata })].map(|action| action.to_string()).join("\n");
    fs::write(log.join("00000000000000000000.json"), entry).unwrap();
}

fn plain_key() -> Value {
    json!({ "name": "key", "type": "long", "nullable": true, "metadata": {} })
}

fn features(reader: &[&str], writer: &[&str]) -> Value {
    if reader.is_empty() {
        json!({ "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": writer })
    } else {
        json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": reader, "writerFeatures": writer })
    }
}

#[tokio::test]
async fn tables_whose_rules_we_would_break() {
    let old = json!({ "minReaderVersion": 1, "minWriterVersion": 2 });
    let key = |nullable: bool, metadata: Value| json!({ "name": "key", "type": "long", "nullable": nullable, "metadata": metadata });
    let cases = [
        (features(&[], &["inCommitTimestamp"]), json!({}), plain_key(), "inCommitTimestamp"),
        (features(&[], &["rowTracking", "domainMetadata"]), json!({}), plain_key(), "rowTracking"),
        (features(&[], &["clustering", "domainMetadata"]), json!({}), plain_key(), "clustering"),
        (features(&["v2Checkpoint"], &["v2Checkpoint"]), json!({}), plain_key(), "v2Checkpoint"),
        (features(&["columnMapping"], &["columnMapping"]), json!({ "delta.columnMapping.mode": "none" }), plain_key(), "columnMapping"),
        (features(&[], &["checkConstraints"]), json!({ "delta.constraints.small": "key < 5" }), plain_key(), "DROP CONSTRAINT small"),
        (old.clone(), json!({}), key(false, json!({})), "DROP NOT NULL"),
        (old.clone(), json!({}), key(true, json!({ "delta.invariants": "{}" })), "delta.invariants"),
        (old, json!({}), json!({ "name": "key", "type": "integer", "nullable": true, "metadata": {} }), "BIGINT"),
    ];
    for (protocol, configuration, key, says) in cases {
        let test = TestLake::fresh();
        foreign_table(test.root(), protocol, configuration, key);
        let error = test.lake.prepare(&KEYS).await.unwrap_err();
        assert!(matches!(error, DestinationError::Refused { .. }), "{says}: {error:?}");
        assert!(error.to_string().contains(says) && error.to_string().contains("_keys"), "{says}: {error}");
    }
}

#[tokio::test]
async fn tables_of_others_that_we_can_write() {
    let append_only = json!({ "delta.appendOnly": "true" });
    for (protocol, configuration) in [
        (json!({ "minReaderVersion": 1, "minWriterVersion": 2 }), append_only.clone()),
        (features(&[], &["appendOnly"]), append_only),
        (features(&["deletionVectors"], &["deletionVectors"]), json!({})),
    ] {
        let test = TestLake::fresh();
        foreign_table(test.root(), protocol.clone(), configuration, plain_key());
        if let Err(error) = test.lake.prepare(&KEYS).await {
            // Only the build with the SQL engine may write to these.
            assert!(error.to_string().contains("DROP FEATURE deletionVectors"), "{protocol}: {error}");
            continue;
        }
        commit(&test.lake, &package(&KEYS, 0..3, &[("a", 0, 1)])).await;
        assert_rows(&test, &KEYS, 0..3).await;
    }
}

#[tokio::test]
async fn a_table_we_cannot_even_read() {
    let test = TestLake::fresh();
    foreign_table(test.root(), features(&["unheardOf"], &["unheardOf"]), json!({}), plain_key());
    let error = test.lake.prepare(&KEYS).await.unwrap_err();
    assert!(matches!(error, DestinationError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("unheardOf"), "{error}");
}

#[tokio::test]
async fn places_that_are_no_lakes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    for (location, says) in [
        (file.to_str().unwrap().to_owned(), "file"),
        (file.join("below").to_str().unwrap().to_owned(), "below"),
        ("ftp://host/lake".to_owned(), "s3"),
        ("file://host/lake".to_owned(), "local path"),
        (directory.path().join("a%20lake").to_str().unwrap().to_owned(), "%"),
    ] {
        let error = Lake::open(&location, LakeOptions::default()).err().unwrap_or_else(|| panic!("{location} was opened"));
        assert!(error.to_string().contains(says), "{location}: {error}");
        assert!(error.to_string().contains(&location), "{location}: {error}");
        assert!(!error.is_transient(), "{location}: {error:?}");
    }
}

#[tokio::test]
async fn a_file_where_the_table_should_be() {
    let test = TestLake::fresh();
    fs::write(test.root().join("_keys"), "x").unwrap();
    let error = test.lake.prepare(&KEYS).await.unwrap_err();
    assert!(error.to_string().contains("_keys"), "{error}");
}

#[tokio::test]
async fn a_folder_with_other_things_becomes_a_table() {
    let test = TestLake::fresh();
    fs::create_dir_all(test.root().join("_keys/notes")).unwrap();
    fs::write(test.root().join("_keys/notes/read.me"), "x").unwrap();
    assert_eq!(test.lake.tables().await.unwrap(), Vec::<String>::new());
    test.lake.prepare(&KEYS).await.unwrap();
    assert_eq!(test.lake.tables().await.unwrap(), ["_keys"]);
}

#[tokio::test]
async fn a_lake_by_url_is_the_same_lake() {
    let test = TestLake::fresh();
    test.lake.prepare(&KEYS).await.unwrap();
    let url = url::Url::from_directory_path(test.root()).unwrap();
    let same = Lake::open(url.as_str(), LakeOptions::default()).unwrap();
    assert_eq!(same.tables().await.unwrap(), ["_keys"]);
}

#[tokio::test]
async fn names_that_lead_out_of_the_lake() {
    let test = TestLake::fresh();
    for name in ["", "..", "../lake", "a/b", "/etc", "a b", "%2e%2e", "logs\0"] {
        let errors = [
            test.lake.load(name).await.err(),
            test.lake.describe(name).await.err(),
            test.lake.maintain_log(name).await.err(),
            test.lake.compact(name, &CompactionOptions::default()).await.err(),
            test.lake.vacuum(name, &VacuumOptions::default()).await.err(),
        ];
        for error in errors {
            assert!(error.as_ref().is_some_and(|error| error.to_string().contains("not the name of a table")), "{name:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn dates_without_a_name() {
    let test = TestLake::fresh();
    test.lake.prepare(&EVENTS).await.unwrap();
    for days in [i32::MIN, -719_163, 2_932_897, i32::MAX] {
        let mut package = package(&EVENTS, 0..4, &[("a", 0, 1)]);
        for batch in &mut package.batches {
            let mut columns = batch.columns().to_vec();
            columns[batch.schema().index_of("date").unwrap()] = Arc::new(Date32Array::from_value(days, batch.num_rows()));
            *batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        }
        let error = test.lake.commit(&package).await.unwrap_err();
        assert!(matches!(error, DestinationError::Refused { .. }), "{days}: {error:?}");
        assert!(error.to_string().contains(&days.to_string()), "{days}: {error}");
    }
    assert_rows(&test, &EVENTS, []).await;
}
