mod grpc;

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::faults::{Fault, Strike};
use crate::receiver::{Receiver, Reply, Seen, refusing, until};
use crate::world::{Actor, Measured, WorldOptions};

const APP: &str = "11111111-1111-4111-8111-111111111111";
const LONG: Duration = Duration::from_secs(10);
const REQUEST: &str = "01234567-89ab-cdef-0123-456789abcdef";

struct Rig {
    faults: Faults,
    telemetry: Telemetry,
}

/// An app with two releases and a dyno.
fn world() -> Arc<Mutex<World>> {
    let options = WorldOptions { seed: 1, apps: 0, releases: 0, begins_at: "2026-03-02T09:00:00Z".parse().unwrap(), lines_per_second: 0.0 };
    let mut world = World::new(&options);
    let by = Actor { id: "someone".to_owned(), email: "ann@example.com".to_owned() };
    let release = |id: &str, version: u64, at: &str, image: &str| json!({ "id": id, "version": version, "created_at": at, "status": "succeeded", "oci_image": { "id": image }, "slug": null, "app": { "id": APP } });
    let objects = [
        ("app", json!({ "id": APP, "name": "shop" })),
        ("dyno", json!({ "id": "dyno-1", "name": "web-1234abcde-123ab", "app": { "id": APP } })),
        ("oci-image", json!({ "id": "image-1", "commit": "aaaa" })),
        ("oci-image", json!({ "id": "image-2", "commit": "bbbb" })),
        ("release", release("release-1", 1, "2026-03-02T08:00:00Z", "image-1")),
        ("release", release("release-2", 2, "2026-03-02T09:30:00Z", "image-2")),
    ];
    for (resource, value) in objects {
        world.objects.create(world.now, resource, vec![APP.to_owned()], &by, value);
    }
    Arc::new(Mutex::new(world))
}

fn pace() -> TelemetryPace {
    TelemetryPace {
        batch_age: Duration::from_millis(20),
        answer_within: LONG,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        gives_up_after: Duration::from_secs(60),
    }
}

fn rig_paced(exporter: &Value, signals: &Value, pace: TelemetryPace) -> Rig {
    let faults = Faults::new(1);
    let telemetry = Telemetry::paced(faults.clone(), world(), pace);
    telemetry.add("drain", APP, exporter, signals).unwrap();
    Rig { faults, telemetry }
}

fn rig(receiver: &Receiver) -> Rig {
    rig_paced(&http(receiver), &Value::Null, pace())
}

fn http(receiver: &Receiver) -> Value {
    json!({ "type": "otlphttp", "endpoint": receiver.url("/otlp/"), "headers": { "API-Key": "k1" } })
}

fn line(at: &str, priority: u8, text: &[u8]) -> Line {
    let (app, process) = (APP.to_owned(), "web-1234abcde-123ab".to_owned());
    Line { at: at.parse().unwrap(), app, priority, source: "app", process, text: Bytes::copy_from_slice(text) }
}

fn lines(telemetry: &Telemetry, numbers: std::ops::Range<u32>) {
    numbers.for_each(|number| telemetry.line(&line("2026-03-02T09:00:00Z", 190, number.to_string().as_bytes())));
}

fn measure(process: &str, what: Measured) -> Measure {
    Measure { at: "2026-03-02T09:00:01.5Z".parse().unwrap(), app: APP.to_owned(), process: process.to_owned(), what }
}

fn request(status: u16, request_id: &str) -> Measure {
    let what = Measured::Request { method: "GET", path: "/cart".to_owned(), status, service_ms: 250, request_id: request_id.to_owned() };
    measure("web-1234abcde-123ab", what)
}

fn gauges() -> Measure {
    measure("web-1234abcde-123ab", Measured::Dyno { memory_rss_mb: 301.5, memory_quota_mb: 512.0, load_avg_1m: 0.25 })
}

impl Rig {
    async fn settle(&self) -> TelemetryCounts {
        assert!(self.telemetry.settled(LONG).await, "{:?}", self.telemetry.counts());
        let counts = self.telemetry.counts();
        for counts in &counts {
            assert_eq!(counts.sent, counts.acknowledged + counts.dropped + counts.waiting, "{counts:?}");
        }
        counts.into_iter().find(|counts| counts.signal == Signal::Logs).unwrap()
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(&attribute.value))).collect()
}

fn log_request(seen: &Seen) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(seen.body.clone()).unwrap()
}

fn records(request: &ExportLogsServiceRequest) -> Vec<LogRecord> {
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    scopes.flat_map(|scope| scope.log_records.iter().cloned()).collect()
}

fn texts(request: &ExportLogsServiceRequest) -> Vec<String> {
    let text = |record: LogRecord| match record.body.unwrap().value.unwrap() {
        Any::StringValue(text) => text,
        other => panic!("{other:?}"),
    };
    records(request).into_iter().map(text).collect()
}

#[tokio::test]
async fn lines_are_log_records_with_where_they_come_from() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    rig.telemetry.line(&line("2026-03-02T09:00:00.25Z", 190, b"hello"));
    rig.telemetry.line(&line("2026-03-02T09:00:01Z", 187, b"caf\xe9"));
    rig.telemetry.line(&line("2026-03-02T09:31:00Z", 190, "grüß".as_bytes()));
    rig.telemetry.line(&Line { process: "router".to_owned(), source: "heroku", ..line("2026-03-02T09:31:00Z", 158, b"at=info") });
    assert_eq!(rig.settle().await.acknowledged, 4);
    let seen = &receiver.seen()[0];
    assert_eq!(
        (seen.path.as_str(), &seen.headers["content-type"], &seen.headers["api-key"]),
        ("/otlp/v1/logs", &"application/x-protobuf".parse().unwrap(), &"k1".parse().unwrap())
    );
    let request = log_request(seen);
    let resources: Vec<_> = request.resource_logs.iter().map(|logs| attributes(&logs.resource.as_ref().unwrap().attributes)).collect();
    let dyno = |version: &str, commit: &str, created: &str| {
        let (version, commit, created) = (version.to_owned(), commit.to_owned(), created.to_owned());
        [
            ("cloud.provider", "heroku".to_owned()),
            ("service.name", "shop".to_owned()),
            ("service.instance.id", "dyno-1".to_owned()),
            ("service.version", version),
            ("heroku.app.id", APP.to_owned()),
            ("heroku.release.commit", commit),
            ("heroku.release.creation_timestamp", created),
            ("heroku.dyno.id", "dyno-1".to_owned()),
            ("heroku.dyno.name", "web-1234abcde-123ab".to_owned()),
        ]
    };
    assert_eq!(resources.len(), 3);
    assert_eq!(resources[0], dyno("v1", "aaaa", "2026-03-02T08:00:00Z").into());
    assert_eq!(resources[1], dyno("v2", "bbbb", "2026-03-02T09:30:00Z").into());
    assert_eq!((resources[2]["service.instance.id"].as_str(), resources[2].get("heroku.dyno.id")), ("router", None));
    let records = records(&request);
    assert_eq!(records[0].time_unix_nano, 1_772_442_000_250_000_000);
    let severities: Vec<_> = records.iter().map(|record| (record.severity_number, record.severity_text.as_str())).collect();
    assert_eq!(severities, [(9, "INFO"), (17, "ERROR"), (9, "INFO"), (9, "INFO")]);
    let bodies: Vec<_> = records.iter().map(|record| record.body.clone().unwrap().value.unwrap()).collect();
    let text = |text: &str| Any::StringValue(text.to_owned());
    assert_eq!(bodies, [text("hello"), Any::BytesValue(b"caf\xe9".to_vec()), text("grüß"), text("at=info")]);
    assert_eq!(attributes(&records[3].attributes)["heroku.source"], "heroku");
}

#[tokio::test]
async fn requests_are_server_spans() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    for (status, id) in [(200, REQUEST), (503, "sent by a client"), (503, "sent by another"), (200, "00000000-0000-0000-0000-000000000000")]
    {
        rig.telemetry.measured(&request(status, id));
    }
    rig.settle().await;
    let seen = &receiver.seen()[0];
    assert_eq!(seen.path, "/otlp/v1/traces");
    let request = ExportTraceServiceRequest::decode(seen.body.clone()).unwrap();
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    let first = &spans[0];
    assert_eq!(first.trace_id, [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    assert_eq!((first.name.as_str(), first.kind), ("GET", 2));
    assert_eq!(first.end_time_unix_nano, 1_772_442_001_500_000_000);
    assert_eq!(first.end_time_unix_nano - first.start_time_unix_nano, 250_000_000);
    let its = attributes(&first.attributes);
    assert_eq!(
        (its["http.request.method"].as_str(), its["url.path"].as_str(), its["heroku.request_id"].as_str()),
        ("GET", "/cart", REQUEST)
    );
    assert_eq!(its["http.response.status_code"], "Some(IntValue(200))");
    assert_eq!(spans.iter().map(|span| span.status.as_ref().unwrap().code).collect::<Vec<_>>(), [0, 2, 2, 0]);
    for span in spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(span.trace_id.iter().any(|byte| *byte != 0) && span.span_id.iter().any(|byte| *byte != 0), "zeros are no id");
    }
    assert_ne!(spans[1].trace_id, spans[2].trace_id);
}

#[tokio::test]
async fn readings_are_gauges() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    rig.telemetry.measured(&gauges());
    rig.telemetry.measured(&gauges());
    rig.settle().await;
    let counts = rig.telemetry.counts().into_iter().find(|counts| counts.signal == Signal::Metrics).unwrap();
    assert_eq!((counts.sent, counts.acknowledged), (6, 6), "data points");
    let seen = &receiver.seen()[0];
    assert_eq!(seen.path, "/otlp/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(seen.body.clone()).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let shape = |metric: &opentelemetry_proto::tonic::metrics::v1::Metric| {
        let Some(metric::Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
        let Some(number_data_point::Value::AsDouble(value)) = gauge.data_points[1].value else { panic!("{gauge:?}") };
        (metric.name.clone(), metric.unit.clone(), gauge.data_points.len(), value.to_string())
    };
    let own = |name: &str, unit: &str, value: &str| (name.to_owned(), unit.to_owned(), 2, value.to_owned());
    let expected = [
        own("heroku.dyno.memory.rss", "MiBy", "301.5"),
        own("heroku.dyno.memory.quota", "MiBy", "512"),
        own("heroku.dyno.load_avg.1m", "1", "0.25"),
    ];
    assert_eq!(metrics.iter().map(shape).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn batches_are_bounded_and_nothing_is_lost_between_them() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    lines(&rig.telemetry, 0..1_300);
    let counts = rig.settle().await;
    let requests: Vec<_> = receiver.seen().iter().map(log_request).collect();
    let sizes: Vec<_> = requests.iter().map(|request| texts(request).len()).collect();
    assert_eq!(sizes, [512, 512, 276]);
    assert_eq!(requests.iter().flat_map(texts).collect::<Vec<_>>(), (0..1_300).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!((counts.sent, counts.acknowledged, counts.requests), (1_300, 1_300, 3));
}

#[tokio::test]
async fn answers_mean_what_otlp_says() {
    let reply = Reply::status;
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
    let partial = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let at_once = Reply { headers: vec![("retry-after", "0".to_owned())], ..reply(429) };
    // Script; then acknowledged and dropped of three, and requests.
    let cases = [
        (vec![reply(200)], 3, 0, 1, ""),
        (vec![reply(202)], 3, 0, 1, ""),
        (vec![reply(503), reply(429), reply(502), reply(504), reply(200)], 3, 0, 5, ""),
        (vec![at_once], 3, 0, 2, ""),
        (vec![reply(400)], 0, 3, 1, "answered 400"),
        (vec![reply(401)], 0, 3, 1, "answered 401"),
        (vec![reply(404)], 0, 3, 1, "answered 404"),
        (vec![reply(500)], 0, 3, 1, "answered 500"),
        (vec![reply(503), reply(413)], 0, 3, 2, "answered 413"),
        (vec![Reply { body: partial, ..reply(200) }], 1, 2, 1, "too old"),
        (vec![Reply { body: b"\xff\xff".to_vec(), ..reply(200) }], 3, 0, 1, ""),
    ];
    for (script, acknowledged, dropped, requests, trouble) in cases {
        let what = format!("{script:?}");
        let receiver = Receiver::start(script).await;
        let rig = rig(&receiver);
        lines(&rig.telemetry, 0..3);
        let counts = rig.settle().await;
        assert_eq!(
            (counts.acknowledged, counts.dropped, counts.requests, counts.trouble.as_str()),
            (acknowledged, dropped, requests, trouble),
            "{what}"
        );
        let bodies: Vec<_> = receiver.seen().into_iter().map(|seen| seen.body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "a batch is the same on each try: {what}");
    }
}

#[tokio::test]
async fn a_batch_that_is_never_taken_is_dropped_in_the_end() {
    let receiver = Receiver::start(std::iter::repeat_n(Reply::status(503), 1_000)).await;
    let rig = rig_paced(&http(&receiver), &Value::Null, TelemetryPace { gives_up_after: Duration::from_millis(60), ..pace() });
    lines(&rig.telemetry, 0..3);
    let counts = rig.settle().await;
    assert_eq!((counts.dropped, counts.trouble.as_str()), (3, "answered 503"));
    assert!((1..=14).contains(&counts.requests), "{}", counts.requests);
}

#[tokio::test]
async fn a_receiver_that_asks_for_no_pause_is_not_tried_without_one() {
    let at_once = Reply { headers: vec![("retry-after", "0".to_owned())], ..Reply::status(429) };
    let receiver = Receiver::start(std::iter::repeat_n(at_once, 10_000)).await;
    let rig = rig_paced(&http(&receiver), &Value::Null, TelemetryPace { gives_up_after: Duration::from_millis(300), ..pace() });
    lines(&rig.telemetry, 0..3);
    let counts = rig.settle().await;
    assert_eq!(counts.dropped, 3);
    // After 5, 15 and 35 ms, and then every 20.
    assert!((1..=20).contains(&counts.requests), "{}", counts.requests);
}

#[tokio::test]
async fn what_waits_follows_a_drain_to_another_exporter() {
    let first = Receiver::start(std::iter::repeat_n(Reply::status(503), 10_000)).await;
    let rig = rig_paced(&http(&first), &json!(["logs", "traces"]), pace());
    lines(&rig.telemetry, 0..3);
    until(|| !first.seen().is_empty()).await;
    let second = Receiver::start([]).await;
    rig.telemetry.add("drain", APP, &http(&second), &json!(["logs", "metrics"])).unwrap();
    lines(&rig.telemetry, 3..5);
    let counts = rig.settle().await;
    assert_eq!((counts.sent, counts.acknowledged), (5, 5));
    assert_eq!(second.seen().iter().flat_map(|seen| texts(&log_request(seen))).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    let signals: Vec<_> = rig.telemetry.counts().iter().map(|counts| counts.signal).collect();
    assert_eq!(signals, [Signal::Traces, Signal::Metrics, Signal::Logs], "the one that is gone first");
}

#[tokio::test]
async fn drains_that_are_gone_make_room() {
    let telemetry = Telemetry::paced(Faults::new(1), world(), pace());
    let exporter = json!({ "type": "otlphttp", "endpoint": "http://127.0.0.1:1" });
    for drain in 0..=GONE_KEPT {
        telemetry.add(&drain.to_string(), APP, &exporter, &json!(["logs"])).unwrap();
        telemetry.remove(&drain.to_string());
        tokio::task::yield_now().await;
    }
    let counts = telemetry.counts();
    assert_eq!((counts.len(), counts[0].drain.as_str()), (GONE_KEPT, "1"));
    let state = lock(&telemetry.0.state);
    assert!(state.by_app.is_empty() && state.tasks.len() < 10, "{} tasks", state.tasks.len());
}

#[tokio::test]
async fn a_receiver_that_restarts_gets_everything() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    lines(&rig.telemetry, 0..5);
    rig.settle().await;
    let before: Vec<_> = receiver.seen().iter().flat_map(|seen| texts(&log_request(seen))).collect();
    let address = receiver.address;
    drop(receiver);
    let socket = refusing(address).await;
    lines(&rig.telemetry, 5..10);
    while rig.telemetry.counts().iter().all(|counts| counts.requests < 3) {
        tokio::time::sleep(LOOK).await;
    }
    let receiver = Receiver::on(socket.listen(64).unwrap(), [], None);
    assert_eq!(rig.settle().await.acknowledged, 10);
    let after = receiver.seen().iter().flat_map(|seen| texts(&log_request(seen))).collect();
    assert_eq!([before, after].concat(), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn when_too_much_waits_the_newest_is_dropped_and_counted() {
    let receiver = Receiver::start(std::iter::repeat_n(Reply::status(503), 1_000)).await;
    let rig = rig_paced(&http(&receiver), &json!(["logs"]), TelemetryPace { first_pause: LONG, ..pace() });
    lines(&rig.telemetry, 0..20_000);
    let counts = &rig.telemetry.counts()[0];
    assert_eq!((counts.sent, counts.sent - counts.waiting, counts.acknowledged), (20_000, counts.dropped, 0));
    // The task may have taken one batch out of the queue meanwhile.
    assert!((20_000 - 16_384 - 512..=20_000 - 16_384).contains(&counts.dropped), "{counts:?}");
}

#[tokio::test]
async fn a_fault_sends_a_batch_twice() {
    let receiver = Receiver::start([]).await;
    let rig = rig(&receiver);
    rig.faults.set([(Fault::TelemetryDuplicate, Strike { probability: 1.0, times: Some(1) })].into());
    lines(&rig.telemetry, 0..3);
    rig.settle().await;
    lines(&rig.telemetry, 3..6);
    let counts = rig.settle().await;
    let told: Vec<_> = receiver.seen().iter().map(|seen| texts(&log_request(seen)).join(" ")).collect();
    assert_eq!(told, ["0 1 2", "0 1 2", "3 4 5"]);
    assert_eq!((counts.acknowledged, counts.requests), (6, 3));
}

#[tokio::test]
async fn a_drain_gets_the_signals_of_its_apps_only() {
    let receiver = Receiver::start([]).await;
    let rig = rig_paced(&http(&receiver), &json!(["logs", "traces"]), pace());
    let space = "app of the same space";
    rig.telemetry.line(&Line { app: space.to_owned(), ..line("2026-03-02T09:00:00Z", 190, b"before") });
    rig.telemetry.add("drain", space, &http(&receiver), &json!(["logs", "traces"])).unwrap();
    rig.telemetry.line(&Line { app: space.to_owned(), ..line("2026-03-02T09:00:00Z", 190, b"after") });
    rig.telemetry.line(&Line { app: "a stranger".to_owned(), ..line("2026-03-02T09:00:00Z", 190, b"never") });
    rig.telemetry.measured(&gauges());
    rig.telemetry.line(&line("2026-03-02T09:00:00Z", 190, b"own"));
    assert_eq!(rig.settle().await.sent, 2);
    assert_eq!(texts(&log_request(&receiver.seen()[0])), ["after", "own"]);
    assert_eq!(rig.telemetry.counts().iter().map(|counts| counts.signal).collect::<Vec<_>>(), [Signal::Traces, Signal::Logs]);
}

#[tokio::test]
async fn a_drain_that_is_removed_drops_what_waits() {
    let receiver = Receiver::start([]).await;
    let rig = rig_paced(&http(&receiver), &Value::Null, TelemetryPace { batch_age: LONG, ..pace() });
    lines(&rig.telemetry, 0..7);
    rig.telemetry.remove("drain");
    rig.telemetry.remove("drain");
    lines(&rig.telemetry, 7..9);
    let counts = rig.settle().await;
    assert_eq!((counts.sent, counts.dropped, counts.waiting), (7, 7, 0));
    assert_eq!(rig.telemetry.counts().len(), 3);
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn an_exporter_that_no_drain_can_have_is_refused() {
    let telemetry = Telemetry::new(Faults::new(1), world());
    let headers = |number: usize| (0..number).map(|number| (format!("h{number}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    let good = json!({ "type": "otlp", "endpoint": "https://otel.example.com:4317", "headers": headers(20) });
    let with = |field: &str, value: Value| {
        let mut exporter = good.clone();
        exporter[field] = value;
        exporter
    };
    let cases = [
        (good.clone(), json!(["logs"]), true),
        (with("type", json!("otlphttp")), json!(["logs", "traces", "metrics"]), true),
        (with("headers", Value::Null), Value::Null, true),
        (good.clone(), json!([]), false),
        (good.clone(), json!(["profiles"]), false),
        (good.clone(), json!("logs"), false),
        (with("type", json!("http")), Value::Null, false),
        (with("endpoint", json!("otel.example.com:4317")), Value::Null, false),
        (with("endpoint", json!("ftp://otel.example.com")), Value::Null, false),
        (with("endpoint", json!("")), Value::Null, false),
        (with("endpoint", json!(format!("https://otel.example.com/{}", "x".repeat(1_000)))), Value::Null, false),
        (with("headers", json!("a: v")), Value::Null, false),
        (with("headers", json!([["a", "v"]])), Value::Null, false),
        (with("headers", headers(21).into()), Value::Null, false),
        (with("headers", json!({ "a b": "v" })), Value::Null, false),
        (with("headers", json!({ "a": "line\nbreak" })), Value::Null, false),
        (with("headers", json!({ "a": 1 })), Value::Null, false),
        (with("headers", json!({ "a": "v".repeat(1_001) })), Value::Null, false),
        (json!({}), Value::Null, false),
    ];
    for (exporter, signals, is_good) in cases {
        let result = telemetry.add("drain", APP, &exporter, &signals);
        assert_eq!(result.is_ok(), is_good, "{exporter} {signals}: {result:?}");
        assert!(result.is_ok() || result.is_err_and(|refusal| refusal.status == 422));
    }
}
