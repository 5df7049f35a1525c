//! Two queues to the collector, and an honest count of what passed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use crate::sampler;

/// Sends lifecycle spans another way than request spans.
///
/// In a shared queue a flood of requests evicts the trip that explains it.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) lifecycle: BatchSpanProcessor,
    pub(crate) requests: BatchSpanProcessor,
    pub(crate) counts: Arc<Counts>,
}

impl SpanProcessor for Queues {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {
        // A span is of no interest before its end.
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        if sampler::is_lifecycle(&span.attributes) {
            self.lifecycle.on_end(span);
        } else {
            self.requests.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let lifecycle = self.lifecycle.force_flush();
        self.requests.force_flush().and(lifecycle)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let lifecycle = self.lifecycle.shutdown_with_timeout(timeout);
        self.requests.shutdown_with_timeout(timeout).and(lifecycle)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.lifecycle.set_resource(resource);
        self.requests.set_resource(resource);
    }
}

/// How many spans ended, and how many of them the collector took.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

impl Counts {
    /// How many spans have ended and not arrived.
    pub(crate) fn missing(&self) -> u64 {
        let exported = self.exported.load(Ordering::Relaxed);
        self.ended.load(Ordering::Relaxed).saturating_sub(exported)
    }

    /// How many spans the collector took, and how many were sent in vain.
    pub(crate) fn sent(&self) -> (u64, u64) {
        (self.exported.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Counts a failed export; says whether it is worth a line.
    ///
    /// The first is, and then every power of two: a day without a collector is 15 lines.
    fn failed(&self) -> (u64, bool) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        (failures, failures.is_power_of_two())
    }
}

/// Exports, counts, and says now and then that it cannot.
#[derive(Debug)]
pub(crate) struct CountingExporter {
    pub(crate) inner: OtlpExporter,
    /// For the operator: the exporter's own errors do not say it.
    pub(crate) endpoint: String,
    pub(crate) counts: Arc<Counts>,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => {
                self.counts.exported.fetch_add(spans, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.refused.fetch_add(spans, Ordering::Relaxed);
                let (failures, is_worth_a_line) = self.counts.failed();
                if is_worth_a_line {
                    let endpoint = &self.endpoint;
                    tracing::warn!(
                        endpoint, %error, spans, failures, "spans could not be exported"
                    );
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_failures_is_a_handful_of_lines() {
        let counts = Counts::default();
        let lines = (0..17_280).filter(|_| counts.failed().1).count();
        assert_eq!(lines, 15);
    }

    #[test]
    fn missing_is_what_ended_and_did_not_arrive() {
        let counts = Counts::default();
        counts.ended.store(5, Ordering::Relaxed);
        counts.exported.store(3, Ordering::Relaxed);
        assert_eq!(counts.missing(), 2);
    }
}
