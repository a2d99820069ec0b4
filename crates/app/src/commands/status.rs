//! `freshet status`: is it running, what waits, how fresh is each table.

mod runs;

use std::sync::Arc;

use freshet_core::{Clock as _, Micros, SystemClock, TableKind};
use freshet_query::Engine;
use freshet_tables::RUNS;
use serde_json::{Value, json};

use super::query::helpful;
use super::tables::describe_all;
use crate::cli::Global;
use crate::config::{Settings, format_bytes, format_duration};
use crate::daemon::Report;
use crate::exit::Exit;
use crate::lake::{self, Address};
use crate::output::{Printer, counted, grouped, left, right};
use crate::when;
use runs::{LastRun, last_run};

/// The time over which rates are taken, in minutes.
const RATE_MINUTES: u32 = 60;

/// One table's line.
struct Freshness {
    table: String,
    rows: Option<i64>,
    last_ts: Option<Micros>,
    committed_at: Option<Micros>,
    recent_rows: i64,
}

/// Runs the verb.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub(crate) async fn run(global: &Global, settings: &Settings) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let now = SystemClock.now();
    let report = Report::read(&global.data_dir, now);
    let address = lake::address(global, settings)?;
    let (tables, run) = match &address {
        Address::Lake(_) => freshness(global, settings, now).await?,
        // How fresh they are is asked of them there; it would wake a warehouse.
        Address::Databricks(_) => (Vec::new(), None),
    };
    if !printer.is_text() {
        let list: Vec<_> = tables
            .iter()
            .map(|table| {
                json!({ "table": table.table, "rows": table.rows, "last_ts": table.last_ts.map(when::rfc3339),
                    "committed_at": table.committed_at.map(when::rfc3339), "rows_last_hour": table.recent_rows })
            })
            .collect();
        let running = report.as_ref().map(|report| &report.0);
        return printer
            .json(&json!({ "running": running, "last_run": run.as_ref().map(LastRun::json), "tables": list }))
            .map(|()| Exit::Ok);
    }
    match &report {
        Some(Report(live)) => printer.line(&daemon_lines(live, now))?,
        None => printer.line(&format!(
            "daemon   not running with the data directory {}; start it:  freshet run{}",
            global.data_dir.display(),
            address.flag()
        ))?,
    }
    if let Address::Databricks(_) = &address {
        printer.note(&format!("the tables are {address}; Databricks SQL says how fresh they are"));
        return Ok(Exit::Ok);
    }
    if let Some(run) = &run {
        printer.line(&run.line(now))?;
    }
    let columns = [left("table"), right("rows"), left("latest row"), right("last commit"), right("rows in the last hour")];
    let row = |table: &Freshness| {
        vec![
            table.table.clone(),
            table.rows.map_or_else(|| "?".to_owned(), |rows| grouped(rows.unsigned_abs())),
            table.last_ts.map(when::people).unwrap_or_default(),
            table.committed_at.map(|time| format!("{} ago", format_duration(now.seconds_since(time)))).unwrap_or_default(),
            grouped(table.recent_rows.unsigned_abs()),
        ]
    };
    // Objects have no times of their own that would say how fresh they are; runs have.
    let (objects, others): (Vec<&Freshness>, Vec<&Freshness>) =
        tables.iter().partition(|table| freshet_tables::find(&table.table).is_some_and(|known| known.kind == TableKind::Platform));
    printer.table(&columns, others.into_iter().map(row))?;
    if !objects.is_empty() {
        printer.note(&format!(
            "and {} of the Platform API's objects; `freshet state show` has their streams",
            counted(objects.len() as u64, "table")
        ));
    }
    Ok(Exit::Ok)
}

fn daemon_lines(live: &Value, now: Micros) -> String {
    let number = |name: &str| live[name].as_u64().unwrap_or_default();
    let age = |name: &str| live[name].as_i64().map(|time| format_duration(now.seconds_since(Micros(time))));
    let oldest = age("oldest_waiting_at_us").map(|age| format!(", the oldest for {age}")).unwrap_or_default();
    let failing = match number("failures_in_a_row") {
        0 => String::new(),
        failures => format!("; the lake failed {} in a row", counted(failures, "time")),
    };
    format!(
        "daemon   running, process {}, {}\nintake   {:.0} messages/s; {} frames stored, {} repeated\n\
         spool    {}, {} waiting{oldest}; {} of {} on disk\nloader   {} messages, {} rejects; last commit {}{failing}",
        number("pid"),
        counted(number("connections"), "connection"),
        live["messages_per_second"].as_f64().unwrap_or_default(),
        grouped(number("frames_stored")),
        grouped(number("frames_repeated")),
        live["spool_state"].as_str().unwrap_or("?"),
        format_bytes(number("waiting_bytes")),
        format_bytes(number("spool_bytes")),
        format_bytes(number("spool_bytes_max")),
        grouped(number("messages")),
        grouped(number("rejects")),
        age("committed_at_us").map_or_else(|| "not yet".to_owned(), |age| format!("{age} ago")),
    )
}

async fn freshness(global: &Global, settings: &Settings, now: Micros) -> anyhow::Result<(Vec<Freshness>, Option<LastRun>)> {
    let lake = lake::existing(global, settings).await?;
    let engine = Engine::new(Arc::clone(&lake)).await.map_err(helpful)?;
    let tables = describe_all(&lake).await?;
    let since = when::rfc3339(Micros(now.0 - i64::from(RATE_MINUTES) * 60_000_000));
    let mut recent = std::collections::BTreeMap::new();
    if tables.iter().any(|table| table.name == "_loads") {
        let sql = format!(
            "SELECT arrow_cast(table_name, 'Utf8'), sum(rows) FROM _loads WHERE committed_at >= TIMESTAMP '{since}' GROUP BY table_name"
        );
        let batches = engine.query(&sql).await.map_err(helpful)?.collect().await.map_err(helpful)?;
        for batch in batches {
            use arrow_array::cast::AsArray as _;
            let (names, rows) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<arrow_array::types::Int64Type>());
            recent.extend(names.iter().flatten().map(str::to_owned).zip(rows.values().iter().copied()));
        }
    }
    let has_runs = tables.iter().any(|table| table.name == RUNS.name && table.rows != Some(0));
    let run = if has_runs { last_run(&engine).await? } else { None };
    let freshness = |table: freshet_destinations::delta::TableInfo| Freshness {
        recent_rows: recent.get(&table.name).copied().unwrap_or_default(),
        last_ts: table.ts_range.map(|range| range.1),
        rows: table.rows,
        committed_at: table.committed_at,
        table: table.name,
    };
    Ok((tables.into_iter().map(freshness).collect(), run))
}
