use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;

fn context(number: u8, is_remote: bool) -> SpanContext {
    let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
    let state = if is_remote { state } else { TraceState::NONE };
    let (trace, span) = (TraceId::from_bytes([number; 16]), SpanId::from_bytes([number; 8]));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, state)
}

fn span(attributes: Vec<KeyValue>) -> SpanData {
    let at = |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    let mut events = SpanEvents::default();
    events.events.push(Event::new("told", at(5), vec![KeyValue::new("größe", 1.5)], 3));
    events.dropped_count = 1;
    let mut links = SpanLinks::default();
    let named = vec![KeyValue::new("mcplex.link.kind", "death")];
    links.links.push(Link::new(context(3, false), named, 0));
    links.links.push(Link::new(context(4, true), Vec::new(), 2));
    links.dropped_count = 300;
    SpanData {
        span_context: context(1, true),
        parent_span_id: SpanId::from_bytes([2; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Client,
        name: "tools/call add".into(),
        start_time: at(1_700_000_000_000_000_001),
        end_time: at(1_700_000_000_000_000_999),
        attributes,
        dropped_attributes_count: 7,
        events,
        links,
        status: Status::error("größer"),
        instrumentation_scope: scope("mcplex"),
    }
}

/// What is read of an export of these spans.
fn sent(resource: &Resource, limit: usize, spans: &[SpanData]) -> ExportTraceServiceRequest {
    let mut written = Written::default();
    for span in spans {
        let mut bytes = Vec::new();
        wire::span(&mut bytes, span, limit);
        written.add(One { maker: maker(span), bytes: &bytes });
    }
    let envelope = Envelope::new(resource);
    let export = envelope.around(&mut written);
    assert!(written.0.iter().all(Vec::is_empty), "they are sent twice");
    ExportTraceServiceRequest::decode(&*export).unwrap()
}

#[test]
fn what_is_written_is_what_the_messages_of_otlp_would_write() {
    let plain = vec![
        KeyValue::new("a", "x".repeat(200)),
        KeyValue::new("b", -1),
        KeyValue::new("c", true),
        KeyValue::new("d", 0.5),
        KeyValue::new("e", ""),
    ];
    let mut quiet = span(Vec::new());
    (quiet.status, quiet.span_kind) = (Status::Ok, SpanKind::Internal);
    (quiet.parent_span_id, quiet.parent_span_is_remote) = (SpanId::INVALID, false);
    (quiet.events, quiet.links) = (SpanEvents::default(), SpanLinks::default());
    let spans = vec![span(plain), quiet];
    let resource = Resource::builder_empty().with_service_name("mcplex").build();
    let written = sent(&resource, 2048, &spans);
    let expect = group_spans_by_resource_and_scope(spans, &(&resource).into());
    assert_eq!(written.resource_spans[0].scope_spans, expect[0].scope_spans);
    assert_eq!(written.resource_spans[0].resource, expect[0].resource);
}

#[test]
fn a_span_stands_below_what_made_it_and_says_its_target_no_more() {
    let of = |target| span(vec![KeyValue::new(TARGET, target), KeyValue::new("a", "b")]);
    let spans = [attr::TARGET_ROUTED, attr::TARGET_LIFE, attr::TARGET_ROUTED, "else"].map(of);
    let resource = Resource::builder_empty().build();
    let written = sent(&resource, 2048, &spans);
    let mut counts: Vec<_> = written.resource_spans[0]
        .scope_spans
        .iter()
        .map(|one| {
            assert!(one.spans.iter().all(|span| span.attributes.len() == 1));
            assert_eq!(one.schema_url, SCHEMA_URL);
            (one.scope.as_ref().unwrap().name.clone(), one.spans.len())
        })
        .collect();
    counts.sort();
    let expect = [("mcplex", 1), ("mcplex.router", 2), ("mcplex.supervisor", 1)];
    assert_eq!(counts, expect.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn texts_are_cut_and_unsigned_numbers_are_numbers_again() {
    let check = |pair: KeyValue, expect: &str| {
        let resource = Resource::builder_empty().build();
        let mut long = span(vec![pair]);
        (long.name, long.status) = ("x".repeat(9999).into(), Status::error("é".repeat(9999)));
        let written = sent(&resource, 3, &[long]);
        let span = &written.resource_spans[0].scope_spans[0].spans[0];
        let value = span.attributes[0].value.as_ref().unwrap().value.as_ref().unwrap();
        assert_eq!(format!("{value:?}"), expect);
        assert_eq!(span.name, "x".repeat(2048), "the limit is about attributes");
        assert_eq!(span.status.as_ref().unwrap().message, "é".repeat(2048));
    };
    check(KeyValue::new("a", "größer"), "StringValue(\"grö\")");
    check(KeyValue::new(attr::UPSTREAM_INCARNATION, "1234"), "IntValue(1234)");
    // An id that a client chose is a text, whatever it looks like.
    check(KeyValue::new(attr::JSONRPC_REQUEST_ID, "123"), "StringValue(\"123\")");
    let all: Vec<StringValue> = vec!["a".into(), "b".into()];
    check(KeyValue::new("b", Value::Array(Array::String(all))), "StringValue(\"[\\\"a\")");
}
