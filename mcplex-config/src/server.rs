//! The tables of `[[servers]]`.

use crate::{ConfigError, Place, Server, Supervise, load::Layers, unit::is_name_byte};
use figment::value::{Dict, Value};
use serde::{Deserialize, de::IgnoredAny};
use std::{collections::BTreeMap, path::PathBuf};

/// The longest name; a prefixed tool name must stay short enough for model providers.
const MAX_NAME: usize = 64;

/// A table as it is written; `supervise` and its keys are read by themselves, over the global one.
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

/// What a server is called in errors: by its name, or by its number where it has no usable one.
pub(crate) fn label(index: usize, server: &Value) -> String {
    match server.find_ref("name").and_then(Value::as_str).filter(|name| is_name(name)) {
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
pub(crate) fn read(layers: &Layers, global: &Dict) -> Result<Vec<Server>, Box<ConfigError>> {
    let mut servers = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, value) in layers.servers()?.iter().enumerate() {
        // One that is in use was refused; one that is not keeps its place, which lines are found by.
        if value.find_ref("url").is_some() {
            continue;
        }
        let server = one(layers, global, index, value)?;
        if let Some(first) = names.insert(server.name.clone(), index) {
            let first = layers.file_place(&["servers", &first.to_string(), "name"], "");
            let what = format!("the name is taken by the server at {first}");
            let own = "give each server a name of its own";
            return Err(wrong(layers, index, value, "name", &what, own));
        }
        servers.push(server);
    }
    Ok(servers)
}

fn one(
    layers: &Layers,
    global: &Dict,
    index: usize,
    value: &Value,
) -> Result<Server, Box<ConfigError>> {
    let (label, number) = (label(index, value), index.to_string());
    let wrong = |step, what: &str, hint| Err(wrong(layers, index, value, step, what, hint));
    let (table, short) = split(layers, value);
    let Table { name, command, args, env, cwd, enabled, _supervise: IgnoredAny } = table
        .deserialize()
        .map_err(|error| layers.translate(&error, &["servers", &number], &label))?;
    if !is_name(&name) {
        let what = format!("expected 1 to {MAX_NAME} letters, digits, `_` or `-`, found {name:?}");
        let hint = "it becomes part of tool names; put `-` where there is a space";
        return wrong("name", &what, hint);
    }
    if command.trim().is_empty() || command.contains('\0') {
        let hint = "give the program that speaks MCP on its stdin and stdout";
        return wrong("command", "expected the name or path of a program", hint);
    }
    if args.iter().any(|text| text.contains('\0')) {
        return wrong("args", "a NUL cannot be passed to a program", "take it out");
    }
    let bad = |(name, value): &(&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if let Some((name, _)) = env.iter().find(bad) {
        let hint = "names have no `=`, and neither names nor values have a NUL";
        return wrong("env", &format!("{name:?} cannot be a variable"), hint);
    }
    let supervise = supervise(layers, value, short, global, &number, &label)?;
    Ok(Server { name, command, args, env, cwd, enabled, supervise })
}

fn wrong(
    layers: &Layers,
    index: usize,
    server: &Value,
    step: &str,
    what: &str,
    hint: &str,
) -> Box<ConfigError> {
    let key = format!("{}.{step}", label(index, server));
    let place = layers.file_place(&["servers", &index.to_string(), step], &key);
    ConfigError::new(format!("`{key}`: {what}"), place, hint)
}

/// The table without the keys of `[supervise]` that stand in it directly, and those keys.
fn split(layers: &Layers, server: &Value) -> (Value, Dict) {
    let Value::Dict(_, table) = server else { return (server.clone(), Dict::new()) };
    let is_short = |key: &str| layers.default(&["supervise", key]).is_some();
    let (short, own): (Dict, Dict) = table.clone().into_iter().partition(|(key, _)| is_short(key));
    (own.into(), short)
}

/// `[supervise]` with the server's own table over it, and what stands in the server directly.
fn supervise(
    layers: &Layers,
    server: &Value,
    short: Dict,
    global: &Dict,
    number: &str,
    label: &str,
) -> Result<Supervise, Box<ConfigError>> {
    let (table, path) = (["servers", number], ["servers", number, "supervise"]);
    let nested = format!("{label}.supervise");
    let mut merged = global.clone();
    match server.find_ref("supervise") {
        None => (),
        Some(Value::Dict(_, own)) => {
            if let Some(key) = short.keys().find(|key| own.contains_key(*key)) {
                let place = layers.file_place(&[&table[..], &[key]].concat(), label);
                let what = format!("`{label}.{key}`: it is set as `{nested}.{key}` as well");
                return Err(ConfigError::new(what, place, "keep one of the two"));
            }
            merged.extend(own.clone());
        }
        Some(_) => {
            return Err(ConfigError::new(
                format!("`{nested}`: expected a table"),
                layers.file_place(&path, &nested),
                "write it as a table `[servers.supervise]` below the server",
            ));
        }
    }
    merged.extend(short.clone());
    let supervise: Supervise =
        Value::from(merged).deserialize().map_err(|error| match error.path.first() {
            Some(key) if short.contains_key(key) => layers.translate(&error, &table, label),
            Some(_) | None => layers.translate(&error, &path, &nested),
        })?;
    layers.check_supervise(&supervise, &path, &nested)?;
    Ok(supervise)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_name_byte)
}
