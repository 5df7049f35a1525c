//! Every known fault against the real mcplex, and a long random mix of them.

use crate::workspace::Workspace;
use clap::Args;
use xshell::cmd;

/// Which faults are shown.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Only these: a number such as F36, a group such as `tree`, or a part of a name.
    names: Vec<String>,
    /// Only those that take few seconds, as the gate does.
    #[arg(long)]
    quick: bool,
    /// Lists the faults and what is expected, and shows none.
    #[arg(long)]
    list: bool,
    /// Prints one JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// What the gate shows.
    pub(crate) fn quick() -> Self {
        Self { quick: true, ..Self::default() }
    }
}

/// Builds what is needed and shows the faults.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let flags = [("--quick", options.quick), ("--list", options.list), ("--json", options.json)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag);
    let names = options.names.iter().map(String::as_str);
    start(workspace, &names.chain(flags).collect::<Vec<_>>())
}

/// How long it is soaked.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// For so many minutes.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// What decides the harm; printed by a run without it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Builds what is needed and does harm at random.
pub(crate) fn soak(workspace: &Workspace, soak: &Soak) -> anyhow::Result<()> {
    let mut arguments = vec!["--soak".to_owned(), soak.minutes.to_string()];
    if let Some(seed) = soak.seed {
        arguments.extend(["--seed".to_owned(), seed.to_string()]);
    }
    start(workspace, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn start(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    cmd!(shell, "cargo build --package mcplex-cli --package mcplex-testkit --package mcplex-chaos")
        .run()?;
    let program = workspace.built("debug", "mcplex-chaos");
    Ok(cmd!(shell, "{program} {arguments...}").run()?)
}
