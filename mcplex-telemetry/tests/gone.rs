//! A collector that is not there costs spans, and says how many.

use std::time::Duration;

use mcplex_proto::attr;
use mcplex_telemetry::{Lost, Options, ShutdownError};
use tokio::net::TcpSocket;

#[test]
fn a_collector_that_is_gone_is_told_at_the_end() {
    // A port that is taken and does not listen: nobody else can come to listen there.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let options = Options { endpoint: Some(endpoint), ..Options::default() };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    for _ in 0..3 {
        tracing::info_span!(target: attr::TARGET_REQUEST, parent: None, attr::SERVER);
    }
    let error = telemetry.shutdown(Duration::from_secs(30)).unwrap_err();
    let lost = Lost { spans: 3, records: 0, numbers: true };
    assert_eq!(error, ShutdownError::Lost { lost });
    assert_eq!(error.to_string(), "3 spans, the last numbers were never sent");
}
