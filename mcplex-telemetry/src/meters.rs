//! Keeps the numbers of [`mcplex_proto::metric`] and sends them.

mod series;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcplex_proto::attr;
use mcplex_proto::metric::{Instrument, Label, Metric, MetricDoc, Recorder};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval_at};

use crate::carrier::{Accepted, Batch, Carrier, Outlet};
use crate::plan::{Measure, Push};
use crate::prometheus::{Page, Reader};
use crate::spans;
use crate::tally::{Lines, Tally};
use series::Series;

/// What keeps the numbers, and how somebody can read them.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) provider: SdkMeterProvider,
    pub(crate) page: Option<Page>,
    pub(crate) sending: Option<Sending>,
}

/// What is told of in numbers beside what is recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) spans: Option<Arc<Tally>>,
    pub(crate) records: Option<Arc<Tally>>,
}

impl Meters {
    /// Builds the readers that were asked for.
    pub(crate) fn start(
        measure: &Measure,
        push: Option<(&Push, Outlet, &Carrier)>,
        resource: &Resource,
    ) -> Self {
        let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
        let sending = push.map(|(push, outlet, carrier)| {
            let reader = Reader::new(push.temporality);
            builder = std::mem::take(&mut builder).with_reader(reader.clone());
            Sending::start(push, reader, outlet, carrier)
        });
        let page = measure.pull.then(|| Page::new(resource));
        if let Some(page) = &page {
            builder = builder.with_reader(page.reader());
        }
        Self { provider: builder.build(), page, sending }
    }

    /// The recorder that feeds them.
    pub(crate) fn recorder(&self, tallies: &Tallies) -> SdkRecorder {
        let meter = self.provider.meter_with_scope(spans::scope(attr::SCOPE_PROGRAM));
        let kept = Metric::ALL.iter().map(|metric| keep(&meter, *metric, tallies)).collect();
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
    Histogram(Series),
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
            histogram.record(value, labels, || attributes(metric, labels));
        }
    }
}

/// The labels that have a value, and a place in the table.
fn attributes(metric: Metric, labels: &[Label<'_>]) -> Vec<KeyValue> {
    let known = metric.doc().attributes;
    let pair = |(key, value): &Label<'_>| {
        let value = (*value)?;
        // The one label that is a number.
        let number = (*key == attr::SERVER_PORT).then(|| value.parse::<i64>().ok()).flatten();
        known.contains(key).then(|| match number {
            Some(number) => KeyValue::new(*key, number),
            None => KeyValue::new(*key, value.to_owned()),
        })
    };
    labels.iter().filter_map(pair).collect()
}

fn keep(meter: &Meter, metric: Metric, tallies: &Tallies) -> Kept {
    let MetricDoc { name, instrument, unit, bounds, is_observed, meaning, .. } = *metric.doc();
    let meaning = meaning.trim();
    if is_observed {
        observe(meter, metric, tallies);
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
            Kept::Histogram(Series::new(histogram.with_boundaries(bounds.to_vec()).build()))
        }
    }
}

/// Has the SDK look something up whenever somebody reads.
fn observe(meter: &Meter, metric: Metric, tallies: &Tallies) {
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
    // How many went well, and how many did not, and why.
    let halves = |tally: &Option<Arc<Tally>>, look: fn(&Tally) -> (u64, u64), error| {
        let Some(tally) = tally.clone() else { return };
        let counter = meter.u64_observable_counter(name).with_unit(unit);
        let counter = counter.with_description(meaning.trim()).with_callback(move |observer| {
            let (well, badly) = look(&tally);
            observer.observe(well, &[]);
            observer.observe(badly, &[KeyValue::new(attr::ERROR_TYPE, error)]);
        });
        let _handle = counter.build();
    };
    if metric == Metric::OpenFiles {
        up_down(open_files);
    } else if metric == Metric::Memory {
        up_down(memory);
    } else if metric == Metric::SpansExported {
        halves(&tallies.spans, Tally::sent, attr::ERROR_OTHER);
    } else if metric == Metric::SpansProcessed {
        halves(&tallies.spans, Tally::queued, attr::ERROR_QUEUE_FULL);
    } else if metric == Metric::RecordsExported {
        halves(&tallies.records, Tally::sent, attr::ERROR_OTHER);
    } else if metric == Metric::RecordsProcessed {
        halves(&tallies.records, Tally::queued, attr::ERROR_QUEUE_FULL);
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

/// How many may ask for the last numbers at a time; the end of the process is the only one.
const ASKS: usize = 4;

/// The task that sends the numbers.
#[derive(Debug)]
pub(crate) struct Sending {
    asks: mpsc::Sender<oneshot::Sender<bool>>,
    outlet: Outlet,
}

impl Sending {
    fn start(push: &Push, reader: Reader, outlet: Outlet, carrier: &Carrier) -> Self {
        let (asks, asked) = mpsc::channel(ASKS);
        carrier.run(send(push.interval, reader, outlet.clone(), asked));
        Self { asks, outlet }
    }

    /// Has the numbers sent once more, and says whether they arrived.
    pub(crate) fn flush(&self) -> oneshot::Receiver<bool> {
        let (done, wait) = oneshot::channel();
        drop(self.asks.try_send(done));
        self.outlet.hurry();
        wait
    }
}

/// Sends the numbers again and again, until nobody may ask for them any more.
async fn send(
    every: Duration,
    reader: Reader,
    outlet: Outlet,
    mut asked: mpsc::Receiver<oneshot::Sender<bool>>,
) {
    #[expect(clippy::disallowed_methods, reason = "when the first numbers leave; nothing else")]
    let start = tokio::time::Instant::now() + every;
    let mut ticks = interval_at(start, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = Lines::default();
    // They are read into the same place each time.
    let mut numbers = ResourceMetrics::default();
    loop {
        let ask = tokio::select! {
            _ = ticks.tick() => None,
            ask = asked.recv() => match ask {
                Some(ask) => Some(ask),
                None => return,
            },
        };
        let is_read = reader.collect(&mut numbers).is_ok();
        let batch = Batch::Metrics(ExportMetricsServiceRequest::from(&numbers));
        let sent = outlet.send(&batch, ask.is_some()).await;
        let endpoint = outlet.endpoint();
        match &sent {
            Ok(Accepted { rejected: 0, message }) if message.is_empty() => {}
            Ok(Accepted { rejected, message }) => {
                if let Some(times) = failures.failed() {
                    tracing::warn!(
                        endpoint,
                        signal = "metrics",
                        rejected,
                        why = message,
                        times,
                        "the collector did not want everything"
                    );
                }
            }
            Err(error) => {
                if let Some(times) = failures.failed() {
                    tracing::warn!(endpoint, signal = "metrics", %error, times, "an export failed");
                }
            }
        }
        if let Some(done) = ask {
            // Who asked may have lost patience.
            let _ = done.send(is_read && sent.is_ok());
        }
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
        let provider = SdkMeterProvider::builder().build();
        let meters = Meters { provider, page: None, sending: None };
        let recorder = meters.recorder(&Tallies::default());
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
