//! What holds for any text: reading it cannot fail, gives slices of it, and does not depend on the line before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod slices;

use freshet_parse::{Line, Scratch, read_line};
use proptest::prelude::*;

use crate::slices::assert_slices;

/// Every kind of sender there is.
const SENDERS: [(&str, &str); 14] = [
    ("heroku", "router"),
    ("heroku-router", "web"),
    ("heroku", "web.1"),
    ("heroku-runtime", "web-1234abcde-123ab"),
    ("heroku", "logplex"),
    ("app", "log-shuttle"),
    ("app", "api"),
    ("heroku-api", "api"),
    ("app", "heroku-postgres"),
    ("app", "heroku-pgbouncer"),
    ("app", "heroku-redis"),
    ("app", "postgres.123"),
    ("app", "web.1"),
    ("", ""),
];

/// One text of each kind, in the order of [`KINDS`].
const TEXTS: [(&str, &str, &str, &str); 18] = [
    (
        "Router",
        "heroku",
        "router",
        r#"sock=client at=error code=H12 desc="Request timeout" method=GET path="/a b?q=\"x\"" host=h.example request_id=7 fwd="192.0.2.1, ::1" dyno= connect=1ms service=30001ms status=503 bytes=0 protocol=https tls=true agent="x" new=1"#,
    ),
    ("DynoMetrics", "heroku", "web.1", "source=web.1 dyno=heroku.7.ab-c sample#memory_total=180.43MB sample#memory_pgpgin=84329pages"),
    ("PostgresMetrics", "app", "heroku-postgres", "source=DATABASE addon=postgresql-x-1 sample#db_size=8945836.0bytes sample#tables=17"),
    ("PgbouncerMetrics", "app", "heroku-pgbouncer", "source=pgbouncer addon=postgresql-x-1 sample#client_active=56"),
    ("RedisMetrics", "app", "heroku-redis", "source=REDIS addon=redis-x-1 sample#hit-rate=0.92675"),
    ("MetricSamples", "app", "web.1", "at=done measure#db.latency=12ms count#hits=1"),
    ("PostgresLog", "app", "postgres.123", r#"[YELLOW] [12-1]  sql_error_code = 00000 time_ms = "x" user="u" LOG:  duration: 2405.887 ms"#),
    ("DynoEvent", "heroku", "web.1", "State changed from starting to up"),
    ("DynoEvent", "heroku", "run.1", "Starting process with command `TOKEN=x bundle exec --password y`"),
    ("PlatformError", "heroku", "web.1", "Error R12 (Exit timeout) -> Process failed to exit within 10 seconds of SIGTERM"),
    ("PlatformError", "heroku", "logplex", "Error L10 (output buffer overflow): 500 messages dropped since 2013-04-17T19:04:46+00:00."),
    ("ApiEvent", "app", "api", "Set LANG, RACK_ENV config vars by user ann@example.com"),
    ("ApiEvent", "app", "api", "Scaled to web@3:Performance-L mailer@1:Standard-2X by user ann@example.com"),
    ("AppEvent", "app", "web.1", r#"{"level":"info","msg":"a\"b","req":{"id":7},"list":[1,2],"none":null}"#),
    ("AppEvent", "app", "web.1", r#"level=info msg="all \"well\"" status=200"#),
    (
        "AppEvent",
        "app",
        "web.1",
        "I, [2024-01-02T03:04:05 #4]  INFO -- : [fdcf3bf3-97d3-48a5-8eff-3b28789e36ee] Completed 200 OK in 83ms (Views: 48.7ms | Allocations: 7)",
    ),
    ("AppEvent", "app", "web.1", "Started GET \"/x\" for 192.0.2.1 at 2012-03-16 14:03:05 +0000"),
    ("App", "app", "web.1", "Listening on 0.0.0.0:5000, x = y"),
];

fn kind(line: &Line<'_>) -> String {
    let text = format!("{line:?}");
    text.split('(').next().unwrap().to_owned()
}

/// Reads `text` as if each sender had sent it.
fn read_as_each(text: &[u8], scratch: &mut Scratch) {
    for (source, dyno) in SENDERS {
        let line = read_line(source.as_bytes(), dyno.as_bytes(), text, scratch);
        assert_slices(&line, text);
        if let Line::Router(line) = &line {
            let _ = line.platform_error();
        }
        let mut fresh = Scratch::default();
        assert_eq!(format!("{line:?}"), format!("{:?}", read_line(source.as_bytes(), dyno.as_bytes(), text, &mut fresh)));
    }
}

#[test]
fn each_sender_has_its_kinds() {
    let mut scratch = Scratch::default();
    for (expected, source, dyno, text) in TEXTS {
        assert_eq!(kind(&read_line(source.as_bytes(), dyno.as_bytes(), text.as_bytes(), &mut scratch)), expected, "{text}");
    }
    let mut check = |source: &str, dyno: &str, text: &str, expected: &str| {
        assert_eq!(kind(&read_line(source.as_bytes(), dyno.as_bytes(), text.as_bytes(), &mut scratch)), expected, "{source} {dyno} {text}");
    };
    check("heroku-router", "web", "at=info status=200", "Router");
    check("heroku", "router", "Error H99 (Platform error)", "PlatformError");
    check("heroku", "router", "i'm not that long", "App");
    check("app", "router", "at=info status=200", "AppEvent");
    check("heroku", "api", "Release v1 created by ann@example.com", "ApiEvent");
    check("heroku-api", "x", "Build succeeded", "ApiEvent");
    check("app", "api.1", "Build succeeded", "App");
    check("heroku", "heroku-postgres", "sample#tables=1", "PostgresMetrics");
    check("app", "heroku-redis", "source=testsource sample#333", "App");
    check("heroku", "web.1", "source=web.1 is down", "App");
    check("app", "postgres", "[15522-1]  [CHARCOAL] LOG:  x", "PostgresLog");
    check("app", "postgres.7", "hello", "App");
    check("app", "log-shuttle", "Error L13: 111 messages lost since 2013-11-04T21:31:32.125756+00:00.", "PlatformError");
    check("Logplex", "session", "Error L15 (Tail buffer temporarily unavailable)", "PlatformError");
    check("heroku-runtime", "web-1234abcde-123ab", "Idling", "DynoEvent");
    check("heroku", "slugc", "Slug compilation finished", "App");
    // What an app prints is its own word, even when it is Heroku's.
    check("app", "web.1", "Error R14 (Memory quota exceeded)", "App");
    check("app", "web.1", "State changed from starting to up", "App");
    check("app", "web.1", r##"{"a":"count#x=1"}"##, "AppEvent");
    check("app", "web.1", "{:x=>1} measure#a=1", "MetricSamples");
    check("drain", "", "a=1 b=2", "AppEvent");
}

#[test]
fn values_convert_whichever_unit_they_were_sent_in() {
    let mut scratch = Scratch::default();
    let Line::DynoMetrics(line) = read_line(b"heroku", b"web.1", b"source=web.1 sample#a=2GB sample#b=7 sample#c=7pages", &mut scratch)
    else {
        panic!("no metrics")
    };
    let values: Vec<_> = line.samples.iter().map(|sample| line.value_in(sample, b"MB")).collect();
    assert_eq!(values, [Some(2048.0), Some(7.0), None]);
}

/// A text of a known kind with some of its bytes replaced, left out or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b" \"\\=[]{}:,`'#\n\t/".to_vec())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, byte), 0..8);
    (prop::sample::select(TEXTS.to_vec()), changes).prop_map(|((.., text), changes)| {
        let mut text = text.as_bytes().to_vec();
        for (index, change, byte) in changes {
            let at = index.index(text.len() + 1);
            match change {
                0 => text.insert(at, byte),
                1 => text.truncate(at),
                2 => drop(text.splice(at.min(text.len()).saturating_sub(5)..at, [])),
                _ => text.extend_from_within(at..),
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        read_as_each(&text, &mut Scratch::default());
    }

    #[test]
    fn known_lines_that_are_damaged(texts in prop::collection::vec(mutated(), 1..4)) {
        let mut scratch = Scratch::default();
        for text in texts {
            read_as_each(&text, &mut scratch);
        }
    }

    #[test]
    fn json_is_what_a_json_parser_says_it_is(text in mutated()) {
        let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        let mut scratch = Scratch::default();
        let line = read_line(b"app", b"web.1", &text, &mut scratch);
        let found = matches!(line, Line::AppEvent(event) if event.body == Some(text.trim_ascii()));
        // Half a surrogate pair is kept where a stricter parser gives up.
        prop_assert!(found == is_object || found && memchr::memmem::find(&text, b"\\u").is_some(), "{}", String::from_utf8_lossy(&text));
    }
}

/// Texts that would take long in a reader that goes back: each of them must be read in about the time of plain text.
#[test]
fn no_text_takes_more_than_linear_time() {
    let patterns = [
        "path=\"",
        "path=\"\" ",
        "fwd=\"x",
        "a=\"b\"c ",
        "a=\"x ",
        "\" ",
        "\\\"",
        "a=\\\"",
        "sample#a=1 ",
        "#",
        "k=v ",
        "{\"a\":",
        "[",
        "\"a\" b=",
        "A=",
        "--token ",
        "Bearer ",
        "://a:",
        "?sig=",
        "'",
        "a:@",
        " ",
        "Views: 1 | ",
        "[12-1] ",
        "x=\"\" ",
        "@ref:",
        " by ",
        "`",
    ];
    let time = |length: usize, pattern: &str| {
        let text = pattern.repeat(length / pattern.len());
        let start = std::time::Instant::now();
        let mut scratch = Scratch::default();
        for (source, dyno) in SENDERS {
            let _ = read_line(source.as_bytes(), dyno.as_bytes(), text.as_bytes(), &mut scratch);
            let _ = freshet_parse::redact(source.as_bytes(), dyno.as_bytes(), text.as_bytes());
        }
        let command = format!("Starting process with command `{text}`");
        let _ = freshet_parse::redact(b"heroku", b"web.1", command.as_bytes());
        for head in ["at=info path=\"", "[Y] [1-1] sql_error_code = 0 k=\"", "{\"a\":\"", "Completed 200 OK in 1ms (", "level=\""] {
            let text = format!("{head}{text}");
            for (source, dyno) in SENDERS {
                let _ = read_line(source.as_bytes(), dyno.as_bytes(), text.as_bytes(), &mut scratch);
            }
        }
        start.elapsed()
    };
    for pattern in patterns {
        let (short, long) = (time(20_000, pattern), time(160_000, pattern));
        // 8 times the text; a square would take 64 times as long. Short times are mostly noise.
        assert!(long < short * 30 || long.as_millis() < 1000, "{pattern}: {short:?} for 20 kB, {long:?} for 160 kB");
    }
}
