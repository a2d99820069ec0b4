//! Requests: what becomes of each, and the router's line about it.

use super::agenda::{Origin, Pen, SECOND};
use super::app::{App, NoDyno};
use super::kinds::{Endpoint, WORDS};
use super::text::Text;
use super::voices;
use crate::world::Chance;
use crate::world::event::Measured;

/// The router gives up on a dyno after this time (H12).
const TIMEOUT_MS: f64 = 30_000.0;

/// A request that has been answered, or not.
pub(super) struct Request {
    /// When it reached the router.
    pub(super) at: i64,
    pub(super) endpoint: &'static Endpoint,
    /// Path and query.
    pub(super) path: String,
    pub(super) id: String,
    /// The address of the client.
    pub(super) client: String,
    /// The dyno that took it, by its place.
    pub(super) dyno: Option<usize>,
    pub(super) connect_ms: u64,
    pub(super) service_ms: u64,
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// What went wrong on the way.
    pub(super) error: Option<&'static RouterError>,
    /// Whether the app found no free connection to its database.
    pub(super) lacks_connection: bool,
}

impl Request {
    /// When the app has answered, or would have.
    pub(super) fn ends(&self) -> i64 {
        self.at + (self.connect_ms + self.service_ms).cast_signed() * SECOND / 1000
    }
}

/// An error of the router, as Heroku's list of error codes has it.
#[derive(Debug)]
pub(super) struct RouterError {
    code: &'static str,
    level: &'static str,
    words: &'static str,
    /// The cause, where the router names one.
    cause: &'static str,
    /// Who closed the connection, where the router says so: `sock=` comes before everything else.
    sock: &'static str,
    status: u16,
    /// Whether a dyno had it.
    reached: Reached,
    /// Of a million requests that reach an app in good health.
    per_million: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// No dyno: `dyno= connect= service= bytes=`.
    No,
    /// A dyno that did not answer the call: `dyno=web.1 connect=5000ms service= bytes=`.
    Unconnected,
    /// A dyno that got the request.
    Yes,
}

const fn error(
    code: &'static str,
    level: &'static str,
    words: &'static str,
    status: u16,
    reached: Reached,
    per_million: f64,
) -> RouterError {
    RouterError { code, level, words, cause: "", sock: "", status, reached, per_million }
}

static CRASHED: RouterError = error("H10", "error", "App crashed", 503, Reached::No, 0.0);
static BACKLOG: RouterError = error("H11", "error", "Backlog too deep", 503, Reached::No, 0.0);
static TIMEOUT: RouterError = error("H12", "error", "Request timeout", 503, Reached::Yes, 30.0);
static NO_WEB: RouterError = error("H14", "error", "No web processes running", 503, Reached::No, 0.0);
static BOOT: RouterError = error("H20", "error", "App boot timeout", 503, Reached::No, 0.0);
static MAINTENANCE: RouterError = error("H80", "info", "Maintenance mode", 503, Reached::No, 0.0);
static BLANK: RouterError = error("H81", "info", "Blank app", 502, Reached::No, 0.0);
/// What happens to a request in an app in good health.
static BY_CHANCE: [RouterError; 15] = [
    error("H13", "error", "Connection closed without response", 503, Reached::Yes, 90.0),
    error("H15", "error", "Idle connection", 503, Reached::Yes, 8.0),
    error("H17", "error", "Poorly formatted HTTP response", 503, Reached::Yes, 4.0),
    RouterError { sock: "backend", ..error("H18", "error", "Server Request Interrupted", 503, Reached::Yes, 110.0) },
    error("H19", "error", "Backend connection timeout", 503, Reached::Unconnected, 12.0),
    error("H21", "error", "Backend connection refused", 503, Reached::Unconnected, 12.0),
    error("H23", "error", "Endpoint misconfigured", 503, Reached::No, 1.0),
    error("H24", "error", "Forced close", 503, Reached::Yes, 2.0),
    error("H25", "error", "HTTP restriction: oversized header", 502, Reached::Yes, 3.0),
    RouterError { cause: "bad chunk", ..error("H26", "error", "Request Error", 400, Reached::No, 8.0) },
    RouterError { sock: "client", ..error("H27", "warning", "Client Request Interrupted", 499, Reached::Yes, 700.0) },
    error("H28", "warning", "Client Connection Idle", 499, Reached::Yes, 10.0),
    error("H99", "error", "Platform error", 503, Reached::No, 0.5),
    error("H22", "error", "Connection limit reached", 503, Reached::No, 1.0),
    error("H31", "error", "Misdirected Request", 421, Reached::No, 1.0),
];

/// Lets a request come in, and writes all that is logged of it.
pub(super) fn happen(app: &mut App, at: i64, pen: &mut Pen) {
    let request = receive(app, at);
    if request.error.is_none_or(|error| error.reached == Reached::Yes) && request.endpoint.is_served_by_program() {
        voices::of_request(app, &request, pen);
    }
    route(app, &request, pen);
    if app.profile.is_fir
        && let Some(dyno) = request.dyno
    {
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        let (method, service_ms) = (request.endpoint.method, u32::try_from(request.service_ms).unwrap_or(u32::MAX));
        let what = Measured::Request { method, path, status: request.status, service_ms, request_id: request.id.clone() };
        pen.measure(request.ends(), &app.id, &app.dynos[dyno].name, what);
    }
}

/// What becomes of a request.
fn receive(app: &mut App, at: i64) -> Request {
    let dyno = app.web_dyno();
    let (version, troubles, pace) = (app.version, app.troubles, app.pace);
    let (has_releases, is_in_maintenance) = (version > 1, app.is_in_maintenance);
    let chance = &mut app.chance;
    let endpoint = endpoint(app.profile.kind.endpoints, chance);
    let mut request = Request {
        at,
        endpoint,
        path: path(endpoint.path, chance),
        id: chance.uuid(),
        client: client(chance),
        dyno: dyno.or_else(|none| if let NoDyno::Starting(place) = none { Ok(place) } else { Err(none) }).ok(),
        connect_ms: match dyno {
            // The router waits for a dyno that starts.
            Err(NoDyno::Starting(_)) => chance.between(900, 9_000),
            _ if chance.happens(0.002) => chance.between(3, 1_500),
            _ => chance.between(0, 2),
        },
        service_ms: 0,
        status: endpoint.status,
        bytes: chance.around(endpoint.bytes, 0.3) as u64,
        error: None,
        lacks_connection: false,
    };
    let is_served = endpoint.is_served_by_program();
    let mut service = chance.around(endpoint.service_ms * if is_served { pace } else { 1.0 }, endpoint.spread);
    let mut hangs = 0.0;
    if troubles.bad_release && is_served {
        // What is slow keeps others waiting.
        let is_checkout = endpoint.service_ms >= 150.0;
        service *= if is_checkout { 8.0 } else { 1.6 };
        hangs += if is_checkout { 0.045 } else { 0.008 };
    }
    if troubles.database && is_served {
        service = service * 2.5 + chance.waiting(400.0);
        request.lacks_connection = chance.happens(0.04);
    }
    request.error = match dyno {
        _ if is_in_maintenance => Some(&MAINTENANCE),
        _ if !has_releases => Some(&BLANK),
        Err(NoDyno::Crashed) => Some(&CRASHED),
        Err(NoDyno::None) => Some(&NO_WEB),
        Err(NoDyno::Starting(_)) if chance.happens(0.02) => Some(&BOOT),
        _ if service >= TIMEOUT_MS || chance.happens(hangs) => Some(&TIMEOUT),
        _ if hangs > 0.0 && chance.happens(0.0005) => Some(&BACKLOG),
        _ => by_chance(chance),
    };
    if request.lacks_connection {
        service = service.max(5_000.0 + chance.waiting(200.0));
    }
    request.service_ms = service.max(1.0) as u64;
    settle(&mut request, chance);
    request
}

/// Status, size and duration of what has gone wrong, or only not found.
fn settle(request: &mut Request, chance: &mut Chance) {
    if let Some(error) = request.error {
        request.status = error.status;
        request.bytes = 0;
        match error.code {
            "H12" => request.service_ms = chance.between(30_000, 30_003),
            "H13" | "H18" => request.service_ms = chance.between(5, 12_000),
            "H15" | "H28" => (request.service_ms, request.bytes) = (chance.between(55_000, 55_900), chance.between(0, 900)),
            "H19" => request.connect_ms = chance.between(5_000, 5_002),
            "H24" => (request.service_ms, request.bytes) = (chance.between(79_000, 81_000), chance.between(0, 90)),
            "H25" => request.bytes = 537,
            "H27" => request.service_ms = request.service_ms.max(chance.between(1, 20_000)),
            _ => {}
        }
        if error.reached == Reached::No {
            request.dyno = None;
        }
        return;
    }
    let draw = chance.fraction();
    request.status = match (request.endpoint.method, request.status) {
        _ if request.lacks_connection => 500,
        (_, good) if request.endpoint.is_served_by_program() => match draw {
            _ if draw < 0.0015 => 500,
            _ if draw < 0.012 && request.path.contains('/') => 404,
            _ if draw < 0.018 => 401,
            _ if draw < 0.023 && good != 200 => 422,
            _ if draw < 0.06 && good == 200 && request.endpoint.method == "GET" => 304,
            _ => good,
        },
        ("GET", 200) if draw < 0.4 && !request.path.ends_with("healthz") => 304,
        (_, good) => good,
    };
    match request.status {
        304 | 204 => request.bytes = 0,
        400.. => request.bytes = request.bytes.min(1_722),
        _ => {}
    }
}

fn by_chance(chance: &mut Chance) -> Option<&'static RouterError> {
    let mut draw = chance.fraction() * 1e6 - TIMEOUT.per_million;
    if draw < 0.0 {
        return Some(&TIMEOUT);
    }
    BY_CHANCE.iter().find(|error| {
        draw -= error.per_million;
        draw < 0.0
    })
}

fn endpoint(endpoints: &'static [Endpoint], chance: &mut Chance) -> &'static Endpoint {
    let total: u32 = endpoints.iter().map(|endpoint| endpoint.weight).sum();
    let mut draw = chance.between(1, u64::from(total)) as u32;
    for endpoint in endpoints {
        if draw <= endpoint.weight {
            return endpoint;
        }
        draw -= endpoint.weight;
    }
    &endpoints[0]
}

/// A path in which `#` is a number and `*` a word. Now and then a client sends spaces as they are, and the router logs them so.
fn path(pattern: &str, chance: &mut Chance) -> String {
    let mut text = Text::default();
    for piece in pattern.split_inclusive(['#', '*']) {
        match piece.as_bytes().split_last() {
            Some((b'#', before)) => _ = text.raw(before).number(chance.between(1, 4_000)),
            Some((b'*', before)) if chance.happens(0.03) => _ = text.raw(before).put("Schlachter 1951"),
            Some((b'*', before)) => _ = text.raw(before).put(chance.one_of::<&str>(&WORDS)),
            _ => _ = text.put(piece),
        }
    }
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// An address of the ranges that are kept for documentation.
fn client(chance: &mut Chance) -> String {
    let mut text = Text::default();
    match chance.between(0, 19) {
        0 => text.say(format_args!("2001:db8:{:x}::{:x}", chance.between(1, 0xffff), chance.between(1, 0xffff))),
        1..=10 => text.put("203.0.113.").number(chance.between(1, 254)),
        _ => text.put("198.51.100.").number(chance.between(1, 254)),
    };
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// The router's line.
fn route(app: &mut App, request: &Request, pen: &mut Pen) {
    let chance = &mut app.chance;
    let host = &chance.one_of(&app.hosts).name;
    let text = &mut pen.text;
    let reached = request.error.map_or(Reached::Yes, |error| error.reached);
    match request.error {
        None => _ = text.put("at=info"),
        Some(error) => {
            if !error.sock.is_empty() {
                text.put("sock=").put(error.sock).put(" ");
            }
            text.put("at=").put(error.level).put(" code=").put(error.code).put(" desc=\"").put(error.words).put("\"");
            if !error.cause.is_empty() {
                text.put(" cause=\"").put(error.cause).put("\"");
            }
        }
    }
    text.put(" method=").put(request.endpoint.method).put(" path=\"").put(&request.path).put("\" host=").put(host);
    text.put(" request_id=").put(&request.id).put(" fwd=\"").put(&request.client);
    if chance.happens(0.05) {
        // Behind a content network there is a second address.
        text.put(if chance.happens(0.5) { "," } else { ", " }).put("198.51.100.").number(chance.between(1, 9));
    }
    text.put("\" dyno=");
    if let Some(dyno) = request.dyno {
        text.put(&app.dynos[dyno].name);
    }
    match reached {
        Reached::No => _ = text.put(" connect= service= status=").number(request.status.into()).put(" bytes="),
        Reached::Unconnected => {
            text.put(" connect=").number(request.connect_ms).put("ms service= status=").number(request.status.into()).put(" bytes=");
        }
        Reached::Yes => {
            text.put(" connect=").number(request.connect_ms).put("ms service=").number(request.service_ms).put("ms status=");
            text.number(request.status.into()).put(" bytes=");
            // A client that is gone got nothing that could be counted.
            if request.status != 499 {
                text.number(request.bytes);
            }
        }
    }
    if app.profile.has_new_router {
        let is_old_client = chance.happens(0.3);
        text.put(if is_old_client { " protocol=http1.1" } else { " protocol=http2.0" }).put(" tls=true tls_version=");
        text.put(if is_old_client && chance.happens(0.2) { "tls1.2" } else { "tls1.3" });
    } else {
        text.put(if chance.happens(0.02) { " protocol=http" } else { " protocol=https" });
    }
    let logged = match reached {
        Reached::No => request.at,
        _ => request.ends(),
    };
    pen.end(logged + 1_100 + (request.at & 0x3ff), &app.id, Origin::ROUTER, "router");
}
