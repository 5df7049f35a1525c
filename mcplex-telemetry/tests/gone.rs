//! A collector that is not there costs spans, and says how many.

use std::net::TcpListener;
use std::time::Duration;

use mcplex_proto::attr;
use mcplex_telemetry::{Options, ShutdownError};

#[test]
fn a_collector_that_is_gone_is_told_at_the_end() {
    // The port was free a moment ago, and nobody listens on it any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let options = Options { endpoint: Some(endpoint), ..Options::default() };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    for _ in 0..3 {
        tracing::info_span!(target: attr::TARGET_REQUEST, parent: None, attr::SERVER);
    }
    let error = telemetry.shutdown(Duration::from_secs(30)).unwrap_err();
    assert_eq!(error, ShutdownError::Lost { spans: 3 });
}
