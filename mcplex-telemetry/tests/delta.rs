//! Sums since the last export, without spans and without a page.

use std::time::Duration;

use mcplex_proto::attr;
use mcplex_proto::metric::{self, Metric};
use mcplex_telemetry::Options;
use mcplex_testkit::otlp::Receiver;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_environment_may_want_differences() {
    let receiver = Receiver::start().unwrap();
    let endpoint = receiver.endpoint() + "/v1/metrics";
    let variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let options = Options {
        env: vec![
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT".into(), endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL".into(), "20".into()),
            (variable.into(), "delta".into()),
        ],
        ..Options::default()
    };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    assert_eq!(telemetry.endpoint(), None);
    let deaths = || {
        let points = receiver.points().into_iter();
        points.filter(|point| point.name == "mcplex.upstream.deaths").collect::<Vec<_>>()
    };
    for count in 1..=2 {
        let labels = [(attr::UPSTREAM_NAME, Some("notes"))];
        metric::add(Metric::UpstreamDeaths, 1, &labels);
        let is_it = |point: &&mcplex_testkit::otlp::Point| {
            point.name == "mcplex.upstream.deaths" && point.value > 0.5
        };
        receiver.wait_for_points(SOON, |points| points.iter().filter(is_it).count() == count);
    }
    assert!(deaths().iter().all(|point| point.is_delta && point.value < 1.5));
    assert_eq!(mcplex_telemetry::prometheus(), "");
    telemetry.shutdown(SOON).unwrap();
}
