//! The tables in the eyes of readers that are not ours: DuckDB, ClickHouse, polars, delta-rs from Python, Sail.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::chance;
use crate::freshet::{Place, sample};
use crate::keys::keyed_lines;
use crate::rigs::Rig;
use crate::sync::requests_around_a_release;

/// What [`Place::query`] sums for a column of this type, in the words of `readers.py`.
fn sum_of(column: &str, delta_type: &str) -> String {
    let number = match delta_type {
        "STRING" => format!("octet_length({column})"),
        "BINARY" => format!("octet_length(encode({column}, 'hex')) / 2"),
        "DATE" => format!("CAST(CAST({column} AS INT) AS BIGINT)"),
        "TIMESTAMP" | "INT" | "BIGINT" | "BOOLEAN" => format!("CAST({column} AS BIGINT)"),
        "DOUBLE" => column.to_owned(),
        _ => return "0".to_owned(),
    };
    format!("coalesce(sum({number}), 0)")
}

/// Rows, values and sums of one table as we see them.
fn seen_by_us(place: &Place, table: &str) -> Value {
    let description = place.json(&format!("tables describe {table}"), &[]);
    let columns: Vec<(&str, &str)> = description["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column["type"].as_str().unwrap()))
        .collect();
    let asked = columns.iter().map(|(name, delta_type)| format!("count({name}) AS v_{name}, {} AS s_{name}", sum_of(name, delta_type)));
    let sql = format!("SELECT count(*) AS row_count, {} FROM {table}", asked.collect::<Vec<_>>().join(", "));
    let row = place.query(&sql).remove(0);
    let of_column = |(name, delta_type): &(&str, &str)| json!({ "name": name, "type": delta_type, "values": row[format!("v_{name}")], "sum": row[format!("s_{name}")] });
    json!({ "rows": row["row_count"], "columns": columns.iter().map(of_column).collect::<Vec<_>>() })
}

/// A Python that has the other readers, in the full tier.
fn python() -> Option<String> {
    let python = std::env::var("FRESHET_READERS").ok().filter(|python| chance::full() && Path::new(python).exists());
    if python.is_none() {
        eprintln!("skipped: FRESHET_FULL=1 and FRESHET_READERS, a Python that has the other readers, are not both set");
    }
    python
}

/// Runs a script of ours with it, and gives what it said.
fn run_script(python: &str, name: &str, arguments: &[&Path]) -> String {
    run_with(Command::new(python), name, arguments)
}

fn run_with(mut python: Command, name: &str, arguments: &[&Path]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let output = python.arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn duckdb_runs_the_view_as_its_file_says() {
    let Some(python) = python() else { return };
    let place = Place::new();
    requests_around_a_release(&place);
    let view = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql/router_requests_enriched.sql");
    let said: Value = serde_json::from_str(&run_script(&python, "duckdb_view.py", &[&place.lake(), &view])).unwrap();
    let ours = place.query("SELECT request_id, release_version, release_commit, dyno_size FROM router_requests_enriched ORDER BY ts");
    assert_eq!(said, json!(ours));
}

#[test]
fn other_readers_see_what_we_see() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let expected = lake_of_many_versions(&place);
    run_script(&python, "readers.py", &[&place.lake(), &expected]);
}

#[test]
fn spark_sees_what_we_see() {
    let cache = std::env::var_os("FRESHET_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/freshet"))).unwrap();
    let (python, jars) = (cache.join("spark/bin/python3"), cache.join("spark/jars"));
    if !chance::full() || !jars.exists() {
        eprintln!("skipped: FRESHET_FULL=1 is not set, or scripts/setup --full has not installed Spark");
        return;
    }
    let place = Place::new();
    let expected = lake_of_many_versions(&place);
    let mut python = Command::new(python);
    python.env("FRESHET_SPARK_JARS", jars);
    let said = run_with(python, "readers.py", &[&place.lake(), &expected]);
    assert!(said.contains("Spark: ") && said.contains(" tables agree"), "{said}");
}

#[test]
fn other_readers_see_what_we_see_on_s3() {
    let (Some(python), Some(rig)) = (python(), Rig::s3()) else { return };
    let place = Place::on(&rig);
    let expected = lake_of_many_versions(&place);
    let mut python = Command::new(python);
    python.envs(rig.environment.iter().map(|(name, value)| (*name, value.as_str())));
    run_with(python, "readers.py", &[Path::new(place.lake_url()), &expected]);
}

/// Fills a lake in every way that leaves something behind which a reader must not see, and says what is in it.
fn lake_of_many_versions(place: &Place) -> PathBuf {
    place.file("freshet.toml", "[load]\nmax_rows = 3000\n");
    for part in 0..6 {
        place.import(&[&place.file("more.log", keyed_lines(500 + part, part * 100_000, 4_000))]);
        if part == 3 {
            // Files that were merged away are still there and must not be read.
            place.ok("tables optimize", &[]);
        }
        // Nor must files of which rows were taken away, or that came after what was restored.
        match part {
            2 => drop(place.ok("tables restore logs --version 2 --yes", &[])),
            4 => drop(place.ok("tables erase --where", &[Path::new("message LIKE '%7%'")])),
            5 => drop(place.ok("tables expire router_requests --older-than 1d", &[])),
            _ => {}
        }
    }
    for name in ["shop.log", "shop.frames", "archive.jsonl.gz"] {
        place.import(&[&sample(name)]);
    }
    let tables = place.json("tables list", &[]);
    let tables = tables.as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap());
    let expected: Map<String, Value> = tables.map(|table| (table.to_owned(), seen_by_us(place, table))).collect();
    place.file("expected.json", Value::from(expected).to_string())
}
