//! Records as OTLP's messages.

use bytes::Bytes;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::Signal;
use super::resource::{Group, attribute, groups, scope, text};
use crate::world::{Line, Measure, Measured, World};

/// A log record, a span or a data point.
pub(super) struct Record {
    /// When it was, or ended.
    pub(super) at: Timestamp,
    /// The id of its app.
    pub(super) app: String,
    /// The process that it is about.
    pub(super) process: String,
    what: What,
}

enum What {
    Log { priority: u8, source: &'static str, text: Bytes },
    Span { method: &'static str, path: String, status: u16, service_ms: u32, request_id: String },
    Point { name: &'static str, unit: &'static str, value: f64 },
}

/// The signal that a measurement belongs to.
pub(super) fn signal(measure: &Measure) -> Signal {
    match measure.what {
        Measured::Request { .. } => Signal::Traces,
        Measured::Dyno { .. } => Signal::Metrics,
    }
}

impl Record {
    /// A line's record.
    pub(super) fn of_line(line: &Line) -> Self {
        let what = What::Log { priority: line.priority, source: line.source, text: line.text.clone() };
        Self { at: line.at, app: line.app.clone(), process: line.process.clone(), what }
    }

    /// A measurement's records: one span, or a data point for each gauge.
    pub(super) fn of_measure(measure: &Measure) -> Vec<Self> {
        let whats = match &measure.what {
            Measured::Request { method, path, status, service_ms, request_id } => {
                vec![What::Span { method, path: path.clone(), status: *status, service_ms: *service_ms, request_id: request_id.clone() }]
            }
            // Heroku does not publish these names.
            Measured::Dyno { memory_rss_mb, memory_quota_mb, load_avg_1m } => vec![
                What::Point { name: "heroku.dyno.memory.rss", unit: "MiBy", value: *memory_rss_mb },
                What::Point { name: "heroku.dyno.memory.quota", unit: "MiBy", value: *memory_quota_mb },
                What::Point { name: "heroku.dyno.load_avg.1m", unit: "1", value: *load_avg_1m },
            ],
        };
        let record = |what| Self { at: measure.at, app: measure.app.clone(), process: measure.process.clone(), what };
        whats.into_iter().map(record).collect()
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.at.as_nanosecond()).unwrap_or_default()
    }
}

/// The export request of a signal, with these records and where they come from.
pub(super) fn encode(signal: Signal, records: &[Record], world: &World) -> Vec<u8> {
    let groups = groups(records, world);
    match signal {
        Signal::Logs => ExportLogsServiceRequest { resource_logs: groups.into_iter().map(logs).collect() }.encode_to_vec(),
        Signal::Traces => ExportTraceServiceRequest { resource_spans: groups.into_iter().map(spans).collect() }.encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceRequest { resource_metrics: groups.into_iter().map(metrics).collect() }.encode_to_vec(),
    }
}

/// How many records an answer rejects, and why. An answer that cannot be read rejects none.
pub(super) fn rejected(signal: Signal, answer: &[u8]) -> (u64, String) {
    let partial = match signal {
        Signal::Logs => ExportLogsServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
        Signal::Traces => ExportTraceServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
    };
    let (rejected, why) = partial.unwrap_or_default();
    (u64::try_from(rejected).unwrap_or_default(), why)
}

fn logs(group: Group<'_>) -> ResourceLogs {
    let log_records = group.records.into_iter().filter_map(log).collect();
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }];
    ResourceLogs { resource: Some(group.resource), scope_logs, ..ResourceLogs::default() }
}

fn log(record: &Record) -> Option<LogRecord> {
    let What::Log { priority, source, text: bytes } = &record.what else { return None };
    let (number, name) = severity(*priority);
    let body = match str::from_utf8(bytes) {
        Ok(text) => Any::StringValue(text.to_owned()),
        // A text must be UTF-8 here; what is not, is kept as it is.
        Err(_) => Any::BytesValue(bytes.to_vec()),
    };
    Some(LogRecord {
        time_unix_nano: record.nanos(),
        observed_time_unix_nano: record.nanos(),
        severity_number: number.into(),
        severity_text: name.to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        attributes: vec![text("heroku.source", source)],
        ..LogRecord::default()
    })
}

/// The severity of a syslog priority, as the OpenTelemetry log data model maps them (appendix B).
fn severity(priority: u8) -> (SeverityNumber, &'static str) {
    match priority % 8 {
        0 => (SeverityNumber::Fatal, "EMERGENCY"),
        1 => (SeverityNumber::Error3, "ALERT"),
        2 => (SeverityNumber::Error2, "CRITICAL"),
        3 => (SeverityNumber::Error, "ERROR"),
        4 => (SeverityNumber::Warn, "WARNING"),
        5 => (SeverityNumber::Info2, "NOTICE"),
        6 => (SeverityNumber::Info, "INFO"),
        _ => (SeverityNumber::Debug, "DEBUG"),
    }
}

fn spans(group: Group<'_>) -> ResourceSpans {
    let spans = group.records.into_iter().filter_map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
    ResourceSpans { resource: Some(group.resource), scope_spans, ..ResourceSpans::default() }
}

fn span(record: &Record) -> Option<Span> {
    let What::Span { method, path, status, service_ms, request_id } = &record.what else { return None };
    let trace = trace_id(request_id);
    let code = if *status >= 500 { StatusCode::Error } else { StatusCode::Unset };
    Some(Span {
        trace_id: trace.to_be_bytes().to_vec(),
        // The router makes one span per request: the halves of the trace's id make a good one.
        span_id: ((trace >> 64) as u64 ^ trace as u64).max(1).to_be_bytes().to_vec(),
        name: (*method).to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: record.nanos().saturating_sub(u64::from(*service_ms) * 1_000_000),
        end_time_unix_nano: record.nanos(),
        attributes: vec![
            text("http.request.method", method),
            text("url.path", path),
            attribute("http.response.status_code", Any::IntValue(i64::from(*status))),
            text("heroku.request_id", request_id),
        ],
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    })
}

/// The trace that a request is: its id where that is a UUID, as the router makes them; a hash of what a client sent as one.
fn trace_id(request_id: &str) -> u128 {
    let number = match uuid::Uuid::try_parse(request_id) {
        Ok(id) => id.as_u128(),
        // FNV-1a.
        Err(_) => request_id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        }),
    };
    // All zeros is no id.
    number.max(1)
}

fn metrics(group: Group<'_>) -> ResourceMetrics {
    let mut metrics: Vec<(Metric, Gauge)> = Vec::new();
    for record in group.records {
        let What::Point { name, unit, value } = &record.what else { continue };
        let value = Some(number_data_point::Value::AsDouble(*value));
        let point = NumberDataPoint { time_unix_nano: record.nanos(), value, ..NumberDataPoint::default() };
        if let Some((_, gauge)) = metrics.iter_mut().find(|(metric, _)| metric.name == *name) {
            gauge.data_points.push(point);
        } else {
            let metric = Metric { name: (*name).to_owned(), unit: (*unit).to_owned(), ..Metric::default() };
            metrics.push((metric, Gauge { data_points: vec![point] }));
        }
    }
    let metrics = metrics.into_iter().map(|(metric, gauge)| Metric { data: Some(metric::Data::Gauge(gauge)), ..metric }).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
    ResourceMetrics { resource: Some(group.resource), scope_metrics, ..ResourceMetrics::default() }
}
