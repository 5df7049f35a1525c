//! From OTLP to plain log records.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::Scope;
use super::decode::{attributes, hex, scope, text};

/// One exported log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name of the event; empty if it has none.
    pub event_name: String,
    /// What it says.
    pub body: String,
    /// How grave it is, as the exporter calls it.
    pub severity: String,
    /// How grave it is, from 1 to 24.
    pub severity_number: i32,
    /// The attributes, each value as text.
    pub attributes: BTreeMap<String, String>,
    /// The trace it belongs to, in 32 hex digits; empty if to none.
    pub trace_id: String,
    /// The span it belongs to, in 16 hex digits; empty if to none.
    pub span_id: String,
    /// When it happened, in nanoseconds since 1970.
    pub time: u64,
    /// Which part of the program made it.
    pub scope: Scope,
    /// The resource it came from.
    pub resource: BTreeMap<String, String>,
}

impl Record {
    /// Returns one attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Reads one export.
pub(super) fn read(request: ExportLogsServiceRequest) -> Vec<Record> {
    let mut records = Vec::new();
    for of_resource in request.resource_logs {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_logs {
            let scope = scope(of_scope.scope, of_scope.schema_url, &of_resource.schema_url);
            let read = |record| record_of(record, scope.clone(), resource.clone());
            records.extend(of_scope.log_records.into_iter().map(read));
        }
    }
    records
}

fn record_of(record: LogRecord, scope: Scope, resource: BTreeMap<String, String>) -> Record {
    Record {
        event_name: record.event_name,
        body: text(record.body),
        severity: record.severity_text,
        severity_number: record.severity_number,
        attributes: attributes(record.attributes),
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
        time: record.time_unix_nano,
        scope,
        resource,
    }
}
