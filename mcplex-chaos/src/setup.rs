//! A configuration in a folder of its own, and the start of mcplex with it.

use crate::{
    fault::{Case, Logs},
    gateway::Gateway,
    ground::Ground,
    ledger::Ledger,
    patience::LONG,
    said::Said,
    twin::{TWIN, Twin},
};
use anyhow::Context as _;
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, PoisonError},
};
use tempfile::TempDir;

/// The variable that marks every process of one showing.
pub(crate) const COOKIE: &str = "MCPLEX_CHAOS";

/// The variable that marks every process of one upstream.
pub(crate) const UPSTREAM: &str = "MCPLEX_CHAOS_UPSTREAM";

/// A configuration that is being written.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) ground: Ground,
    pub(crate) dir: Arc<TempDir>,
    pub(crate) cookie: String,
    head: String,
    servers: String,
    pub(crate) names: Vec<String>,
    env: Vec<(String, String)>,
    /// What mcplex is started through, such as `prlimit --nofile=64 --`.
    through: Vec<String>,
    logs: Logs,
}

impl Setup {
    /// A configuration with a good twin in it.
    pub(crate) fn new(case: &Case) -> anyhow::Result<Self> {
        let mut setup = Self::bare(&case.ground, &case.cookie)?;
        setup.logs = Arc::clone(&case.logs);
        Ok(setup.server(TWIN, &[], ""))
    }

    /// A configuration with nothing in it.
    pub(crate) fn bare(ground: &Ground, cookie: &str) -> anyhow::Result<Self> {
        Ok(Self {
            ground: ground.clone(),
            dir: Arc::new(tempfile::tempdir().context("failed to make a folder")?),
            cookie: cookie.to_owned(),
            head: String::new(),
            servers: String::new(),
            names: Vec::new(),
            env: Vec::new(),
            through: Vec::new(),
            logs: Logs::default(),
        })
    }

    /// Adds lines before the servers.
    pub(crate) fn head(mut self, toml: &str) -> Self {
        self.head.push_str(toml);
        self.head.push('\n');
        self
    }

    /// Adds a `fake-server` with its logs, and lines for its `[servers.supervise]`.
    pub(crate) fn server(self, name: &str, flags: &[&str], supervise: &str) -> Self {
        let program = self.ground.server.display().to_string();
        let args = self.with_logs(name, flags);
        self.command(name, &program, &args, "", supervise)
    }

    /// Flags of a `fake-server`, with those for its logs.
    pub(crate) fn with_logs(&self, name: &str, flags: &[&str]) -> Vec<String> {
        let mut args: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for (flag, file) in [("--spawn-log", "spawns"), ("--call-log", "calls"), ("--record", "in")]
        {
            args.push(flag.to_owned());
            args.push(self.file(&format!("{file}.{name}")).display().to_string());
        }
        args
    }

    /// Adds a server that a shell script is; `{server}` in it is a `fake-server` with its logs.
    pub(crate) fn script(self, name: &str, script: &str, flags: &[&str], supervise: &str) -> Self {
        let quoted: Vec<_> =
            self.with_logs(name, flags).iter().map(|arg| format!("'{arg}'")).collect();
        let server = format!("'{}' {}", self.ground.server.display(), quoted.join(" "));
        let script = script.replace("{server}", &server);
        self.command(name, "sh", &["-c".to_owned(), script], "", supervise)
    }

    /// Adds any server; `more` are further lines of its table.
    pub(crate) fn command(
        mut self,
        name: &str,
        program: &str,
        args: &[String],
        more: &str,
        supervise: &str,
    ) -> Self {
        // JSON strings are TOML strings too.
        let (program, args) = (Value::from(program), Value::from(args.to_vec()));
        let written = write!(
            self.servers,
            "[[servers]]\nname = \"{name}\"\ncommand = {program}\nargs = {args}\n{more}\n\
             env.{UPSTREAM} = \"{name}\"\n[servers.supervise]\n{supervise}\n"
        );
        written.expect("a string takes all that is written to it");
        self.names.push(name.to_owned());
        self
    }

    /// Sets a variable of mcplex itself.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts mcplex through another program.
    pub(crate) fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = format!(
            "{}\n[router]\nnaming = \"prefix\"\nlist_changed_interval = \"100ms\"\n{}",
            self.head, self.servers
        );
        self.replace(&text)
    }

    /// Puts another text where the configuration is; a reader sees the old one or the new one.
    pub(crate) fn replace(&self, text: &str) -> anyhow::Result<()> {
        let new = self.file("mcplex.toml.new");
        fs::write(&new, text)?;
        Ok(fs::rename(&new, self.file("mcplex.toml"))?)
    }

    /// Starts mcplex, and waits until the twin answers.
    pub(crate) fn start(self) -> anyhow::Result<Gateway> {
        let mut gateway = self.start_bare()?;
        gateway.wait_event(TWIN, "upstream connected")?;
        gateway.twin = Some(Twin::start(&gateway)?);
        Ok(gateway)
    }

    /// A command of mcplex for this configuration; the program that mcplex is started through is before
    /// all but those that ask one that runs.
    pub(crate) fn mcplex(&self, words: &[&str]) -> Command {
        let mcplex = self.ground.mcplex.display().to_string();
        let through = self.through.iter().filter(|_| words.first() == Some(&"serve")).cloned();
        let words: Vec<_> = through
            .chain([mcplex])
            .chain(words.iter().map(|word| (*word).to_owned()))
            .chain(["-c".to_owned(), "mcplex.toml".to_owned()])
            .collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"] {
            command.env(name, self.dir.path());
        }
        command.env(COOKIE, &self.cookie);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts mcplex, and waits until it listens.
    pub(crate) fn start_bare(self) -> anyhow::Result<Gateway> {
        self.write()?;
        let mut command =
            self.mcplex(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // As a shell would: signals of a terminal then go to all that are still in the group.
        command.process_group(0);
        let program = command.get_program().to_owned();
        let mut child =
            command.spawn().with_context(|| format!("failed to start {}", program.display()))?;
        let said = Said::of(child.stderr.take().context("its stderr is no pipe")?);
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(said.clone());
        let mut gateway = Gateway {
            setup: self,
            child,
            said,
            url: String::new(),
            twin: None,
            ledger: Arc::new(Ledger::default()),
            more_fds: 0,
        };
        gateway.url = gateway.endpoint(LONG)?;
        Ok(gateway)
    }
}
