//! Spans, from their end to the collector.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mcplex_proto::attr;
use opentelemetry::trace::{Event, Link};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor};
use tokio::sync::oneshot;

use crate::carrier::{Batch, Carrier, Outlet};
use crate::plan::{Batching, Limits, Spans};
use crate::queue::Queue;
use crate::sampler::{self, LifecycleSampler};
use crate::tally::Tally;

/// How many lifecycle spans may wait.
///
/// A breaker lets an upstream die a handful of times a minute, so this is hundreds of upstreams
/// that die at once.
const LIFECYCLE_QUEUE: usize = 2048;
/// How long a lifecycle span waits at most: a trip is to be seen while it matters.
const LIFECYCLE_DELAY: Duration = Duration::from_secs(1);

/// The conventions that names follow.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// What makes spans and numbers, as collectors are told it.
pub(crate) fn scope(name: impl Into<Cow<'static, str>>) -> InstrumentationScope {
    InstrumentationScope::builder(name)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// The scopes of [`attr::SCOPES`].
#[derive(Debug)]
struct Scopes(Vec<InstrumentationScope>);

impl Scopes {
    fn new() -> Self {
        Self(attr::SCOPES.iter().map(|word| scope(word.name)).collect())
    }

    /// Puts the part of mcplex that made a span where it belongs: the layer has one tracer for all,
    /// because a second one would lose parents, and notes the target as an attribute.
    fn name(&self, span: &mut SpanData) {
        let Some(at) = span.attributes.iter().position(|pair| pair.key.as_str() == TARGET) else {
            return;
        };
        let target = span.attributes.swap_remove(at).value;
        let name = attr::scope_of(&target.as_str());
        if let Some(scope) = self.0.iter().find(|scope| scope.name() == name) {
            span.instrumentation_scope = scope.clone();
        }
    }
}

/// The attribute under which the layer notes the target.
const TARGET: &str = "target";

/// What spans go through, and what is known of them.
#[derive(Debug)]
pub(crate) struct Exporting {
    pub(crate) provider: SdkTracerProvider,
    pub(crate) tally: Arc<Tally>,
    pub(crate) endpoint: String,
    queues: Arc<Queues>,
}

impl Exporting {
    /// Builds queues and sampler.
    pub(crate) fn start(
        spans: &Spans,
        outlet: &Outlet,
        carrier: &Carrier,
        resource: &Resource,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let queue = |batching| {
            let resource = ResourceAttributesWithSchema::from(resource);
            let pack = move |spans| {
                let resource_spans = group_spans_by_resource_and_scope(spans, &resource);
                Batch::Spans(ExportTraceServiceRequest { resource_spans })
            };
            Queue::start(carrier, batching, Arc::clone(&tally), outlet.clone(), "spans", pack)
        };
        let requests = spans.batching;
        let lifecycle = Batching {
            queue: LIFECYCLE_QUEUE,
            delay: requests.delay.min(LIFECYCLE_DELAY),
            ..requests
        };
        let queues = Arc::new(Queues {
            lifecycle: queue(lifecycle),
            requests: queue(requests),
            scopes: Scopes::new(),
            value_length: spans.limits.value_length,
        });
        let provider = SdkTracerProvider::builder()
            .with_sampler(LifecycleSampler::new(spans.sampler.clone()))
            .with_span_limits(span_limits(spans.limits))
            .with_span_processor(Processor(Arc::clone(&queues)))
            .with_resource(resource.clone())
            .build();
        Self { provider, tally, endpoint: outlet.endpoint().to_owned(), queues }
    }

    /// Has everything sent that waits.
    pub(crate) fn flush(&self) -> [oneshot::Receiver<()>; 2] {
        [self.queues.lifecycle.flush(), self.queues.requests.flush()]
    }
}

fn span_limits(limits: Limits) -> SpanLimits {
    SpanLimits {
        max_events_per_span: limits.events,
        // One of them is the target, which does not leave.
        max_attributes_per_span: limits.attributes.saturating_add(1),
        max_links_per_span: limits.links,
        max_attributes_per_event: limits.event_attributes,
        max_attributes_per_link: limits.link_attributes,
    }
}

/// Sends lifecycle spans another way than request spans.
///
/// In a shared queue a flood of requests evicts the trip that explains it.
#[derive(Debug)]
struct Queues {
    lifecycle: Queue<SpanData>,
    requests: Queue<SpanData>,
    scopes: Scopes,
    value_length: Option<usize>,
}

/// What the SDK hands spans to.
#[derive(Debug)]
struct Processor(Arc<Queues>);

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {
        // A span is of no interest before its end.
    }

    fn on_end(&self, mut span: SpanData) {
        self.0.scopes.name(&mut span);
        if let Some(limit) = self.0.value_length {
            shorten(&mut span, limit);
        }
        if sampler::is_lifecycle(&span.attributes) {
            self.0.lifecycle.push(span);
        } else {
            self.0.requests.push(span);
        }
    }

    /// Nobody asks the SDK to flush; [`Exporting::flush`] asks the queues.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Cuts off what is longer than the limit, which the SDK leaves to others.
fn shorten(span: &mut SpanData, limit: usize) {
    let shorten_all = |all: &mut Vec<KeyValue>| {
        for KeyValue { value, .. } in all {
            shorten_value(value, limit);
        }
    };
    shorten_all(&mut span.attributes);
    span.events.events.iter_mut().for_each(|Event { attributes, .. }| shorten_all(attributes));
    span.links.links.iter_mut().for_each(|Link { attributes, .. }| shorten_all(attributes));
}

fn shorten_value(value: &mut Value, limit: usize) {
    // Numbers have no length.
    if let Value::String(text) = value {
        shorten_text(text, limit);
    } else if let Value::Array(Array::String(all)) = value {
        all.iter_mut().for_each(|text| shorten_text(text, limit));
    }
}

fn shorten_text(text: &mut StringValue, limit: usize) {
    if let Some(cut) = cut(text.as_str(), limit) {
        *text = cut.to_owned().into();
    }
}

/// The first characters of a text that is longer.
pub(crate) fn cut(text: &str, limit: usize) -> Option<&str> {
    let (at, _) = text.char_indices().nth(limit)?;
    Some(&text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("größer", 3), Some("grö"));
        assert_eq!(cut("größer", 6), None);
        assert_eq!(cut("x", 0), Some(""));
        let mut value = Value::Array(Array::String(vec!["ab".into(), "c".into()]));
        shorten_value(&mut value, 1);
        assert_eq!(value, Value::Array(Array::String(vec!["a".into(), "c".into()])));
        let mut value = Value::I64(1000);
        shorten_value(&mut value, 1);
        assert_eq!(value, Value::I64(1000));
    }
}
