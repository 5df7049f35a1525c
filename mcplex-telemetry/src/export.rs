//! Builds the way spans leave.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SdkTracerProvider,
};

use crate::plan::{Export, Service};
use crate::queues::{CountingExporter, Counts, Queues};
use crate::sampler::LifecycleSampler;

/// How many lifecycle spans may wait.
///
/// A breaker lets an upstream die a handful of times a minute, so this is hundreds of upstreams
/// that die at once.
const LIFECYCLE_QUEUE: usize = 2048;
/// How long a lifecycle span waits at most: a trip is to be seen while it matters.
const LIFECYCLE_DELAY: Duration = Duration::from_secs(1);

/// What spans go through, and what is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Exporting {
    pub(crate) provider: SdkTracerProvider,
    pub(crate) counts: Arc<Counts>,
}

impl Exporting {
    /// Builds exporters, queues, sampler and resource; starts their threads.
    pub(crate) fn start(export: &Export, resource: &Resource) -> Result<Self, ExporterBuildError> {
        let counts = Arc::new(Counts::default());
        let queues = Queues {
            lifecycle: queue(export, &counts, LIFECYCLE_QUEUE, export.delay.min(LIFECYCLE_DELAY))?,
            requests: queue(export, &counts, export.queue, export.delay)?,
            counts: Arc::clone(&counts),
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(LifecycleSampler::new(export.sampler.clone()))
            .with_span_processor(queues)
            .with_resource(resource.clone())
            .build();
        Ok(Self { provider, counts })
    }
}

/// Builds one queue with an exporter of its own, so that neither waits for the other.
fn queue(
    export: &Export,
    counts: &Arc<Counts>,
    size: usize,
    delay: Duration,
) -> Result<BatchSpanProcessor, ExporterBuildError> {
    let inner = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&export.endpoint)
        .build()?;
    let config =
        BatchConfigBuilder::default().with_max_queue_size(size).with_scheduled_delay(delay).build();
    let exporter =
        CountingExporter { inner, endpoint: export.endpoint.clone(), counts: Arc::clone(counts) };
    Ok(BatchSpanProcessor::builder(exporter).with_batch_config(config).build())
}

/// Says who spans and metrics come from; the environment has the last word.
pub(crate) fn resource(service: &Service) -> Resource {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.default.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance_id()),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match &service.name {
        Some(name) => resource.with_service_name(name.clone()),
        None => resource,
    }
    .build()
}

/// Makes a random UUID, version 4, from the same source as trace ids.
fn instance_id() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_is_a_uuid_of_version_4() {
        let id = instance_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, instance_id());
    }
}
