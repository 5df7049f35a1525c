//! The receiver, driven by hand-written requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan};
use prost::Message as _;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// The body of an export with one span.
fn body(name: &str) -> Vec<u8> {
    let span = WireSpan {
        name: name.into(),
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        ..WireSpan::default()
    };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

fn connect(receiver: &Receiver) -> BufReader<TcpStream> {
    let connection = TcpStream::connect(receiver.address).unwrap();
    connection.set_read_timeout(Some(SOON)).unwrap();
    BufReader::new(connection)
}

/// Sends a request and returns the first line of the answer.
fn send(connection: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> String {
    connection.get_mut().write_all(head.as_bytes()).unwrap();
    connection.get_mut().write_all(body).unwrap();
    let mut status = String::new();
    connection.read_line(&mut status).unwrap();
    for _ in 0..8 {
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
    }
    status.trim_end().to_owned()
}

fn post(path: &str, length: usize) -> String {
    let kind = "Content-Type: application/x-protobuf";
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn a_connection_carries_several_requests() {
    let receiver = Receiver::start().unwrap();
    let mut connection = connect(&receiver);
    for name in ["first", "second"] {
        let body = body(name);
        let status = send(&mut connection, &post("/v1/traces", body.len()), &body);
        assert_eq!(status, "HTTP/1.1 200 OK");
    }
    let spans = receiver.wait_for(SOON, |spans| spans.len() == 2);
    assert_eq!(spans[1].name, "second");
    assert_eq!(spans[0].trace_id, "ab".repeat(16));
    assert_eq!(spans[0].span_id, "cd".repeat(8));
    assert_eq!(spans[0].parent_span_id, None);
}

#[test]
fn connections_do_not_wait_for_each_other() {
    let receiver = Receiver::start().unwrap();
    let mut half = connect(&receiver);
    half.get_mut().write_all(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n").unwrap();
    let body = body("whole");
    send(&mut connect(&receiver), &post("/v1/traces", body.len()), &body);
    receiver.wait_for(SOON, |spans| spans.len() == 1);
}

#[test]
fn chunks_are_joined() {
    let receiver = Receiver::start().unwrap();
    let body = body("in pieces");
    let (left, right) = body.split_at(5);
    let mut chunked = Vec::new();
    for piece in [left, right, &[]] {
        write!(chunked, "{:x}\r\n", piece.len()).unwrap();
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    assert_eq!(send(&mut connect(&receiver), head, &chunked), "HTTP/1.1 200 OK");
    assert_eq!(receiver.spans()[0].name, "in pieces");
}

#[test]
fn what_is_of_no_known_signal_or_form_is_refused() {
    let receiver = Receiver::start().unwrap();
    let mut connection = connect(&receiver);
    let status = send(&mut connection, &post("/v1/profiles", 0), b"");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    let status = send(&mut connection, &post("/v1/traces", 3), b"\xff\xff\xff");
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n\r\n";
    assert_eq!(send(&mut connection, head, b""), "HTTP/1.1 415 Unsupported Media Type");
    assert!(receiver.spans().is_empty());
}

#[test]
fn a_wait_in_vain_names_what_came() {
    let receiver = Receiver::start().unwrap();
    let body = body("only this");
    send(&mut connect(&receiver), &post("/v1/traces", body.len()), &body);
    let wait = || receiver.wait_for(Duration::from_millis(1), |spans| spans.len() == 2);
    let panic = catch_unwind(AssertUnwindSafe(wait)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("only this"), "{message}");
}

#[test]
fn a_drop_ends_the_connections() {
    let receiver = Receiver::start().unwrap();
    let mut connection = connect(&receiver);
    let body = body("before");
    send(&mut connection, &post("/v1/traces", body.len()), &body);
    drop(receiver);
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
}

#[test]
fn points_of_metrics_are_kept_apart_from_spans() {
    let value = Some(number_data_point::Value::AsInt(-3));
    let point = NumberDataPoint { value, ..NumberDataPoint::default() };
    let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: false };
    let name = "mcplex.request.active".to_owned();
    let metric = Metric { name, data: Some(Data::Sum(sum)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let body = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    let receiver = Receiver::start().unwrap();
    let head = post("/v1/metrics", body.len());
    assert_eq!(send(&mut connect(&receiver), &head, &body), "HTTP/1.1 200 OK");
    let points = receiver.wait_for_points(SOON, |points| points.len() == 1);
    assert_eq!((&*points[0].name, points[0].kind), ("mcplex.request.active", "sum"));
    assert_eq!((points[0].value, points[0].is_delta), (-3.0, false));
    assert!(receiver.spans().is_empty());
}

#[test]
fn json_is_read_as_well_and_what_is_busy_says_so() {
    let receiver = Receiver::start().unwrap();
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"schemaUrl":"s","scope":{"name":"n"},
        "logRecords":[{"body":{"stringValue":"hello"},"severityText":"WARN","eventName":"e",
        "traceId":"0af7651916cd43dd8448eb211c80319c"}]}]}]}"#;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: x\r\nX-Key: 7\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    receiver.refuse(1);
    let mut connection = connect(&receiver);
    assert_eq!(send(&mut connection, &head, body), "HTTP/1.1 503 Service Unavailable");
    assert!(receiver.records().is_empty());
    assert_eq!(send(&mut connect(&receiver), &head, body), "HTTP/1.1 200 OK");
    let record = receiver.wait_for_records(SOON, |records| records.len() == 1).remove(0);
    assert_eq!((&*record.body, &*record.event_name, &*record.severity), ("hello", "e", "WARN"));
    assert_eq!((&*record.scope.name, &*record.scope.schema_url), ("n", "s"));
    assert_eq!(record.trace_id, "0af7651916cd43dd8448eb211c80319c");
    let asked = receiver.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[1].protocol, &*asked[1].path), ("http/json", "/v1/logs"));
    assert_eq!(asked[1].headers["x-key"], "7");
}
