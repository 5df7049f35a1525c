//! `mcplex check`: says what would run, without running it.

use crate::{
    args::{CheckOptions, LogOptions},
    exit::{Code, Failure, print},
    places::Places,
    settings::{self, Settings},
};
use mcplex_config::Server;
use mcplex_proto::{redact::redact, transport::ConnectError};
use mcplex_transport_stdio::{check_interpreter, resolve};
use serde_json::{Value, json};
use std::{ffi::OsStr, path::PathBuf};

pub(crate) fn run(options: &CheckOptions) -> Result<(), Failure> {
    let settings = settings::load(&options.config, None, &LogOptions::default())?;
    settings::check_telemetry(&settings)?;
    let found: Vec<_> =
        settings.config().servers.iter().map(|server| (server, find(server))).collect();
    let text =
        if options.json { json_report(&settings, &found) } else { report(&settings, &found) };
    print(&text)?;
    let bad = found.iter().filter(|(server, found)| server.enabled && found.is_err()).count();
    if bad == 0 {
        return Ok(());
    }
    let noun = if bad == 1 { "server" } else { "servers" };
    Err(Failure::new(Code::Configuration, format!("{bad} {noun} could not be started"))
        .with_hint("correct `command`, or install what is missing, and check again"))
}

type Found = Result<PathBuf, ConnectError>;

/// The program a server's command means, looked for where the start would look.
fn find(server: &Server) -> Found {
    let own = server.env.get("PATH").map(|path| OsStr::new(path).to_owned());
    let path = own.or_else(|| std::env::var_os("PATH"));
    let (path, cwd) = (path.as_deref(), server.cwd.as_deref());
    let program = resolve(&server.command, path, cwd)?;
    check_interpreter(&program, path, cwd)?;
    Ok(program)
}

fn report(settings: &Settings, found: &[(&Server, Found)]) -> String {
    let config = settings.config();
    let source = match &settings.file {
        Some(file) => file.display().to_string(),
        None => "the built-in demo (there is no configuration file)".to_owned(),
    };
    let mut lines = vec![
        format!("configuration  {source}"),
        format!("endpoint       http://{}{}", config.gateway.listen, config.gateway.path),
    ];
    let places = settings.places();
    lines.extend(
        control(settings, &places).map(|path| format!("control        {}", path.display())),
    );
    lines.extend(places.state(config).map(|path| format!("state          {}", path.display())));
    lines
        .extend(settings.loaded.warnings.iter().map(|warning| format!("warning        {warning}")));
    for (server, found) in found {
        lines.push(String::new());
        let off = if server.enabled { "" } else { "  (disabled: not started)" };
        lines.push(format!("{}{off}", server.name));
        match found {
            Ok(program) => {
                let words: Vec<_> = std::iter::once(program.display().to_string())
                    .chain(server.args.iter().map(|arg| quoted(&redact(arg))))
                    .collect();
                lines.push(format!("  runs   {}", words.join(" ")));
            }
            Err(error) => lines.push(format!("  error  {error}")),
        }
        if let Some(cwd) = &server.cwd {
            lines.push(format!("  in     {}", cwd.display()));
        }
        if !server.env.is_empty() {
            // Values may be secrets.
            let names: Vec<_> = server.env.keys().map(String::as_str).collect();
            lines.push(format!("  with   {}", names.join(", ")));
        }
    }
    lines.join("\n") + "\n"
}

/// Where operators' commands would reach it.
fn control(settings: &Settings, places: &Places) -> Option<PathBuf> {
    settings.config().gateway.control.then(|| places.sockets().next()).flatten()
}

/// An argument as a shell would need it.
fn quoted(arg: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !arg.is_empty() && arg.chars().all(is_plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
}

fn json_report(settings: &Settings, found: &[(&Server, Found)]) -> String {
    let servers: Vec<Value> = found
        .iter()
        .map(|(server, found)| {
            json!({
                "name": server.name,
                "enabled": server.enabled,
                "program": found.as_ref().ok(),
                "args": server.args.iter().map(|arg| redact(arg)).collect::<Vec<_>>(),
                "cwd": server.cwd,
                "env": server.env.keys().collect::<Vec<_>>(),
                "error": found.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    let origins: Vec<Value> = settings
        .loaded
        .settings()
        .iter()
        .map(|setting| {
            // Texts, numbers and lists are written alike in TOML and in JSON.
            let value: Value = serde_json::from_str(&setting.value)
                .unwrap_or_else(|_| Value::from(setting.value.as_str()));
            json!({ "key": setting.key, "value": value, "origin": setting.origin })
        })
        .collect();
    let places = settings.places();
    let report = json!({
        "file": settings.file,
        "control": control(settings, &places),
        "state": places.state(settings.config()),
        "warnings": settings.loaded.warnings,
        "servers": servers,
        "settings": origins,
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_pasted_into_a_shell() {
        let check = |arg: &str, expect: &str| assert_eq!(quoted(arg), expect);
        check("-y", "-y");
        check("@scope/name", "@scope/name");
        check("", "''");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
    }
}
