//! Log records, from an event to the collector: the lines of stderr once more, with their fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mcplex_proto::attr;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use tokio::sync::oneshot;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::carrier::{Batch, Carrier, Outlet};
use crate::plan::{RecordLimits, Records};
use crate::queue::Queue;
use crate::spans::{self, SCHEMA_URL};
use crate::tally::Tally;

/// The export of log records.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) tally: Arc<Tally>,
    queue: Arc<Queue<Vec<Entry>>>,
    limits: RecordLimits,
}

/// One record, and the part of the program it is from.
#[derive(Debug)]
struct Entry {
    target: Cow<'static, str>,
    record: LogRecord,
}

impl Recording {
    pub(crate) fn start(
        records: &Records,
        outlet: Outlet,
        carrier: &Carrier,
        resource: &Resource,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let resource = ResourceAttributesWithSchema::from(resource);
        let pack = move |entries: &mut Vec<Entry>| pack(mem::take(entries), &resource);
        let counted = Arc::clone(&tally);
        let queue = Queue::start(carrier, records.batching, counted, outlet, "log records", pack);
        Self { tally, queue: Arc::new(queue), limits: records.limits }
    }

    /// The layer that fills the queue.
    pub(crate) fn layer(&self) -> RecordLayer {
        RecordLayer { queue: Arc::clone(&self.queue), limits: self.limits }
    }

    /// Has everything sent that waits.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        self.queue.flush()
    }
}

/// Brings records into the form of OTLP, those of one part of the program together.
fn pack(entries: Vec<Entry>, resource: &ResourceAttributesWithSchema) -> Batch {
    let mut by_scope: BTreeMap<String, Vec<LogRecord>> = BTreeMap::new();
    for Entry { target, record } in entries {
        by_scope.entry(scope(&target)).or_default().push(record);
    }
    let scope_logs = by_scope.into_iter().map(|(name, log_records)| {
        let is_ours = name.starts_with("mcplex");
        let scope = match is_ours {
            true => InstrumentationScope::from((spans::scope(name), None)),
            false => InstrumentationScope { name, ..InstrumentationScope::default() },
        };
        let schema_url = if is_ours { SCHEMA_URL.to_owned() } else { String::new() };
        ScopeLogs { scope: Some(scope), log_records, schema_url }
    });
    let of_resource = ResourceLogs {
        resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: resource.attributes.0.clone(),
            ..Default::default()
        }),
        scope_logs: scope_logs.collect(),
        schema_url: resource.schema_url.clone().unwrap_or_default(),
    };
    Batch::Records(ExportLogsServiceRequest { resource_logs: vec![of_resource] })
}

/// The part of the program that a target names: `mcplex_supervisor::trace` is of
/// `mcplex.supervisor`.
fn scope(target: &str) -> String {
    let krate = target.split("::").next().unwrap_or_default();
    match krate.starts_with("mcplex") {
        true => krate.replace('_', "."),
        false => krate.to_owned(),
    }
}

/// Turns events into records.
#[derive(Debug)]
pub(crate) struct RecordLayer {
    queue: Arc<Queue<Vec<Entry>>>,
    limits: RecordLimits,
}

impl<S: Subscriber> Layer<S> for RecordLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut record = Fields { record: LogRecord::default(), limits: self.limits };
        event.record(&mut record);
        let Fields { mut record, .. } = record;
        let (number, text) = severity(*metadata.level());
        record.severity_number = number.into();
        text.clone_into(&mut record.severity_text);
        record.time_unix_nano = now();
        record.observed_time_unix_nano = record.time_unix_nano;
        self.queue.push(Entry { target: Cow::Borrowed(metadata.target()), record });
    }
}

/// The time of the event, which is what a record is about.
#[expect(clippy::disallowed_methods, reason = "a record tells when; no decision depends on it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn severity(level: Level) -> (SeverityNumber, &'static str) {
    match level {
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
    }
}

/// Reads the fields of an event into a record.
struct Fields {
    record: LogRecord,
    limits: RecordLimits,
}

impl Fields {
    /// Puts a text where it belongs; most are attributes.
    fn text(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => {
                let text = self.cut(text);
                self.record.body = Some(AnyValue { value: Some(Value::StringValue(text)) });
            }
            attr::EVENT => text.clone_into(&mut self.record.event_name),
            "trace_id" => self.record.trace_id = bytes(text, 16),
            "span_id" => self.record.span_id = bytes(text, 8),
            _ => {
                let text = self.cut(text);
                self.add(field, Value::StringValue(text));
            }
        }
    }

    fn add(&mut self, field: &Field, value: Value) {
        if self.record.attributes.len() >= self.limits.attributes {
            self.record.dropped_attributes_count += 1;
            return;
        }
        self.record.attributes.push(KeyValue {
            key: field.name().to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn cut(&self, text: &str) -> String {
        spans::cut(text, self.limits.value_length).unwrap_or(text).to_owned()
    }
}

/// Reads hex digits; empty if they are not as many as there must be.
fn bytes(digits: &str, length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
    let all: Option<Vec<u8>> = (0..length).map(byte).collect();
    all.filter(|_| digits.len() == 2 * length).unwrap_or_default()
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::DoubleValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, Value::IntValue(value)),
            // OTLP has no larger numbers.
            Err(_) => self.text(field, &value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::BoolValue(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_part_of_the_program() {
        assert_eq!(scope("mcplex_transport_stdio::guard::run"), "mcplex.transport.stdio");
        assert_eq!(scope("mcplex"), "mcplex");
        assert_eq!(scope("some_crate::x"), "some_crate");
    }

    #[test]
    fn ids_are_read_whole_or_not_at_all() {
        assert_eq!(bytes("0af7651916cd43dd", 8), [10, 247, 101, 25, 22, 205, 67, 221]);
        assert!(bytes("0af7", 8).is_empty());
        assert!(bytes("0af7651916cd43ddaa", 8).is_empty());
        assert!(bytes("0af7651916cd43dé", 8).is_empty());
    }
}
