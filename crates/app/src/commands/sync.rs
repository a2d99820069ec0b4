//! `freshet sync`: Heroku's Platform API into tables, once.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use freshet_core::{Clock as _, StreamDef, SystemClock};
use freshet_sources::platform::{Api, ApiOptions};
use freshet_tables::platform::{Drift, stream, streams};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{Global, SyncArgs};
use crate::config::{Settings, format_duration};
use crate::exit::{Exit, Failure};
use crate::lake;
use crate::output::{Paint, Printer, counted, grouped, left, right};
use crate::sync::{Known, Plan, StreamReport, Sync, last_runs, plan};

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
    let named = args.streams.iter().map(|name| named(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let archived = args.archives.map(|months| archived(&named).map(|stream| (stream, months))).transpose()?;
    let api = api(global, settings)?;
    let known = Known::new(&global.data_dir);
    let _lock = lock(&known)?;
    let lake = lake::open(&lake::address(global, settings)?)?;
    let plan = match archived {
        Some(_) => Plan::default(),
        None => plan(&named, args.full, &last_runs(&*lake).await?, SystemClock.now()),
    };
    let bar = bar(printer, plan.wanted.len());
    let sync = Sync { api: &api, lake: &*lake, known: &known, apps: &settings.heroku.apps, reason: "command" };
    let show = |report: &StreamReport| {
        bar.inc(1);
        for problem in &report.problems {
            bar.suspend(|| printer.note(&format!("{}: {problem}", report.name)));
        }
        for line in drift_lines(report) {
            bar.suspend(|| printer.note(&line));
        }
    };
    let reports = match archived {
        Some((stream, months)) => {
            let report = sync.archives(stream, months).await;
            show(&report);
            vec![report]
        }
        None => sync.run(&plan.wanted, |stream| bar.set_message(stream.name), show).await,
    };
    bar.finish_and_clear();
    let asked = Asked::of(&reports);
    if printer.is_text() {
        table(printer, &reports)?;
        printer.note(&closing(&plan, &asked));
    } else {
        let streams: Vec<Value> = reports.iter().map(as_json).collect();
        printer.json(&json!({ "streams": streams, "fresh": plan.fresh, "requests": asked.requests, "not_modified": asked.not_modified,
            "waited_s": asked.waited_s }))?;
    }
    Ok(match reports.iter().filter(|report| !report.problems.is_empty()).count() {
        0 => Exit::Ok,
        failed if failed == reports.len() => Exit::Failed,
        _ => Exit::Partly,
    })
}

/// The one stream that has archives.
fn archived(named: &[&'static StreamDef]) -> anyhow::Result<&'static StreamDef> {
    let found = stream("audit_events").filter(|events| named.iter().all(|stream| stream.name == events.name));
    found.ok_or_else(|| Failure::error(Exit::Failed, "only audit_events has archives: freshet sync audit_events --archives 2026-01"))
}

/// Heroku's API with the token that the settings name.
///
/// # Errors
/// There is none, or it must not go there.
pub(crate) fn api(global: &Global, settings: &Settings) -> anyhow::Result<Api> {
    let token = settings
        .heroku
        .token_or_that_of_cli(&global.data_dir)
        .map_err(|why| Failure::error(Exit::BadConfig, format!("there is no token for Heroku's API: {why}\n  {GET_TOKEN}")))?;
    Ok(Api::new(ApiOptions::new(&settings.heroku.api_url, Some(token)))?)
}

fn lock(known: &Known) -> anyhow::Result<std::fs::File> {
    let locked = known.lock().context("the data directory cannot be used; see --data-dir")?;
    locked.ok_or_else(|| {
        Failure::error(
            Exit::TryAgain,
            "another sync is at work with this data directory; try again when it is done, or see `freshet status`",
        )
    })
}

/// The stream called `name`.
///
/// # Errors
/// There is none; the message names the nearest.
pub(super) fn named(name: &str) -> anyhow::Result<&'static StreamDef> {
    stream(name).ok_or_else(|| {
        let names = streams().iter().map(|stream| stream.name);
        let nearest = names.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        Failure::error(Exit::Failed, format!("there is no stream {name}{hint} `freshet sync --list` names them all"))
    })
}

/// What all streams of a run asked.
struct Asked {
    requests: u64,
    not_modified: u64,
    waited_s: f64,
}

impl Asked {
    fn of(reports: &[StreamReport]) -> Self {
        Self {
            requests: reports.iter().map(|report| report.asked.requests).sum(),
            not_modified: reports.iter().map(|report| report.asked.not_modified).sum(),
            waited_s: reports.iter().map(|report| report.asked.waited.as_secs_f64()).sum(),
        }
    }
}

fn closing(plan: &Plan, asked: &Asked) -> String {
    let mut text = counted(asked.requests, "request");
    if asked.not_modified > 0 {
        text += &format!(", {} unchanged by Heroku's word (304)", counted(asked.not_modified, "list"));
    }
    if asked.waited_s > 0.0 {
        text += &format!(", {} waited for the rate limit", format_duration(asked.waited_s));
    }
    if !plan.fresh.is_empty() {
        let streams = counted(plan.fresh.len() as u64, "stream");
        text += &format!("\n{streams} left out, read within the day as things that change rarely; a name or --full reads them now");
    }
    text
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
        Drift::Key { path } => {
            format!(
                "{}: {path} is missing ({}), kept in _rejects; see freshet rejects show --reason nameless",
                report.name,
                counted(*times, "object")
            )
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
            Drift::Key { path } => json!({ "kind": "key", "path": path, "objects": times }),
        })
        .collect();
    json!({
        "stream": report.name, "read": report.read, "new": merged.inserted, "changed": merged.updated, "gone": merged.deleted,
        "unchanged": merged.unchanged, "mode": report.mode.as_str(), "whole": report.is_whole, "unread_lists": report.unread,
        "resumed_lists": report.resumed, "requests": report.asked.requests, "not_modified": report.asked.not_modified,
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
