//! Stack traces: many lines that share one microsecond, as Logplex stamps what a program writes at once.

use super::agenda::{Origin, Pen};
use super::app::App;
use super::kinds::Voice;
use super::request::Request;

const RUBY: [&str; 9] = [
    "app/models/order.rb:88:in `total_with_discount'",
    "app/models/order.rb:61:in `map'",
    "app/services/checkout.rb:42:in `call'",
    "app/controllers/checkouts_controller.rb:27:in `create'",
    "vendor/bundle/ruby/3.4.0/gems/actionpack-8.0.2/lib/action_controller/metal/basic_implicit_render.rb:8:in `send_action'",
    "vendor/bundle/ruby/3.4.0/gems/rack-3.1.16/lib/rack/method_override.rb:28:in `call'",
    "vendor/bundle/ruby/3.4.0/gems/puma-6.6.0/lib/puma/request.rb:99:in `block in handle_request'",
    "vendor/bundle/ruby/3.4.0/gems/puma-6.6.0/lib/puma/server.rb:464:in `process_client'",
    "vendor/bundle/ruby/3.4.0/gems/puma-6.6.0/lib/puma/thread_pool.rb:167:in `block in spawn_thread'",
];

const PYTHON: [&str; 9] = [
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    "  File \"/app/.heroku/python/lib/python3.13/site-packages/uvicorn/protocols/http/h11_impl.py\", line 403, in run_asgi",
    "    result = await app(self.scope, self.receive, self.send)",
    "  File \"/app/admin/main.py\", line 118, in customers",
    "    rows = await pool.fetch(QUERY, query.strip())",
    "  File \"/app/admin/pool.py\", line 31, in fetch",
    "    return await connection.fetch(*arguments)",
    "AttributeError: 'NoneType' object has no attribute 'strip'",
];

const NODE: [&str; 5] = [
    "TypeError: Cannot read properties of undefined (reading 'score')",
    "    at rank (/app/dist/ranking.js:71:24)",
    "    at Array.map (<anonymous>)",
    "    at search (/app/dist/search.js:133:18)",
    "    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
];

const POOL: &str = "ActiveRecord::ConnectionTimeoutError (could not obtain a connection from the pool within 5.000 seconds (waited 5.004 seconds); all pooled connections were in use):";

/// Of a request that failed in the program.
pub(super) fn of_request(app: &App, place: usize, request: &Request, at: i64, pen: &mut Pen) {
    let tag = format!("[{}] ", request.id);
    match app.profile.kind.voice {
        Voice::Rails | Voice::Lograge => {
            let words = if request.lacks_connection { POOL } else { "NoMethodError (undefined method `total' for nil):" };
            let lines = ["  ", words, "  "].into_iter().chain(RUBY);
            write(app, place, lines.map(|line| (tag.as_str(), line)), at, pen);
        }
        Voice::Json | Voice::L2met if request.lacks_connection => {
            pen.text.put(r#"{"level":50,"pid":4,"req":{"id":""#).put(&request.id);
            pen.text.put(r#""},"err":{"type":"TimeoutError","code":"ETIMEDOUT"},"msg":"timeout exceeded when trying to connect: pool has no free client"}"#);
            pen.end(at, &app.id, Origin::PROGRAM, &app.dynos[place].name);
        }
        Voice::Json | Voice::L2met => write(app, place, NODE.into_iter().map(|line| ("", line)), at, pen),
        Voice::Plain if request.lacks_connection => {
            let last = "asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already";
            write(app, place, PYTHON[..8].iter().copied().chain([last]).map(|line| ("", line)), at, pen);
        }
        Voice::Plain => write(app, place, PYTHON.into_iter().map(|line| ("", line)), at, pen),
    }
}

/// Of a process that dies.
pub(super) fn of_crash(app: &App, place: usize, at: i64, pen: &mut Pen) {
    let lines: &[&str] = match app.profile.kind.voice {
        Voice::Rails | Voice::Lograge => &[
            "[BUG] Segmentation fault at 0x0000000000000018",
            "ruby 3.4.4 (2025-05-14 revision a38531fd3f) [x86_64-linux]",
            "-- Control frame information --",
        ],
        Voice::Json | Voice::L2met => &[
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "----- Native stack trace -----",
            " 1: 0xe13dde node::OOMErrorHandler(char const*, v8::OOMDetails const&) [node]",
        ],
        Voice::Plain => &[
            "Fatal Python error: Bus error",
            "Current thread 0x00007f1c2b7fe740 (most recent call first):",
            "  File \"/app/admin/main.py\", line 7 in <module>",
        ],
    };
    write(app, place, lines.iter().map(|line| ("", *line)), at, pen);
}

fn write<'l>(app: &App, place: usize, lines: impl Iterator<Item = (&'l str, &'l str)>, at: i64, pen: &mut Pen) {
    for (tag, line) in lines {
        pen.text.put(tag).put(line);
        pen.end(at, &app.id, Origin::PROGRAM, &app.dynos[place].name);
    }
}
