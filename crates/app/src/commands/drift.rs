//! `freshet drift`: where Heroku's objects are not as the tables know them.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use freshet_core::Micros;
use freshet_tables::DRIFT;
use freshet_tables::platform::{Change, Difference, differences, stream};
use serde_json::{Value, json};

use crate::cli::{DriftArgs, Global};
use crate::config::Settings;
use crate::exit::Exit;
use crate::output::{Printer, left};
use crate::{lake, when};

/// Something that differs.
struct Line {
    stream: String,
    path: String,
    what: String,
    /// When it was first seen in an object; none when only Heroku's schema tells.
    since: Option<Micros>,
    is_in_schema: bool,
}

/// Runs the verb.
///
/// # Errors
/// There is no lake, or Heroku's schema cannot be had.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &DriftArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let lake = lake::existing_mirror(global, settings).await?;
    let mut lines = seen(&lake.objects(DRIFT, &["stream", "path", "kind", "found", "first_seen_at"]).await?);
    if !args.offline {
        let schema = super::sync::api(global, settings)?.object("/schema").await?;
        add(&mut lines, differences(&schema));
    }
    lines.sort_by(|a, b| (&a.stream, &a.path).cmp(&(&b.stream, &b.path)));
    if !printer.is_text() {
        let line = |line: &Line| {
            json!({ "stream": line.stream, "path": line.path, "what": line.what,
            "first_seen_at": line.since.map(when::rfc3339), "in_schema": line.is_in_schema })
        };
        printer.json(&Value::Array(lines.iter().map(line).collect()))?;
        return Ok(Exit::Ok);
    }
    if lines.is_empty() {
        let asked = if args.offline { "no sync has seen anything else" } else { "neither a sync nor Heroku's schema knows anything else" };
        printer.note(&format!("Heroku's objects are as the tables know them: {asked}"));
        return Ok(Exit::Ok);
    }
    let columns = [left("stream"), left("path"), left("what"), left("first seen"), left("told by")];
    let rows = lines.iter().map(|line| {
        let told = match (line.since.is_some(), line.is_in_schema) {
            (true, true) => "objects and schema",
            (true, false) => "objects",
            (false, _) => "schema",
        };
        vec![
            line.stream.clone(),
            line.path.clone(),
            line.what.clone(),
            line.since.map_or_else(|| "·".to_owned(), when::people),
            told.to_owned(),
        ]
    });
    printer.table(&columns, rows)?;
    printer.note("no table is stopped by this: what has no column is in _extra, and all of each object is in _raw");
    Ok(Exit::Ok)
}

fn seen(batches: &[arrow_array::RecordBatch]) -> Vec<Line> {
    let mut lines = Vec::new();
    for batch in batches {
        let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let at = batch.column_by_name("first_seen_at").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let (Some(streams), Some(paths), Some(kinds), Some(found), Some(at)) =
            (text("stream"), text("path"), text("kind"), text("found"), at)
        else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let what = match kinds.value(row) {
                "field" => "new field".to_owned(),
                "key" => "missing, so the object is in _rejects".to_owned(),
                _ => type_of(streams.value(row), paths.value(row), found.value(row)),
            };
            lines.push(Line {
                stream: streams.value(row).to_owned(),
                path: paths.value(row).to_owned(),
                what,
                since: at.is_valid(row).then(|| Micros(at.value(row))),
                is_in_schema: false,
            });
        }
    }
    lines
}

fn type_of(name: &str, path: &str, found: &str) -> String {
    match stream(name).and_then(|stream| stream.field(path)) {
        Some(field) => format!("a {found}, and the column is {}", field.column.column_type.sql()),
        None => format!("a {found}"),
    }
}

fn add(lines: &mut Vec<Line>, differences: Vec<Difference>) {
    for Difference { stream, path, change } in differences {
        if let Some(known) = lines.iter_mut().find(|line| line.stream == stream && line.path == path) {
            known.is_in_schema = true;
            continue;
        }
        let what = match change {
            Change::New => "new field, in no object so far",
            Change::Gone => "no field any more; its column will be NULL",
            Change::Type => "of another type",
            Change::NoResource => "Heroku's schema has no such resource",
        };
        lines.push(Line { stream: stream.to_owned(), path, what: what.to_owned(), since: None, is_in_schema: true });
    }
}
