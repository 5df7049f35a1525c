//! `mcplex check`: says what would run, without running it.

use crate::{
    args::{CheckOptions, LogOptions},
    doorman::TokenDoorman,
    exit::{Code, Failure, print},
    journals,
    places::Places,
    settings::{self, Settings},
    tokens::{Shown, Tokens},
};
use mcplex_config::{Process, Reach, Server};
use mcplex_proto::{
    redact::{redact, redact_args},
    transport::ConnectError,
};
#[cfg(unix)]
use mcplex_transport_stdio::check_interpreter;
use mcplex_transport_stdio::resolve;
use serde_json::{Value, json};
use std::{ffi::OsStr, path::PathBuf};

pub(crate) fn run(options: &CheckOptions) -> Result<(), Failure> {
    let settings = settings::load(&options.config, None, &LogOptions::default())?;
    settings::check_telemetry(&settings)?;
    // What `serve` would refuse; nobody is asked anything here.
    TokenDoorman::of(settings.config(), settings.config().gateway.listen)?;
    let tokens = Tokens::new(settings.places().state(settings.config()).as_deref());
    let servers = settings.config().servers.iter();
    let found: Vec<_> = servers.map(|server| (server, find(server, &tokens))).collect();
    let text =
        if options.json { json_report(&settings, &found) } else { report(&settings, &found) };
    print(&text)?;
    let bad =
        found.iter().filter(|(server, found)| server.enabled && found.error().is_some()).count();
    if bad == 0 {
        return Ok(());
    }
    let noun = if bad == 1 { "server" } else { "servers" };
    Err(Failure::new(Code::Configuration, format!("{bad} {noun} could not be started"))
        .with_hint("correct `command` or `auth`, or install what is missing, and check again"))
}

/// What a server would run, or where it is.
enum Found {
    Program(Result<PathBuf, ConnectError>),
    /// It is looked at only when it is needed; how it is shown who mcplex is.
    Address(String, Result<Option<Shown>, String>),
}

impl Found {
    fn error(&self) -> Option<String> {
        match self {
            Self::Program(found) => found.as_ref().err().map(ToString::to_string),
            Self::Address(_, shown) => shown.as_ref().err().cloned(),
        }
    }
}

fn find(server: &Server, tokens: &Tokens) -> Found {
    match &server.reach {
        Reach::Process(process) => Found::Program(find_program(process)),
        Reach::Http(remote) => {
            let address = redact(remote.shown_url()).into_owned();
            Found::Address(address, tokens.shown(&server.name, remote))
        }
    }
}

/// The program a server's command means, looked for where the start would look.
pub(crate) fn find_program(process: &Process) -> Result<PathBuf, ConnectError> {
    let own = process.env.get("PATH").map(|path| OsStr::new(path).to_owned());
    let path = own.or_else(|| std::env::var_os("PATH"));
    let (path, cwd) = (path.as_deref(), process.cwd.as_deref());
    let program = resolve(&process.command, path, cwd)?;
    #[cfg(unix)]
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
    lines.extend(asked(settings).map(|asked| format!("asks for       {asked}")));
    let places = settings.places();
    lines.extend(
        control(settings, &places).map(|path| format!("control        {}", path.display())),
    );
    lines.extend(places.state(config).map(|path| format!("state          {}", path.display())));
    lines.extend(
        journals::files(settings).map(|(what, path)| format!("{what:<14} {}", path.display())),
    );
    lines
        .extend(settings.loaded.warnings.iter().map(|warning| format!("warning        {warning}")));
    for (server, found) in found {
        lines.push(String::new());
        let off = if server.enabled { "" } else { "  (disabled: not started)" };
        lines.push(format!("{}{off}", server.name));
        describe(server, found, &mut lines);
    }
    lines.join("\n") + "\n"
}

/// What would be started or asked, and with what; of what may be a secret only the names.
fn describe(server: &Server, found: &Found, lines: &mut Vec<String>) {
    let names = match &server.reach {
        Reach::Process(process) => process.env.keys(),
        Reach::Http(remote) => remote.headers.keys(),
    };
    let names: Vec<_> = names.map(String::as_str).collect();
    match (found, &server.reach) {
        (Found::Program(Err(error)), _) => lines.push(format!("  error  {error}")),
        (Found::Program(Ok(program)), Reach::Process(process)) => {
            let words: Vec<_> = std::iter::once(program.display().to_string())
                .chain(redact_args(&process.args).iter().map(|arg| quoted(arg)))
                .collect();
            lines.push(format!("  runs   {}", words.join(" ")));
        }
        (Found::Program(Ok(_)), Reach::Http(_)) => {}
        (Found::Address(address, shown), _) => {
            lines.push(format!("  at     {address}"));
            match shown {
                Ok(shown) => lines.extend(shown.iter().flat_map(shown_lines)),
                Err(error) => lines.push(format!("  error  {error}")),
            }
        }
    }
    if let Reach::Process(Process { cwd: Some(cwd), .. }) = &server.reach {
        lines.push(format!("  in     {}", cwd.display()));
    }
    if !names.is_empty() {
        lines.push(format!("  with   {}", names.join(", ")));
    }
}

/// How a server is shown who mcplex is.
fn shown_lines(shown: &Shown) -> Vec<String> {
    let part = |what: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!("{what}{text}")).unwrap_or_default()
    };
    let scopes = match &shown.scopes[..] {
        [] => String::new(),
        scopes => format!(", for {}", scopes.join(" ")),
    };
    let (issuer, client) = (part(" of ", &shown.issuer), part(", as ", &shown.client));
    let mut lines = vec![format!("  shows  tokens{issuer} by {}{client}{scopes}", shown.by)];
    lines.extend(shown.login.iter().map(|login| format!("  login  {login}")));
    lines
}

/// Whose tokens the endpoint takes.
fn asked(settings: &Settings) -> Option<String> {
    let (auth, gateway) = (&settings.config().auth, &settings.config().gateway);
    if auth.issuers.is_empty() {
        return None;
    }
    let own = || format!("http://{}{}", gateway.listen, gateway.path);
    let resource = auth.resource.clone().unwrap_or_else(own);
    let scopes = match &auth.scopes[..] {
        [] => String::new(),
        scopes => format!(" that allow {}", scopes.join(" ")),
    };
    Some(format!("tokens of {} for {resource}{scopes}", auth.issuers.join(", ")))
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
            let mut one = json!({
                "name": server.name,
                "enabled": server.enabled,
                "error": found.error(),
            });
            match (found, &server.reach) {
                (Found::Program(found), Reach::Process(process)) => {
                    one["program"] = json!(found.as_ref().ok());
                    one["args"] = redact_args(&process.args).into_iter().collect();
                    one["cwd"] = json!(process.cwd);
                    one["env"] = process.env.keys().map(String::as_str).collect();
                }
                (Found::Address(address, shown), Reach::Http(remote)) => {
                    one["url"] = json!(address);
                    one["headers"] = remote.headers.keys().map(String::as_str).collect();
                    one["auth"] = json!(shown.as_ref().ok().and_then(Option::as_ref));
                }
                (Found::Program(_), Reach::Http(_)) | (Found::Address(..), Reach::Process(_)) => {}
            }
            one
        })
        .collect();
    let origins: Vec<Value> = settings
        .loaded
        .settings()
        .iter()
        .map(|setting| {
            // Texts, numbers and lists are written alike in TOML and in JSON.
            let shown = settings::shown(setting);
            let value: Value =
                serde_json::from_str(&shown).unwrap_or_else(|_| Value::from(&*shown));
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
