//! What the apps themselves log: of each request in the manner of their framework, and of each job of a worker.

use super::agenda::{Origin, Pen, SECOND};
use super::app::App;
use super::kinds::Voice;
use super::request::Request;
use super::traces;
use crate::world::Chance;

/// Of so many requests one leads to a line that no parser expects: empty, in colours, not UTF-8, or too long for Logplex.
const ODD_EVERY: f64 = 4_000.0;

/// A request as the program sees it: what it logs, and when.
pub(super) struct Served<'r> {
    pub(super) request: &'r Request,
    /// When it got the request.
    pub(super) begins: i64,
    /// When it answered; `None` when it never did, or nobody waited any more.
    pub(super) ends: Option<i64>,
    /// How long it took by its own clock.
    pub(super) milliseconds: f64,
}

/// Writes what the app logs of a request that reached one of its dynos.
pub(super) fn of_request(app: &mut App, request: &Request, pen: &mut Pen) {
    let Some(place) = request.dyno else { return };
    let milliseconds = (request.service_ms as f64 - app.chance.fraction()).max(0.3);
    let begins = request.at + (request.connect_ms.cast_signed() + 1) * SECOND / 1000;
    let is_answered = request.error.is_none() || request.status == 499;
    let ends = is_answered.then_some((request.ends() - 300).max(begins + 100));
    let served = Served { request, begins, ends, milliseconds };
    match app.profile.kind.voice {
        Voice::Rails => rails(app, place, &served, pen),
        Voice::Lograge => lograge(app, place, &served, pen),
        Voice::Json => json(app, place, &served, pen),
        Voice::Plain => plain(app, place, &served, pen),
        Voice::L2met => l2met(app, place, &served, pen),
    }
    if request.status == 500
        && let Some(ends) = served.ends
    {
        traces::of_request(app, place, request, ends, pen);
    }
    if app.chance.happens(1.0 / ODD_EVERY) {
        odd(app, place, begins, pen);
    }
}

/// Writes what a worker logs of a job that begins.
pub(super) fn of_job(app: &mut App, begins: i64, pen: &mut Pen) {
    let (Some(place), Some(job)) = (app.worker_dyno(), one_of(app.profile.kind.jobs, &mut app.chance)) else { return };
    let chance = &mut app.chance;
    let slow = if app.troubles.database { 4.0 } else { 1.0 };
    let milliseconds = chance.around(180.0 * slow, 0.8);
    let at = begins + (milliseconds * 1000.0) as i64;
    let number = chance.between(1, 900_000);
    let worker = &app.dynos[place].name;
    match app.profile.kind.voice {
        Voice::Rails | Voice::Lograge => {
            let (job_id, thread) = (chance.hex(24), chance.hex(3));
            let head = |pen: &mut Pen| {
                pen.text.put("pid=2 tid=").put(&thread).put(" class=").put(job).put(" jid=").put(&job_id);
            };
            head(pen);
            pen.text.put(" level=info msg=start");
            pen.end(begins, &app.id, Origin::PROGRAM, worker);
            head(pen);
            pen.text.put(" elapsed=").padded((milliseconds / 1000.0) as u64, 1).put(".").padded(milliseconds as u64 % 1000, 3);
            pen.text.put(" level=info msg=done");
        }
        Voice::Json => {
            pen.text.put(r#"{"level":30,"time":"#).number((at / 1000).unsigned_abs()).put(r#","pid":4,"job":""#).put(job);
            pen.text
                .put(r#"","documents":"#)
                .number(number % 500)
                .put(r#","took_ms":"#)
                .hundredths(milliseconds)
                .put(r#","msg":"job done"}"#);
        }
        Voice::Plain => {
            pen.text.put("[Worker(pid:4)] ").put(job).put(" completed after ").hundredths(milliseconds / 1000.0);
        }
        Voice::L2met => {
            pen.text
                .put("measure#")
                .put(job)
                .put(".time=")
                .hundredths(milliseconds)
                .put("ms count#")
                .put(job)
                .put(".done=1 sample#queue.depth=");
            pen.text.number(number % 60);
        }
    }
    pen.end(at, &app.id, Origin::PROGRAM, worker);
}

fn rails(app: &mut App, place: usize, served: &Served<'_>, pen: &mut Pen) {
    let (request, dyno) = (served.request, &app.dynos[place].name);
    let line = |pen: &mut Pen, at| pen.end(at, &app.id, Origin::PROGRAM, dyno);
    let tag = |pen: &mut Pen| {
        pen.text.put("[").put(&request.id).put("] ");
    };
    tag(pen);
    pen.text.put("Started ").put(request.endpoint.method).put(" \"").put(&request.path).put("\" for ").put(&request.client).put(" at ");
    pen.text.date_and_time(served.begins).put(" +0000");
    line(pen, served.begins);
    tag(pen);
    pen.text.put("Processing by ").put(request.endpoint.action).put(" as ").put(if request.path.ends_with(".pdf") {
        "PDF"
    } else {
        "HTML"
    });
    line(pen, served.begins + 400);
    if request.endpoint.method != "GET" {
        tag(pen);
        pen.text.put("  Parameters: {\"authenticity_token\"=>\"[FILTERED]\", \"cart\"=>{\"quantity\"=>\"");
        pen.text.number(1 + request.bytes % 5).put("\"}}");
        line(pen, served.begins + 520);
    }
    let Some(ends) = served.ends else { return };
    let (database, queries) = (served.milliseconds * 0.45, 1 + request.bytes % 9);
    tag(pen);
    pen.text
        .put("Completed ")
        .number(request.status.into())
        .put(" ")
        .put(reason(request.status))
        .put(" in ")
        .number(served.milliseconds as u64);
    if request.status == 500 {
        pen.text.put("ms (ActiveRecord: ").hundredths(database);
    } else {
        pen.text.put("ms (Views: ").hundredths(served.milliseconds * 0.4).put("ms | ActiveRecord: ").hundredths(database);
    }
    pen.text.put("ms (").number(queries).put(" queries, 0 cached) | Allocations: ").number(2_000 + request.bytes * 3).put(")");
    line(pen, ends);
}

fn lograge(app: &mut App, place: usize, served: &Served<'_>, pen: &mut Pen) {
    let (request, Some(ends)) = (served.request, served.ends) else { return };
    let (controller, action) = request.endpoint.action.split_once('#').unwrap_or((request.endpoint.action, "show"));
    pen.text.put("method=").put(request.endpoint.method).put(" path=");
    // Lograge quotes nothing: a space in a path spoils its line, as in reality.
    pen.text.put(&request.path).put(" format=json controller=").put(controller).put(" action=").put(action).put(" status=");
    pen.text
        .number(request.status.into())
        .put(" allocations=")
        .number(1_500 + request.bytes * 2)
        .put(" duration=")
        .hundredths(served.milliseconds);
    pen.text.put(" view=").hundredths(served.milliseconds * 0.2).put(" db=").hundredths(served.milliseconds * 0.6);
    pen.text.put(" request_id=").put(&request.id).put(" ip=").put(&request.client);
    pen.end(ends, &app.id, Origin::PROGRAM, &app.dynos[place].name);
}

fn json(app: &mut App, place: usize, served: &Served<'_>, pen: &mut Pen) {
    let (request, Some(ends)) = (served.request, served.ends) else { return };
    let level = match request.status {
        500.. => "50",
        400.. => "40",
        _ => "30",
    };
    pen.text.put(r#"{"level":"#).put(level).put(r#","time":"#).number((ends / 1000).unsigned_abs()).put(r#","pid":4,"req":{"id":""#);
    pen.text.put(&request.id).put(r#"","method":""#).put(request.endpoint.method).put(r#"","url":""#).put(&request.path);
    pen.text.put(r#"","remoteAddress":""#).put(&request.client).put(r#""},"res":{"statusCode":"#).number(request.status.into());
    pen.text.put(r#","bytes":"#).number(request.bytes).put(r#"},"operation":""#).put(request.endpoint.action);
    pen.text.put(r#"","responseTime":"#).hundredths(served.milliseconds).put(r#","msg":"request completed"}"#);
    pen.end(ends, &app.id, Origin::PROGRAM, &app.dynos[place].name);
}

fn plain(app: &mut App, place: usize, served: &Served<'_>, pen: &mut Pen) {
    let (request, Some(ends)) = (served.request, served.ends) else { return };
    pen.text.put("INFO:     ").put(&request.client).put(":0 - \"").put(request.endpoint.method).put(" ").put(&request.path);
    pen.text.put(" HTTP/1.1\" ").number(request.status.into()).put(" ").put(reason(request.status));
    pen.end(ends, &app.id, Origin::PROGRAM, &app.dynos[place].name);
    if served.milliseconds > 1_000.0 {
        pen.text.put("WARNING:  ").put(request.endpoint.action).put(" was slow: ").number(served.milliseconds as u64).put(" ms");
        pen.end(ends + 90, &app.id, Origin::PROGRAM, &app.dynos[place].name);
    }
}

fn l2met(app: &mut App, place: usize, served: &Served<'_>, pen: &mut Pen) {
    let (request, Some(ends)) = (served.request, served.ends) else { return };
    let action = request.endpoint.action;
    pen.text.put("request_id=").put(&request.id).put(" measure#").put(action).put(".service=").hundredths(served.milliseconds);
    pen.text
        .put("ms count#")
        .put(action)
        .put(".")
        .number(u64::from(request.status) / 100)
        .put("xx=1 sample#pool.free=")
        .number(request.bytes % 16);
    pen.end(ends, &app.id, Origin::PROGRAM, &app.dynos[place].name);
}

/// What programs print as well.
fn odd(app: &mut App, place: usize, at: i64, pen: &mut Pen) {
    match app.chance.between(0, 4) {
        0 => {}
        1 => {
            pen.text.put(
                "\u{1b}[1m\u{1b}[36mOrder Load (4.2ms)\u{1b}[0m  \u{1b}[1m\u{1b}[34mSELECT \"orders\".* FROM \"orders\" LIMIT 1\u{1b}[0m",
            );
        }
        2 => _ = pen.text.put("caf").raw(b"\xe9 au lait: an old terminal's coding"),
        3 => _ = pen.text.put("cache miss, asking the database: naïve lookup ✓"),
        _ => {
            pen.text.put(r#"{"level":"debug","msg":"cache dump","keys":["#);
            for key in 0..app.chance.between(500, 1_100) {
                pen.text.put(if key == 0 { "\"" } else { ",\"" }).put("product:").number(key * 7).put(":größe\"");
            }
            pen.text.put("]}");
        }
    }
    pen.end(at + 50, &app.id, Origin::PROGRAM, &app.dynos[place].name);
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        401 => "Unauthorized",
        404 => "Not Found",
        422 => "Unprocessable Content",
        _ => "Internal Server Error",
    }
}

fn one_of(choices: &'static [&'static str], chance: &mut Chance) -> Option<&'static str> {
    (!choices.is_empty()).then(|| *chance.one_of(choices))
}
