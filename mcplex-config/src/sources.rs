//! What settings are read from.

use crate::Document;

/// Everything that settings are read from besides the compiled-in defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub document: Option<Document>,
    /// All variables: the layer `MCPLEX_SECTION__KEY`, and what `${NAME}` stands for.
    pub env: Vec<(String, String)>,
    /// The highest layer.
    pub flags: Flags,
}

/// Settings that have a flag on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`, which sets `gateway.listen`.
    pub listen: Option<String>,
    /// `--log`, which sets `telemetry.log`.
    pub log: Option<String>,
    /// `--log-format`, which sets `telemetry.log_format`.
    pub log_format: Option<String>,
    /// `--endpoint`, which sets `telemetry.endpoint`.
    pub endpoint: Option<String>,
}

impl Sources {
    /// The environment of this process, without a file and flags.
    ///
    /// Variables that are not Unicode cannot be meant for mcplex and are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { env, ..Self::default() }
    }
}
