//! Logs to stderr, spans and metrics out to OTLP, for mcplex.
//!
//! It never decides what is logged or traced: the other crates say that with plain `tracing`,
//! under the names of [`mcplex_proto::attr`]. It never blocks or ends a process because a
//! collector is slow or gone, and it never writes to stdout, which belongs to the protocol.
//!
//! Reading order: [`Options`] is what a caller says, `plan` turns it into decisions without
//! touching anything, [`install`] acts on them. `sampler`, `queues` and `bridge` are what the
//! OpenTelemetry SDK lacks: lifecycle spans that sampling and floods cannot lose, and links to
//! spans that have closed. `meters` keeps the numbers of [`mcplex_proto::metric`], and
//! [`prometheus()`] shows them as text.
//!
//! ```
//! use std::time::Duration;
//!
//! use mcplex_telemetry::Options;
//!
//! let telemetry = mcplex_telemetry::install(Options {
//!     log_filter: "info,mcplex_router=debug".into(),
//!     // A program hands over `std::env::vars()`.
//!     env: vec![("OTEL_SDK_DISABLED".into(), "true".into())],
//!     ..Options::default()
//! })?;
//! tracing::info!(port = 8080, "listening");
//! assert_eq!(telemetry.endpoint(), None);
//!
//! telemetry.shutdown(Duration::from_secs(5))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Environment
//!
//! `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_SDK_DISABLED`,
//! `OTEL_TRACES_EXPORTER` (`otlp` or `none`), `OTEL_EXPORTER_OTLP_PROTOCOL` and
//! `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` (`http/protobuf`), the same four with `METRICS` for `TRACES`
//! (`OTEL_METRICS_EXPORTER` may also be `prometheus`, or both with a comma),
//! `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, `OTEL_TRACES_SAMPLER` and its `_ARG`,
//! `OTEL_SERVICE_NAME`, `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_MAX_QUEUE_SIZE` and `NO_COLOR` are
//! taken from [`Options::env`]. The exporter reads `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_RESOURCE_ATTRIBUTES`, the `OTEL_SPAN_*` limits and
//! `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` from the process itself. A variable that asks for what is
//! not there is a warning, since it may be meant for another program; an option that does is an
//! error.

mod bridge;
mod error;
mod export;
mod install;
mod logs;
mod meters;
mod options;
mod plan;
mod prometheus;
mod queues;
mod sampler;

pub use error::{EndpointError, InstallError, ShutdownError};
pub use install::{Telemetry, install, validate};
pub use options::{Color, LogFormat, Options};
pub use prometheus::prometheus;
