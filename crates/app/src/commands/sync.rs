//! `freshet sync`: Heroku's Platform API into tables, once.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use freshet_core::StreamDef;
use freshet_sources::platform::{Api, ApiOptions};
use freshet_tables::platform::{Drift, stream, streams};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{Global, SyncArgs};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::{Paint, Printer, counted, grouped, left, right};
use crate::sync::{StreamReport, Sync};

/// How to get a token that may do what is needed and no more.
const GET_TOKEN: &str =
    "make one:  export HEROKU_API_KEY=$(heroku authorizations:create --short --description freshet --scope read-protected)";

/// Notes about drift that are shown for a stream.
const DRIFT_SHOWN: usize = 5;

/// Runs the verb.
///
/// # Errors
/// A stream is not known, there is no token, or the lake cannot be opened. What fails in a stream is in the report.
pub(crate) async fn run(global: &Global, settings: &Settings, args: &SyncArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    if args.list {
        return list(printer);
    }
    let wanted = if args.archives.is_some() { vec![archived(&args.streams)?] } else { wanted(&args.streams)? };
    let token = settings
        .heroku
        .token()
        .map_err(|why| Failure::error(Exit::BadConfig, format!("there is no token for Heroku's API: {why}\n  {GET_TOKEN}")))?;
    let api = Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token)))?;
    let lake = lake::open(&lake::place(global, settings))?;
    let bar = bar(printer, wanted.len());
    let sync = Sync { api: &api, lake: &lake, apps: &settings.heroku.apps };
    let ended = |report: &StreamReport| {
        bar.inc(1);
        for problem in &report.problems {
            bar.suspend(|| printer.note(&format!("{}: {problem}", report.name)));
        }
        for line in drift_lines(report) {
            bar.suspend(|| printer.note(&line));
        }
    };
    let reports = match (args.archives, &wanted[..]) {
        (Some(months), [stream]) => {
            let report = sync.archives(stream, months).await;
            ended(&report);
            vec![report]
        }
        _ => sync.run(&wanted, |stream| bar.set_message(stream.name), ended).await,
    };
    bar.finish_and_clear();
    let requests = api.counts();
    if printer.is_text() {
        table(printer, &reports)?;
        printer.note(&format!(
            "{}, {} waited for the rate limit",
            counted(requests.requests, "request"),
            crate::config::format_duration(requests.waited.as_secs_f64())
        ));
    } else {
        let streams: Vec<Value> = reports.iter().map(as_json).collect();
        printer.json(&json!({ "streams": streams, "requests": requests.requests, "retries": requests.retries,
            "rate_limited": requests.rate_limited, "waited_s": requests.waited.as_secs_f64() }))?;
    }
    Ok(match reports.iter().filter(|report| !report.problems.is_empty()).count() {
        0 => Exit::Ok,
        failed if failed == reports.len() => Exit::Failed,
        _ => Exit::Partly,
    })
}

/// The one stream that has archives.
fn archived(names: &[String]) -> anyhow::Result<&'static StreamDef> {
    let only = names.iter().all(|name| name == "audit_events");
    let found = stream("audit_events").filter(|_| only);
    found.ok_or_else(|| Failure::error(Exit::Failed, "only audit_events has archives: freshet sync audit_events --archives 2026-01"))
}

/// The streams that were named, or all, and those that they hang below, each before what hangs below it.
fn wanted(names: &[String]) -> anyhow::Result<Vec<&'static StreamDef>> {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&'static StreamDef> = Vec::new();
    for name in names {
        let found = stream(name).ok_or_else(|| {
            let names = streams().iter().map(|stream| stream.name);
            let nearest = names.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
            let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
            Failure::error(Exit::Failed, format!("there is no stream {name}{hint} `freshet sync --list` names them all"))
        })?;
        open.push(found);
    }
    if names.is_empty() {
        open.extend(streams());
    }
    while let Some(next) = open.pop() {
        if wanted.insert(next.name) {
            open.extend(next.lists.iter().filter_map(|list| stream(list.parent?.stream)));
        }
    }
    Ok(streams().iter().filter(|stream| wanted.contains(stream.name)).collect())
}

fn list(printer: Printer) -> anyhow::Result<Exit> {
    if !printer.is_text() {
        let all: Vec<Value> = streams().iter().map(|stream| json!({ "stream": stream.name, "about": stream.about })).collect();
        printer.json(&Value::Array(all))?;
        return Ok(Exit::Ok);
    }
    let columns = [left("stream"), left("one row is")];
    printer.table(&columns, streams().iter().map(|stream| vec![stream.name.to_owned(), stream.about.to_owned()]))?;
    Ok(Exit::Ok)
}

fn table(printer: Printer, reports: &[StreamReport]) -> anyhow::Result<()> {
    let columns = [left("stream"), right("read"), right("new"), right("changed"), right("gone"), left("")];
    let number = |number: u64| if number == 0 { "·".to_owned() } else { grouped(number) };
    let rows = reports.iter().map(|report| {
        let merged = &report.merged;
        let state = match (report.problems.is_empty(), report.unread) {
            (true, _) => String::new(),
            (false, 0) => printer.painted(Paint::Red, "failed"),
            (false, unread) => printer.painted(Paint::Yellow, &format!("{} not read", counted(unread, "list"))),
        };
        vec![report.name.to_owned(), number(report.read), number(merged.inserted), number(merged.updated), number(merged.deleted), state]
    });
    printer.table(&columns, rows)
}

fn drift_lines(report: &StreamReport) -> Vec<String> {
    let line = |(drift, times): (&Drift, &u64)| match drift {
        Drift::Field { path } => format!("{}: new field {path} ({}), kept in _extra", report.name, counted(*times, "object")),
        Drift::Type { path, found } => {
            format!("{}: {path} is a {found} now ({}), kept in _extra, its column is NULL", report.name, counted(*times, "object"))
        }
    };
    report.drift.iter().take(DRIFT_SHOWN).map(line).collect()
}

fn as_json(report: &StreamReport) -> Value {
    let merged = &report.merged;
    let drift: Vec<Value> = report
        .drift
        .iter()
        .map(|(drift, times)| match drift {
            Drift::Field { path } => json!({ "kind": "field", "path": path, "objects": times }),
            Drift::Type { path, found } => json!({ "kind": "type", "path": path, "found": found, "objects": times }),
        })
        .collect();
    json!({
        "stream": report.name, "read": report.read, "new": merged.inserted, "changed": merged.updated, "gone": merged.deleted,
        "unchanged": merged.unchanged, "complete": report.is_complete, "unread_lists": report.unread,
        "problems": report.problems, "drift": drift, "seconds": report.took.as_secs_f64(),
    })
}

fn bar(printer: Printer, streams: usize) -> ProgressBar {
    if printer.quiet || !printer.is_text() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} streams  {elapsed}  {msg}");
    ProgressBar::new(streams as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
