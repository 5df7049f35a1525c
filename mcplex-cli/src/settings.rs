//! Finds and loads the configuration.

use crate::{
    args::{ConfigOptions, LogOptions},
    exit::{Code, Failure},
};
use mcplex_config::{Config, ConfigError, Document, Flags, Format, Loaded, Sources};
use mcplex_telemetry::{InstallError, Telemetry};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The configuration, and where it came from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) loaded: Loaded,
    /// The file, or `None` for the built-in demo.
    pub(crate) file: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }
}

/// Loads the configuration that the options and the place ask for.
pub(crate) fn load(
    options: &ConfigOptions,
    listen: Option<String>,
    log: &LogOptions,
) -> Result<Settings, Failure> {
    let file = options.config.clone().or_else(find);
    let document = match &file {
        Some(path) => Document::Path(path.clone()),
        None => demo()?,
    };
    let flags = Flags {
        listen,
        log: log.log.clone(),
        log_format: log.log_format.clone(),
        endpoint: log.otlp_endpoint.clone(),
    };
    let sources = Sources { document: Some(document), flags, ..Sources::from_process() };
    let loaded = Config::load(sources).map_err(|error| wrong(&error))?;
    Ok(Settings { loaded, file })
}

fn wrong(error: &ConfigError) -> Failure {
    Failure::from_error(Code::Configuration, "the configuration cannot be used", error)
        .with_hint(&error.hint)
}

/// The first file of those that are looked for.
fn find() -> Option<PathBuf> {
    let home = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".config")));
    [Some(PathBuf::from("mcplex.toml")), home.map(|home| home.join("mcplex/mcplex.toml"))]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

/// Two servers that are this very program.
fn demo() -> Result<Document, Failure> {
    let program = env::current_exe().map_err(|error| {
        Failure::from_error(Code::Failed, "the demo does not know its own program", &error)
            .with_hint("give a configuration with --config")
    })?;
    // A JSON string is a TOML string too; a `$` must not be taken for a variable.
    let program = serde_json::Value::from(program.to_string_lossy().replace("${", "$${"));
    let server = |name| {
        format!(
            "[[servers]]\nname = \"{name}\"\ncommand = {program}\nargs = [\"demo-server\", \"{name}\"]\n"
        )
    };
    let text = server("notes") + &server("fragile");
    Ok(Document::Text { name: "the built-in demo".to_owned(), text, format: Format::Toml })
}

/// Starts logs and traces as the configuration says, and gives its warnings.
pub(crate) fn install_telemetry(settings: &Settings) -> Result<Telemetry, Failure> {
    let telemetry = mcplex_telemetry::install(telemetry_options(settings))
        .map_err(|error| telemetry_refused(&error))?;
    for warning in &settings.loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(telemetry)
}

/// Says what [`install_telemetry`] would refuse, without starting anything.
pub(crate) fn check_telemetry(settings: &Settings) -> Result<(), Failure> {
    mcplex_telemetry::validate(&telemetry_options(settings))
        .map_err(|error| telemetry_refused(&error))
}

fn telemetry_options(settings: &Settings) -> mcplex_telemetry::Options {
    let wanted = &settings.config().telemetry;
    mcplex_telemetry::Options {
        log_filter: wanted.log.clone(),
        log_format: match wanted.log_format {
            mcplex_config::LogFormat::Auto => mcplex_telemetry::LogFormat::Auto,
            mcplex_config::LogFormat::Text => mcplex_telemetry::LogFormat::Text,
            mcplex_config::LogFormat::Json => mcplex_telemetry::LogFormat::Json,
        },
        endpoint: wanted.endpoint.clone(),
        service_name: wanted.service_name.clone(),
        env: Sources::from_process().env,
        ..mcplex_telemetry::Options::default()
    }
}

fn telemetry_refused(error: &InstallError) -> Failure {
    let failure =
        Failure::from_error(Code::Configuration, "logs and traces cannot be set up", error);
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
