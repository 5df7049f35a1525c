//! What loading gives, and where each value came from.

use crate::{
    Config,
    load::{DEFAULT, Layers},
    server,
    variables::{SECTIONS, written},
};
use figment::value::Value;

/// What stands for a value that must not be seen.
const HIDDEN: &str = "(hidden)";

/// Settings that can be used, and how they came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What works but should be looked at; sentences without a period.
    pub warnings: Vec<String>,
    pub(crate) settings: Vec<Setting>,
}

/// One setting with its value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting, such as `gateway.listen` or `servers.files.command`.
    pub key: String,
    /// Its value as TOML, before `${NAME}` is replaced; variables and headers of servers are hidden.
    pub value: String,
    /// `default`, `file:line`, a variable or a flag.
    pub origin: String,
}

impl Loaded {
    /// Where a setting came from: `default`, `file:line`, a variable or a flag.
    ///
    /// Of a server's `supervise` it is where `[supervise]` has it, unless the server overrides it.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        let own = |key: &str| self.settings.iter().find(|setting| setting.key == key);
        let global = || {
            let (server, step) = key.rsplit_once(".supervise.")?;
            own(&format!("{server}.{step}")).or_else(|| own(&format!("supervise.{step}")))
        };
        let setting = own(key).or_else(global);
        setting.map_or_else(|| DEFAULT.to_owned(), |setting| setting.origin.clone())
    }

    /// Every setting, sorted by section and key; of servers, in their order, what the file says.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

/// Lists every setting with what a person may see of it.
pub(crate) fn settings(layers: &Layers) -> Vec<Setting> {
    let mut settings = Vec::new();
    for section in SECTIONS {
        let Some(Value::Dict(_, table)) = layers.written(section) else { continue };
        for (step, value) in &table {
            settings.push(setting(layers, &[section, step], format!("{section}.{step}"), value));
        }
    }
    let Some(Value::Array(_, servers)) = layers.written("servers") else { return settings };
    for (index, value) in servers.iter().enumerate() {
        let label = server::label(index, value);
        let number = index.to_string();
        let Value::Dict(_, table) = value else { continue };
        for (step, value) in table {
            let path = ["servers", &number, step];
            let nested = value.as_dict().filter(|_| {
                matches!(&**step, "env" | "headers" | "auth" | "supervise" | "telemetry")
            });
            let Some(nested) = nested else {
                settings.push(setting(layers, &path, format!("{label}.{step}"), value));
                continue;
            };
            for (last, value) in nested {
                let path = [path[0], path[1], path[2], last];
                settings.push(setting(layers, &path, format!("{label}.{step}.{last}"), value));
            }
        }
    }
    settings
}

fn setting(layers: &Layers, path: &[&str], key: String, value: &Value) -> Setting {
    let value = match path {
        ["servers", _, "env" | "headers", ..]
        | ["admin", "token"]
        | ["servers", _, "auth", "client_secret" | "private_key" | "refresh_token"] => {
            HIDDEN.to_owned()
        }
        ["servers", _, "url"] | ["telemetry", "endpoint"] => match written(value).split_once('?') {
            Some((plain, _)) => format!("{plain}?{HIDDEN}\""),
            None => written(value),
        },
        _ => written(value),
    };
    let origin = layers.place(path, &key).to_string();
    Setting { key, value, origin }
}
