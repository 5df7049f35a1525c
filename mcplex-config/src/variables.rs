//! The layers above the file: `MCPLEX_SECTION__KEY` and flags.

use crate::{ConfigError, Flags, Place, suggest::nearest};
use figment::value::{Dict, Num, Value};

/// The sections that every layer may set; `servers` stands in files only.
pub(crate) const SECTIONS: [&str; 9] =
    ["gateway", "auth", "admin", "router", "telemetry", "audit", "history", "host", "supervise"];

const PREFIX: &str = "MCPLEX_";

/// The mark on all processes of a server; it is there when mcplex is the server of another mcplex.
const MARK: &str = "MCPLEX_TREE";

/// The variable that sets `section.key`.
pub(crate) fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{section}__{key}").to_ascii_uppercase()
}

/// The flag that sets `section.key`.
pub(crate) fn flag(section: &str, key: &str) -> &'static str {
    match (section, key) {
        ("gateway", "listen") => "--listen",
        ("telemetry", "log") => "--log",
        ("telemetry", "log_format") => "--log-format",
        ("telemetry", "endpoint") => "--endpoint",
        _ => "a flag",
    }
}

/// The settings in the environment, each read as the type its default has.
pub(crate) fn from_env(
    env: &[(String, String)],
    defaults: &Dict,
    warnings: &mut Vec<String>,
) -> Result<Dict, Box<ConfigError>> {
    let mut settings = Dict::new();
    for (name, text) in env {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let Some((section, key)) = path.split_once("__") else {
            if name != MARK {
                warnings.push(not_read(name, defaults));
            }
            continue;
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let table = defaults.get(&section).and_then(Value::as_dict);
        let Some(default) = table.and_then(|table| table.get(&key)) else {
            return Err(unknown(name, &section, defaults));
        };
        let value = value(default, text).ok_or_else(|| {
            let mut place = Place::whole(name);
            place.key = Some(format!("{section}.{key}"));
            let what = format!("`{section}.{key}`: expected {}, found {text:?}", kind(default));
            ConfigError::new(what, place, format!("set it like {name}={}", written(default)))
        })?;
        insert(&mut settings, &section, &key, value);
    }
    Ok(settings)
}

/// The settings that flags were given for.
pub(crate) fn from_flags(flags: Flags) -> Dict {
    let mut settings = Dict::new();
    for (section, key, value) in [
        ("gateway", "listen", flags.listen),
        ("telemetry", "log", flags.log),
        ("telemetry", "log_format", flags.log_format),
        ("telemetry", "endpoint", flags.endpoint),
    ] {
        if let Some(value) = value {
            insert(&mut settings, section, key, value.into());
        }
    }
    settings
}

/// A value as a person would write it in TOML.
pub(crate) fn written(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("\"{letter}\""),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (_, _, Some(broken)) => broken.to_string(),
            (None, None, None) => String::new(),
        },
        Value::Empty(..) => String::new(),
        Value::Array(_, list) => {
            format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, table) => {
            let pairs: Vec<_> =
                table.iter().map(|(k, v)| format!("{k} = {}", written(v))).collect();
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
    }
}

/// `text` as the type of `default`.
fn value(default: &Value, text: &str) -> Option<Value> {
    Some(match default {
        Value::Bool(..) => Value::from(text.parse::<bool>().ok()?),
        Value::Num(_, Num::F32(_) | Num::F64(_)) => Value::from(text.parse::<f64>().ok()?),
        Value::Num(..) => Value::from(text.parse::<u64>().ok()?),
        Value::Array(..) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::from(parts.map(Value::from).collect::<Vec<_>>())
        }
        Value::String(..) | Value::Char(..) | Value::Empty(..) | Value::Dict(..) => text.into(),
    })
}

fn kind(default: &Value) -> &'static str {
    match default {
        Value::Bool(..) => "true or false",
        Value::Num(_, Num::F32(_) | Num::F64(_)) => "a number",
        Value::Num(..) => "a whole number of 0 or more",
        Value::Array(..) => "a list with commas",
        Value::String(..) | Value::Char(..) | Value::Empty(..) | Value::Dict(..) => "a text",
    }
}

fn insert(settings: &mut Dict, section: &str, key: &str, value: Value) {
    let table = settings.entry(section.to_owned()).or_insert_with(|| Dict::new().into());
    if let Value::Dict(_, table) = table {
        table.insert(key.to_owned(), value);
    }
}

/// Every variable there is.
fn variables(defaults: &Dict) -> Vec<String> {
    let keys = |(section, table): (&String, &Value)| {
        let table = table.as_dict().cloned().unwrap_or_default();
        table.keys().map(|key| variable(section, key)).collect::<Vec<_>>()
    };
    defaults.iter().flat_map(keys).collect()
}

/// The variable that was meant by one with a single underscore.
fn misspelled(name: &str, defaults: &Dict) -> Option<String> {
    variables(defaults).into_iter().find(|known| known.replace("__", "_") == *name)
}

/// What is said of a variable with our prefix that sets nothing.
fn not_read(name: &str, defaults: &Dict) -> String {
    let known = variables(defaults);
    let near = || nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    match misspelled(name, defaults).or_else(near) {
        Some(meant) => format!("{name} is not read; the setting is {meant}"),
        None => format!("{name} is not read; settings are called MCPLEX_SECTION__KEY"),
    }
}

fn unknown(name: &str, section: &str, defaults: &Dict) -> Box<ConfigError> {
    let known = variables(defaults);
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        _ if section == "servers" => "servers are set in a file; give one with -c".to_owned(),
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("remove it; sections are {}", SECTIONS.join(", ")),
    };
    ConfigError::new(format!("{name} is not a setting"), Place::whole(name), hint)
}
