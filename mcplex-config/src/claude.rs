//! The `mcpServers` of desktop clients, turned into `[[servers]]`.

use crate::{ConfigError, document::Parsed, load::is_supervise_key, variables::SECTIONS};
use figment::value::{Dict, Value};

/// What an entry may have that means the same in `[[servers]]`, besides the keys of `[supervise]`.
const KEYS: [&str; 9] =
    ["command", "args", "env", "cwd", "url", "headers", "transport", "enabled", "supervise"];

/// How clients call the address of a server, and what two of them mean by it besides.
const URLS: [(&str, Option<&str>); 2] = [("serverUrl", None), ("httpUrl", Some("http"))];

/// How clients call the transports over HTTP, and ours for it.
const KINDS: [(&str, &str); 6] = [
    ("http", "http"),
    ("streamable-http", "http"),
    ("streamableHttp", "http"),
    ("streamable_http", "http"),
    ("sse", "sse"),
    ("auto", "auto"),
];

/// Moves the entries of `mcpServers` into `servers`, sorted by name.
///
/// A `servers` that is a table of tables, as one editor writes it, is treated alike. Keys of
/// a client that mean nothing here become warnings: the file is shared with that client.
pub(crate) fn convert(
    parsed: &mut Parsed,
    warnings: &mut Vec<String>,
) -> Result<(), Box<ConfigError>> {
    let mut tables = Vec::new();
    if let Some(table) = parsed.settings.remove("mcpServers") {
        tables.push(("mcpServers", table));
        foreign_keys(parsed, warnings);
    }
    if parsed.settings.get("servers").is_some_and(|servers| servers.as_dict().is_some()) {
        tables.extend(parsed.settings.remove("servers").map(|table| ("servers", table)));
    }
    for (section, table) in tables {
        let Some(table) = table.into_dict() else {
            return Err(ConfigError::new(
                format!("`{section}`: expected an object of servers by name"),
                parsed.place(&[section], section),
                "write it as {\"mcpServers\": {\"files\": {\"command\": \"npx\"}}}",
            ));
        };
        let mut servers = Vec::new();
        for (name, entry) in table {
            servers.push(server(parsed, section, name, entry, warnings)?);
        }
        match parsed.settings.get_mut("servers") {
            Some(Value::Array(_, known)) => known.extend(servers),
            Some(_) | None => {
                parsed.settings.insert("servers".to_owned(), servers.into());
            }
        }
    }
    Ok(())
}

/// Takes out what belongs to the client whose file this is.
fn foreign_keys(parsed: &mut Parsed, warnings: &mut Vec<String>) {
    let file = parsed.name().to_owned();
    parsed.settings.retain(|key, _| {
        let known = key == "servers" || SECTIONS.contains(&key.as_str());
        if !known {
            warnings.push(format!("{file}: `{key}` means nothing to mcplex and is left out"));
        }
        known
    });
}

/// One entry as a table of `[[servers]]`.
fn server(
    parsed: &Parsed,
    section: &str,
    name: String,
    entry: Value,
    warnings: &mut Vec<String>,
) -> Result<Value, Box<ConfigError>> {
    let key = format!("{section}.{name}");
    let place = |step: &str| parsed.place(&[section, &name, step], &format!("{key}.{step}"));
    let Some(mut entry) = entry.into_dict() else {
        return Err(ConfigError::new(
            format!("`{key}`: expected an object with a `command` or a `url`"),
            parsed.place(&[section, &name], &key),
            "write it as {\"command\": \"npx\", \"args\": []}",
        ));
    };
    let disabled = match entry.remove("disabled") {
        None => false,
        Some(Value::Bool(_, disabled)) => disabled,
        Some(_) => {
            let what = format!("`{key}.disabled`: expected true or false");
            return Err(ConfigError::new(what, place("disabled"), "write it without quotes"));
        }
    };
    let disabled = disabled || entry.get("enabled").and_then(Value::to_bool) == Some(false);
    remote(parsed, section, &name, &mut entry)?;
    let mut server = Dict::from([("name".to_owned(), Value::from(name.clone()))]);
    if disabled {
        server.insert("enabled".to_owned(), false.into());
        entry.remove("enabled");
    }
    for (step, value) in entry {
        if KEYS.contains(&step.as_str()) || is_supervise_key(&step) {
            server.insert(step, value);
        } else {
            let file = parsed.name();
            warnings
                .push(format!("{file}: `{key}.{step}` means nothing to mcplex and is left out"));
        }
    }
    Ok(server.into())
}

/// Turns the words for a server elsewhere into ours.
fn remote(
    parsed: &Parsed,
    section: &str,
    name: &str,
    entry: &mut Dict,
) -> Result<(), Box<ConfigError>> {
    let transport = entry.remove("transport");
    let kind = entry.remove("type").or(transport);
    let mut kind = kind.as_ref().and_then(Value::as_str).map(str::to_owned);
    for (word, means) in URLS {
        if let Some(url) = entry.remove(word) {
            entry.insert("url".to_owned(), url);
            kind = kind.or_else(|| means.map(str::to_owned));
        }
    }
    let Some(kind) = kind.filter(|kind| kind != "stdio") else { return Ok(()) };
    let key = format!("{section}.{name}");
    let Some((_, ours)) = KINDS.iter().find(|(word, _)| *word == kind) else {
        return Err(ConfigError::new(
            format!("`{key}`: mcplex knows no transport {kind:?}"),
            parsed.place(&[section, name, "type"], &key),
            "servers are reached over \"stdio\", \"http\" or \"sse\"",
        ));
    };
    if !entry.contains_key("url") {
        return Err(ConfigError::new(
            format!("`{key}` is to be reached over {kind:?} and has no `url`"),
            parsed.place(&[section, name], &key),
            "write it like \"url\": \"https://mcp.example/mcp\"",
        ));
    }
    entry.insert("transport".to_owned(), Value::from(*ours));
    Ok(())
}
