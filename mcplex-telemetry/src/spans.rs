//! Spans, from their end to the collector.

mod envelope;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor};
use tokio::sync::oneshot;

use crate::carrier::{Batch, Carrier, Outlet};
use crate::plan::{Batching, Limits, Spans};
use crate::queue::Queue;
use crate::sampler::{self, LifecycleSampler};
use crate::tally::Tally;
use envelope::{Envelope, One, Written};

/// How many lifecycle spans may wait.
///
/// A breaker lets an upstream die a handful of times a minute, so this is hundreds of upstreams
/// that die at once.
const LIFECYCLE_QUEUE: usize = 2048;
/// How long a lifecycle span waits at most: a trip is to be seen while it matters.
const LIFECYCLE_DELAY: Duration = Duration::from_secs(1);

/// Room for a span as it leaves; that of a call has some six hundred bytes.
const USUAL_BYTES: usize = 768;

/// The conventions that names follow.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// What makes spans and numbers, as collectors are told it.
pub(crate) fn scope(name: impl Into<Cow<'static, str>>) -> InstrumentationScope {
    InstrumentationScope::builder(name)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

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
        let envelope = Arc::new(Envelope::new(resource));
        let queue = |batching| {
            let envelope = Arc::clone(&envelope);
            let pack = move |spans: &mut Written| Batch::Spans(envelope.around(spans));
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
    lifecycle: Queue<Written>,
    requests: Queue<Written>,
    /// How many characters of a text leave.
    value_length: usize,
}

/// What the SDK hands spans to; they are written by the thread that ends them.
#[derive(Debug)]
struct Processor(Arc<Queues>);

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {
        // A span is of no interest before its end.
    }

    fn on_end(&self, span: SpanData) {
        let queues = &self.0;
        let is_lifecycle = sampler::is_lifecycle(&span.attributes);
        let queue = if is_lifecycle { &queues.lifecycle } else { &queues.requests };
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        wire::span(&mut bytes, &span, queues.value_length);
        queue.push(One { maker: envelope::maker(&span), bytes: &bytes });
    }

    /// Nobody asks the SDK to flush; [`Exporting::flush`] asks the queues.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The first characters of a text that is longer.
pub(crate) fn cut(text: &str, limit: usize) -> Option<&str> {
    // Nearly every text is short, and its characters need not be counted.
    if text.len() <= limit {
        return None;
    }
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
    }
}
