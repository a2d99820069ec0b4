//! `freshet state`: how far the streams of the Platform API are read.

use std::collections::BTreeMap;

use anyhow::Context as _;
use freshet_core::{Micros, Mirror, Position, Read, ShardId, StreamDef, Trailing};
use freshet_tables::RUNS;
use freshet_tables::platform::streams;
use serde_json::{Value, json};

use super::sync::named;
use crate::cli::{Global, StateVerb};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::output::{Printer, counted, grouped, left, right};
use crate::sync::{Known, Last, bookmarks_of, last_runs, marks_of};
use crate::{lake, when};

/// Runs the verb.
///
/// # Errors
/// There is no lake or no such stream, or the tables cannot be read or written.
pub(crate) async fn run(global: &Global, settings: &Settings, verb: &StateVerb) -> anyhow::Result<Exit> {
    let lake = lake::existing(global, settings).await?;
    let printer = Printer::new(global);
    match verb {
        StateVerb::Show { streams } => show(printer, &*lake, streams).await,
        StateVerb::Set { stream, to, below } => set(printer, &*lake, named(stream)?, to, below.as_deref()).await,
        StateVerb::Reset { streams } => {
            for name in streams {
                reset(&*lake, &Known::new(&global.data_dir), named(name)?).await?;
            }
            printer.note(&format!("{} will be read in full by the next `freshet sync`", streams.join(", ")));
            Ok(Exit::Ok)
        }
    }
}

async fn show(printer: Printer, lake: &dyn Mirror, names: &[String]) -> anyhow::Result<Exit> {
    let wanted: Vec<&'static StreamDef> = match names {
        [] => streams().iter().collect(),
        names => names.iter().map(|name| named(name)).collect::<anyhow::Result<_>>()?,
    };
    let last = last_runs(lake).await?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for stream in wanted {
        let last = last.get(stream.name).copied().unwrap_or_default();
        let bookmarks = lake.bookmarks(stream.table, &bookmarks_of(stream.name)).await?;
        if last == Last::default() && bookmarks.is_empty() && names.is_empty() {
            continue;
        }
        documents.push(as_json(stream, last, &bookmarks));
        let time = |at: Option<Micros>| at.filter(|at| at.0 > 0).map_or_else(|| "·".to_owned(), when::people);
        let (low, high) = (bookmarks.values().min(), bookmarks.values().max());
        let value = |position: Option<&Position>| position.map_or_else(|| "·".to_owned(), |position| shown(stream, *position));
        let count = if bookmarks.is_empty() { "·".to_owned() } else { grouped(bookmarks.len() as u64) };
        rows.push(vec![stream.name.to_owned(), time(last.read), time(last.whole), count, value(low), value(high)]);
    }
    if !printer.is_text() {
        printer.json(&Value::Array(documents))?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        printer.note("no stream has been read yet; `freshet sync` reads them");
        return Ok(Exit::Ok);
    }
    let columns = [left("stream"), left("read"), left("all of it"), right("bookmarks"), right("lowest"), right("highest")];
    printer.table(&columns, rows)?;
    Ok(Exit::Ok)
}

fn as_json(stream: &StreamDef, last: Last, bookmarks: &BTreeMap<String, Position>) -> Value {
    let time = |at: Option<Micros>| at.filter(|at| at.0 > 0).map(when::rfc3339);
    let prefix = bookmarks_of(stream.name);
    let marks: BTreeMap<&str, String> =
        bookmarks.iter().map(|(shard, position)| (shard.strip_prefix(&prefix).unwrap_or(shard), shown(stream, *position))).collect();
    json!({ "stream": stream.name, "read_at": time(last.read), "whole_at": time(last.whole), "bookmarks": marks })
}

/// A bookmark as people write it.
fn shown(stream: &StreamDef, position: Position) -> String {
    match (stream.read, i64::try_from(position)) {
        (Read::Since { trailing: Trailing::Hours(_), .. }, Ok(micros)) if micros > 0 => when::rfc3339(Micros(micros)),
        _ => position.to_string(),
    }
}

async fn set(printer: Printer, lake: &dyn Mirror, stream: &'static StreamDef, to: &str, below: Option<&str>) -> anyhow::Result<Exit> {
    let Read::Since { trailing, .. } = stream.read else {
        let with: Vec<&str> = streams().iter().filter(|one| matches!(one.read, Read::Since { .. })).map(|one| one.name).collect();
        let message = format!("{} has no bookmark: it is always read in full. These have one: {}", stream.name, with.join(", "));
        return Err(Failure::error(Exit::Usage, message));
    };
    let position = match trailing {
        Trailing::Objects(_) => to.parse().ok(),
        Trailing::Hours(_) => to.parse::<jiff::Timestamp>().ok().and_then(|at| Position::try_from(at.as_microsecond()).ok()),
    };
    let position = position.ok_or_else(|| {
        let wanted = if matches!(trailing, Trailing::Objects(_)) { "a number such as 41" } else { "a time such as 2026-11-01T00:00:00Z" };
        Failure::error(Exit::Usage, format!("the bookmark of {} is {wanted}, not {to:?}", stream.name))
    })?;
    let prefix = bookmarks_of(stream.name);
    let shards: Vec<String> = match below {
        Some(id) => vec![format!("{prefix}{id}")],
        None => lake.bookmarks(stream.table, &prefix).await?.into_keys().collect(),
    };
    if shards.is_empty() {
        return Err(Failure::error(
            Exit::Failed,
            format!("{} has no bookmarks yet; `freshet sync {}` makes them", stream.name, stream.name),
        ));
    }
    let bookmarks: Vec<(ShardId, Position)> = shards.iter().map(|shard| (ShardId::new(shard), position)).collect();
    lake.set_bookmarks(stream.table, &bookmarks).await?;
    printer.note(&format!("{} of {} set to {}", counted(bookmarks.len() as u64, "bookmark"), stream.name, shown(stream, position)));
    Ok(Exit::Ok)
}

async fn reset(lake: &dyn Mirror, known: &Known, stream: &'static StreamDef) -> anyhow::Result<()> {
    known.forget(stream.name).context("what the data directory has of the stream could not be removed")?;
    let bookmarks: Vec<(ShardId, Position)> =
        lake.bookmarks(stream.table, &bookmarks_of(stream.name)).await?.into_keys().map(|shard| (ShardId::new(&shard), 0)).collect();
    if !bookmarks.is_empty() {
        lake.set_bookmarks(stream.table, &bookmarks).await?;
    }
    if lake.standing(RUNS.name).await?.is_some() {
        lake.set_bookmarks(RUNS, &marks_of(stream.name).map(|shard| (shard, 0))).await?;
    }
    Ok(())
}
