//! `freshet query`: SQL in, rows out.

use std::io::Read as _;
use std::time::Instant;

use anyhow::Context as _;
use freshet_core::TableKind;
use freshet_query::{Engine, QueryError};

use crate::cli::{Global, QueryArgs};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::{Printer, counted};

/// Runs the verb.
///
/// # Errors
/// There is no lake, or the statement is wrong.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &QueryArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let mut sql = args.sql.clone();
    if sql == "-" {
        sql.clear();
        std::io::stdin().read_to_string(&mut sql).context("standard input cannot be read")?;
    }
    let engine = Engine::new(lake::existing(global, settings).await?).await.map_err(helpful)?;
    let started = Instant::now();
    let mut answer = engine.query(&sql).await.map_err(helpful)?;
    let schema = answer.schema().clone();
    let (mut shown, mut rows) = (Vec::new(), 0);
    while let Some(batch) = answer.next().await.map_err(helpful)? {
        if printer.is_text() {
            let wanted = if args.limit == 0 { usize::MAX } else { args.limit.saturating_sub(rows) };
            shown.push(batch.slice(0, batch.num_rows().min(wanted)));
        } else {
            printer.rows(&batch, rows == 0)?;
        }
        rows += batch.num_rows();
    }
    if printer.is_text() {
        printer.batches(&schema, &shown)?;
        let count = counted(rows as u64, "row");
        let hidden = if args.limit > 0 && rows > args.limit {
            format!(", the first {} shown (--limit 0 shows all)", args.limit)
        } else {
            String::new()
        };
        printer.note(&format!("{count} in {:.2} s{hidden}", started.elapsed().as_secs_f64()));
    }
    Ok(Exit::Ok)
}

/// Adds the fix to the error.
pub(crate) fn helpful(error: QueryError) -> anyhow::Error {
    match &error {
        QueryError::NoTable { name, tables } => {
            let nearest = tables.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = nearest
                .filter(|known| strsim::jaro_winkler(known, name) > 0.8)
                .map(|known| format!("; did you mean {known}?"))
                .unwrap_or_default();
            let list = if tables.is_empty() { "it has none yet: freshet import brings in the first".to_owned() } else { tables.join(", ") };
            let fix = match freshet_tables::find(name).map(|table| table.kind) {
                Some(TableKind::Platform) => "\n  `freshet sync` brings it in from Heroku".to_owned(),
                _ => String::new(),
            };
            Failure::error(Exit::Failed, format!("{error}{hint}{fix}\n  tables: {list}"))
        }
        QueryError::Lake(_) | QueryError::NotReading | QueryError::Syntax(_) | QueryError::Statement(_) => anyhow::Error::new(error),
    }
}
