//! `freshet tables erase`: rows that must go because of what is in them.

use std::time::Duration;

use anyhow::Context as _;
use freshet_core::Micros;
use freshet_destinations::delta::{Erasure, Lake, Leased, RETENTION_MIN, VacuumOptions};
use freshet_query::Condition;
use serde_json::json;

use super::{chosen, consent, held};
use crate::cli::EraseArgs;
use crate::commands::query::helpful;
use crate::config::format_bytes;
use crate::exit::{Exit, Failure};
use crate::output::{Printer, counted, grouped, left, right};
use crate::when;

/// How often a table is tried again that another process maintains, once a second.
const TRIES: u32 = 60;

/// What became of one table.
struct Done {
    table: String,
    erasure: Erasure,
    /// Files that vacuum deleted, and their bytes.
    deleted: Option<(u64, u64)>,
}

pub(super) async fn erase(printer: Printer, lake: &Lake, args: &EraseArgs) -> anyhow::Result<Exit> {
    let condition = Condition::parse(&args.condition).map_err(helpful)?;
    let (tables, skipped) = with_columns(lake, args, &condition).await?;
    if args.vacuum && !args.what.dry_run {
        printer
            .note(&format!("All replaced files of {} are deleted at once, those of earlier merges and expiries too.", tables.join(", ")));
        printer.note(
            "Older versions of these tables can then not be read or restored any more, and readers that are at work on one may fail.",
        );
        consent(args.yes)?;
    }
    let (mut done, mut exit) = (Vec::new(), Exit::Ok);
    for table in tables {
        match erase_one(lake, &table, &condition, args).await? {
            Some(one) => {
                if args.vacuum && !args.what.dry_run && one.deleted.is_none() {
                    printer.note(&format!("{table}: rows are erased, but another process is at the table, so that bytes are not deleted yet; run this again when it has finished"));
                    exit = Exit::TryAgain;
                }
                done.push(one);
            }
            None => exit = held(printer, &table),
        }
    }
    report(printer, &done, &skipped, args)?;
    Ok(exit)
}

async fn erase_one(lake: &Lake, table: &str, condition: &Condition, args: &EraseArgs) -> anyhow::Result<Option<Done>> {
    let failed = || format!("rows of table {table} were not erased");
    for _ in 0..TRIES {
        let Some(opened) = lake.load(table).await? else { return Err(Failure::error(Exit::Failed, format!("table {table} is gone"))) };
        let predicate = condition.of(table, &opened).map_err(helpful)?;
        if let Leased::Done(erasure) = lake.erase(table, &predicate, args.what.dry_run).await.with_context(failed)? {
            let deleted = if args.vacuum && !args.what.dry_run { delete(lake, table).await? } else { None };
            return Ok(Some(Done { table: table.to_owned(), erasure, deleted }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(None)
}

/// Deletes what left the table, and what no version ever had; nothing when another process is at it.
async fn delete(lake: &Lake, table: &str) -> anyhow::Result<Option<(u64, u64)>> {
    // Only what a log entry took away can go at once: a file that no entry names may be about to be added.
    let replaced = VacuumOptions { retention: Duration::ZERO, full: false, ..VacuumOptions::default() };
    let leftovers = VacuumOptions { retention: RETENTION_MIN, ..VacuumOptions::default() };
    let mut sums = (0, 0);
    for options in [replaced, leftovers] {
        let Leased::Done(vacuum) = lake.vacuum(table, &options).await? else { return Ok(None) };
        sums = (sums.0 + vacuum.files, sums.1 + vacuum.bytes);
    }
    Ok(Some(sums))
}

/// The tables to look at, and those that were left out because they lack a column.
async fn with_columns(lake: &Lake, args: &EraseArgs, condition: &Condition) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut tables, mut skipped) = (Vec::new(), Vec::new());
    for name in chosen(lake, &args.what).await? {
        let Some(described) = lake.describe(&name).await? else { continue };
        let missing = condition.columns().find(|column| described.columns.iter().all(|known| known.name != *column));
        match missing {
            None => tables.push(name),
            Some(column) if !args.what.tables.is_empty() => {
                let known: Vec<_> = described.columns.iter().map(|column| column.name.as_str()).collect();
                return Err(Failure::error(Exit::Failed, format!("table {name} has no column {column}\n  columns: {}", known.join(", "))));
            }
            Some(_) => skipped.push(name),
        }
    }
    if tables.is_empty() {
        let columns: Vec<_> = condition.columns().collect();
        return Err(Failure::error(Exit::Failed, format!("no table has all of these columns: {}", columns.join(", "))));
    }
    Ok((tables, skipped))
}

fn report(printer: Printer, done: &[Done], skipped: &[String], args: &EraseArgs) -> anyhow::Result<()> {
    let gone_after = |done: &Done| {
        let retention = i64::try_from(VacuumOptions::default().retention.as_micros()).unwrap_or(i64::MAX);
        done.erasure.committed_at.filter(|_| done.deleted.is_none()).map(|at| Micros(at.0.saturating_add(retention)))
    };
    if !printer.is_text() {
        let list: Vec<_> = done
            .iter()
            .map(|done| {
                let erasure = &done.erasure;
                json!({ "table": done.table, "rows": erasure.rows, "files": erasure.files, "bytes": erasure.bytes,
                    "files_read": erasure.files_read, "rewritten_files": erasure.rewritten_files, "rewritten_bytes": erasure.rewritten_bytes,
                    "version": erasure.version, "bytes_gone_after": gone_after(done).map(when::rfc3339),
                    "deleted_files": done.deleted.map(|deleted| deleted.0), "deleted_bytes": done.deleted.map(|deleted| deleted.1) })
            })
            .collect();
        return printer.json(&json!(list));
    }
    let changed: Vec<_> = done.iter().filter(|done| done.erasure.rows > 0 || done.deleted.is_some()).collect();
    if changed.is_empty() {
        printer.line(&format!("no such rows in {}", counted(done.len() as u64, "table")))?;
    } else {
        let columns = [
            left("table"),
            right("rows"),
            right("files replaced"),
            right("size"),
            right("files rewritten"),
            right("size"),
            right("files deleted"),
            right("version"),
        ];
        let row = |done: &&Done| {
            vec![
                done.table.clone(),
                grouped(done.erasure.rows),
                grouped(done.erasure.files),
                format_bytes(done.erasure.bytes),
                grouped(done.erasure.rewritten_files),
                format_bytes(done.erasure.rewritten_bytes),
                done.deleted.map(|deleted| grouped(deleted.0)).unwrap_or_default(),
                done.erasure.version.map(|version| version.to_string()).unwrap_or_default(),
            ]
        };
        printer.table(&columns, changed.iter().map(row))?;
    }
    if !skipped.is_empty() {
        printer.note(&format!("without these columns, not looked at: {}", skipped.join(", ")));
    }
    if args.what.dry_run {
        printer.note("nothing was changed: this was a dry run");
    } else if let Some(gone) = done.iter().filter_map(gone_after).max() {
        printer.note(&format!(
            "the bytes are gone when files are vacuumed after {} UTC, by freshet run itself or freshet tables vacuum; until then older versions have the rows. --vacuum deletes them at once",
            when::people(gone)
        ));
    }
    printer.note("raw text of the same lines may be in logs.message, _rejects.bytes and app_events.body, and what is still in the spool arrives later: see docs/operations.md");
    Ok(())
}
