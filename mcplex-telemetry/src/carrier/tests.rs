//! Batches that really arrive, by every way, at a collector that is not of the same hands.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcplex_testkit::otlp::Receiver;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::options::Options;
use crate::plan::{Plan, plan};

const SOON: Duration = Duration::from_secs(20);
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const PROTOCOLS: [&str; 3] = ["http/protobuf", "http/json", "grpc"];

fn planned(env: &[(&str, &str)]) -> Plan {
    let env = env.iter().chain(&[("OTEL_LOGS_EXPORTER", "otlp")]);
    let env = env.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let plan = plan(&Options { env, ..Options::default() }, false).unwrap();
    assert_eq!(plan.warnings, []);
    plan
}

/// The ways out of spans, metrics and log records.
fn outlets(env: &[(&str, &str)]) -> [Outlet; 3] {
    let plan = planned(env);
    let ways = [
        plan.spans.unwrap().way,
        plan.measure.unwrap().push.unwrap().way,
        plan.records.unwrap().way,
    ];
    ways.map(|way| Outlet::new(&way, SOON).unwrap())
}

fn spans() -> Batch {
    let span = Span { name: "a span".into(), trace_id: vec![7; 16], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Batch::Spans(ExportTraceServiceRequest { resource_spans }.encode_to_vec().into())
}

fn metrics() -> Batch {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default()] };
    let data = Some(Data::Gauge(gauge));
    let metrics = vec![Metric { name: "a metric".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    Batch::Metrics(ExportMetricsServiceRequest { resource_metrics })
}

fn records() -> Batch {
    let log_records = vec![LogRecord { event_name: "an event".into(), ..LogRecord::default() }];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    Batch::Records(ExportLogsServiceRequest { resource_logs })
}

async fn send_all(env: &[(&str, &str)]) {
    let [first, second, third] = outlets(env);
    for (outlet, batch) in [(first, spans()), (second, metrics()), (third, records())] {
        assert_eq!(outlet.send(&batch, true).await, Ok(Accepted::default()), "{env:?}");
    }
}

#[tokio::test]
async fn every_signal_arrives_in_every_form() {
    for protocol in PROTOCOLS {
        for compression in ["none", "gzip"] {
            let receiver = Receiver::start().unwrap();
            send_all(&[
                (ENDPOINT, &receiver.endpoint()),
                (PROTOCOL, protocol),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,content-type=text/plain"),
            ])
            .await;
            assert_eq!(receiver.spans()[0].name, "a span");
            assert_eq!(receiver.spans()[0].trace_id, "07".repeat(16));
            assert_eq!(receiver.points()[0].name, "a metric");
            assert_eq!(receiver.records()[0].event_name, "an event");
            let requests = receiver.requests();
            assert_eq!(requests.len(), 3, "{requests:?}");
            for request in requests {
                assert_eq!(request.protocol, protocol);
                assert_eq!(request.headers["x-key"], "a b");
                let agent = concat!("mcplex/", env!("CARGO_PKG_VERSION"));
                assert_eq!(request.headers["user-agent"], agent);
                let mut encoding = ["content-encoding", "grpc-encoding"].into_iter();
                let encoding = encoding.find_map(|name| request.headers.get(name));
                let expect = Some("gzip").filter(|_| compression == "gzip");
                assert_eq!(encoding.map(String::as_str), expect, "{request:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_but_not_at_the_end_and_not_for_ever() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().unwrap();
        let env = [(ENDPOINT, &*receiver.endpoint()), (PROTOCOL, protocol)];
        let [outlet, ..] = outlets(&env);
        receiver.refuse(1);
        assert_eq!(outlet.send(&spans(), false).await, Ok(Accepted::default()));
        assert_eq!(receiver.requests().len(), 2);
        receiver.refuse(100);
        assert!(outlet.send(&spans(), true).await.is_err());
        assert_eq!(receiver.requests().len(), 3);
        let error = outlet.send(&spans(), false).await.unwrap_err();
        assert!(error.to_string().starts_with("the collector answered "), "{error}");
        assert_eq!(receiver.requests().len(), 7);
        assert_eq!(receiver.spans().len(), 1);
    }
}

#[tokio::test]
async fn what_is_taken_in_part_is_not_sent_again() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().unwrap();
        let env = [(ENDPOINT, &*receiver.endpoint()), (PROTOCOL, protocol)];
        for (outlet, batch) in outlets(&env).iter().zip([spans(), metrics(), records()]) {
            receiver.reject(1);
            let message = "one of them is not wanted".to_owned();
            let expect = Accepted { rejected: 1, message };
            assert_eq!(outlet.send(&batch, false).await, Ok(expect));
        }
        assert_eq!(receiver.requests().len(), 3);
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_told_apart() {
    // A port that is taken and does not listen: nobody else can come to listen there.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = format!("http://{}", deaf.local_addr().unwrap());
    // The kernel takes connections, and nobody else does.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let hung = (format!("http://{}", hung.local_addr().unwrap()), hung);
    for protocol in PROTOCOLS {
        let env = [(ENDPOINT, &*gone), (PROTOCOL, protocol)];
        let error = outlets(&env)[0].send(&spans(), true).await.unwrap_err();
        assert!(matches!(error, SendError::Connection(_)), "{error}");
        let limit = ("OTEL_EXPORTER_OTLP_TIMEOUT", "50");
        let env = [(ENDPOINT, &*hung.0), (PROTOCOL, protocol), limit];
        let error = outlets(&env)[0].send(&spans(), false).await.unwrap_err();
        assert_eq!(error, SendError::TimedOut(Duration::from_millis(50)));
        // The timeout of the signal, which is not that of the exporter.
        let way = planned(&env[..2]).spans.unwrap().way;
        let outlet = Outlet::new(&way, Duration::from_millis(40)).unwrap();
        let error = outlet.send(&spans(), false).await.unwrap_err();
        assert_eq!(error, SendError::TimedOut(Duration::from_millis(40)));
    }
}

/// Certificates that only this test trusts.
struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("roots.pem"), authority.pem()).unwrap();
        for who in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            let signed = params.signed_by(&key, &authority).unwrap();
            fs::write(folder.path().join(format!("{who}.pem")), signed.pem()).unwrap();
            fs::write(folder.path().join(format!("{who}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server that wants to see a certificate of its client.
    fn server(&self) -> ServerConfig {
        let read = |name| CertificateDer::from_pem_file(self.path(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(read("roots.pem")).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![read("server.pem")], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// Takes TLS off before a receiver, for as many connections as come; returns its endpoint.
async fn unwrapped(receiver: &Receiver, config: ServerConfig) -> (String, Task) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let behind = receiver.endpoint().trim_start_matches("http://").to_owned();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            connections.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut behind = TcpStream::connect(behind).await.unwrap();
                drop(copy_bidirectional(&mut stream, &mut behind).await);
            });
        }
    });
    (endpoint, tasks)
}

type Task = tokio::task::JoinSet<()>;

#[tokio::test]
async fn tls_shows_and_asks_for_certificates() {
    let papers = Papers::new();
    let receiver = Receiver::start().unwrap();
    let (endpoint, _task) = unwrapped(&receiver, papers.server()).await;
    let [roots, certificate, key] =
        ["roots.pem", "client.pem", "client.key"].map(|name| papers.path(name));
    for protocol in PROTOCOLS {
        let trusting = [
            (ENDPOINT, &*endpoint),
            (PROTOCOL, protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*roots),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &*key),
        ];
        send_all(&trusting).await;
        // Without a certificate of its own it is sent away, and without the roots it goes away.
        for few in [&trusting[..3], &trusting[..2]] {
            let error = outlets(few)[0].send(&spans(), true).await.unwrap_err();
            assert!(matches!(error, SendError::Connection(_)), "{error}");
        }
    }
    assert_eq!(receiver.requests().len(), 9);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    let refused = |name: &str, path: &Path| {
        let env = [(ENDPOINT, "https://c:4318"), (name, path.to_str().unwrap())];
        let way = planned(&env).spans.unwrap().way;
        Outlet::new(&way, SOON).unwrap_err().to_string()
    };
    let roots = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    assert!(refused(roots, &empty).contains("empty.pem: "));
    assert!(refused(roots, Path::new("/nowhere/x.pem")).starts_with("/nowhere/x.pem: "));
    let alone = refused("OTEL_EXPORTER_OTLP_CLIENT_KEY", &empty);
    assert_eq!(alone, "a client certificate and its key are of use together only");
}
