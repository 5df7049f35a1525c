//! What a caller says.

use crate::variables;
use std::sync::Arc;
use std::{fmt, io};

/// How logs look and where spans and metrics go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which events are logged, such as `info,mcplex_router=debug`.
    pub log_filter: String,
    /// What a logged event looks like.
    pub log_format: LogFormat,
    /// Whether text is colored.
    pub color: Color,
    /// The base endpoint of the collector, from the configuration; the environment wins.
    pub endpoint: Option<String>,
    /// What is spoken at that endpoint; one of the environment has its own variable.
    pub protocol: Protocol,
    /// Whether [`prometheus`](crate::prometheus()) has something to say; the environment wins.
    pub prometheus: bool,
    /// The name spans are found under; the environment wins.
    pub service_name: String,
    /// What takes every line of the log as well, such as a file; without color.
    pub file: Option<Lines>,
    /// The environment of the process.
    pub env: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_filter: "info".into(),
            log_format: LogFormat::Auto,
            color: Color::Auto,
            endpoint: None,
            protocol: Protocol::HttpProtobuf,
            prometheus: false,
            service_name: "mcplex".into(),
            file: None,
            env: Vec::new(),
        }
    }
}

impl Options {
    /// Looks up a variable; an empty one is unset, as OpenTelemetry wants it.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        debug_assert!(variables::is_listed(name), "{name} is not in the table of variables");
        let found = self.env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

/// What is spoken to a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over HTTP, as protobuf.
    #[default]
    HttpProtobuf,
    /// OTLP over HTTP, as JSON.
    HttpJson,
    /// OTLP over gRPC.
    Grpc,
}

impl Protocol {
    /// Finds the protocol of a name of the specification.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::HttpProtobuf, Self::HttpJson, Self::Grpc].into_iter().find(|it| it.as_str() == name)
    }

    /// The name in the specification.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
            Self::Grpc => "grpc",
        }
    }
}

/// What a logged event looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// One line of text per event.
    Text,
    /// One JSON object per event, on one line.
    Json,
}

/// Whether text is colored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a pipe.
    Always,
    /// Nowhere.
    Never,
}

/// Takes lines of the log, each with its end; must not wait.
#[derive(Clone)]
pub struct Lines(Arc<Take>);

type Take = dyn Fn(&[u8]) + Send + Sync;

impl Lines {
    /// Hands each line to this.
    pub fn new(take: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
