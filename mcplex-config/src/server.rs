//! The tables of `[[servers]]`.

use crate::{
    ConfigError, HttpTransport, Propagate, Server, Supervise, Telemetry, Tracing,
    load::Layers,
    reach::{self, ProcessWords, RemoteWords},
    remote_auth::AuthWords,
    unit::{self, is_name_byte},
};
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
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    transport: Option<HttpTransport>,
    #[serde(default)]
    auth: Option<AuthWords>,
    #[serde(default = "enabled_by_default")]
    enabled: bool,
    #[serde(default)]
    telemetry: TracingWords,
    #[serde(default, rename = "supervise")]
    _supervise: IgnoredAny,
}

/// What a server says otherwise than `[telemetry]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TracingWords {
    #[serde(default, deserialize_with = "unit::some_propagate")]
    propagate: Option<Propagate>,
    #[serde(default)]
    stderr_tail: Option<bool>,
}

impl TracingWords {
    fn over(&self, global: &Telemetry) -> Tracing {
        Tracing {
            propagate: self.propagate.unwrap_or(global.propagate),
            stderr_tail: self.stderr_tail.unwrap_or(global.stderr_tail),
        }
    }
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

/// The tables of all servers, checked each and against each other.
pub(crate) fn read(
    layers: &Layers,
    global: &Dict,
    telemetry: &Telemetry,
) -> Result<Vec<Server>, Box<ConfigError>> {
    let mut servers = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, value) in layers.servers()?.iter().enumerate() {
        let server = one(layers, (global, telemetry), index, value)?;
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
    (global, telemetry): (&Dict, &Telemetry),
    index: usize,
    value: &Value,
) -> Result<Server, Box<ConfigError>> {
    let (label, number) = (label(index, value), index.to_string());
    let wrong = |step: &str, what: &str, hint: &str| wrong(layers, index, value, step, what, hint);
    let (table, short) = split(layers, value);
    let table: Table = table
        .deserialize()
        .map_err(|error| layers.translate(&error, &["servers", &number], &label))?;
    let Table {
        name,
        command,
        args,
        env,
        cwd,
        url,
        headers,
        transport,
        auth,
        enabled,
        telemetry: own,
        ..
    } = table;
    if !is_name(&name) {
        let what = format!("expected 1 to {MAX_NAME} letters, digits, `_` or `-`, found {name:?}");
        let hint = "it becomes part of tool names; put `-` where there is a space";
        return Err(wrong("name", &what, hint));
    }
    let process = ProcessWords { args, env, cwd };
    let remote = RemoteWords { headers, transport, auth };
    let reach = match (command, url) {
        (Some(command), None) => process.with(command, &remote),
        (None, Some(url)) => remote.with(url, &process, enabled),
        (Some(_), Some(_)) => Err(reach::both()),
        (None, None) => {
            let what = format!("`{label}` has no `command` and no `url`");
            let place = layers.file_place(&["servers", &number], &label);
            return Err(ConfigError::new(what, place, reach::EITHER));
        }
    };
    let reach = reach.map_err(|problem| wrong(&problem.at, &problem.what, &problem.hint))?;
    let supervise = supervise(layers, value, short, global, &number, &label)?;
    Ok(Server { name, reach, enabled, supervise, telemetry: own.over(telemetry) })
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
    let number = index.to_string();
    let path: Vec<&str> = ["servers", &number].into_iter().chain(step.split('.')).collect();
    let place = layers.file_place(&path, &key);
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
