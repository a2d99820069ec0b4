//! gRPC against tonic's server: what we write by hand must be understood by somebody else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::super::retry::tests::details;
use super::*;
use crate::receiver::unsigned;

/// What came: the service, the header `api-key`, and the message, encoded again.
type Calls = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// Answers calls with these statuses, one after the other, and then takes them.
struct GrpcReceiver {
    url: String,
    calls: Calls,
    _task: JoinSet<()>,
}

impl GrpcReceiver {
    async fn start(script: impl IntoIterator<Item = Result<u64, Status>>) -> Self {
        Self::over(None, script).await
    }

    async fn over(tls: Option<TlsAcceptor>, script: impl IntoIterator<Item = Result<u64, Status>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (url, calls) = (format!("{scheme}://{}", listener.local_addr().unwrap()), Calls::default());
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let mut task = JoinSet::new();
        task.spawn({
            let calls = Arc::clone(&calls);
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (calls, script) = (Arc::clone(&calls), Arc::clone(&script));
                    let service = service_fn(move |request| serve(request, Arc::clone(&calls), Arc::clone(&script)));
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let tls = tls.clone();
                    connections.spawn(async move {
                        match tls {
                            None => server.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default(),
                            Some(tls) => {
                                let stream = tls.accept(stream).await.unwrap();
                                server.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
                            }
                        }
                    });
                }
            }
        });
        Self { url, calls, _task: task }
    }

    fn exporter(&self) -> Value {
        json!({ "type": "otlp", "endpoint": self.url, "headers": { "API-Key": "k1" } })
    }

    fn calls(&self) -> Vec<(String, String, Vec<u8>)> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(
    request: hyper::Request<Incoming>,
    calls: Calls,
    script: Arc<Mutex<VecDeque<Result<u64, Status>>>>,
) -> Result<hyper::Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let next = move || script.lock().unwrap().pop_front().unwrap_or(Ok(0));
    let note = |path: &str, metadata: &tonic::metadata::MetadataMap, message: Vec<u8>| {
        let key = metadata.get("api-key").unwrap().to_str().unwrap().to_owned();
        calls.lock().unwrap().push((path.rsplit('.').next().unwrap().to_owned(), key, message));
    };
    let call = |request: tonic::Request<ExportLogsServiceRequest>| {
        note(&path, request.metadata(), request.get_ref().encode_to_vec());
        let partial = |rejected| ExportLogsPartialSuccess {
            rejected_log_records: i64::try_from(rejected).unwrap(),
            error_message: "some".to_owned(),
        };
        let taken = |rejected| ExportLogsServiceResponse { partial_success: (rejected > 0).then(|| partial(rejected)) };
        ready(next().map(|rejected| tonic::Response::new(taken(rejected))))
    };
    if path.contains("LogsService") {
        return Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(Unary(call), request).await);
    }
    if path.contains("TraceService") {
        let call = |request: tonic::Request<ExportTraceServiceRequest>| {
            note(&path, request.metadata(), request.get_ref().encode_to_vec());
            ready(Ok(tonic::Response::new(ExportTraceServiceResponse::default())))
        };
        return Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(Unary(call), request).await);
    }
    let call = |request: tonic::Request<ExportMetricsServiceRequest>| {
        note(&path, request.metadata(), request.get_ref().encode_to_vec());
        ready(Ok(tonic::Response::new(ExportMetricsServiceResponse::default())))
    };
    Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(Unary(call), request).await)
}

/// A closure as a service: what generated code would be.
struct Unary<F>(F);

impl<F, Q, A> tonic::server::UnaryService<Q> for Unary<F>
where
    F: FnMut(tonic::Request<Q>) -> std::future::Ready<Result<tonic::Response<A>, Status>>,
{
    type Response = A;
    type Future = std::future::Ready<Result<tonic::Response<A>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        (self.0)(request)
    }
}

#[tokio::test]
async fn every_signal_has_its_service() {
    let receiver = GrpcReceiver::start([]).await;
    let rig = rig_paced(&receiver.exporter(), &Value::Null, pace());
    lines(&rig.telemetry, 0..600);
    rig.telemetry.measured(&request(200, REQUEST));
    rig.telemetry.measured(&gauges());
    let counts = rig.settle().await;
    assert_eq!((counts.acknowledged, counts.requests), (600, 2));
    let mut calls = receiver.calls();
    calls.sort_by(|one, other| one.0.cmp(&other.0));
    let paths: Vec<_> = calls.iter().map(|(path, key, _)| format!("{path} {key}")).collect();
    assert_eq!(paths, ["LogsService/Export k1", "LogsService/Export k1", "MetricsService/Export k1", "TraceService/Export k1"]);
}

#[tokio::test]
async fn grpc_goes_over_tls_as_well() {
    let receiver = GrpcReceiver::over(Some(unsigned("somewhere.else", &[b"h2"]).0), []).await;
    let rig = rig_paced(&receiver.exporter(), &Value::Null, pace());
    lines(&rig.telemetry, 0..3);
    assert_eq!(rig.settle().await.acknowledged, 3);
}

#[tokio::test]
async fn statuses_mean_what_otlp_says() {
    let status = |code: Code| Err(Status::new(code, "because"));
    let later = |seconds: i64| Err(Status::with_details(Code::ResourceExhausted, "because", details(seconds, 0).into()));
    let silent = Err(Status::with_details(Code::ResourceExhausted, "because", Bytes::from_static(b"\x08\x08")));
    let retried = [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable, Code::DataLoss];
    let mut cases = vec![
        (vec![Ok(0)], 3, 0, 1, ""),
        (vec![Ok(2)], 1, 2, 1, "some"),
        (retried.map(status).to_vec(), 3, 0, 7, ""),
        (vec![later(0)], 3, 0, 2, ""),
        // Longer than anybody is patient here.
        (vec![later(3600)], 0, 3, 1, "gRPC status 8: because"),
        (vec![silent], 0, 3, 1, "gRPC status 8: because"),
        (vec![status(Code::ResourceExhausted)], 0, 3, 1, "gRPC status 8: because"),
        (vec![status(Code::Unavailable), status(Code::InvalidArgument)], 0, 3, 2, "gRPC status 3: because"),
    ];
    for (code, trouble) in [
        (Code::Unknown, "2"),
        (Code::PermissionDenied, "7"),
        (Code::Unimplemented, "12"),
        (Code::Internal, "13"),
        (Code::Unauthenticated, "16"),
    ] {
        cases.push((vec![status(code)], 0, 3, 1, trouble));
    }
    for (script, acknowledged, dropped, requests, trouble) in cases {
        let what = format!("{script:?}");
        let receiver = GrpcReceiver::start(script).await;
        let rig = rig_paced(&receiver.exporter(), &Value::Null, pace());
        lines(&rig.telemetry, 0..3);
        let counts = rig.settle().await;
        assert_eq!((counts.acknowledged, counts.dropped, counts.requests), (acknowledged, dropped, requests), "{what}");
        assert!(counts.trouble.contains(trouble), "{what}: {}", counts.trouble);
        let request = ExportLogsServiceRequest::decode(receiver.calls()[0].2.as_slice()).unwrap();
        assert_eq!(texts(&request), ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_grpc_is_judged_by_its_status() {
    // A receiver of HTTP/1.1: the connection breaks, and that is tried again.
    let receiver = Receiver::start([]).await;
    let exporter = json!({ "type": "otlp", "endpoint": receiver.url("") });
    let rig = rig_paced(&exporter, &Value::Null, TelemetryPace { gives_up_after: Duration::from_millis(30), ..pace() });
    lines(&rig.telemetry, 0..3);
    let counts = rig.settle().await;
    assert_eq!(counts.dropped, 3);
    assert!(counts.trouble.starts_with("no connection"), "{}", counts.trouble);
}
