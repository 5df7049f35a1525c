//! From OTLP to plain spans.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::{Event, Link, Scope, Span};

/// Reads one export.
pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_spans {
            let scope = scope(of_scope.scope, of_scope.schema_url, &of_resource.schema_url);
            let read = |exported| span(exported, scope.clone(), resource.clone());
            spans.extend(of_scope.spans.into_iter().map(read));
        }
    }
    spans
}

/// Reads who made what.
pub(super) fn scope(
    scope: Option<InstrumentationScope>,
    schema_url: String,
    resource_schema_url: &str,
) -> Scope {
    let InstrumentationScope { name, version, .. } = scope.unwrap_or_default();
    Scope { name, version, schema_url, resource_schema_url: resource_schema_url.to_owned() }
}

fn span(span: v1::Span, scope: Scope, resource: BTreeMap<String, String>) -> Span {
    let kind = match span.kind() {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    };
    let status = span.status.unwrap_or_default();
    let status_code = match status.code() {
        StatusCode::Unset => "unset",
        StatusCode::Ok => "ok",
        StatusCode::Error => "error",
    };
    Span {
        name: span.name,
        kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        trace_state: span.trace_state,
        parent_span_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        flags: span.flags,
        value_kinds: span.attributes.iter().map(|it| (it.key.clone(), value_kind(it))).collect(),
        attributes: attributes(span.attributes),
        dropped_attributes: span.dropped_attributes_count,
        links: span.links.into_iter().map(link).collect(),
        dropped_links: span.dropped_links_count,
        status_code,
        status_message: status.message,
        events: span.events.into_iter().map(event).collect(),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        scope,
        resource,
    }
}

fn link(link: v1::span::Link) -> Link {
    Link {
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
        attributes: attributes(link.attributes),
    }
}

fn event(event: v1::span::Event) -> Event {
    Event { name: event.name, attributes: attributes(event.attributes) }
}

pub(super) fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    list.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn value_kind(pair: &KeyValue) -> &'static str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(_)) => "string",
        Some(Value::BoolValue(_)) => "bool",
        Some(Value::IntValue(_)) => "int",
        Some(Value::DoubleValue(_)) => "double",
        _ => "other",
    }
}

/// Writes a value as text; what mcplex never sends is shown as it is in memory.
pub(super) fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes every write");
        digits
    })
}
