//! Every known fault against the real mcplex, and a long random mix of them.

use crate::{interop, workspace::Workspace};
use clap::Args;
use xshell::cmd;

/// What `mcplex-chaos` is told; it alone knows its options, and `--help` shows them.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    arguments: Vec<String>,
}

impl Options {
    /// What the gate shows.
    pub(crate) fn quick() -> Self {
        Self { arguments: vec!["--quick".to_owned()] }
    }
}

/// Builds what is needed and shows the faults.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    start(workspace, &[], &options.arguments)
}

/// Builds what is needed and does harm at random.
pub(crate) fn soak(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    start(workspace, &["soak"], &options.arguments)
}

fn start(workspace: &Workspace, chosen: &[&str], arguments: &[String]) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    cmd!(shell, "cargo build --package mcplex-cli --package mcplex-testkit --package mcplex-chaos")
        .run()?;
    let program = workspace.built("debug", "mcplex-chaos");
    // One fault is shown with a program from there, if it is installed.
    shell.set_var(interop::DIR_VARIABLE, interop::dir(workspace));
    Ok(cmd!(shell, "{program} {chosen...} {arguments...}").run()?)
}
