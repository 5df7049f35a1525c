//! mcplex between servers and clients that nobody here wrote.

use crate::{record, workspace::Workspace};
use anyhow::Context as _;
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use std::env;
use xshell::cmd;

/// Names the folder of the installed packages; outside the clone they survive a fresh one.
pub(crate) const DIR_VARIABLE: &str = "MCPLEX_INTEROP_DIR";

/// The folder of the installed packages.
pub(crate) fn dir(workspace: &Workspace) -> Utf8PathBuf {
    env::var(DIR_VARIABLE).map_or_else(|_| workspace.target().join("interop"), Utf8PathBuf::from)
}

/// The program of the collector, in an environment of whichever Python there is.
fn collector(environment: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folders = environment.join("lib").read_dir_utf8()?.flatten();
    let mut programs = folders.map(|folder| folder.path().join("site-packages/rotel/rotel-agent"));
    programs.find(|program| program.is_file()).context("there is no collector for this machine")
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
    let node = workspace.root().join(&dir).join("node");
    let test = cmd!(shell, "cargo test --package mcplex-auth --test it provider -- --ignored");
    test.env("MCPLEX_OAUTH_NODE_DIR", node).run()?;
    // What leaves, through a collector of others.
    let collector = collector(&workspace.root().join(&dir).join("collector"))?;
    let test = cmd!(shell, "cargo test --package mcplex-cli --test it collector:: -- --ignored");
    Ok(test.env("MCPLEX_COLLECTOR", collector).run()?)
}
