//! Keys of the original mcplex that its files may still have.
//!
//! What only changed comfort becomes a warning. What kept somebody out is an error as long as it
//! is in force: to go on without it would open what a person had closed.

use crate::{ConfigError, document::Parsed, server::label};
use figment::value::{Dict, Value};

/// Sections that are gone.
const SECTIONS: [&str; 4] = ["agentlens", "cache", "roles", "api_keys"];

/// Keys that are gone, by section.
const KEYS: [(&str, &[&str]); 2] = [
    ("gateway", &["hot_reload", "dashboard", "rate_limit_rps"]),
    ("router", &["mode", "strategy", "top_k", "similarity_threshold", "cache_embeddings"]),
];

/// Keys of a server that are gone.
const SERVER_KEYS: [&str; 1] = ["allowed_roles"];

/// Keys of a server that kept tools from clients.
const SERVER_LOCKS: [&str; 2] = ["allowed_tools", "blocked_tools"];

/// Takes the keys of the original out.
pub(crate) fn convert(
    parsed: &mut Parsed,
    warnings: &mut Vec<String>,
) -> Result<(), Box<ConfigError>> {
    locks(parsed)?;
    let file = parsed.name().to_owned();
    let mut gone = |key: &str| {
        warnings.push(format!("{file}: `{key}` of the original mcplex has no effect here"));
    };
    for section in SECTIONS.into_iter().chain(["security"]) {
        if parsed.settings.remove(section).is_some() {
            gone(section);
        }
    }
    for (section, keys) in KEYS {
        for key in keys {
            if take(&mut parsed.settings, section, key) {
                gone(&format!("{section}.{key}"));
            }
        }
    }
    // Empty, or `locks` had refused it.
    if take(&mut parsed.settings, "gateway", "api_key") {
        gone("gateway.api_key");
    }
    if let Some(Value::Array(_, servers)) = parsed.settings.get_mut("servers") {
        for (index, server) in servers.iter_mut().enumerate() {
            let label = label(index, server);
            let Value::Dict(_, server) = server else { continue };
            // It was written for programs too, where it says nothing.
            let transport = (!server.contains_key("url")).then_some("transport");
            for key in transport.into_iter().chain(SERVER_KEYS).chain(SERVER_LOCKS) {
                if server.remove(key).is_some() {
                    gone(&format!("{label}.{key}"));
                }
            }
        }
    }
    Ok(())
}

/// Refuses what would silently lose its protection.
fn locks(parsed: &Parsed) -> Result<(), Box<ConfigError>> {
    let lost = |path: &[&str], key: &str| {
        ConfigError::new(
            format!("`{key}` is a protection of the original mcplex that is not supported"),
            parsed.place(path, key),
            "remove it if you can do without, or put something in front of mcplex that has it",
        )
    };
    if parsed.settings.get("gateway").is_some_and(|gateway| in_force(gateway.find_ref("api_key"))) {
        return Err(lost(&["gateway", "api_key"], "gateway.api_key"));
    }
    if let Some(Value::Dict(_, security)) = parsed.settings.get("security") {
        for (key, value) in security {
            if value.to_bool() == Some(true) {
                return Err(lost(&["security", key], &format!("security.{key}")));
            }
        }
    }
    let Some(Value::Array(_, servers)) = parsed.settings.get("servers") else { return Ok(()) };
    for (index, server) in servers.iter().enumerate() {
        let (label, index) = (label(index, server), index.to_string());
        for key in SERVER_LOCKS {
            if in_force(server.find_ref(key)) {
                return Err(lost(&["servers", &index, key], &format!("{label}.{key}")));
            }
        }
    }
    Ok(())
}

/// Whether a restriction restricts anything.
fn in_force(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Empty(..)) => false,
        Some(Value::String(_, text)) => !text.is_empty(),
        Some(Value::Array(_, list)) => !list.is_empty(),
        Some(Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Dict(..)) => true,
    }
}

fn take(settings: &mut Dict, section: &str, key: &str) -> bool {
    match settings.get_mut(section) {
        Some(Value::Dict(_, table)) => table.remove(key).is_some(),
        Some(_) | None => false,
    }
}
