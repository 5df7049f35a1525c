//! Random input for everything that reads what strangers write.

use crate::workspace::Workspace;
use anyhow::{Context as _, bail};
use clap::Args;
use std::{env, fs, path::Path};
use xshell::{Shell, cmd};

/// How long each fuzzer runs in the gate, in seconds: enough for its corpus and some more.
const GATE_SECONDS: u64 = 5;
/// What one input may take; the slowest of all corpora takes a hundredth of it.
const INPUT_SECONDS: u64 = 5;
/// How much memory a fuzzer may have, in MiB: twice what its own tables take.
const MEMORY: u64 = 1024;

/// Which fuzzers run, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs this fuzzer alone; all of them else.
    name: Option<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Options {
    /// What every run of the gate does.
    pub(crate) fn quick() -> Self {
        Self { name: None, seconds: GATE_SECONDS }
    }
}

/// Builds the fuzzers and runs them from their committed corpora.
///
/// Without a sanitizer, which needs a nightly compiler: the code has no `unsafe`, and what is looked
/// for are panics, broken promises, and input that takes too long or too much.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    if cmd!(shell, "cargo fuzz --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        bail!("cargo-fuzz is missing; `.ci/run` installs the version that the gate uses");
    }
    shell.set_var("CARGO_TARGET_DIR", workspace.target().join("fuzz"));
    let all = cmd!(shell, "cargo fuzz list").read()?;
    let wanted = |name: &&str| options.name.as_deref().is_none_or(|wanted| wanted == *name);
    let names: Vec<_> = all.lines().filter(wanted).collect();
    if names.is_empty() {
        bail!("no fuzzer has that name; there are {}", all.lines().collect::<Vec<_>>().join(", "));
    }
    cmd!(shell, "cargo fuzz build --sanitizer none").run()?;
    for name in names {
        one(&shell, workspace, name, options.seconds)?;
    }
    Ok(())
}

/// Runs one fuzzer; what it finds new goes into a folder that is thrown away.
fn one(shell: &Shell, workspace: &Workspace, name: &str, seconds: u64) -> anyhow::Result<()> {
    let found = env::temp_dir().join(format!("mcplex-fuzz-{name}-{}", std::process::id()));
    fs::create_dir_all(&found).context("failed to make a folder for what is found")?;
    let corpus = workspace.root().join("fuzz/corpus").join(name);
    println!("fuzz: {name} for {seconds} s from {} inputs", inputs(corpus.as_std_path())?);
    let flags = [
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY}"),
        format!("-timeout={INPUT_SECONDS}"),
        "-verbosity=0".to_owned(),
    ];
    let run = cmd!(shell, "cargo fuzz run --sanitizer none {name} {found} {corpus} -- {flags...}");
    let outcome = run.run();
    fs::remove_dir_all(&found).context("failed to remove what was found")?;
    outcome.with_context(|| {
        format!(
            "{name} found something; its input is in fuzz/artifacts/{name}, run it alone with it"
        )
    })
}

fn inputs(corpus: &Path) -> anyhow::Result<usize> {
    let entries = fs::read_dir(corpus).context("the fuzzer has no corpus")?;
    let count = entries.count();
    if count == 0 {
        bail!("the corpus is empty");
    }
    Ok(count)
}
