//! Exports a connect and the death that followed it.
//!
//! ```sh
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 \
//!     cargo run -p mcplex-telemetry --example export
//! ```
//!
//! Without a collector it logs that nothing is exported, and does nothing else.

use std::error::Error;
use std::time::Duration;

use mcplex_proto::{attr, trace};
use mcplex_telemetry::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = mcplex_telemetry::install(Options {
        env: std::env::vars().collect(),
        ..Options::default()
    })?;

    let connect = tracing::info_span!(
        target: attr::TARGET_LIFE,
        parent: None,
        attr::CONNECT,
        { attr::OTEL_NAME } = "mcplex.connect telegram",
        { attr::LIFECYCLE } = attr::LIFECYCLE_CONNECT,
        { attr::UPSTREAM_NAME } = "telegram",
    );
    // The span closes here; its context is what a later span needs to know of it.
    let connected = trace::context_of(&connect);
    drop(connect);

    let death = tracing::info_span!(
        target: attr::TARGET_LIFE,
        parent: None,
        attr::DEATH,
        { attr::OTEL_NAME } = "mcplex.death telegram",
        { attr::LIFECYCLE } = attr::LIFECYCLE_DEATH,
        { attr::UPSTREAM_NAME } = "telegram",
    );
    match &connected {
        Some(connected) => {
            trace::link(&death, connected, attr::LINK_CONNECT);
            tracing::info!(trace_id = connected.trace_id_hex(), "look for this trace");
        }
        None => tracing::info!("spans are off: set OTEL_EXPORTER_OTLP_ENDPOINT"),
    }
    drop(death);

    telemetry.shutdown(Duration::from_secs(5))?;
    Ok(())
}
