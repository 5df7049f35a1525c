//! How commands find a running mcplex, ask it, and show what it says.

use crate::{
    args::{ConfigOptions, LogOptions},
    commands::serve::runtime,
    exit::{Code, Failure},
    places::Places,
    settings,
};
use mcplex_admin::{
    client::{Client, ClientError},
    control::{BAD_CONFIGURATION, BUSY, Problem, UNKNOWN_UPSTREAM},
    socket,
    status::Snapshot,
};
use std::{
    future::Future,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Runs a command that asks.
pub(crate) fn run(ask: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime()?.block_on(ask)
}

/// The configuration a command is about, and its places.
pub(crate) fn places(options: &ConfigOptions) -> Result<(Option<PathBuf>, Places), Failure> {
    if let Some(file) = &options.config
        && !file.is_file()
    {
        let what = format!("there is no file {}", file.display());
        return Err(Failure::new(Code::Configuration, what)
            .with_hint("give the same -c as to the mcplex that runs"));
    }
    let file = options.config.clone().or_else(settings::find);
    let places = Places::of(file.as_deref());
    Ok((file, places))
}

/// The running mcplex of a configuration; without a configuration of its own a command means the
/// only one that runs.
pub(crate) async fn connect(options: &ConfigOptions) -> Result<Client, Failure> {
    let (file, places) = places(options)?;
    for path in places.sockets() {
        match Client::connect(&path).await {
            Ok(client) => return Ok(client),
            Err(silent @ ClientError::Silent { .. }) => return Err(failure(&silent)),
            // It may be in one of the other places.
            Err(_) => {}
        }
    }
    let others = if options.config.is_some() { Vec::new() } else { socket::running(&places.run) };
    match &others[..] {
        [] => Err(not_running(file.as_deref())),
        [only] => Client::connect(only).await.map_err(|error| failure(&error)),
        several => Err(which(several).await),
    }
}

fn not_running(file: Option<&Path>) -> Failure {
    let (what, hint) = match file {
        Some(file) => (
            format!("no mcplex runs with {}", file.display()),
            format!("`mcplex serve -c {}` starts one", file.display()),
        ),
        None => (
            "no mcplex runs, and there is no configuration here".to_owned(),
            "`mcplex` starts the demo; -c names the configuration of one that runs".to_owned(),
        ),
    };
    Failure::new(Code::NotRunning, what).with_hint(hint)
}

/// Several run, and none of them with the configuration of this place.
async fn which(paths: &[PathBuf]) -> Failure {
    let mut hint = "say which one with -c; these run:".to_owned();
    for path in paths {
        let Ok(mut client) = Client::connect(path).await else { continue };
        match snapshot(&mut client).await {
            Ok(Snapshot { instance, .. }) => {
                let file = instance.configuration.unwrap_or_else(|| "the built-in demo".to_owned());
                hint.push_str(&format_line(&file, instance.pid));
            }
            Err(failure) if failure.code() == Code::Silent => {
                hint.push_str("\n  ");
                hint.push_str(&failure.sentence());
            }
            // It has just ended.
            Err(_) => {}
        }
    }
    Failure::new(Code::NotRunning, "several mcplexes run, and none with a configuration from here")
        .with_hint(hint)
}

fn format_line(file: &str, pid: u32) -> String {
    format!("\n  {file} (process {pid})")
}

/// How everything is now.
pub(crate) async fn snapshot(client: &mut Client) -> Result<Snapshot, Failure> {
    let value = client.get("/v1/status").await.map_err(|error| failure(&error))?;
    serde_json::from_value(value).map_err(|_| failure(&ClientError::Strange))
}

/// What a failed question means for the exit code.
pub(crate) fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::Refused(problem) => refused(problem),
        ClientError::NotRunning { .. } => {
            Failure::from_error(Code::NotRunning, "mcplex does not answer", error)
        }
        ClientError::Silent { pid } => {
            let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
            Failure::new(Code::Silent, error.to_string()).with_hint(format!(
                "`kill -CONT {pid}` lets it go on if somebody stopped it; else try again, or end it \
                 with `kill {pid}`"
            ))
        }
        ClientError::Broken(_) | ClientError::Strange => {
            Failure::from_error(Code::Failed, "mcplex was asked in vain", error)
        }
    }
}

/// What a refusal means for the exit code.
pub(crate) fn refused(problem: &Problem) -> Failure {
    let code = match problem.kind.as_str() {
        UNKNOWN_UPSTREAM => Code::Unknown,
        BUSY => Code::Busy,
        BAD_CONFIGURATION => Code::Configuration,
        _ => Code::Failed,
    };
    let failure = Failure::new(code, problem.message.clone());
    match &problem.hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Where a configuration's logs and reports are, for when nobody runs. One that cannot be read has
/// them in the usual place.
pub(crate) fn state(options: &ConfigOptions) -> Result<Option<PathBuf>, Failure> {
    let (_, places) = places(options)?;
    Ok(match settings::load(options, None, &LogOptions::default()) {
        Ok(settings) => places.state(settings.config()),
        Err(_) => places.usual_state(),
    })
}

/// Names that may have something on disk: those of the configuration, if it can be read, and these.
pub(crate) fn known_names(options: &ConfigOptions, on_disk: Vec<String>) -> Vec<String> {
    let settings = settings::load(options, None, &LogOptions::default());
    let servers = settings.map(|settings| settings.loaded.config.servers).unwrap_or_default();
    let mut names: Vec<_> = servers.into_iter().map(|server| server.name).collect();
    names.extend(on_disk);
    names.sort();
    names.dedup();
    names
}

/// That a name is none of those that are known.
pub(crate) fn unknown(name: &str, known: &[String]) -> Failure {
    let failure = refused(&Problem::unknown(name, known.iter().map(String::as_str)));
    let has_near = failure.hint().is_some_and(|hint| hint.starts_with("did you mean"));
    match known {
        _ if has_near => failure,
        [] => failure.with_hint("no upstream is known here"),
        several => failure.with_hint(format!("these are known: {}", several.join(", "))),
    }
}

/// Commands in a text, each with the configuration that was named for this one: they can be pasted.
pub(crate) fn with_config(text: &str, options: &ConfigOptions) -> String {
    let Some(file) = &options.config else { return text.to_owned() };
    let file = quoted(&file.to_string_lossy());
    let parts = text.split('`').enumerate().map(|(at, part)| {
        let is_command = at % 2 == 1 && part.starts_with("mcplex ");
        if is_command { format!("{part} -c {file}") } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("`")
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What people call the time, in milliseconds of Unix time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whether to use colours.
pub(crate) fn is_colourful() -> bool {
    let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_off
}

/// How many characters fit into a line; `None` where lines may be as long as they like.
pub(crate) fn width() -> Option<usize> {
    #[cfg(unix)]
    {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }
    #[cfg(not(unix))]
    std::io::stdout().is_terminal().then_some(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_configuration_that_was_named() {
        let check = |file: Option<&str>, expect: &str| {
            let options = ConfigOptions { config: file.map(PathBuf::from) };
            assert_eq!(with_config("Correct `url`; `mcplex reset a` helps", &options), expect);
        };
        check(None, "Correct `url`; `mcplex reset a` helps");
        check(Some("a/b.toml"), "Correct `url`; `mcplex reset a -c a/b.toml` helps");
        check(Some("a b's"), "Correct `url`; `mcplex reset a -c 'a b'\\''s'` helps");
    }
}
