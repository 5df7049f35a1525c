//! What can go wrong at both ends of a process.

use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use thiserror::Error;
use tracing_subscriber::filter::ParseError;

/// Why logs and spans could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The log filter is not one.
    #[error("invalid log filter {filter:?}")]
    LogFilter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The configured endpoint cannot be used.
    #[error("invalid endpoint for spans")]
    Endpoint(#[source] EndpointError),
    /// The exporter refused its settings.
    #[error("no exporter for {endpoint}")]
    Exporter {
        /// Where spans should have gone.
        endpoint: String,
        /// What the exporter says.
        source: ExporterBuildError,
    },
    /// This process has a subscriber already.
    #[error("logs and spans are set up already")]
    AlreadyInstalled,
}

impl InstallError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::LogFilter { .. } => Some(
                "a filter is a list of `level` and `target=level`, such as \
                 `info,mcplex_supervisor=debug`; levels are off, error, warn, info, debug, trace",
            ),
            Self::Endpoint(_) => {
                Some("give the base URL of an OTLP/HTTP collector, such as http://localhost:4318")
            }
            Self::Exporter { .. } | Self::AlreadyInstalled => None,
        }
    }
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no TLS here.
    #[error("https is not supported; send spans to a collector nearby, which forwards them")]
    Https,
    /// It does not start with `http://`, or names no host.
    #[error("it is not of the form http://host:port")]
    NotHttp,
    /// A URL is logged; a password must not be.
    #[error("it holds credentials, which belong into OTEL_EXPORTER_OTLP_HEADERS")]
    Credentials,
}

/// Which spans did not leave before the end.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The collector did not take everything in time.
    #[error("{spans} spans were still unsent after {timeout:?}")]
    TimedOut {
        /// How long it was tried.
        timeout: Duration,
        /// How many spans, as far as is known.
        spans: u64,
    },
    /// The collector was gone for a while, or the queues were full.
    #[error("{spans} spans were never sent")]
    Lost {
        /// How many spans since the start.
        spans: u64,
    },
}
