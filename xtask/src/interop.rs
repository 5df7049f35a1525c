//! mcplex between servers and clients that nobody here wrote.

use crate::{record, workspace::Workspace};
use cargo_metadata::camino::Utf8PathBuf;
use std::env;
use xshell::cmd;

/// Names the folder of the installed packages; outside the clone they survive a fresh one.
pub(crate) const DIR_VARIABLE: &str = "MCPLEX_INTEROP_DIR";

/// The folder of the installed packages.
pub(crate) fn dir(workspace: &Workspace) -> Utf8PathBuf {
    env::var(DIR_VARIABLE).map_or_else(|_| workspace.target().join("interop"), Utf8PathBuf::from)
}

/// Installs the pinned packages where they are missing, builds mcplex, runs the checks and judges
/// every message that mcplex wrote in them.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let dir = dir(workspace);
    let mcplex = workspace.built("debug", "mcplex");
    let records = record::folder(workspace, "interop")?;
    let shell = workspace.shell()?;
    cmd!(shell, "bash interop/install.sh {dir}").run()?;
    cmd!(shell, "cargo build --package mcplex-cli").run()?;
    let ran =
        cmd!(shell, "node interop/run.mjs --mcplex {mcplex} --dir {dir} --record {records}").run();
    record::judge(workspace, &shell, &records, false)?;
    ran?;
    // OAuth as a client, without a gateway around it.
    let node = workspace.root().join(dir).join("node");
    let test = cmd!(shell, "cargo test --package mcplex-auth --test it provider -- --ignored");
    Ok(test.env("MCPLEX_OAUTH_NODE_DIR", node).run()?)
}
