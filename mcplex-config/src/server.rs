//! The tables of `[[servers]]`.

use crate::{ConfigError, Place, Server, Supervise, load::Layers, unit::is_name_byte};
use figment::value::{Dict, Value};
use serde::{Deserialize, de::IgnoredAny};
use std::{collections::BTreeMap, path::PathBuf};

/// The longest name; a prefixed tool name must stay short enough for model providers.
const MAX_NAME: usize = 64;

/// A table as it is written; `supervise` is read by itself, over the global one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default = "enabled_by_default")]
    enabled: bool,
    #[serde(default, rename = "supervise")]
    _supervise: IgnoredAny,
}

fn enabled_by_default() -> bool {
    true
}

/// What a server is called in errors: by its name, or by its number where it has none.
pub(crate) fn label(index: usize, server: &Value) -> String {
    match server.find_ref("name").and_then(Value::as_str) {
        Some(name) => format!("servers.{name}"),
        None => format!("servers[{index}]"),
    }
}

/// The error for a server that is reached over HTTP.
pub(crate) fn remote(key: &str, place: Place) -> Box<ConfigError> {
    ConfigError::new(
        format!("`{key}`: servers that are reached over HTTP are not supported yet"),
        place,
        "remove it, set `enabled = false` (TOML) or `\"disabled\": true` (JSON), \
         or start it through a program that bridges stdio to HTTP",
    )
}

/// The tables of all servers, checked each and against each other.
pub(crate) fn read(layers: &Layers, defaults: &Dict) -> Result<Vec<Server>, Box<ConfigError>> {
    let mut servers: Vec<Server> = Vec::new();
    for (index, value) in layers.servers()?.iter().enumerate() {
        let number = index.to_string();
        let label = label(index, value);
        let wrong = |step: &str, what: String, hint: &str| {
            let key = format!("{label}.{step}");
            let place = layers.file_place(&["servers", &number, step], &key);
            ConfigError::new(format!("`{key}`: {what}"), place, hint)
        };
        let table: Table = value
            .deserialize()
            .map_err(|error| layers.translate(&error, &["servers", &number], &label))?;
        name(&table.name).map_err(|(what, hint)| wrong("name", what, hint))?;
        if let Some(first) = servers.iter().position(|server| server.name == table.name) {
            let first = layers.file_place(&["servers", &first.to_string(), "name"], "");
            let what = format!("the name is taken by the server at {first}");
            return Err(wrong("name", what, "give each server a name of its own"));
        }
        let program = "give the program that speaks MCP on its stdin and stdout";
        if table.command.trim().is_empty() {
            return Err(wrong("command", "expected a program, found nothing".into(), program));
        }
        if [&table.command].into_iter().chain(&table.args).any(|text| text.contains('\0')) {
            return Err(wrong("command", "a NUL cannot be passed to a program".into(), program));
        }
        let bad = |(name, value): &(&String, &String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        if let Some((name, _)) = table.env.iter().find(bad) {
            let hint = "names have no `=`, and neither names nor values have a NUL";
            return Err(wrong("env", format!("{name:?} cannot be a variable"), hint));
        }
        let supervise = supervise(layers, value, defaults, &number, &label)?;
        let Table { name, command, args, env, cwd, enabled, _supervise: IgnoredAny } = table;
        servers.push(Server { name, command, args, env, cwd, enabled, supervise });
    }
    Ok(servers)
}

/// `[supervise]` with the server's own table over it.
fn supervise(
    layers: &Layers,
    server: &Value,
    global: &Dict,
    number: &str,
    label: &str,
) -> Result<Supervise, Box<ConfigError>> {
    let path = ["servers", number, "supervise"];
    let label = format!("{label}.supervise");
    let mut merged = global.clone();
    match server.find_ref("supervise") {
        None => (),
        Some(Value::Dict(_, own)) => merged.extend(own.clone()),
        Some(_) => {
            return Err(ConfigError::new(
                format!("`{label}`: expected a table"),
                layers.file_place(&path, &label),
                "write it as a table `[servers.supervise]` below the server",
            ));
        }
    }
    let supervise: Supervise = Value::from(merged)
        .deserialize()
        .map_err(|error| layers.translate(&error, &path, &label))?;
    layers.check_supervise(&supervise, &path, &label)?;
    Ok(supervise)
}

fn name(name: &str) -> Result<(), (String, &'static str)> {
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_name_byte) {
        return Ok(());
    }
    Err((
        format!("expected 1 to {MAX_NAME} letters, digits, `_` or `-`, found {name:?}"),
        "it becomes part of tool names; put `-` where there is a space",
    ))
}
