//! `freshet tables history`: who did what to a table, and when.

use freshet_destinations::delta::{Lake, Version};
use serde_json::{Value, json};

use super::no_table;
use crate::config::format_bytes;
use crate::exit::Exit;
use crate::output::{Printer, grouped, left, right};
use crate::when;

pub(super) async fn history(printer: Printer, lake: &Lake, name: &str, limit: usize) -> anyhow::Result<Exit> {
    let Some(versions) = lake.versions(name, limit).await? else { return Err(no_table(lake, name).await?) };
    if !printer.is_text() {
        for version in &versions {
            printer.line(&as_json(version).to_string())?;
        }
        return Ok(Exit::Ok);
    }
    let columns =
        [right("version"), left("when"), left("operation"), left("who"), right("rows"), right("files"), right("size"), left("load id")];
    let row = |version: &Version| {
        let who = [version.user.as_deref(), version.engine.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        vec![
            version.version.to_string(),
            version.at.map(when::people).unwrap_or_default(),
            version.operation.clone(),
            who,
            version.rows.map(grouped).unwrap_or_default(),
            both(version.files_added, version.files_removed, grouped),
            both(version.bytes_added, version.bytes_removed, format_bytes),
            version.load_id.clone().unwrap_or_default(),
        ]
    };
    printer.table(&columns, versions.iter().map(row))?;
    if let Some(oldest) = versions.last().filter(|oldest| oldest.version > 0) {
        let why = if versions.len() == limit { "--limit shows more" } else { "older entries were removed from the log" };
        printer.note(&format!("from version {} on; {why}", oldest.version));
    }
    Ok(Exit::Ok)
}

/// What came and what went: `+3 -12`.
fn both(added: u64, removed: u64, people: impl Fn(u64) -> String) -> String {
    match (added, removed) {
        (0, 0) => String::new(),
        (added, 0) => format!("+{}", people(added)),
        (0, removed) => format!("-{}", people(removed)),
        (added, removed) => format!("+{} -{}", people(added), people(removed)),
    }
}

fn as_json(version: &Version) -> Value {
    json!({
        "version": version.version, "at": version.at.map(when::rfc3339), "operation": version.operation,
        "parameters": version.parameters.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "engine": version.engine, "user": version.user, "rows": version.rows, "files_added": version.files_added,
        "files_removed": version.files_removed, "bytes_added": version.bytes_added, "bytes_removed": version.bytes_removed,
        "load_id": version.load_id,
    })
}
