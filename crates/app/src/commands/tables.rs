//! `freshet tables`: what the lake holds, and looking after it.

mod erase;
mod expire;
mod history;
mod restore;

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use freshet_core::Micros;
use freshet_destinations::delta::{CompactionOptions, Lake, Leased, TableInfo, VacuumOptions};
use serde_json::json;

use crate::cli::{Global, MaintainArgs, TablesVerb};
use crate::config::{Settings, duration, format_bytes};
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::{Printer, counted, grouped, left, right};
use crate::when;

/// Runs the verb.
///
/// # Errors
/// There is no lake or no such table, or a file cannot be read or written.
pub(crate) async fn run(global: &Global, settings: &Settings, verb: &TablesVerb) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let lake = lake::existing(global, settings).await?;
    match verb {
        TablesVerb::List => list(printer, &lake).await,
        TablesVerb::Describe { table } => describe(printer, &lake, table).await,
        TablesVerb::History { table, limit } => history::history(printer, &lake, table, *limit).await,
        TablesVerb::Expire { what, older_than } => expire::expire(printer, settings, &lake, what, older_than.as_deref()).await,
        TablesVerb::Erase(args) => erase::erase(printer, &lake, args).await,
        TablesVerb::Restore(args) => restore::restore(printer, &lake, args).await,
        TablesVerb::Optimize(what) => optimize(printer, settings, &lake, what).await,
        TablesVerb::Vacuum { what, retention, force } => {
            let retention =
                duration(retention).ok_or_else(|| Failure::error(Exit::Failed, "--retention wants a time span such as 7d or 36h"))?;
            vacuum(printer, &lake, what, &VacuumOptions { retention, full: true, force: *force, dry_run: what.dry_run }).await
        }
    }
}

/// Every table of the lake, described.
///
/// # Errors
/// A log cannot be read.
pub(crate) async fn describe_all(lake: &Lake) -> anyhow::Result<Vec<TableInfo>> {
    let mut tables = Vec::new();
    for name in lake.tables().await? {
        tables.extend(lake.describe(&name).await?);
    }
    Ok(tables)
}

async fn list(printer: Printer, lake: &Lake) -> anyhow::Result<Exit> {
    let tables = describe_all(lake).await?;
    if !printer.is_text() {
        let tables: Vec<_> = tables.iter().map(as_json).collect();
        return printer.json(&json!(tables)).map(|()| Exit::Ok);
    }
    if tables.is_empty() {
        return printer.line("the lake has no tables yet; fill it:  freshet import app.log --app NAME").map(|()| Exit::Ok);
    }
    let columns = [left("table"), right("rows"), right("files"), right("size"), right("version"), left("last commit"), left("about")];
    let row = |table: &TableInfo| {
        vec![
            table.name.clone(),
            table.rows.map_or_else(|| "?".to_owned(), |rows| grouped(rows.unsigned_abs())),
            grouped(table.files.unsigned_abs()),
            format_bytes(table.bytes.unsigned_abs()),
            table.version.to_string(),
            table.committed_at.map(when::people).unwrap_or_default(),
            table.comment.clone().unwrap_or_default(),
        ]
    };
    printer.table(&columns, tables.iter().map(row))?;
    Ok(Exit::Ok)
}

async fn describe(printer: Printer, lake: &Lake, name: &str) -> anyhow::Result<Exit> {
    let Some(table) = lake.describe(name).await? else { return Err(no_table(lake, name).await?) };
    if !printer.is_text() {
        return printer.json(&as_json(&table)).map(|()| Exit::Ok);
    }
    printer.line(&format!("{}: {}", table.name, table.comment.as_deref().unwrap_or("no comment")))?;
    let rows = table.rows.map_or_else(|| "? rows".to_owned(), |rows| counted(rows.unsigned_abs(), "row"));
    printer.line(&format!(
        "{rows} in {}, {}, version {}",
        counted(table.files.unsigned_abs(), "file"),
        format_bytes(table.bytes.unsigned_abs()),
        table.version
    ))?;
    if let Some((first, last)) = table.ts_range {
        printer.line(&format!("from {} to {}", when::people(first), when::people(last)))?;
    }
    if !table.partition_columns.is_empty() {
        printer.line(&format!("in folders by {}", table.partition_columns.join(", ")))?;
    }
    let row = |column: &freshet_destinations::delta::ColumnInfo| {
        vec![column.name.clone(), column.sql_type.clone(), column.comment.clone().unwrap_or_default()]
    };
    printer.table(&[left("column"), left("type"), left("meaning")], table.columns.iter().map(row))?;
    Ok(Exit::Ok)
}

fn as_json(table: &TableInfo) -> serde_json::Value {
    let time = |time: Option<Micros>| time.map(when::rfc3339);
    let columns: Vec<_> =
        table.columns.iter().map(|column| json!({ "name": column.name, "type": column.sql_type, "comment": column.comment })).collect();
    json!({
        "table": table.name, "comment": table.comment, "rows": table.rows, "files": table.files, "bytes": table.bytes,
        "version": table.version, "committed_at": time(table.committed_at), "first_ts": time(table.ts_range.map(|range| range.0)),
        "last_ts": time(table.ts_range.map(|range| range.1)), "partition_columns": table.partition_columns, "columns": columns,
    })
}

/// There is no such table, but others.
async fn no_table(lake: &Lake, name: &str) -> anyhow::Result<anyhow::Error> {
    let tables = lake.tables().await?.join(", ");
    Ok(Failure::error(Exit::Failed, format!("the lake has no table {name}\n  tables: {tables}")))
}

/// Asks whether to do what has just been said, where there is somebody to ask.
///
/// # Errors
/// The answer is no, or there is nobody.
fn consent(yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !(stdin.is_terminal() && stderr.is_terminal()) {
        return Err(Failure::error(Exit::Usage, "nothing was done: there is no terminal to ask on; say --yes, or --dry-run to only look"));
    }
    let _ = write!(stderr, "do it? [y/N] ");
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut stdin.lock(), &mut answer).context("the answer cannot be read")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::error(Exit::Failed, "nothing was done")),
    }
}

/// Another process maintains the table.
fn held(printer: Printer, name: &str) -> Exit {
    printer.note(&format!("{name}: another process is at it, nothing done; try again when it has finished"));
    Exit::TryAgain
}

/// The tables that were named, or all.
async fn chosen(lake: &Lake, what: &MaintainArgs) -> anyhow::Result<Vec<String>> {
    let known = lake.tables().await?;
    if let Some(unknown) = what.tables.iter().find(|name| !known.contains(name)) {
        return Err(Failure::error(Exit::Failed, format!("the lake has no table {unknown}\n  tables: {}", known.join(", "))));
    }
    Ok(if what.tables.is_empty() { known } else { what.tables.clone() })
}

async fn optimize(printer: Printer, settings: &Settings, lake: &Lake, what: &MaintainArgs) -> anyhow::Result<Exit> {
    // Asked for by a person, so any two small files are worth merging, today's too.
    let options = CompactionOptions {
        all: true,
        dry_run: what.dry_run,
        target_bytes: settings.maintain_bytes_target,
        ..CompactionOptions::default()
    };
    let mut done = Vec::new();
    let mut exit = Exit::Ok;
    for name in chosen(lake, what).await? {
        match lake.compact(&name, &options).await.with_context(|| format!("table {name} was not optimized"))? {
            Leased::Done(report) => {
                if !what.dry_run {
                    lake.maintain_log(&name).await?;
                }
                done.push((name, report));
            }
            Leased::Held => exit = held(printer, &name),
        }
    }
    if !printer.is_text() {
        let list: Vec<_> = done
            .iter()
            .map(|(table, report)| {
                json!({ "table": table, "partitions": report.partitions, "files_before": report.files_before, "files_after": report.files_after,
                    "bytes_before": report.bytes_before, "bytes_after": report.bytes_after, "rows": report.rows })
            })
            .collect();
        return printer.json(&json!(list)).map(|()| exit);
    }
    let columns = [
        left("table"),
        right("folders"),
        right("files before"),
        right("files after"),
        right("size before"),
        right("size after"),
        right("rows"),
    ];
    let changed = done.iter().filter(|(_, report)| report.files_before > 0);
    if changed.clone().next().is_none() {
        printer.line(&format!("nothing to merge in {}", counted(done.len() as u64, "table")))?;
        return Ok(exit);
    }
    let rows = changed.map(|(table, report)| {
        vec![
            table.clone(),
            report.partitions.to_string(),
            report.files_before.to_string(),
            report.files_after.to_string(),
            format_bytes(report.bytes_before),
            format_bytes(report.bytes_after),
            grouped(report.rows),
        ]
    });
    printer.table(&columns, rows)?;
    if what.dry_run {
        printer.note("nothing was changed: this was a dry run");
    } else {
        printer.note("the old files stay for readers of older versions until freshet tables vacuum");
    }
    Ok(exit)
}

async fn vacuum(printer: Printer, lake: &Lake, what: &MaintainArgs, options: &VacuumOptions) -> anyhow::Result<Exit> {
    let mut done = Vec::new();
    let mut exit = Exit::Ok;
    for name in chosen(lake, what).await? {
        match lake.vacuum(&name, options).await? {
            Leased::Done(report) => done.push((name, report)),
            Leased::Held => exit = held(printer, &name),
        }
    }
    if !printer.is_text() {
        let list: Vec<_> = done
            .iter()
            .map(|(table, report)| json!({ "table": table, "files": report.files, "bytes": report.bytes, "unfinished_files": report.unfinished_files }))
            .collect();
        return printer.json(&json!(list)).map(|()| exit);
    }
    let changed = done.iter().filter(|(_, report)| report.files > 0 || report.unfinished_files > 0);
    if changed.clone().next().is_none() {
        printer.line(&format!("nothing to delete in {}", counted(done.len() as u64, "table")))?;
        return Ok(exit);
    }
    let rows = changed
        .map(|(table, report)| vec![table.clone(), grouped(report.files), format_bytes(report.bytes), grouped(report.unfinished_files)]);
    printer.table(&[left("table"), right("files"), right("size"), right("unfinished files")], rows)?;
    if what.dry_run {
        printer.note("nothing was deleted: this was a dry run");
    }
    Ok(exit)
}
