//! What can go wrong at both ends of a process.

use std::time::Duration;
use std::{fmt, io};

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
    /// What is needed to reach the collector is not there.
    #[error("no way to {endpoint}")]
    Unreachable {
        /// Where spans should have gone.
        endpoint: String,
        /// What is missing.
        source: io::Error,
    },
    /// The thread that exports cannot be started.
    #[error("no thread to export from")]
    Thread(#[source] io::Error),
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
            Self::Endpoint(_) => Some(
                "give the base URL of an OTLP collector, such as http://localhost:4318, or \
                 http://localhost:4317 with the protocol grpc",
            ),
            Self::Unreachable { .. } | Self::Thread(_) | Self::AlreadyInstalled => None,
        }
    }
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// It does not start with `http://` or `https://`, or names no host.
    #[error("it is not of the form http://host:port")]
    NotHttp,
    /// A URL is logged; a password must not be.
    #[error("it holds credentials, which belong into OTEL_EXPORTER_OTLP_HEADERS")]
    Credentials,
}

impl EndpointError {
    /// The same where a variable holds it.
    pub(crate) fn as_warning(self) -> &'static str {
        match self {
            Self::NotHttp => "is not of the form http://host:port; nothing is sent",
            Self::Credentials => "holds credentials, use ..._HEADERS; nothing is sent",
        }
    }
}

/// What did not leave before the end.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The collector did not take everything in time.
    #[error("{lost} still unsent after {timeout:?}")]
    TimedOut {
        /// How long it was tried.
        timeout: Duration,
        /// What is lost, as far as is known.
        lost: Lost,
    },
    /// The collector was gone for a while, or the queues were full.
    #[error("{lost} never sent")]
    Lost {
        /// What is lost since the start.
        lost: Lost,
    },
}

/// What was to leave and did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub records: u64,
    /// Whether the last numbers are among it.
    pub numbers: bool,
}

impl Lost {
    /// Whether nothing is lost.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.spans > 0 {
            parts.push(format!("{} spans", self.spans));
        }
        if self.records > 0 {
            parts.push(format!("{} log records", self.records));
        }
        if self.numbers {
            parts.push("the last numbers".to_owned());
        }
        write!(f, "{} were", parts.join(", "))
    }
}
