//! A collector that takes connections and never answers holds nobody up.

use std::net::TcpListener;
use std::time::Duration;

use mcplex_proto::attr;
use mcplex_telemetry::{Lost, Options, ShutdownError};

#[test]
fn a_hung_collector_costs_the_timeout_and_no_more() {
    // Nobody accepts, but the kernel completes the handshake.
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let options = Options { endpoint: Some(endpoint), ..Options::default() };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    tracing::info_span!(
        target: attr::TARGET_LIFECYCLE,
        parent: None,
        attr::TRIP,
        { attr::LIFECYCLE } = attr::LIFECYCLE_TRIP,
    );
    let timeout = Duration::from_millis(100);
    // Far below the ten seconds that one export may take.
    let error = telemetry.shutdown(timeout).unwrap_err();
    let lost = Lost { spans: 1, records: 0, numbers: true };
    assert_eq!(error, ShutdownError::TimedOut { timeout, lost });
}
