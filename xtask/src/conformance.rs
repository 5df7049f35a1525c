//! mcplex judged by the official conformance suite.

use crate::{record, workspace::Workspace};
use cargo_metadata::camino::Utf8PathBuf;
use clap::Args;
use std::env;
use xshell::cmd;

/// Names the folder of the installed packages; outside the clone they survive a fresh one.
const DIR_VARIABLE: &str = "MCPLEX_CONFORMANCE_DIR";

/// Which part of the matrix runs, and what is printed.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Runs the cells alone whose name has this in it, such as `typescript-v1/stdio`.
    #[arg(long, default_value = "")]
    only: String,
    /// Prints what came of every cell as JSON.
    #[arg(long)]
    json: bool,
    /// Prints in full why a scenario failed.
    #[arg(long)]
    verbose: bool,
}

/// Installs the pinned suite and SDKs where they are missing, builds mcplex, runs the matrix and
/// judges every message that mcplex wrote in it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let dir = env::var(DIR_VARIABLE)
        .map_or_else(|_| workspace.target().join("conformance"), Utf8PathBuf::from);
    let mcplex = workspace.built("debug", "mcplex");
    let only = &options.only;
    let flags = [(options.json, "--json"), (options.verbose, "--verbose")];
    let flags = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag));
    let records = record::folder(workspace, "conformance")?;
    let shell = workspace.shell()?;
    cmd!(shell, "bash conformance/install.sh {dir}").run()?;
    cmd!(shell, "cargo build --package mcplex-cli").run()?;
    let run = cmd!(shell, "node conformance/run.mjs --mcplex {mcplex} --dir {dir} --only {only}");
    let ran = run.args(["--record", records.as_str()]).args(flags).run();
    // Also when a cell failed: a message that is wrong often is why.
    record::judge(workspace, &shell, &records, !only.is_empty())?;
    Ok(ran?)
}
