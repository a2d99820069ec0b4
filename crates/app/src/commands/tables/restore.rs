//! `freshet tables restore`: the rows of an earlier version.

use freshet_core::{Micros, TableKind};
use freshet_destinations::delta::{Lake, Leased, RestoreOptions, Restored};
use serde_json::json;

use super::{consent, held, no_table};
use crate::cli::RestoreArgs;
use crate::config::format_bytes;
use crate::exit::Exit;
use crate::output::{Printer, counted};

pub(super) async fn restore(printer: Printer, lake: &Lake, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let name = &args.table;
    if !lake.tables().await?.contains(name) {
        return Err(no_table(lake, name).await?);
    }
    let version = match (args.version, args.as_of) {
        (Some(version), _) => version,
        (None, Some(moment)) => lake.version_at(name, Micros(moment.as_microsecond())).await?,
        (None, None) => 0,
    };
    let options = RestoreOptions { version, undo_erase: args.undo_erase, dry_run: true };
    let Leased::Done(foretold) = lake.restore(name, &options).await? else { return Ok(held(printer, name)) };
    let has_work = foretold.files_added + foretold.files_removed > 0;
    if args.dry_run || !has_work {
        report(printer, name, version, &foretold)?;
        printer.note(if has_work { "nothing was changed: this was a dry run" } else { "nothing to do: the table has these rows now" });
        return Ok(Exit::Ok);
    }
    for line in said_before(name, version, &foretold) {
        printer.note(&line);
    }
    consent(args.yes)?;
    match lake.restore(name, &RestoreOptions { dry_run: false, ..options }).await? {
        Leased::Held => Ok(held(printer, name)),
        Leased::Done(restored) => report(printer, name, version, &restored).map(|()| Exit::Ok),
    }
}

/// What somebody has to know who is about to do it.
fn said_before(name: &str, version: u64, foretold: &Restored) -> Vec<String> {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "an unknown number of rows".to_owned(), |rows| counted(rows, "row"));
    let mut lines = vec![
        format!("{name} goes from version {} back to the rows of version {version}:", foretold.from),
        format!(
            "  {} with {} come back, {} with {} go",
            counted(foretold.files_added, "file"),
            rows(foretold.rows_added),
            counted(foretold.files_removed, "file"),
            rows(foretold.rows_removed)
        ),
    ];
    lines.push(match freshet_tables::find(name).map(|table| table.kind) {
        Some(TableKind::Platform) => {
            "Bookmarks stay. Objects that go, or become old, are brought up to date by the next sync that reads all of their stream:  freshet sync STREAM --full".to_owned()
        }
        _ => "How far drains and files are loaded stays as it is: what was loaded since version ".to_owned()
            + &format!("{version} goes, and does not come again by itself. Importing the same files again adds nothing."),
    });
    if !foretold.undone_erasures.is_empty() {
        let versions: Vec<String> = foretold.undone_erasures.iter().map(ToString::to_string).collect();
        lines.push(format!("Rows come back that were ERASED in version {}.", versions.join(", ")));
    }
    lines.push(format!("Until vacuum deletes files, the rows of version {} can be restored likewise.", foretold.from));
    lines
}

fn report(printer: Printer, name: &str, version: u64, restored: &Restored) -> anyhow::Result<()> {
    if !printer.is_text() {
        return printer.json(&json!({
            "table": name, "restored_version": version, "from": restored.from, "files_added": restored.files_added,
            "bytes_added": restored.bytes_added, "rows_added": restored.rows_added, "files_removed": restored.files_removed,
            "bytes_removed": restored.bytes_removed, "rows_removed": restored.rows_removed,
            "undone_erasures": restored.undone_erasures, "version": restored.version,
        }));
    }
    let made = restored.version.map_or_else(String::new, |version| format!(", now version {version}"));
    printer.line(&format!(
        "{name}: the rows of version {version}{made}; {} ({}) came back, {} ({}) went",
        counted(restored.files_added, "file"),
        format_bytes(restored.bytes_added),
        counted(restored.files_removed, "file"),
        format_bytes(restored.bytes_removed)
    ))
}
