//! Metrics that really leave, and the same numbers as text.

use std::collections::BTreeSet;
use std::time::Duration;

use mcplex_proto::attr;
use mcplex_proto::metric::{self, Held, Instrument, METRICS, Metric};
use mcplex_telemetry::Options;
use mcplex_testkit::otlp::{Point, Receiver};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn every_metric_of_the_table_leaves_and_can_be_read() {
    let receiver = Receiver::start().unwrap();
    let options = Options {
        prometheus: true,
        env: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), receiver.endpoint()),
            ("OTEL_METRIC_EXPORT_INTERVAL".into(), "20".into()),
            // What leaves of log records is counted too.
            ("OTEL_LOGS_EXPORTER".into(), "otlp".into()),
        ],
        ..Options::default()
    };
    assert!(metric::now().is_none() && !metric::is_on());
    assert_eq!(mcplex_telemetry::prometheus(), "");
    let telemetry = mcplex_telemetry::install(options).unwrap();
    let begun = metric::now().unwrap();
    let labels = [(attr::UPSTREAM_NAME, Some("notes")), (attr::ERROR_TYPE, None)];
    for metric in Metric::ALL.iter().copied().filter(|metric| !metric.doc().is_observed) {
        match metric.doc().instrument {
            Instrument::Histogram => metric::since(metric, begun, &labels),
            Instrument::Counter | Instrument::UpDownCounter => metric::add(metric, 2, &labels),
        }
    }
    let ready = [(attr::UPSTREAM_NAME, Some("notes")), (attr::UPSTREAM_STATE, Some("ready"))];
    let held = Held::new(Metric::UpstreamStatus, &ready);
    let is_held = |value: f64| {
        move |points: &[Point]| {
            let is_it = |point: &&Point| point.attribute(attr::UPSTREAM_STATE) == Some("ready");
            points.iter().rfind(is_it).is_some_and(|point| (point.value - value).abs() < 0.1)
        }
    };
    receiver.wait_for_points(SOON, is_held(1.0));
    drop(held);
    let points = receiver.wait_for_points(SOON, is_held(0.0));
    check_catalogue(&points);
    check_text(&mcplex_telemetry::prometheus());
    telemetry.shutdown(SOON).unwrap();
    assert!(receiver.spans().is_empty());
}

/// What arrives is the table: every metric, with its unit, kind and bounds, and nothing else.
fn check_catalogue(points: &[Point]) {
    let names: BTreeSet<&str> = points.iter().map(|point| &*point.name).collect();
    let mut expect: BTreeSet<&str> = METRICS.iter().map(|doc| doc.name).collect();
    if !cfg!(target_os = "linux") {
        expect.retain(|name| !name.starts_with("process."));
    }
    assert_eq!(names, expect);
    for point in points {
        let doc = METRICS.iter().find(|doc| doc.name == point.name).expect("it is in the table");
        let kind = match doc.instrument {
            Instrument::Counter => "counter",
            Instrument::UpDownCounter => "sum",
            Instrument::Histogram => "histogram",
        };
        assert_eq!((&*point.unit, point.kind), (doc.unit, kind), "{point:?}");
        assert_eq!(point.bounds, doc.bounds, "{point:?}");
        assert!(!point.is_delta);
        assert_eq!(point.resource["service.name"], "mcplex");
        for name in point.attributes.keys() {
            assert!(doc.attributes.contains(&&**name), "{name} on {}", doc.name);
        }
    }
}

fn check_text(text: &str) {
    for expect in [
        "service_name=\"mcplex\",service_version=",
        "# TYPE mcplex_upstream_deaths_total counter\n\
         mcplex_upstream_deaths_total{mcplex_upstream_name=\"notes\"} 2\n",
        "# TYPE mcplex_request_active gauge\nmcplex_request_active 2\n",
        "mcp_server_operation_duration_seconds_bucket{mcplex_upstream_name=\"notes\",le=\"0.01\"}",
        "mcp_server_operation_duration_seconds_count{mcplex_upstream_name=\"notes\"} 1\n",
        "mcplex_upstream_status{mcplex_upstream_name=\"notes\",mcplex_upstream_state=\"ready\"} 0\n",
    ] {
        assert!(text.contains(expect), "{expect} in {text}");
    }
    if cfg!(target_os = "linux") {
        assert!(text.contains("\nprocess_memory_usage_bytes "), "{text}");
    }
}
