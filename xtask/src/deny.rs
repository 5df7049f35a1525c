//! Licenses, advisories and sources of the dependencies, judged by cargo-deny.

use crate::workspace::Workspace;
use anyhow::{Context as _, bail};
use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use xshell::cmd;

/// How long the advisory database may take to come; it is some 20 MB.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Checks with the advisories where they can be had, and says so where not.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    if cmd!(shell, "cargo deny --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        bail!("cargo-deny is missing; `.ci/run` installs the version that the gate uses");
    }
    if let Err(reason) = fetch(workspace) {
        println!("deny: ADVISORIES SKIPPED, their database cannot be fetched: {reason:#}");
        return Ok(
            cmd!(shell, "cargo deny check --hide-inclusion-graph bans licenses sources").run()?
        );
    }
    Ok(cmd!(shell, "cargo deny check --hide-inclusion-graph").run()?)
}

fn fetch(workspace: &Workspace) -> anyhow::Result<()> {
    println!("$ cargo deny fetch db");
    let mut child = Command::new("cargo")
        .args(["deny", "fetch", "db"])
        .current_dir(workspace.root())
        // A question for a password would wait for ever.
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .spawn()
        .context("failed to start cargo")?;
    let deadline = Instant::now() + FETCH_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { bail!("the fetch ended with {status}") };
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("no answer within {} s", FETCH_TIMEOUT.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
