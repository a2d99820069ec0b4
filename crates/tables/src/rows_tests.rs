//! Deliveries in, rows out: every kind of line, every byte, and the same rows whether a file is read at once or as it grows.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use freshet_core::{ColumnType, Format, Micros, Payload, SourceKind};
use proptest::prelude::*;

use super::rows::{Delivery, PositionOf, Rows};

fn payload(format: Format, body: &[u8]) -> Payload {
    Payload {
        source: SourceKind::File,
        format,
        app: Some("shop".into()),
        drain_token: None,
        frame_id: None,
        msg_count: None,
        received_at: Micros(1_700_000_000_000_000),
        body: Bytes::copy_from_slice(body),
    }
}

fn add(rows: &mut Rows, payload: &Payload, resumed_at: &[usize]) -> super::Counts {
    rows.add(&Delivery { payload, frame_id: "frame", position: PositionOf::MessageEnd, resumed_at })
}

/// The rows of `text` in the CLI form, by table.
fn tables(text: &str) -> BTreeMap<&'static str, RecordBatch> {
    let mut rows = Rows::default();
    add(&mut rows, &payload(Format::Cli, text.as_bytes()), &[]);
    rows.finish().into_iter().map(|rows| (rows.table.name, rows.batch)).collect()
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    array.is_valid(row).then(|| match array.data_type() {
        arrow_schema::DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        arrow_schema::DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        arrow_schema::DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        arrow_schema::DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        other => format!("{other}"),
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn every_kind_of_line_reaches_its_table() {
    let check = |line: &str, table: &str, kind: &str, expected: &[(&str, Option<&str>)]| {
        let tables = tables(&format!("2026-11-20T10:00:00.5+00:00 {line}\n"));
        let batch = tables.get(table).unwrap_or_else(|| panic!("{line} made rows of {:?}", tables.keys()));
        for (column, value) in expected {
            assert_eq!(text(batch, column, 0).as_deref(), *value, "{column} of {line}");
        }
        assert_eq!(text(&tables["logs"], "kind", 0).as_deref(), Some(kind), "{line}");
    };
    check(
        r#"heroku[router]: at=error code=H12 desc="Request timeout" method=GET path="/a b" host=h.example request_id=r1 fwd="192.0.2.1" dyno=web.1 connect=1ms service=30000ms status=503 bytes=0 protocol=https new=x"#,
        "router_requests",
        "router_requests",
        &[("dyno", Some("web.1")), ("path", Some("/a b")), ("service_ms", Some("30000")), ("status", Some("503")), ("cause", None)],
    );
    check(
        r#"heroku[router]: at=error code=H12 desc="Request timeout" method=GET path="/" host=h.example request_id=r1 dyno= status=503"#,
        "platform_errors",
        "router_requests",
        &[("code", Some("H12")), ("family", Some("H")), ("title", Some("Request timeout")), ("request_id", Some("r1")), ("dyno", None)],
    );
    check(
        "heroku[web.1]: source=web.1 dyno=heroku.1.abc sample#memory_total=1GB sample#memory_rss=180.5MB sample#memory_new=2MB",
        "dyno_metrics",
        "dyno_metrics",
        &[("memory_total_mb", Some("1024")), ("memory_rss_mb", Some("180.5")), ("load_avg_1m", None), ("dyno_id", Some("heroku.1.abc"))],
    );
    check(
        "app[heroku-postgres]: source=DATABASE addon=pg-1 sample#db_size=8945836.0bytes sample#tables=17 sample#memory-total=4045592.0kB",
        "postgres_metrics",
        "postgres_metrics",
        &[("db_size_bytes", Some("8945836")), ("tables", Some("17")), ("memory_total_kb", Some("4045592")), ("addon", Some("pg-1"))],
    );
    check(
        "app[heroku-redis]: source=REDIS addon=r-1 sample#hit-rate=0.9 sample#memory-redis=460192bytes",
        "redis_metrics",
        "redis_metrics",
        &[("hit_rate", Some("0.9")), ("memory_redis_bytes", Some("460192"))],
    );
    check(
        "app[heroku-pgbouncer]: source=pgbouncer addon=pg-1 sample#client_active=56 sample#avg_query=8751",
        "pgbouncer_metrics",
        "pgbouncer_metrics",
        &[("client_active", Some("56")), ("avg_query", Some("8751"))],
    );
    check(
        "app[web.1]: measure#db.latency=12ms source=shop",
        "metric_samples",
        "metric_samples",
        &[("metric_type", Some("measure")), ("name", Some("db.latency")), ("value", Some("12")), ("unit", Some("ms"))],
    );
    check(
        "app[postgres.123]: [YELLOW] [12-1]  sql_error_code = 00000 LOG:  checkpoint starting",
        "postgres_logs",
        "postgres_logs",
        &[
            ("pid", Some("123")),
            ("line", Some("12")),
            ("tag", Some("YELLOW")),
            ("level", Some("LOG")),
            ("text", Some("checkpoint starting")),
        ],
    );
    check(
        "heroku[web.1]: Process exited with status 143",
        "dyno_events",
        "dyno_events",
        &[("event", Some("process_exited")), ("exit_status", Some("143"))],
    );
    check(
        "heroku[web.1]: Error R14 (Memory quota exceeded)",
        "platform_errors",
        "platform_errors",
        &[("code", Some("R14")), ("family", Some("R"))],
    );
    check(
        "app[api]: Release v42 created by user dev@example.com",
        "api_events",
        "api_events",
        &[("action", Some("release")), ("release_version", Some("42")), ("actor", Some("dev@example.com"))],
    );
    check(
        r#"app[web.1]: {"level":"warn","msg":"slow","req":{"id":7}}"#,
        "app_events",
        "app_events",
        &[("format", Some("json")), ("level", Some("warn")), ("text", Some("slow"))],
    );
    check(
        "app[web.1]: just words",
        "logs",
        "app",
        &[("message", Some("just words")), ("process_type", Some("web")), ("app", Some("shop"))],
    );
}

#[test]
fn lost_messages_are_in_both_places() {
    let line = "2026-11-20T10:00:00+00:00 heroku[logplex]: Error L10 (output buffer overflow): 17 messages dropped since 2026-11-20T09:59:00+00:00.\n";
    let tables = tables(line);
    assert_eq!(text(&tables["_loss"], "kind", 0).as_deref(), Some("l10"));
    assert_eq!(text(&tables["_loss"], "messages", 0).as_deref(), Some("17"));
    assert_eq!(text(&tables["platform_errors"], "messages_lost", 0).as_deref(), Some("17"));
}

#[test]
fn a_wrong_count_is_a_loss_and_a_right_one_is_not() {
    let check = |announced: u32, expected: Option<&str>| {
        let frame = b"64 <190>1 2026-11-22T10:01:00.000010+00:00 host app web.1 - seq=10\n";
        let mut payload = payload(Format::Frames, frame);
        payload.msg_count = Some(announced);
        let mut rows = Rows::default();
        add(&mut rows, &payload, &[]);
        let loss = rows.finish().into_iter().find(|rows| rows.table.name == "_loss");
        assert_eq!(loss.and_then(|rows| text(&rows.batch, "messages", 0)).as_deref(), expected, "{announced}");
    };
    check(1, None);
    check(3, Some("2"));
}

#[test]
fn secrets_of_platform_lines_are_nowhere() {
    let secret = "hunter2hunter2";
    let line = format!(
        "2026-11-20T10:00:00Z heroku[run.1]: Starting process with command `psql postgres://u:{secret}@db.example/x` by user a@example.com\n"
    );
    for (name, batch) in tables(&line) {
        let shown = format!("{batch:?}");
        assert!(!shown.contains(secret), "{name} shows the secret: {shown}");
    }
}

#[test]
fn invalid_utf8_is_replaced_and_the_exact_bytes_are_kept() {
    let mut rows = Rows::default();
    add(&mut rows, &payload(Format::Cli, b"2026-11-20T10:00:00Z app[web.1]: caf\xe9\n2026-11-20T10:00:00Z app[web.1]: fine\n"), &[]);
    let rows = rows.finish();
    let logs = &rows.iter().find(|rows| rows.table.name == "logs").unwrap().batch;
    assert_eq!(text(logs, "message", 0).as_deref(), Some("caf\u{fffd}"));
    let raw = logs.column_by_name("message_raw").unwrap().as_binary::<i32>();
    assert_eq!((raw.value(0), raw.is_null(1)), (b"caf\xe9".as_slice(), true));
}

/// Lines of every kind, and junk between them.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "[ -~]{0,40}".prop_map(|words| format!("2026-11-20T10:00:00.123456+00:00 app[web.1]: {words}\n").into_bytes()),
        2 => (0u32..999).prop_map(|ms| format!("2026-11-21T00:00:00Z heroku[router]: at=info method=GET path=\"/\" host=h dyno=web.1 connect=0ms service={ms}ms status=200 bytes=1 protocol=https\n").into_bytes()),
        1 => Just(b"2026-11-20T10:00:00Z heroku[web.1]: State changed from starting to up\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => Just(b"\n".to_vec()),
    ];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Frames), Just(Format::Cli), Just(Format::Syslog), Just(Format::JsonLines)]
}

proptest! {
    #[test]
    fn every_byte_is_in_a_message_or_in_a_reject(format in formats(), body in prop_oneof![lines(), prop::collection::vec(any::<u8>(), 0..400)], cuts in prop::collection::vec(0usize..400, 0..4)) {
        let mut resumed: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= body.len()).collect();
        resumed.sort_unstable();
        let mut rows = Rows::default();
        let counts = add(&mut rows, &payload(format, &body), &resumed);
        prop_assert_eq!(counts.message_bytes + counts.reject_bytes, body.len() as u64);
        let batches: BTreeMap<_, _> = rows.finish().into_iter().map(|rows| (rows.table.name, rows.batch)).collect();
        let count = |name| batches.get(name).map_or(0, RecordBatch::num_rows) as u64;
        prop_assert_eq!(count("logs"), counts.messages);
        prop_assert_eq!(count("_rejects"), counts.rejects);
        let rejected: usize = batches.get("_rejects").map_or(0, |batch| {
            batch.column_by_name("bytes").unwrap().as_binary::<i32>().iter().flatten().map(<[u8]>::len).sum()
        });
        prop_assert_eq!(rejected as u64, counts.reject_bytes);
    }

    #[test]
    fn a_file_that_grows_gives_each_message_once(body in lines(), cut in 0usize..2000) {
        let whole = named(&body, &[], 0);
        // The file ended here at first, at the end of a line.
        let cut = body[..cut.min(body.len())].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let mut grown = named(&body[..cut], &[], 0);
        grown.extend(named(&body, &[cut], cut as u64));
        prop_assert_eq!(grown, whole);
    }

    #[test]
    fn a_file_that_grows_in_the_middle_of_a_line_names_no_message_twice(body in lines(), cut in 0usize..2000) {
        let cut = cut.min(body.len());
        let mut grown = named(&body[..cut], &[], 0);
        let first = grown.len();
        grown.extend(named(&body, &[cut], cut as u64));
        let mut indexes: Vec<i32> = grown.iter().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        indexes.dedup();
        prop_assert_eq!(indexes.len(), grown.len());
        prop_assert!(grown[..first].iter().all(|(index, _)| usize::try_from(*index).unwrap() <= body.len()));
    }
}

/// Index and text of the messages of `body` beyond `skip`.
fn named(body: &[u8], resumed_at: &[usize], skip: u64) -> Vec<(i32, String)> {
    let mut rows = Rows::default();
    for table in Rows::tables() {
        rows.skip_to(table, skip);
    }
    add(&mut rows, &payload(Format::Cli, body), resumed_at);
    let Some(logs) = rows.finish().into_iter().find(|rows| rows.table.name == "logs") else { return Vec::new() };
    let index = logs.batch.column_by_name("frame_index").unwrap().as_primitive::<Int32Type>().clone();
    (0..logs.batch.num_rows()).map(|row| (index.value(row), text(&logs.batch, "message", row).unwrap_or_default())).collect()
}

#[test]
fn the_columns_are_those_of_the_contract() {
    let columns = |name: &str| -> Vec<String> {
        let table = super::find(name).unwrap();
        let mark = |nullable: bool| if nullable { "" } else { "!" };
        table.columns.iter().map(|column| format!("{}{} {}", column.name, mark(column.nullable), column.column_type.sql())).collect()
    };
    let shared = [
        "ts! TIMESTAMP",
        "app STRING",
        "source! STRING",
        "dyno STRING",
        "frame_id! STRING",
        "frame_index! INT",
        "received_at! TIMESTAMP",
        "date! DATE",
    ];
    for table in Rows::tables().iter().filter(|table| !table.name.starts_with('_')) {
        assert_eq!(columns(table.name)[..8], shared, "{}", table.name);
        assert_eq!(table.partition_column(), Some("date"), "{}", table.name);
    }
    let own = |name: &str| columns(name)[8..].join(", ");
    assert_eq!(
        own("logs"),
        "process_type STRING, kind! STRING, facility INT, severity INT, drain_token STRING, message! STRING, message_raw BINARY"
    );
    assert_eq!(
        own("router_requests"),
        "at STRING, code STRING, desc STRING, cause STRING, method STRING, path STRING, host STRING, request_id STRING, fwd STRING, \
         connect_ms INT, service_ms INT, status INT, bytes BIGINT, protocol STRING, tls BOOLEAN, tls_version STRING, sock STRING, \
         queue_ms INT, wait_ms INT, extra MAP<STRING,STRING>"
    );
    assert_eq!(own("app_events"), "format! STRING, level STRING, text STRING, request_id STRING, fields MAP<STRING,STRING>, body STRING");
    assert_eq!(
        own("api_events"),
        "action! STRING, actor STRING, release_version INT, commit STRING, names ARRAY<STRING>, formation MAP<STRING,STRING>, text! STRING"
    );
    assert_eq!(
        columns("_loads").join(", "),
        "table_name! STRING, load_id! STRING, rows! BIGINT, files! BIGINT, bytes! BIGINT, first_ts TIMESTAMP, last_ts TIMESTAMP, \
         committed_at! TIMESTAMP, version! BIGINT"
    );
    assert_eq!(
        columns("_rejects").join(", "),
        "received_at! TIMESTAMP, app STRING, source_name! STRING, frame_id STRING, frame_index INT, reason! STRING, detail STRING, \
         bytes! BINARY, date! DATE"
    );
    let types = super::TABLES.iter().flat_map(|table| table.columns).map(|column| column.column_type);
    assert!(types.clone().any(|column_type| column_type == ColumnType::DoubleMap));
}
