//! Series of a histogram that were recorded before, found by their labels without a copy of these.
//!
//! Each call records into two of them. To look one up in the SDK takes owned attributes, one
//! allocation for each label, and a hash of all of them, which costs more than the record itself.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use mcplex_proto::metric::Label;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram};

/// How many are kept at hand: as many as the SDK tells apart of one metric.
const MAX: usize = 2000;

/// A histogram and its series.
#[derive(Debug)]
pub(super) struct Series {
    histogram: Histogram<f64>,
    /// By the digest of their labels.
    known: RwLock<BTreeMap<u64, Known>>,
}

#[derive(Debug)]
struct Known {
    labels: Vec<(&'static str, Option<Box<str>>)>,
    bound: BoundHistogram<f64>,
}

impl Known {
    fn is(&self, labels: &[Label<'_>]) -> bool {
        let same = |((key, value), (other, wanted)): (&(_, Option<Box<str>>), &Label<'_>)| {
            key == other && value.as_deref() == *wanted
        };
        self.labels.len() == labels.len() && self.labels.iter().zip(labels).all(same)
    }
}

impl Series {
    pub(super) fn new(histogram: Histogram<f64>) -> Self {
        Self { histogram, known: RwLock::default() }
    }

    /// Records a value; `attributes` makes of the labels what the SDK wants, for a new series.
    pub(super) fn record(
        &self,
        value: f64,
        labels: &[Label<'_>],
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) {
        let digest = digest(labels);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&digest) {
            Some(found) if found.is(labels) => return found.bound.record(value),
            // Two series with one digest: the later one is looked up each time.
            Some(_) => return self.histogram.record(value, &attributes()),
            None => drop(known),
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX {
            drop(known);
            return self.histogram.record(value, &attributes());
        }
        let bound = self.histogram.bind(&attributes());
        bound.record(value);
        let labels = labels.iter().map(|(key, value)| (*key, value.map(Into::into))).collect();
        // Another thread may have come first with the same series: then the SDK gave the same one.
        known.insert(digest, Known { labels, bound });
    }
}

/// A number for labels, which differs for most that differ: of what they say, in their order.
fn digest(labels: &[Label<'_>]) -> u64 {
    /// The golden ratio: a multiplier that spreads its bits.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut digest = 0_u64;
    let mut mix = |part: u64| digest = (digest.rotate_left(25) ^ part).wrapping_mul(SPREAD);
    for (_, value) in labels {
        let Some(value) = value else {
            mix(1);
            continue;
        };
        mix(value.len() as u64);
        let chunks = value.as_bytes().chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            mix(u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes")));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(u64::from_le_bytes(last));
    }
    digest
}

#[cfg(test)]
mod tests {
    use mcplex_proto::attr;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;
    use crate::prometheus::Page;

    #[test]
    fn labels_that_differ_have_digests_that_differ() {
        let mut all: Vec<_> = (0..10_000_u32)
            .map(|n| {
                let (one, other) = (format!("upstream{}", n % 100), format!("tool{}", n / 100));
                digest(&[(attr::UPSTREAM_NAME, Some(&one)), (attr::GEN_AI_TOOL_NAME, Some(&other))])
            })
            .collect();
        all.push(digest(&[(attr::UPSTREAM_NAME, None), (attr::GEN_AI_TOOL_NAME, Some("tool"))]));
        all.push(digest(&[(attr::UPSTREAM_NAME, Some("tool")), (attr::GEN_AI_TOOL_NAME, None)]));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_series_is_one_whether_it_was_known_or_not() {
        let page = Page::new(&Resource::builder_empty().build());
        let provider = SdkMeterProvider::builder().with_reader(page.reader()).build();
        let meter = provider.meter("test");
        let series = Series::new(meter.f64_histogram("a").with_boundaries(vec![1.0]).build());
        let record = |value: f64, upstream: Option<&str>| {
            let attributes = || {
                let known = upstream.map(|it| KeyValue::new(attr::UPSTREAM_NAME, it.to_owned()));
                known.into_iter().collect()
            };
            series.record(value, &[(attr::UPSTREAM_NAME, upstream)], attributes);
        };
        for value in [0.5, 2.0, 3.0] {
            record(value, Some("notes"));
            record(value, None);
        }
        record(0.5, Some("mail"));
        series.histogram.record(0.5, &[KeyValue::new(attr::UPSTREAM_NAME, "notes")]);
        let text = page.write();
        for expect in [
            "a_count{mcplex_upstream_name=\"notes\"} 4\n",
            "a_sum{mcplex_upstream_name=\"notes\"} 6\n",
            "a_bucket{mcplex_upstream_name=\"notes\",le=\"1\"} 2\n",
            "a_count{mcplex_upstream_name=\"mail\"} 1\n",
            "a_count 3\n",
        ] {
            assert!(text.contains(expect), "{expect} in {text}");
        }
        // More than are kept at hand are counted all the same.
        for n in 0..MAX + 10 {
            record(0.5, Some(&format!("u{n}")));
        }
        assert_eq!(series.known.read().unwrap().len(), MAX);
        assert!(page.write().contains("otel_metric_overflow"));
    }
}
