//! Finds and loads the configuration.

use crate::{
    args::{ConfigOptions, LogOptions},
    exit::{Code, Failure},
    journals::Journals,
    places::Places,
};
use mcplex_config::{Config, ConfigError, Document, Flags, Format, Loaded, Setting, Sources};
use mcplex_proto::redact::{redact, redact_args};
use mcplex_telemetry::{InstallError, Telemetry};
use serde_json::json;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The configuration, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) loaded: Loaded,
    /// The file, or `None` for the built-in demo.
    pub(crate) file: Option<PathBuf>,
    /// What stands above the file, also when it is read again.
    flags: Flags,
    /// What this process writes of it.
    pub(crate) journals: Journals,
}

impl Settings {
    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Where things of this configuration are.
    pub(crate) fn places(&self) -> Places {
        Places::of(self.file.as_deref())
    }

    /// Reads the same file again, with the environment and the flags mcplex was started with.
    pub(crate) fn read_again(&self) -> Result<Self, Failure> {
        let Some(path) = &self.file else {
            let what = "there is no configuration file to read again: this is the built-in demo";
            return Err(Failure::new(Code::Configuration, what)
                .with_hint("start mcplex with a file: --config"));
        };
        // What a full disk leaves of a file that is being saved; it would end every upstream.
        if fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            let what = format!("{} is empty", path.display());
            return Err(Failure::new(Code::Configuration, what)
                .with_hint("write a comment into it if no server is to be left"));
        }
        let again = read(Document::Path(path.clone()), self.file.clone(), self.flags.clone())?;
        check_telemetry(&again)?;
        // They stay as they were opened.
        Ok(Self { journals: self.journals.clone(), ..again })
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
    read(document, file, flags)
}

fn read(document: Document, file: Option<PathBuf>, flags: Flags) -> Result<Settings, Failure> {
    let sources =
        Sources { document: Some(document), flags: flags.clone(), ..Sources::from_process() };
    let loaded = Config::load(sources).map_err(|error| wrong(&error))?;
    Ok(Settings { loaded, file, flags, journals: Journals::default() })
}

fn wrong(error: &ConfigError) -> Failure {
    Failure::from_error(Code::Configuration, "the configuration cannot be used", error)
        .with_hint(&error.hint)
}

/// The value of a setting as people may see it.
pub(crate) fn shown(setting: &Setting) -> String {
    let is_args = setting.key.ends_with(".args");
    match serde_json::from_str::<Vec<String>>(&setting.value).ok().filter(|_| is_args) {
        // Of two in a row the first may say that the second is a secret.
        Some(args) => json!(redact_args(&args)).to_string(),
        None => redact(&setting.value).into_owned(),
    }
}

/// The first file of those that are looked for.
pub(crate) fn find() -> Option<PathBuf> {
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
    let (file, untold) = match settings.journals.open_log(settings) {
        Ok(file) => (file, None),
        // It is no reason not to serve.
        Err(failure) => (None, Some(failure)),
    };
    let options = mcplex_telemetry::Options { file, ..telemetry_options(settings) };
    let telemetry =
        mcplex_telemetry::install(options).map_err(|error| telemetry_refused(&error))?;
    if let Some(failure) = untold {
        tracing::warn!(error = failure.sentence(), "the log goes to stderr alone");
    }
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

/// What the options and the environment come to, for `mcplex doctor`.
pub(crate) fn review_telemetry(
    settings: &Settings,
) -> Result<mcplex_telemetry::Review, InstallError> {
    mcplex_telemetry::review(&telemetry_options(settings))
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
        protocol: match wanted.protocol {
            mcplex_config::OtlpProtocol::HttpProtobuf => mcplex_telemetry::Protocol::HttpProtobuf,
            mcplex_config::OtlpProtocol::HttpJson => mcplex_telemetry::Protocol::HttpJson,
            mcplex_config::OtlpProtocol::Grpc => mcplex_telemetry::Protocol::Grpc,
        },
        prometheus: wanted.prometheus,
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
