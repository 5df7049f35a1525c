//! The page for operators in a real browser.

use crate::workspace::Workspace;
use cargo_metadata::camino::Utf8PathBuf;
use clap::Args;
use std::env;
use xshell::cmd;

/// Names the folder of the installed packages; outside the clone they survive a fresh one.
const DIR_VARIABLE: &str = "MCPLEX_DASHBOARD_DIR";

/// Which checks run, and what is left of them.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Runs the checks alone whose name has this in it, such as `reset`.
    #[arg(long, default_value = "")]
    only: String,
    /// Writes pictures of what was seen into this folder.
    #[arg(long, default_value = "")]
    pictures: String,
}

/// Installs the pinned packages where they are missing, builds mcplex and the servers that misbehave,
/// and looks at the page.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let dir = env::var(DIR_VARIABLE)
        .map_or_else(|_| workspace.target().join("dashboard"), Utf8PathBuf::from);
    let [mcplex, fake_server] =
        ["mcplex", "fake-server"].map(|name| workspace.built("debug", name));
    let Options { only, pictures } = options;
    let shell = workspace.shell()?;
    cmd!(shell, "bash dashboard/install.sh {dir}").run()?;
    // What the tests have built already.
    cmd!(shell, "cargo build --workspace --bins").run()?;
    let programs = ["--mcplex", mcplex.as_str(), "--fake-server", fake_server.as_str()];
    let run = cmd!(shell, "node dashboard/run.mjs --dir {dir} --only {only} --pictures {pictures}");
    Ok(run.args(programs).run()?)
}
