//! `freshet rejects`: what could not become rows, and trying it again.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{Array as _, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use bytes::Bytes;
use freshet_core::SystemClock;
use freshet_load::{Committer, FileLoader, PackageLimits, Retry};
use freshet_parse::RejectReason;
use freshet_query::Engine;
use freshet_tables::Counts;
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use super::import::chunk_of;
use super::loads::print_rows;
use super::query::helpful;
use crate::cli::{Global, RejectsVerb};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::{Printer, counted, grouped, left, right};

/// What to say when there is nothing to show.
const NONE: &str = "no rejects: every byte so far became a row";

/// Runs the verb.
///
/// # Errors
/// There is no lake, or it cannot be read or written.
pub(crate) async fn run(global: &Global, settings: &Settings, verb: &RejectsVerb) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    match verb {
        RejectsVerb::List => {
            let sql = "SELECT reason, source_name, app, count(*) AS rejects, sum(octet_length(encode(bytes, 'hex')) / 2) AS bytes, min(received_at) AS first, \
                       max(received_at) AS last FROM _rejects GROUP BY reason, source_name, app ORDER BY rejects DESC, reason";
            let engine = Engine::new(lake::existing(global, settings).await?).await.map_err(helpful)?;
            print_rows(printer, engine.query(sql).await.map_err(helpful)?, NONE).await
        }
        RejectsVerb::Show { reason, limit } => show(global, settings, printer, reason.as_deref(), *limit).await,
        RejectsVerb::Replay { reason, dry_run } => replay(global, settings, printer, reason.as_deref(), *dry_run).await,
    }
}

/// A reject as the table holds it.
struct Rejected {
    received_at: String,
    app: Option<String>,
    source_name: String,
    reason: String,
    detail: String,
    frame_id: String,
    frame_index: i32,
    bytes: Vec<u8>,
}

const COLUMNS: &str = "CAST(received_at AS STRING) AS received, app, source_name, reason, detail, frame_id, frame_index, bytes";

async fn show(global: &Global, settings: &Settings, printer: Printer, reason: Option<&str>, limit: usize) -> anyhow::Result<Exit> {
    let sql = format!("SELECT {COLUMNS} FROM _rejects {} ORDER BY received DESC, frame_id, frame_index LIMIT {limit}", only(reason)?);
    let engine = Engine::new(lake::existing(global, settings).await?).await.map_err(helpful)?;
    let mut answer = engine.query(&sql).await.map_err(helpful)?;
    let mut rejects = Vec::new();
    while let Some(batch) = answer.next().await.map_err(helpful)? {
        rejects.extend(read(&batch)?);
    }
    if !printer.is_text() {
        for reject in &rejects {
            let text = String::from_utf8_lossy(&reject.bytes);
            let row = json!({ "received_at": reject.received_at, "app": reject.app, "source_name": reject.source_name, "reason": reject.reason,
                "detail": reject.detail, "frame_id": reject.frame_id, "frame_index": reject.frame_index, "bytes": reject.bytes.len(), "text": text });
            printer.line(&row.to_string())?;
        }
        return Ok(Exit::Ok);
    }
    if rejects.is_empty() {
        printer.note(NONE);
        return Ok(Exit::Ok);
    }
    let columns = [left("received"), left("source"), left("app"), left("reason"), left("where"), right("bytes"), left("text")];
    let row = |reject: &Rejected| {
        vec![
            reject.received_at.clone(),
            reject.source_name.clone(),
            reject.app.clone().unwrap_or_default(),
            reject.reason.clone(),
            reject.detail.clone(),
            grouped(reject.bytes.len() as u64),
            String::from_utf8_lossy(&reject.bytes).into_owned(),
        ]
    };
    printer.table(&columns, rejects.iter().map(row))?;
    printer.note("freshet rejects replay tries them again; --output json shows them whole");
    Ok(Exit::Ok)
}

/// Reads every reject of a delivery again. Each is known by its place and its bytes, so a second replay adds nothing.
async fn replay(global: &Global, settings: &Settings, printer: Printer, reason: Option<&str>, dry_run: bool) -> anyhow::Result<Exit> {
    // An object of the Platform API is no log.
    let nameless = RejectReason::Nameless.as_str();
    if reason == Some(nameless) {
        return Err(Failure::error(Exit::Failed, "objects without a key are not replayed: freshet sync reads them again by itself"));
    }
    let wanted = match only(reason)? {
        every if every.is_empty() => format!("WHERE reason <> '{nameless}'"),
        one => one,
    };
    let lake = lake::existing(global, settings).await?;
    let engine = Engine::new(Arc::clone(&lake)).await.map_err(helpful)?;
    let committer = (!dry_run).then(|| Committer::new(lake, Arc::new(SystemClock), Retry::SOON));
    let mut loader = FileLoader::new(committer, Arc::new(SystemClock), PackageLimits::default());
    if let Some(rejects) = freshet_tables::find("_rejects") {
        loader.close_table(rejects);
    }
    let sql = format!("SELECT {COLUMNS} FROM _rejects {wanted}");
    let mut answer = engine.query(&sql).await.map_err(helpful)?;
    let (mut rejects, mut known, mut counts, mut rows) = (0_u64, 0_u64, Counts::default(), 0);
    while let Some(batch) = answer.next().await.map_err(helpful)? {
        for reject in read(&batch)? {
            let report = loader.add(chunk_of(Bytes::from(reject.bytes.clone()), identity(&reject), reject.app)).await?;
            rejects += 1;
            known += u64::from(report.known_bytes > 0);
            counts += report.counts;
            rows += report.rows;
        }
    }
    loader.finish().await?;
    let tables: Vec<_> = loader.totals().map(|(table, totals)| (table.name, totals.rows)).collect();
    if !printer.is_text() {
        let tables: Vec<_> = tables.iter().map(|(table, rows)| json!({ "table": table, "rows": rows })).collect();
        return printer
            .json(&json!({ "rejects": rejects, "replayed_before": known, "messages": counts.messages, "rows": rows, "tables": tables, "dry_run": dry_run }))
            .map(|()| Exit::Ok);
    }
    if rejects == 0 {
        printer.note(NONE);
        return Ok(Exit::Ok);
    }
    if rows > 0 {
        printer.table(&[left("table"), right("rows")], tables.iter().map(|(table, rows)| vec![(*table).to_owned(), grouped(*rows)]))?;
    }
    let would = if dry_run { "would add" } else { "added" };
    printer.line(&format!(
        "{} read again ({} had been replayed before): {would} {}; rejects stay listed",
        counted(rejects, "reject"),
        grouped(known),
        counted(rows, "row")
    ))?;
    Ok(Exit::Ok)
}

fn identity(reject: &Rejected) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(b"reject");
    hash.update(reject.frame_id.as_bytes());
    hash.update(&reject.frame_index.to_le_bytes());
    hash.update(reject.detail.as_bytes());
    hash.digest128()
}

fn only(reason: Option<&str>) -> anyhow::Result<String> {
    let Some(reason) = reason else { return Ok(String::new()) };
    let known: Vec<&str> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
    if !known.contains(&reason) {
        return Err(Failure::error(Exit::Failed, format!("there is no reason {reason:?}; there are {}", known.join(", "))));
    }
    Ok(format!("WHERE reason = '{reason}'"))
}

fn read(batch: &RecordBatch) -> anyhow::Result<Vec<Rejected>> {
    let column = |index: usize, to: &DataType| cast(batch.column(index), to);
    let texts = [0, 1, 2, 3, 4, 5].map(|index| column(index, &DataType::Utf8));
    let [received_at, app, source_name, reason, detail, frame_id] = texts;
    let (received_at, app, source_name, reason, detail, frame_id) = (received_at?, app?, source_name?, reason?, detail?, frame_id?);
    let (index, bytes) = (column(6, &DataType::Int32)?, column(7, &DataType::Binary)?);
    let text = |column: &arrow_array::ArrayRef, row: usize| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
    let read = |row: usize| Rejected {
        received_at: text(&received_at, row).unwrap_or_default(),
        app: text(&app, row),
        source_name: text(&source_name, row).unwrap_or_default(),
        reason: text(&reason, row).unwrap_or_default(),
        detail: text(&detail, row).unwrap_or_default(),
        frame_id: text(&frame_id, row).unwrap_or_default(),
        frame_index: index.as_primitive::<Int32Type>().value(row),
        bytes: bytes.as_binary::<i32>().value(row).to_vec(),
    };
    Ok((0..batch.num_rows()).map(read).collect())
}
