//! The mcplex under measurement, with its configuration and its children.

use super::{
    client::{self, Ids, PATIENCE},
    http::Http,
    pipe::Pipe,
    process::{ended, kill},
};
use anyhow::{Context as _, bail};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{self, Child, ChildStderr, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// The programs that a bench runs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) mcplex: Utf8PathBuf,
    pub(crate) echo: Utf8PathBuf,
    /// The server that misbehaves on purpose.
    pub(crate) fake: Utf8PathBuf,
}

impl Programs {
    /// The echo server, spoken to directly.
    pub(crate) fn direct(&self) -> anyhow::Result<Pipe> {
        Pipe::open(command(&self.echo))
    }

    /// `mcplex stdio` in front of one echo server.
    pub(crate) fn stdio(&self, config: &Config) -> anyhow::Result<Pipe> {
        let mut command = command(&self.mcplex);
        command.args(["stdio", "-c", config.path.as_str()]);
        Pipe::open(command)
    }
}

/// A command that knows nothing of the caller's settings, nor of an earlier run, so that every run
/// is the same: lists that were remembered would be there before a server is.
fn command(program: &Utf8Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("XDG_STATE_HOME", fresh_state());
    for kept in ["PATH", "HOME", "TMPDIR"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// Where everything that is kept by the mcplexes of this bench is.
fn states() -> PathBuf {
    env::temp_dir().join(format!("mcplex-bench-{}-state", process::id()))
}

fn fresh_state() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    states().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

/// Removes what was kept.
pub(crate) fn forget_states() {
    // None of it matters, and it lies in the folder for such files.
    drop(fs::remove_dir_all(states()));
}

/// A configuration file that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Config {
    path: Utf8PathBuf,
}

impl Config {
    /// Writes a configuration with so many echo servers.
    pub(crate) fn write(
        echo: &Utf8Path,
        upstreams: usize,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        Self::of(&format!("{upstreams}"), &render(echo, upstreams, arguments)?)
    }

    /// What is written for so many echo servers.
    pub(crate) fn text(
        echo: &Utf8Path,
        upstreams: usize,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        render(echo, upstreams, arguments)
    }

    /// Writes a configuration; two at a time need two labels.
    pub(crate) fn of(label: &str, text: &str) -> anyhow::Result<Self> {
        let folder = Utf8PathBuf::try_from(env::temp_dir())?;
        let path = folder.join(format!("mcplex-bench-{}-{label}.toml", process::id()));
        fs::write(&path, text).with_context(|| format!("failed to write {path}"))?;
        Ok(Self { path })
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // It lies in the folder for such files; nothing depends on its end.
        drop(fs::remove_file(&self.path));
    }
}

fn render(echo: &Utf8Path, upstreams: usize, arguments: &[&str]) -> anyhow::Result<String> {
    let mut text = "[gateway]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for n in 1..=upstreams {
        write!(text, "\n[[servers]]\nname = \"u{n}\"\ncommand = {:?}\n", echo.as_str())?;
        writeln!(text, "args = {arguments:?}")?;
    }
    Ok(text)
}

/// A running `mcplex serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: String,
}

impl Gateway {
    pub(crate) fn start(programs: &Programs, config: &Config) -> anyhow::Result<Self> {
        let mut command = command(&programs.mcplex);
        command.args(["serve", "-c", config.path.as_str(), "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("failed to start {}", programs.mcplex))?;
        let log = child.stderr.take().expect("stderr is a pipe");
        let mut gateway = Self { pid: child.id(), child, address: String::new() };
        let (found, address) = mpsc::sync_channel(1);
        // The thread ends with the gateway, whose log then ends.
        thread::spawn(move || read(log, &found));
        gateway.address = address.recv_timeout(PATIENCE).context("mcplex names no endpoint")??;
        Ok(gateway)
    }

    /// One session, open on a connection for each worker.
    pub(crate) fn connect(&self, ids: &Ids, count: usize) -> anyhow::Result<Vec<Http>> {
        let mut first = Http::open(&self.address, None)?;
        client::initialize(&mut first, ids)?;
        let session = first.session();
        let mut workers = vec![first];
        while workers.len() < count {
            workers.push(Http::open(&self.address, session.clone())?);
        }
        Ok(workers)
    }

    /// Asks it to end, and makes it end when it does not.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no such pid")?;
        kill_process(pid, Signal::TERM)?;
        if !ended(&mut self.child, PATIENCE)? {
            bail!("mcplex did not end within {} s of SIGTERM", PATIENCE.as_secs());
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Finds the endpoint in the log, and reads on so that the gateway never waits for us.
fn read(log: ChildStderr, found: &mpsc::SyncSender<anyhow::Result<String>>) {
    let mut said = Vec::new();
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        if let Some(address) = endpoint(&line) {
            // Whoever asked waits, or has given up.
            drop(found.send(Ok(address.to_owned())));
            lines.for_each(drop);
            return;
        }
        said.push(line);
    }
    let said = said.join(" | ");
    drop(found.send(Err(anyhow::anyhow!("mcplex ended before it named its endpoint: {said}"))));
}

/// The `IP:PORT` of a line with `http://IP:PORT/mcp` in it.
fn endpoint(line: &str) -> Option<&str> {
    line.split_once("http://")?.1.split_once("/mcp").map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_found_in_a_line() {
        let line = "listening  url=http://127.0.0.1:4127/mcp upstreams=1";
        assert_eq!(endpoint(line), Some("127.0.0.1:4127"));
        assert_eq!(endpoint("see http://example.org"), None);
    }

    #[test]
    fn a_configuration_names_every_upstream() {
        let text = render(Utf8Path::new("/x/echo"), 2, &["--init-delay", "100"]).unwrap();
        let one = "[[servers]]\nname = \"u2\"\ncommand = \"/x/echo\"\nargs = [\"--init-delay\", \"100\"]\n";
        assert!(text.contains(one), "{text}");
        assert_eq!(text.matches("[[servers]]").count(), 2);
    }
}
