//! A flood of requests does not push out the death that explains it.

use std::time::Duration;

use mcplex_proto::attr;
use mcplex_telemetry::{Lost, Options, ShutdownError};
use mcplex_testkit::otlp::{Receiver, Span};

const DEATHS: usize = 20;
const REQUESTS_PER_DEATH: usize = 500;

#[test]
fn every_death_survives_a_flood() {
    let receiver = Receiver::start().unwrap();
    let options = Options {
        endpoint: Some(receiver.endpoint()),
        service_name: "flooded".into(),
        env: vec![
            // Too small for the flood, on purpose.
            ("OTEL_BSP_MAX_QUEUE_SIZE".into(), "64".into()),
            ("OTEL_SERVICE_NAME".into(), "named by the environment".into()),
        ],
        ..Options::default()
    };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    for _ in 0..DEATHS {
        for _ in 0..REQUESTS_PER_DEATH {
            tracing::info_span!(target: attr::TARGET_REQUEST, parent: None, attr::SERVER);
        }
        tracing::info_span!(
            target: attr::TARGET_LIFECYCLE,
            parent: None,
            attr::DEATH,
            { attr::LIFECYCLE } = attr::LIFECYCLE_DEATH,
        );
    }
    let result = telemetry.shutdown(Duration::from_secs(30));

    let spans = receiver.spans();
    let is_death = |span: &&Span| span.name == attr::DEATH;
    assert_eq!(spans.iter().filter(is_death).count(), DEATHS);
    assert_eq!(spans[0].resource["service.name"], "named by the environment");
    // What was lost is not kept quiet.
    let ended = DEATHS * (REQUESTS_PER_DEATH + 1);
    let lost = u64::try_from(ended - spans.len()).unwrap();
    let expect = if lost == 0 {
        Ok(())
    } else {
        Err(ShutdownError::Lost { lost: Lost { spans: lost, ..Lost::default() } })
    };
    assert_eq!(result, expect);
}
