//! What a caller says.

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
    /// Whether [`prometheus`](crate::prometheus()) has something to say; the environment wins.
    pub prometheus: bool,
    /// The name spans are found under; the environment wins.
    pub service_name: String,
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
            prometheus: false,
            service_name: "mcplex".into(),
            env: Vec::new(),
        }
    }
}

impl Options {
    /// Looks up a variable; an empty one is unset, as OpenTelemetry wants it.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
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
