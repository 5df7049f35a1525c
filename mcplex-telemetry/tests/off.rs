//! Without an endpoint spans are not even made.

use std::time::Duration;

use mcplex_proto::{attr, trace};
use mcplex_telemetry::{InstallError, LogFormat, Options};
use mcplex_testkit::otlp::Receiver;

#[test]
fn spans_that_go_nowhere_are_never_made() {
    let receiver = Receiver::start().unwrap();
    let options = Options {
        // The most talkative logs do not wake them up either.
        log_filter: "trace".into(),
        log_format: LogFormat::Json,
        endpoint: Some(receiver.endpoint()),
        env: vec![("OTEL_SDK_DISABLED".into(), "true".into())],
        ..Options::default()
    };
    let telemetry = mcplex_telemetry::install(options.clone()).unwrap();
    assert_eq!(telemetry.endpoint(), None);

    let death = tracing::info_span!(target: attr::TARGET_LIFECYCLE, parent: None, attr::DEATH);
    let server = tracing::info_span!(target: attr::TARGET_REQUEST, parent: None, attr::SERVER);
    assert!(death.is_disabled());
    assert!(server.is_disabled());
    assert_eq!(trace::context_of(&server), None);
    assert!(tracing::event_enabled!(tracing::Level::TRACE));
    drop((death, server));

    let again = mcplex_telemetry::install(options);
    assert!(matches!(again, Err(InstallError::AlreadyInstalled)));
    telemetry.shutdown(Duration::from_secs(5)).unwrap();
    assert!(receiver.spans().is_empty());
}
