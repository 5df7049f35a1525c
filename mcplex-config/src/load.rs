//! The layers, one over the other.

use crate::{
    Config, ConfigError, DEFAULT_TOML, Loaded, Place, Sources, Supervise, check, document::Parsed,
    expand, loaded, server, suggest::nearest, variables,
};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Toml},
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";

/// What `origin` says of a value that nobody set.
pub(crate) const DEFAULT: &str = "default";

impl Config {
    /// Reads every source and checks what comes out.
    ///
    /// # Errors
    /// At the first thing that is wrong, with its place and what to do about it.
    pub fn load(sources: Sources) -> Result<Loaded, Box<ConfigError>> {
        let mut warnings = Vec::new();
        let has_file = sources.document.is_some();
        let layers = Layers::new(sources, &mut warnings)?;
        layers.check_sections()?;
        let supervise: Supervise = layers.section("supervise")?;
        layers.check_supervise(&supervise, &["supervise"], "supervise")?;
        let gateway = layers.section("gateway")?;
        layers.check_gateway(&gateway)?;
        let admin = layers.section("admin")?;
        layers.check_admin(&admin, &gateway)?;
        let telemetry = layers.section("telemetry")?;
        layers.check_log_file(&telemetry)?;
        let audit = layers.section("audit")?;
        layers.check_audit(&audit)?;
        let servers = server::read(&layers, &layers.table("supervise"), &telemetry)?;
        let config = Self {
            gateway,
            auth: layers.section("auth")?,
            admin,
            router: layers.section("router")?,
            telemetry,
            audit,
            history: layers.section("history")?,
            host: layers.section("host")?,
            supervise,
            servers,
        };
        check::warnings(&config, has_file, &mut warnings);
        let settings = loaded::settings(&layers);
        Ok(Loaded { config, warnings, settings })
    }
}

/// All layers merged, with the file at hand for its lines.
#[derive(Debug)]
pub(crate) struct Layers {
    file: Option<Parsed>,
    defaults: Dict,
    /// As written, for people to see.
    written: Figment,
    /// With every `${NAME}` replaced, for use.
    expanded: Figment,
}

impl Layers {
    fn new(sources: Sources, warnings: &mut Vec<String>) -> Result<Self, Box<ConfigError>> {
        let Sources { document, env, flags } = sources;
        let defaults = defaults();
        let file = document.map(|document| document.read(warnings)).transpose()?;
        let lookup = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let lookup: BTreeMap<&str, &str> = lookup.collect();
        let as_written = file.as_ref().map(|file| file.settings.clone()).unwrap_or_default();
        let expanded = match &file {
            Some(file) => expand::expand(file, &lookup)?,
            None => Dict::new(),
        };
        let variables = variables::from_env(&env, &defaults, warnings)?;
        let flags = variables::from_flags(flags);
        let merged = |file: Dict| {
            Figment::new()
                .merge(Layer { name: DEFAULT, settings: defaults.clone() })
                .merge(Layer { name: FILE, settings: file })
                .merge(Layer { name: ENVIRONMENT, settings: variables.clone() })
                .merge(Layer { name: FLAGS, settings: flags.clone() })
        };
        let (written, expanded) = (merged(as_written), merged(expanded));
        Ok(Self { file, defaults, written, expanded })
    }

    /// Refuses sections that do not exist.
    fn check_sections(&self) -> Result<(), Box<ConfigError>> {
        let Some(file) = &self.file else { return Ok(()) };
        let known = || variables::SECTIONS.into_iter().chain(["servers"]);
        match file.settings.keys().find(|key| !known().any(|known| known == *key)) {
            None => Ok(()),
            Some(key) => {
                let hint = match nearest(key, known().chain(["mcpServers"])) {
                    Some("servers") => "did you mean `[[servers]]`?".to_owned(),
                    Some("mcpServers") => "did you mean `mcpServers`?".to_owned(),
                    Some(meant) => format!("did you mean `[{meant}]`?"),
                    None => {
                        let known: Vec<_> = known().collect();
                        format!("remove it; the sections are {}", known.join(", "))
                    }
                };
                let what = format!("`{key}` is not a section");
                Err(ConfigError::new(what, file.place(&[key], key), hint))
            }
        }
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, Box<ConfigError>> {
        let value = self.expanded.find_value(name).expect("default.toml has every section");
        value.deserialize().map_err(|error| self.translate(&error, &[name], name))
    }

    /// A section as it came out of the layers.
    fn table(&self, name: &str) -> Dict {
        let value = self.expanded.find_value(name).ok();
        value.and_then(Value::into_dict).unwrap_or_default()
    }

    /// The tables of the servers, ready for use.
    pub(crate) fn servers(&self) -> Result<Vec<Value>, Box<ConfigError>> {
        match self.expanded.find_value("servers") {
            Err(_) => Ok(Vec::new()),
            Ok(Value::Array(_, servers)) => Ok(servers),
            Ok(_) => Err(ConfigError::new(
                "`servers`: expected a list of tables",
                self.file_place(&["servers"], "servers"),
                "begin each server with a line `[[servers]]`",
            )),
        }
    }

    /// Everything as a person wrote it.
    pub(crate) fn written(&self, section: &str) -> Option<Value> {
        self.written.find_value(section).ok()
    }

    /// The default of a setting or section.
    pub(crate) fn default(&self, path: &[&str]) -> Option<Value> {
        let (section, keys) = path.split_first()?;
        let mut value = self.defaults.get(*section)?;
        for key in keys {
            value = value.as_dict()?.get(*key)?;
        }
        Some(value.clone())
    }

    /// Whether the file itself sets `key` in the table at `path`, or in the server directly.
    pub(crate) fn has(&self, path: &[&str], key: &str) -> bool {
        match path {
            ["servers", number, step] => {
                let server = self.server(number);
                let nested =
                    server.as_ref().and_then(|server| server.find_ref(step)?.find_ref(key));
                nested.is_some() || self.is_short(number, key)
            }
            _ => {
                let metadata = self.expanded.find_metadata(&[path, &[key]].concat().join("."));
                metadata.is_some_and(|layer| layer.name != DEFAULT)
            }
        }
    }

    fn server(&self, number: &str) -> Option<Value> {
        let mut servers = self.servers().unwrap_or_default();
        let number = number.parse::<usize>().ok().filter(|number| *number < servers.len())?;
        Some(servers.swap_remove(number))
    }

    /// Whether a server has a key of `[supervise]` in its own table.
    fn is_short(&self, number: &str, key: &str) -> bool {
        self.default(&["supervise", key]).is_some()
            && self.server(number).is_some_and(|server| server.find_ref(key).is_some())
    }

    /// Where a setting came from; servers stand in the file only.
    pub(crate) fn place(&self, path: &[&str], key: &str) -> Place {
        if let ["servers", number, "supervise", step] = path {
            if self.is_short(number, step) {
                return self.file_place(&["servers", number, step], key);
            }
            if !self.has(&path[..3], step) {
                return self.place(&["supervise", step], key);
            }
        }
        let layer = self.written.find_metadata(&path.join(".")).map(|layer| &*layer.name);
        let mut place = match (path, layer) {
            ([section, step, ..], Some(ENVIRONMENT)) => {
                Place::whole(variables::variable(section, step))
            }
            ([section, step, ..], Some(FLAGS)) => Place::whole(variables::flag(section, step)),
            (_, Some(DEFAULT)) => Place::whole(DEFAULT),
            (_, _) => return self.file_place(path, key),
        };
        place.key = Some(key.to_owned());
        place
    }

    /// Where a setting stands in the file.
    pub(crate) fn file_place(&self, path: &[&str], key: &str) -> Place {
        match &self.file {
            Some(file) => file.place(path, key),
            None => Place::whole(DEFAULT),
        }
    }
}

/// Whether `[supervise]` has this key.
pub(crate) fn is_supervise_key(key: &str) -> bool {
    defaults().get("supervise").and_then(|table| table.find_ref(key)).is_some()
}

/// The compiled-in layer.
fn defaults() -> Dict {
    Toml::from_str(DEFAULT_TOML).expect("default.toml is tested")
}

/// One layer under figment's eyes, which remember the name with every value.
struct Layer {
    name: &'static str,
    settings: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.settings.clone())]))
    }
}
