//! The router's lines: both routers, every error code, and the odd ones.

use crate::lines::words::{HOSTS, Page, WEB, address};
use crate::random::Random;
use crate::text::Text;
use crate::writer::{Process, Writer};

/// One request that a dyno answered.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// `GET`, …
    pub method: &'static str,
    /// What was asked for.
    pub page: Page,
    /// The `Host` header.
    pub host: &'static str,
    /// The dyno that answered.
    pub dyno: &'static str,
    /// Milliseconds to connect to it.
    pub connect_ms: u64,
    /// Milliseconds until it had answered.
    pub service_ms: u64,
    /// The response's status.
    pub status: u64,
    /// The response's size in bytes.
    pub bytes: u64,
    /// The end of the line: what each generation of the router says of the protocol.
    pub protocol: &'static str,
}

const PROTOCOLS: [&str; 6] = [
    "protocol=http1.1 tls=true tls_version=tls1.3",
    "protocol=http2.0 tls=true tls_version=tls1.3",
    "protocol=http1.1 tls=true tls_version=tls1.2",
    "protocol=http1.1 tls=false",
    "protocol=https",
    "protocol=http",
];

impl Request {
    /// A request as visitors make them.
    pub fn any(random: &mut Random) -> Self {
        let page = Page::any(random);
        Self::of(random, page)
    }

    /// A request for `page` on a usual day.
    pub fn of(random: &mut Random, page: Page) -> Self {
        let status = match random.below(200) {
            0..=3 => 404,
            4 => 500,
            5 => 422,
            6..=25 => 304,
            26..=36 if page.method() == "POST" => 302,
            _ => 200,
        };
        Self {
            method: page.method(),
            page,
            host: HOSTS[usize::from(random.chance(100)) + usize::from(random.chance(30))],
            dyno: random.pick(&WEB),
            connect_ms: random.below(3),
            service_ms: random.long_tailed(page.typical_ms()),
            status,
            bytes: if status == 304 { 0 } else { random.long_tailed(4_000) },
            protocol: random.pick(&PROTOCOLS),
        }
    }
}

/// Writes the line of a request.
pub fn request(writer: &mut Writer, time_us: i64, random: &mut Random, request: &Request) {
    writer.message(time_us, Process::ROUTER, |text| {
        text.str("at=info method=").str(request.method).str(" path=\"");
        request.page.write(text);
        text.str("\" host=").str(request.host).str(" request_id=").uuid(random).str(" fwd=\"");
        address(text, random);
        text.str("\" ");
        served(text, request);
        text.str(" ").str(request.protocol);
    });
}

fn served(text: &mut Text, request: &Request) {
    text.str("dyno=").str(request.dyno).str(" connect=").number(request.connect_ms).str("ms service=").number(request.service_ms);
    text.str("ms status=").number(request.status).str(" bytes=").number(request.bytes);
}

/// An error code as the router reports it.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// `H10`, …
    pub code: &'static str,
    /// All before `method=`.
    pub head: &'static str,
    /// All from `dyno=` to `bytes=`; the dyno's name stands for `{}`.
    pub tail: &'static str,
}

const UNSERVED: &str = "dyno= connect= service= status=503 bytes=";

const fn unserved(code: &'static str, head: &'static str) -> Failure {
    Failure { code, head, tail: UNSERVED }
}

const fn failure(code: &'static str, head: &'static str, tail: &'static str) -> Failure {
    Failure { code, head, tail }
}

/// Every error code of the router, with the shape its line has.
pub const FAILURES: [Failure; 32] = [
    unserved("H10", "at=error code=H10 desc=\"App crashed\""),
    unserved("H11", "at=error code=H11 desc=\"Backlog too deep\""),
    failure("H12", "at=error code=H12 desc=\"Request timeout\"", "dyno={} connect=1ms service=30000ms status=503 bytes=0"),
    failure(
        "H13",
        "at=error code=H13 desc=\"Connection closed without response\"",
        "dyno={} connect=0ms service=9767ms status=503 bytes=0",
    ),
    unserved("H14", "at=error code=H14 desc=\"No web processes running\""),
    failure("H15", "at=error code=H15 desc=\"Idle connection\"", "dyno={} connect=1ms service=55449ms status=503 bytes=18"),
    failure("H16", "at=info code=H16 desc=\"herokuapp redirect\"", "dyno= connect= service= status=301 bytes="),
    failure("H17", "at=error code=H17 desc=\"Poorly formatted HTTP response\"", "dyno={} connect=1ms service=1ms status=503 bytes=0"),
    failure(
        "H18",
        "sock=backend at=error code=H18 desc=\"Server Request Interrupted\"",
        "dyno={} connect=0ms service=139ms status=503 bytes=287",
    ),
    failure("H19", "at=error code=H19 desc=\"Backend connection timeout\"", "dyno={} connect=5001ms service= status=503 bytes="),
    unserved("H20", "at=error code=H20 desc=\"App boot timeout\""),
    failure("H21", "at=error code=H21 desc=\"Backend connection refused\"", "dyno={} connect=1ms service= status=503 bytes="),
    unserved("H22", "at=error code=H22 desc=\"Connection limit reached\""),
    unserved("H23", "at=error code=H23 desc=\"Endpoint misconfigured\""),
    failure("H24", "at=error code=H24 desc=\"Forced close\"", "dyno={} connect=1ms service=80000ms status= bytes=18"),
    failure("H25", "at=error code=H25 desc=\"HTTP restriction: oversized cookie\"", "dyno={} connect=0 service=2 status=502 bytes=0"),
    failure(
        "H25",
        "at=error code=H25 desc=\"HTTP restriction: invalid content length\"",
        "dyno={} connect=0 service=1 status=502 bytes=538",
    ),
    failure(
        "H26",
        "at=error code=H26 desc=\"Request Error\" cause=\"unsupported expect header value\"",
        "dyno= connect= service= status=417 bytes=",
    ),
    failure("H26", "at=error code=H26 desc=\"Request Error\" cause=\"bad chunk\"", "dyno={} connect=1 service=0 status=400 bytes=537"),
    failure(
        "H27",
        "sock=client at=warning code=H27 desc=\"Client Request Interrupted\"",
        "dyno={} connect=1ms service=29043ms status=499 bytes=",
    ),
    failure(
        "H27",
        "sock=client at=warning code=H27 desc=\"Client Request Interrupted\"",
        "dyno={} connect=0ms service=812ms status=499 bytes=0",
    ),
    failure("H28", "at=warning code=H28 desc=\"Client Connection Idle\"", "dyno={} connect=1ms service=55449ms status=499 bytes=18"),
    failure("H31", "at=error code=H31 desc=\"Misdirected Request\"", "dyno= connect= service= status=421 bytes="),
    failure("H32", "at=error code=H32 desc=\"TLS certificate mismatch\"", "dyno= connect= service= status=421 bytes="),
    unserved("H80", "at=info code=H80 desc=\"Maintenance mode\""),
    failure("H81", "at=info code=H81 desc=\"Blank app\"", "dyno= connect= service= status=502 bytes="),
    unserved("H82", "at=info code=H82 desc=\"Free dyno quota exhausted\""),
    unserved("H83", "at=info code=H83 desc=\"Planned Service Degradation\""),
    unserved("H99", "at=error code=H99 desc=\"Platform error\""),
    failure("H12", "at=error code=H12 desc=\"Request timeout\"", "dyno={} connect= service=30000ms status=503 bytes=0"),
    failure(
        "H13",
        "at=error code=H13 desc=\"Connection closed without response\"",
        "dyno={} connect=3030ms service=0ms status=503 bytes=0",
    ),
    failure("H18", "sock=client at=error code=H18 desc=\"Request Interrupted\"", "dyno={} connect=1ms service=0ms status=503 bytes=0"),
];

/// Writes the line of a request that went wrong.
pub fn failed(writer: &mut Writer, time_us: i64, random: &mut Random, failure: &Failure, request: &Request) {
    writer.message(time_us, Process::ROUTER, |text| {
        text.str(failure.head).str(" method=").str(request.method).str(" path=\"");
        request.page.write(text);
        text.str("\" host=").str(request.host).str(" request_id=").uuid(random).str(" fwd=\"");
        address(text, random);
        text.str("\" ");
        match failure.tail.split_once("{}") {
            Some((before, after)) => text.str(before).str(request.dyno).str(after),
            None => text.str(failure.tail),
        };
        text.str(" ").str(request.protocol);
        if failure.code == "H31" || failure.code == "H32" {
            text.str(" agent=\"Mozilla/5.0 (X11; Linux x86_64)\"");
        }
    });
}

/// How many odd shapes [`odd`] knows.
pub const ODD_SHAPES: u64 = 12;

/// Writes a line that is true to life and hard to read; `shape` is below [`ODD_SHAPES`].
pub fn odd(writer: &mut Writer, time_us: i64, random: &mut Random, shape: u64, request: &Request) {
    writer.message(time_us, Process::ROUTER, |text| {
        text.str("at=info method=").str(request.method).str(" path=");
        match shape {
            0 => text.str("\"/api/Table No 7/books"),
            1 => text.str("\"/search?q=\\\"blue lamp\\\""),
            2 => text.str("/before-quotes"),
            3 => text.str("\"/search?q=status=500 bytes=7"),
            _ => text.str("\"/products/").number(random.below(99)),
        };
        text.key("?");
        if shape != 2 {
            text.str("\"");
        }
        text.str(" host=").str(request.host);
        if shape == 4 {
            // A stray quote after an unquoted value.
            text.str("\"");
        }
        if shape != 5 {
            text.str(" request_id=").uuid(random);
        }
        forwarded(text, random, shape);
        match shape {
            6 => text.str("dyno=").str(request.dyno).str(" connect=0 service=12ms status=200 bytes=828"),
            7 => text.str("dyno=").str(request.dyno).str(" queue=0 wait=3ms connect=1ms service=12ms status=200 bytes=828"),
            8 => text.str("dyno=").str(request.dyno).str(" connect= service=41ms status=200 bytes="),
            _ => {
                served(text, request);
                &mut *text
            }
        };
        text.str(" ").str(if shape == 7 { "protocol=https" } else { request.protocol });
        if shape == 9 {
            text.str(" region=eu early_data=false note=\"two words\"");
        }
    });
}

fn forwarded(text: &mut Text, random: &mut Random, shape: u64) {
    if shape == 5 {
        text.str(" fwd=");
        address(text, random);
        text.str(" ");
        return;
    }
    text.str(" fwd=\"");
    match shape {
        9 => _ = text.str("2001:db8::8a2e:370:7334"),
        10 => {
            address(text, random);
            text.str(",");
            address(text, random);
        }
        11 => {
            address(text, random);
            text.str(", ");
            address(text, random);
            text.str(", 2001:db8::1");
        }
        _ => address(text, random),
    }
    text.str("\" ");
}
