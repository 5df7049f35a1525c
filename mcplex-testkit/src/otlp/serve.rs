//! gRPC and HTTP on one port.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, async_trait};

use super::{Request, Shared, Verdict, decode, points, records};

/// The largest body, in bytes; what exporters themselves allow.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Serves until the receiver is gone, then leaves every connection as it is.
pub(super) async fn until(
    listener: TcpListener,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime has I/O");
    let serving = Server::builder()
        .accept_http1(true)
        .add_routes(routes(&shared))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::select! {
        // It ends only with its listener, and a test says itself what did not come.
        _ = serving => {}
        _ = stopped => {}
    }
}

fn routes(shared: &Arc<Shared>) -> Routes {
    let service = Service(Arc::clone(shared));
    macro_rules! grpc {
        ($server:ident) => {
            $server::new(service.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_BODY)
        };
    }
    let grpc = Routes::new(grpc!(TraceServiceServer))
        .add_service(grpc!(MetricsServiceServer))
        .add_service(grpc!(LogsServiceServer));
    let http = Router::new()
        .route("/v1/traces", routing::post(http::<ExportTraceServiceRequest>))
        .route("/v1/metrics", routing::post(http::<ExportMetricsServiceRequest>))
        .route("/v1/logs", routing::post(http::<ExportLogsServiceRequest>))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service);
    Routes::from(grpc.into_axum_router().merge(http).fallback(async || StatusCode::NOT_FOUND))
}

/// What is behind every way in.
#[derive(Clone, Debug)]
struct Service(Arc<Shared>);

/// What one signal sends and is answered.
trait Signal: Message + Default + serde::de::DeserializeOwned {
    type Answer: Message + Default + serde::Serialize;

    /// Keeps what came; false if there is too much.
    fn keep(self, shared: &Shared) -> bool;

    /// The answer, with one item rejected if it is so.
    fn answer(rejected: bool) -> Self::Answer;
}

/// What is said of what is taken only in part.
const REJECTED: &str = "one of them is not wanted";

macro_rules! signal {
    ($request:ty, $answer:ident, $partial:ident { $rejected:ident }, $keep:ident, $read:path) => {
        impl Signal for $request {
            type Answer = $answer;

            fn keep(self, shared: &Shared) -> bool {
                shared.$keep($read(self))
            }

            fn answer(rejected: bool) -> $answer {
                let partial = $partial { $rejected: 1, error_message: REJECTED.into() };
                $answer { partial_success: rejected.then_some(partial) }
            }
        }
    };
}

signal!(
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
    ExportTracePartialSuccess { rejected_spans },
    keep_spans,
    decode::spans
);
signal!(
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
    ExportMetricsPartialSuccess { rejected_data_points },
    keep_points,
    points::read
);
signal!(
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    ExportLogsPartialSuccess { rejected_log_records },
    keep_records,
    records::read
);

impl Service {
    /// Keeps a request if it may; the answer, or none if it is refused for now.
    fn take<S: Signal>(&self, head: Request, request: S) -> Option<S::Answer> {
        let verdict = self.0.asked(head);
        let is_kept = verdict != Verdict::Busy && request.keep(&self.0);
        is_kept.then(|| S::answer(verdict == Verdict::InPart))
    }

    fn grpc<S: Signal>(
        &self,
        path: &str,
        request: tonic::Request<S>,
    ) -> Result<tonic::Response<S::Answer>, Status> {
        let headers = request.metadata().clone().into_headers();
        let head = Request { protocol: "grpc", path: path.into(), headers: plain(&headers) };
        let answer = self.take(head, request.into_inner());
        answer.map(tonic::Response::new).ok_or_else(|| Status::unavailable("busy"))
    }
}

macro_rules! service {
    ($trait:ident, $request:ident => $answer:ident) => {
        #[async_trait]
        impl $trait for Service {
            async fn export(
                &self,
                request: tonic::Request<$request>,
            ) -> Result<tonic::Response<$answer>, Status> {
                self.grpc(stringify!($trait), request)
            }
        }
    };
}

service!(TraceService, ExportTraceServiceRequest => ExportTraceServiceResponse);
service!(MetricsService, ExportMetricsServiceRequest => ExportMetricsServiceResponse);
service!(LogsService, ExportLogsServiceRequest => ExportLogsServiceResponse);

/// Answers an export over HTTP.
async fn http<S: Signal>(
    State(service): State<Service>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let word = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = match word(header::CONTENT_ENCODING) {
        "" | "identity" => body.to_vec(),
        "gzip" => {
            let mut plain = Vec::new();
            let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
            if GzDecoder::new(&body[..]).take(limit).read_to_end(&mut plain).is_err() {
                return StatusCode::BAD_REQUEST.into_response();
            }
            plain
        }
        _ => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
    };
    let (protocol, request) = match word(header::CONTENT_TYPE) {
        "application/x-protobuf" => ("http/protobuf", S::decode(&body[..]).ok()),
        "application/json" => ("http/json", serde_json::from_slice(&body).ok()),
        _ => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
    };
    let Some(request) = request else { return StatusCode::BAD_REQUEST.into_response() };
    let head = Request { protocol, path: uri.path().into(), headers: plain(&headers) };
    match service.take(head, request) {
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(answer) if protocol == "http/json" => {
            let answer = serde_json::to_vec(&answer).expect("an answer has a JSON form");
            ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
        }
        Some(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/x-protobuf")];
            (kind, answer.encode_to_vec()).into_response()
        }
    }
}

/// The headers as text.
fn plain(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
