//! Keeps the numbers of [`mcplex_proto::metric`] and sends them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mcplex_proto::attr;
use mcplex_proto::metric::{Instrument, Label, Metric, MetricDoc, Recorder};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

use crate::plan::{Measure, Push};
use crate::prometheus::Page;
use crate::queues::Counts;

/// What keeps the numbers, and how somebody can read them.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) provider: SdkMeterProvider,
    pub(crate) page: Option<Page>,
}

impl Meters {
    /// Builds the readers that were asked for; the one that sends has a thread of its own.
    pub(crate) fn start(
        measure: &Measure,
        resource: &Resource,
    ) -> Result<Self, ExporterBuildError> {
        let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
        if let Some(push) = &measure.push {
            let reader = PeriodicReader::builder(SpeakingExporter::new(push)?);
            builder = builder.with_reader(reader.with_interval(push.interval).build());
        }
        let page = measure.pull.then(|| Page::new(resource));
        if let Some(page) = &page {
            builder = builder.with_reader(page.reader());
        }
        Ok(Self { provider: builder.build(), page })
    }

    /// The recorder that feeds them.
    pub(crate) fn recorder(&self, spans: Option<Arc<Counts>>) -> SdkRecorder {
        let meter = self.provider.meter("mcplex");
        let kept = Metric::ALL.iter().map(|metric| keep(&meter, *metric, spans.as_ref())).collect();
        SdkRecorder { begun: clock(), kept }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measuring is what this is for; no decision depends on it"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Tells the SDK what is recorded.
#[derive(Debug)]
pub(crate) struct SdkRecorder {
    begun: Instant,
    /// In the order of the table.
    kept: Vec<Kept>,
}

/// One metric in the SDK.
#[derive(Debug)]
enum Kept {
    Counter(Counter<u64>),
    UpDown(UpDownCounter<i64>),
    Histogram(Histogram<f64>),
    /// It is looked up when somebody reads.
    Observed,
}

impl Recorder for SdkRecorder {
    fn now(&self) -> Duration {
        clock().saturating_duration_since(self.begun)
    }

    fn add(&self, metric: Metric, by: i64, labels: &[Label<'_>]) {
        match &self.kept[metric as usize] {
            Kept::Counter(counter) => {
                counter.add(u64::try_from(by).unwrap_or_default(), &attributes(metric, labels));
            }
            Kept::UpDown(counter) => counter.add(by, &attributes(metric, labels)),
            Kept::Histogram(_) | Kept::Observed => {}
        }
    }

    fn record(&self, metric: Metric, value: f64, labels: &[Label<'_>]) {
        if let Kept::Histogram(histogram) = &self.kept[metric as usize] {
            histogram.record(value, &attributes(metric, labels));
        }
    }
}

/// The labels that have a value, and a place in the table.
fn attributes(metric: Metric, labels: &[Label<'_>]) -> Vec<KeyValue> {
    let known = metric.doc().attributes;
    let pair = |(key, value): &Label<'_>| {
        let value = (*value)?;
        known.contains(key).then(|| KeyValue::new(*key, value.to_owned()))
    };
    labels.iter().filter_map(pair).collect()
}

fn keep(meter: &Meter, metric: Metric, spans: Option<&Arc<Counts>>) -> Kept {
    let MetricDoc { name, instrument, unit, bounds, is_observed, meaning, .. } = *metric.doc();
    let meaning = meaning.trim();
    if is_observed {
        observe(meter, metric, spans);
        return Kept::Observed;
    }
    match instrument {
        Instrument::Counter => {
            let counter = meter.u64_counter(name).with_unit(unit).with_description(meaning);
            Kept::Counter(counter.build())
        }
        Instrument::UpDownCounter => {
            let counter = meter.i64_up_down_counter(name).with_unit(unit);
            Kept::UpDown(counter.with_description(meaning).build())
        }
        Instrument::Histogram => {
            let histogram = meter.f64_histogram(name).with_unit(unit).with_description(meaning);
            Kept::Histogram(histogram.with_boundaries(bounds.to_vec()).build())
        }
    }
}

/// Has the SDK look something up whenever somebody reads.
fn observe(meter: &Meter, metric: Metric, spans: Option<&Arc<Counts>>) {
    let MetricDoc { name, unit, meaning, .. } = *metric.doc();
    let up_down = |look: fn() -> Option<i64>| {
        let counter = meter.i64_observable_up_down_counter(name).with_unit(unit);
        let counter = counter.with_description(meaning.trim()).with_callback(move |observer| {
            if let Some(value) = look() {
                observer.observe(value, &[]);
            }
        });
        // The callback lives with the provider; the handle is of no use.
        let _handle = counter.build();
    };
    if metric == Metric::OpenFiles {
        up_down(open_files);
    } else if metric == Metric::Memory {
        up_down(memory);
    } else if metric == Metric::SpansExported
        && let Some(counts) = spans.cloned()
    {
        let counter = meter.u64_observable_counter(name).with_unit(unit);
        let counter = counter.with_description(meaning.trim()).with_callback(move |observer| {
            let (exported, refused) = counts.sent();
            observer.observe(exported, &[]);
            observer.observe(refused, &[KeyValue::new(attr::ERROR_TYPE, attr::ERROR_OTHER)]);
        });
        let _handle = counter.build();
    }
}

/// How many files this process has open, where the system tells.
fn open_files() -> Option<i64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // The folder that is read is one of them.
    i64::try_from(open).ok().map(|open| open.saturating_sub(1))
}

/// How much of this process is in memory, in bytes, where the system tells.
fn memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Sends, and says now and then that it cannot.
#[derive(Debug)]
struct SpeakingExporter {
    inner: MetricExporter,
    /// For the operator: the exporter's own errors do not say it.
    endpoint: String,
    failures: AtomicU64,
}

impl SpeakingExporter {
    fn new(push: &Push) -> Result<Self, ExporterBuildError> {
        let inner = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&push.endpoint)
            .with_temporality(push.temporality)
            .build()?;
        Ok(Self { inner, endpoint: push.endpoint.clone(), failures: AtomicU64::new(0) })
    }
}

impl PushMetricExporter for SpeakingExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        if let Err(error) = &result {
            let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            // As for spans: a day without a collector is a handful of lines.
            if failures.is_power_of_two() {
                let endpoint = &self.endpoint;
                tracing::warn!(endpoint, %error, failures, "metrics could not be exported");
            }
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_of_the_table_with_a_value_are_kept() {
        let labels = [
            (attr::UPSTREAM_NAME, Some("notes")),
            (attr::DEATH_REASON, None),
            ("made.up", Some("x")),
        ];
        let kept = attributes(Metric::UpstreamDeaths, &labels);
        assert_eq!(kept, [KeyValue::new(attr::UPSTREAM_NAME, "notes")]);
    }

    #[test]
    fn the_table_and_the_recorder_are_in_one_order() {
        let meters = Meters { provider: SdkMeterProvider::builder().build(), page: None };
        let recorder = meters.recorder(None);
        assert_eq!(recorder.kept.len(), Metric::ALL.len());
        assert!(recorder.now() < Duration::from_secs(60));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_of_files_and_memory() {
        assert!(open_files().unwrap() >= 3);
        assert!(memory().unwrap() > 100_000);
    }
}
