//! `freshet tables expire`: rows that are older than the retention.

use anyhow::Context as _;
use freshet_destinations::delta::{ExpireOptions, Expired, Lake, Leased};
use serde_json::json;

use super::{chosen, held};
use crate::cli::MaintainArgs;
use crate::config::{Settings, duration, format_bytes};
use crate::exit::{Exit, Failure};
use crate::output::{Printer, counted, grouped, left, right};
use crate::retention::{Age, age_of};
use crate::when;

pub(super) async fn expire(
    printer: Printer,
    settings: &Settings,
    lake: &Lake,
    what: &MaintainArgs,
    older_than: Option<&str>,
) -> anyhow::Result<Exit> {
    let asked = older_than
        .map(|text| duration(text).ok_or_else(|| Failure::error(Exit::Usage, "--older-than wants a time span such as 90d or 36h")))
        .transpose()?;
    if asked.is_none() && settings.retention.is_for_ever() {
        return Err(Failure::error(
            Exit::Usage,
            "nothing says how long rows are kept: give --older-than 90d, or set [retention] in freshet.toml, such as  logs = \"90d\"",
        ));
    }
    let (mut done, mut exit) = (Vec::new(), Exit::Ok);
    for name in chosen(lake, what).await? {
        let column = match age_of(&name) {
            Age::Folders => None,
            Age::Column(column) => Some(column.to_owned()),
            Age::None(why) if what.tables.is_empty() => {
                tracing::debug!(table = name, why, "rows of the table do not expire");
                continue;
            }
            Age::None(why) => return Err(Failure::error(Exit::Failed, format!("rows of table {name} do not expire: {why}"))),
        };
        let Some(older_than) = asked.or_else(|| settings.retention.of(&name)) else { continue };
        let options = ExpireOptions { older_than, time_column: column, dry_run: what.dry_run };
        match lake.expire(&name, &options).await.with_context(|| format!("rows of table {name} did not expire"))? {
            Leased::Done(report) => done.push((name, report)),
            Leased::Held => exit = held(printer, &name),
        }
    }
    report(printer, &done, what.dry_run).map(|()| exit)
}

fn report(printer: Printer, done: &[(String, Expired)], dry_run: bool) -> anyhow::Result<()> {
    if !printer.is_text() {
        let list: Vec<_> = done
            .iter()
            .map(|(table, report)| {
                json!({ "table": table, "first_date": report.dates.first().map(|date| when::date(*date)), "last_date": report.dates.last().map(|date| when::date(*date)),
                    "folders": report.dates.len(), "files": report.files, "bytes": report.bytes, "rows": report.rows,
                    "rewritten_files": report.rewritten_files, "version": report.version })
            })
            .collect();
        return printer.json(&json!(list));
    }
    let changed: Vec<_> = done.iter().filter(|(_, report)| report.files > 0).collect();
    if changed.is_empty() {
        return printer.line(&format!("nothing is old enough in {}", counted(done.len() as u64, "table")));
    }
    let columns = [left("table"), left("days"), right("files"), right("size"), right("rows"), right("files rewritten"), right("version")];
    printer.table(
        &columns,
        changed.iter().map(|(table, report)| {
            vec![
                table.clone(),
                days(report),
                grouped(report.files),
                format_bytes(report.bytes),
                grouped(report.rows),
                grouped(report.rewritten_files),
                report.version.map(|version| version.to_string()).unwrap_or_default(),
            ]
        }),
    )?;
    if dry_run {
        printer.note("nothing was changed: this was a dry run");
    } else {
        printer.note("the files stay for readers of older versions until freshet tables vacuum, which freshet run does after 7 days");
    }
    Ok(())
}

fn days(report: &Expired) -> String {
    match (report.dates.first(), report.dates.last()) {
        (Some(first), Some(last)) if first == last => when::date(*first),
        (Some(first), Some(last)) => format!("{} to {}", when::date(*first), when::date(*last)),
        _ => String::new(),
    }
}
