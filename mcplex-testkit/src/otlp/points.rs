//! From OTLP to plain points of metrics.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};

use super::Scope;
use super::decode::{attributes, scope};

/// One number of one series, as it was exported once.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The name of the metric.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// `counter` for a sum that only grows, `sum`, `gauge`, `histogram`, or `other`.
    pub kind: &'static str,
    /// Whether it counts from the last export on, instead of from the start.
    pub is_delta: bool,
    /// The attributes, each value as text.
    pub attributes: BTreeMap<String, String>,
    /// The number; of a histogram the sum of all values.
    pub value: f64,
    /// How many values a histogram holds; else 0.
    pub count: u64,
    /// The bounds of a histogram.
    pub bounds: Vec<f64>,
    /// Which part of the program made it.
    pub scope: Scope,
    /// The resource it came from.
    pub resource: BTreeMap<String, String>,
}

impl Point {
    /// Returns one attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Reads one export.
pub(super) fn read(request: ExportMetricsServiceRequest) -> Vec<Point> {
    let mut points = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_metrics {
            let scope = scope(of_scope.scope, of_scope.schema_url, &of_resource.schema_url);
            for metric in of_scope.metrics {
                points.extend(of_metric(metric, &scope, &resource));
            }
        }
    }
    points
}

fn of_metric(metric: Metric, scope: &Scope, resource: &BTreeMap<String, String>) -> Vec<Point> {
    let Metric { name, unit, data, .. } = metric;
    let is_delta = |temporality: i32| temporality == i32::from(AggregationTemporality::Delta);
    let base = |kind, is_delta| Point {
        name: name.clone(),
        unit: unit.clone(),
        kind,
        is_delta,
        attributes: BTreeMap::new(),
        value: 0.0,
        count: 0,
        bounds: Vec::new(),
        scope: scope.clone(),
        resource: resource.clone(),
    };
    match data {
        Some(Data::Gauge(gauge)) => numbers(gauge.data_points, &base("gauge", false)),
        Some(Data::Sum(sum)) => {
            let kind = if sum.is_monotonic { "counter" } else { "sum" };
            numbers(sum.data_points, &base(kind, is_delta(sum.aggregation_temporality)))
        }
        Some(Data::Histogram(all)) => {
            let base = base("histogram", is_delta(all.aggregation_temporality));
            all.data_points.into_iter().map(|point| histogram(point, &base)).collect()
        }
        // mcplex sends none; a test of the table of names sees that it did.
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => vec![base("other", false)],
    }
}

fn numbers(points: Vec<NumberDataPoint>, base: &Point) -> Vec<Point> {
    let of = |point: NumberDataPoint| {
        let value = match point.value {
            Some(Value::AsDouble(value)) => value,
            // Tests count to thousands, which a double holds exactly.
            Some(Value::AsInt(value)) => value.to_string().parse().unwrap_or(f64::NAN),
            None => f64::NAN,
        };
        Point { attributes: attributes(point.attributes), value, ..base.clone() }
    };
    points.into_iter().map(of).collect()
}

fn histogram(point: HistogramDataPoint, base: &Point) -> Point {
    Point {
        attributes: attributes(point.attributes),
        value: point.sum.unwrap_or(f64::NAN),
        count: point.count,
        bounds: point.explicit_bounds,
        ..base.clone()
    }
}
