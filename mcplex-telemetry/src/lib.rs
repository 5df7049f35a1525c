//! Logs to stderr, and spans, metrics and log records out to OTLP, for mcplex.
//!
//! It never decides what is logged or traced: the other crates say that with plain `tracing`,
//! under the names of [`mcplex_proto::attr`]. It never blocks or ends a process because a
//! collector is slow or gone, and it never writes to stdout, which belongs to the protocol.
//!
//! Reading order: [`Options`] is what a caller says, `plan` turns it into decisions without
//! touching anything, [`install`] acts on them. `spans`, `records` and `meters` make of what the
//! process says what OTLP knows; each fills a `queue`, which a task on the thread of the `carrier`
//! empties. `sampler` and `bridge` are what the OpenTelemetry SDK lacks: lifecycle spans that
//! sampling cannot lose, and links to spans that have closed. [`prometheus()`] shows the numbers as
//! text. docs/design/telemetry.md says why it is built like this.
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
//! [`VARIABLES`] are all that it follows, and it takes them from [`Options::env`] only. A variable
//! that asks for what is not there is a warning, since it may be meant for another program; an
//! option that does is an error.

mod bridge;
mod carrier;
mod error;
mod install;
mod logs;
mod meters;
mod options;
mod plan;
mod prometheus;
mod queue;
mod records;
mod resource;
mod sampler;
mod spans;
mod tally;
mod variables;

pub use error::{EndpointError, InstallError, Lost, ShutdownError};
pub use install::{Review, Telemetry, install, lost, propagators, review, validate};
pub use options::{Color, Lines, LogFormat, Options, Protocol};
pub use plan::Propagators;
pub use prometheus::prometheus;
pub use variables::{NOT_FOLLOWED, VARIABLES, Variable};
