//! The same numbers as text, for who comes and reads them.
//!
//! The text is the exposition format 0.0.4 of Prometheus, which every scraper reads. Names change as
//! OpenTelemetry says they do: dots become underscores, the unit and `_total` are appended.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

/// The page of this process.
static PAGE: OnceLock<Page> = OnceLock::new();

/// Writes all metrics as text of the format 0.0.4; empty if they are off.
///
/// The content type that goes with it is `text/plain; version=0.0.4; charset=utf-8`.
#[must_use]
pub fn prometheus() -> String {
    PAGE.get().map(Page::write).unwrap_or_default()
}

/// Reads the numbers when somebody asks.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    reader: Reader,
    /// The line that says whose numbers these are.
    target: Arc<str>,
}

impl Page {
    pub(crate) fn new(resource: &Resource) -> Self {
        let mut target = String::from("# TYPE target_info gauge\ntarget_info");
        let all = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let all: Vec<_> = all.collect();
        line(&mut target, "", all.iter(), None, 1);
        Self { reader: Reader::default(), target: target.into() }
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Makes it the page of this process.
    pub(crate) fn install(self) {
        // A second one means that the process set up its telemetry twice, which was refused before.
        let _is_first = PAGE.set(self).is_ok();
    }

    pub(crate) fn write(&self) -> String {
        let mut read = ResourceMetrics::default();
        if self.reader.collect(&mut read).is_err() {
            return String::new();
        }
        let mut text = self.target.to_string();
        for metric in read.scope_metrics().flat_map(|scope| scope.metrics()) {
            write_metric(&mut text, metric);
        }
        text
    }
}

/// A reader that can be asked from elsewhere than the provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader(Arc<ManualReader>);

impl Reader {
    /// A reader of sums of this kind.
    pub(crate) fn new(temporality: Temporality) -> Self {
        Self(Arc::new(ManualReader::builder().with_temporality(temporality).build()))
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn write_metric(text: &mut String, metric: &Metric) {
    match metric.data() {
        AggregatedMetrics::F64(data) => write_data(text, metric, data),
        AggregatedMetrics::U64(data) => write_data(text, metric, data),
        AggregatedMetrics::I64(data) => write_data(text, metric, data),
    }
}

fn write_data<T: Display + Copy>(text: &mut String, metric: &Metric, data: &MetricData<T>) {
    let mut name = series(metric.name(), metric.unit());
    match data {
        MetricData::Gauge(gauge) => {
            head(text, &name, metric, "gauge");
            for point in gauge.data_points() {
                text.push_str(&name);
                line(text, "", point.attributes(), None, point.value());
            }
        }
        MetricData::Sum(sum) => {
            if sum.is_monotonic() {
                name.push_str("_total");
            }
            head(text, &name, metric, if sum.is_monotonic() { "counter" } else { "gauge" });
            for point in sum.data_points() {
                text.push_str(&name);
                line(text, "", point.attributes(), None, point.value());
            }
        }
        MetricData::Histogram(histogram) => {
            head(text, &name, metric, "histogram");
            for point in histogram.data_points() {
                let mut below = 0;
                let bounds = point.bounds().map(|bound| bound.to_string());
                let bounds = bounds.chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(point.bucket_counts()) {
                    below += count;
                    text.push_str(&name);
                    line(text, "_bucket", point.attributes(), Some(&bound), below);
                }
                text.push_str(&name);
                line(text, "_sum", point.attributes(), None, point.sum());
                text.push_str(&name);
                line(text, "_count", point.attributes(), None, point.count());
            }
        }
        // Nothing in the table is kept like this.
        MetricData::ExponentialHistogram(_) => {}
    }
}

/// The name in the words of Prometheus.
fn series(name: &str, unit: &str) -> String {
    let mut name = plain(name);
    name.push_str(match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        // A count has no unit there, and `1` is for what is a ratio.
        _ => "",
    });
    name
}

/// Only what a name may consist of.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// The name of a label: none begins with a digit, and two underscores are kept for Prometheus itself.
fn label(key: &str) -> String {
    let name = plain(key);
    let is_bare = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_free = name.starts_with('_') && !name.starts_with("__") && name.len() > 1;
    if is_bare || is_free { name } else { format!("key_{name}") }
}

fn head(text: &mut String, name: &str, metric: &Metric, kind: &str) {
    let help = metric.description().replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes all");
}

/// Writes the rest of a line, after the name.
fn line<'a>(
    text: &mut String,
    suffix: &str,
    labels: impl Iterator<Item = &'a KeyValue>,
    bound: Option<&str>,
    value: impl Display,
) {
    text.push_str(suffix);
    let mut before = '{';
    let mut put = |text: &mut String, key: &str, value: &str| {
        text.push(before);
        before = ',';
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "{key}=\"{value}\"").expect("a string takes all");
    };
    // The SDK gives them in the order of a hash map.
    let mut labels: Vec<_> = labels.collect();
    labels.sort_unstable_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
    // A label that is there twice makes a scraper refuse the whole page.
    let mut named: Vec<(String, Cow<'_, str>)> = Vec::with_capacity(labels.len());
    for KeyValue { key, value, .. } in labels {
        let name = label(key.as_str());
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = format!("{known};{}", value.as_str()).into(),
            None => named.push((name, value.as_str())),
        }
    }
    for (name, value) in &named {
        put(text, name, value);
    }
    if let Some(bound) = bound {
        put(text, "le", bound);
    }
    if before == ',' {
        text.push('}');
    }
    writeln!(text, " {value}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;

    #[test]
    fn a_page_is_one_that_scrapers_take_whatever_the_attributes_are() {
        let of = |keys: &[&'static str]| {
            let pairs = keys.iter().zip(["x", "y"]).map(|(key, value)| KeyValue::new(*key, value));
            let resource = Resource::builder_empty().with_attributes(pairs).build();
            let text = Page::new(&resource).target.to_string();
            text.rsplit("target_info").next().unwrap().to_owned()
        };
        assert_eq!(of(&["team.name", "team_name"]), "{team_name=\"x;y\"} 1\n");
        assert_eq!(of(&["1st"]), "{key_1st=\"x\"} 1\n");
        assert_eq!(of(&["__name__", "_a"]), "{key___name__=\"x\",_a=\"y\"} 1\n");
        assert_eq!(of(&["größe"]), "{gr__e=\"x\"} 1\n");
    }

    #[test]
    fn numbers_become_lines() {
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "m"));
        let page = Page::new(&resource.build());
        let provider = SdkMeterProvider::builder().with_reader(page.reader()).build();
        let meter = provider.meter("test");
        meter
            .u64_counter("a.deaths")
            .with_unit("{death}")
            .with_description("Ends.")
            .build()
            .add(2, &[KeyValue::new("mcplex.upstream.name", "a \"b\"\\\n")]);
        meter.i64_up_down_counter("a.active").build().add(-1, &[]);
        let histogram = meter.f64_histogram("a.wait").with_unit("s");
        let histogram = histogram.with_boundaries(vec![0.5, 1.0]).build();
        for value in [0.25, 0.75, 3.0] {
            histogram.record(value, &[]);
        }
        let text = page.write();
        for expect in [
            "target_info{service_name=\"m\"} 1\n",
            "# HELP a_deaths_total Ends.\n# TYPE a_deaths_total counter\n",
            "a_deaths_total{mcplex_upstream_name=\"a \\\"b\\\"\\\\\\n\"} 2\n",
            "# TYPE a_active gauge\na_active -1\n",
            "a_wait_seconds_bucket{le=\"0.5\"} 1\na_wait_seconds_bucket{le=\"1\"} 2\n",
            "a_wait_seconds_bucket{le=\"+Inf\"} 3\na_wait_seconds_sum 4\na_wait_seconds_count 3\n",
        ] {
            assert!(text.contains(expect), "{expect} in {text}");
        }
    }
}
