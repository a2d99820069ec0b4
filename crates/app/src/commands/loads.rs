//! `freshet loads`: the latest commits.

use freshet_query::Engine;

use super::query::helpful;
use crate::cli::{Global, LoadsArgs};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::Printer;

/// Runs the verb.
///
/// # Errors
/// There is no lake.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &LoadsArgs) -> anyhow::Result<Exit> {
    let lake = lake::existing(global, settings).await?;
    if let Some(name) = args.table.as_deref().filter(|name| freshet_tables::find(name).is_none()) {
        return Err(Failure::error(Exit::Failed, format!("there is no table {name}; freshet tables list names them all")));
    }
    let only = args.table.as_ref().map_or_else(String::new, |name| format!("WHERE table_name = '{name}'"));
    let sql = format!(
        "SELECT committed_at, table_name, rows, files, bytes, first_ts, last_ts, version, load_id FROM _loads {only} \
         ORDER BY committed_at DESC, table_name LIMIT {}",
        args.limit
    );
    let printer = Printer::new(global);
    let answer = Engine::new(lake).await.map_err(helpful)?.query(&sql).await.map_err(helpful)?;
    print_rows(printer, answer, "no loads yet; freshet import or freshet run makes the first").await
}

/// Prints a small answer in any form, or what to do when it is empty.
///
/// # Errors
/// A file of the lake cannot be read, or standard output is gone.
pub(crate) async fn print_rows(printer: Printer, answer: freshet_query::Answer, empty: &str) -> anyhow::Result<Exit> {
    let schema = answer.schema().clone();
    let batches = answer.collect().await.map_err(helpful)?;
    let rows: usize = batches.iter().map(arrow_array::RecordBatch::num_rows).sum();
    if !printer.is_text() {
        for (index, batch) in batches.iter().enumerate() {
            printer.rows(batch, index == 0)?;
        }
    } else if rows == 0 {
        printer.note(empty);
    } else {
        printer.batches(&schema, &batches)?;
    }
    Ok(Exit::Ok)
}
