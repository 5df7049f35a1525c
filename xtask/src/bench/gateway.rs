//! The mcplex under measurement, with its configuration and its children.

use super::{client, client::PATIENCE, http::Http, pipe::Pipe};
use anyhow::{Context as _, bail};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use std::{cell::Cell, env, fmt::Write as _, fs, process, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

/// The two programs that a bench runs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) mcplex: Utf8PathBuf,
    pub(crate) echo: Utf8PathBuf,
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

/// A command that knows nothing of the caller's settings, so that every run is the same.
fn command(program: &Utf8Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for kept in ["PATH", "HOME", "TMPDIR"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    command
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
        let folder = Utf8PathBuf::try_from(env::temp_dir())?;
        let path = folder.join(format!("mcplex-bench-{}-{upstreams}.toml", process::id()));
        fs::write(&path, render(echo, upstreams, arguments)?)
            .with_context(|| format!("failed to write {path}"))?;
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
    /// Reads what it logs, so that it never waits for us.
    log: JoinSet<()>,
}

impl Gateway {
    pub(crate) async fn start(programs: &Programs, config: &Config) -> anyhow::Result<Self> {
        let mut command = command(&programs.mcplex);
        command.args(["serve", "-c", config.path.as_str(), "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", programs.mcplex))?;
        let pid = child.id().context("mcplex is gone already")?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let mut said = Vec::new();
        let find = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = endpoint(&line) {
                    return Ok(address.to_owned());
                }
                said.push(line);
            }
            bail!("mcplex ended before it named its endpoint; it said: {}", said.join(" | "))
        };
        let address = timeout(PATIENCE, find).await.context("mcplex names no endpoint")??;
        let mut log = JoinSet::new();
        log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, pid, address, log })
    }

    /// One session, open on a connection for each worker.
    pub(crate) async fn connect(&self, ids: &Cell<u64>, count: usize) -> anyhow::Result<Vec<Http>> {
        let mut first = Http::open(&self.address, None).await?;
        client::initialize(&mut first, ids).await?;
        let session = first.session();
        let mut workers = vec![first];
        while workers.len() < count {
            workers.push(Http::open(&self.address, session.clone()).await?);
        }
        Ok(workers)
    }

    /// Asks it to end, and makes it end when it does not.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no such pid")?;
        kill_process(pid, Signal::TERM)?;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        self.log.shutdown().await;
        if ended.is_err() {
            self.child.kill().await?;
            bail!("mcplex did not end within {} s of SIGTERM", PATIENCE.as_secs());
        }
        Ok(())
    }
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
