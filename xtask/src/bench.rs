//! Measures mcplex against its targets: release builds, one run, ratios.

mod client;
mod gateway;
mod guard;
mod http;
mod independence;
mod operators;
mod pipe;
mod process;
mod report;
mod scenario;
mod stats;
mod telemetry;

use crate::workspace::Workspace;
use anyhow::{Context as _, bail};
use cargo_metadata::camino::Utf8PathBuf;
use clap::{Args, ValueEnum as _};
use gateway::Programs;
use report::Figure;
use scenario::{Effort, Scenario};
use std::{env, fs};
use xshell::{Shell, cmd};

/// What to measure, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Takes short rounds: enough to see a step, too few to commit.
    #[arg(long)]
    quick: bool,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Writes docs/benchmarks.md; with `--only` the other figures in it stay as they are.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// Fails when a target is missed.
    #[arg(long)]
    check: bool,
    /// Measures these alone.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,..")]
    only: Vec<Scenario>,
    /// Of the faults of one upstream measures these alone, named as `twin-stderr`.
    #[arg(long, value_delimiter = ',', value_name = "NAME,..", conflicts_with = "write")]
    fault: Vec<String>,
    /// Measures this mcplex instead of building one.
    #[arg(long, value_name = "FILE")]
    mcplex: Option<Utf8PathBuf>,
    /// Takes this echo server instead of building one.
    #[arg(long, value_name = "FILE")]
    echo_server: Option<Utf8PathBuf>,
    /// Takes this misbehaving server instead of building one.
    #[arg(long, value_name = "FILE")]
    fake_server: Option<Utf8PathBuf>,
}

/// Builds what is missing, measures, and reports.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let programs = Programs {
        mcplex: build(workspace, options.mcplex.as_ref(), "mcplex-cli", "mcplex")?,
        echo: build(workspace, options.echo_server.as_ref(), "mcplex-testkit", "echo-server")?,
        fake: build(workspace, options.fake_server.as_ref(), "mcplex-testkit", "fake-server")?,
    };
    // The client must not be what limits the rate, so it is optimized as well.
    if cfg!(debug_assertions) {
        return again_in_release(workspace, &programs);
    }
    let figures = measure(&programs, options);
    gateway::forget_states();
    if options.json {
        println!("{:#}", report::to_json(&figures, options.quick));
    } else {
        println!("\n{}, medians of rounds:\n{}", report::machine(), report::table(&figures));
    }
    if options.write {
        let path = workspace.root().join("docs/benchmarks.md");
        let old = fs::read_to_string(&path).unwrap_or_default();
        fs::create_dir_all(workspace.root().join("docs"))?;
        let all: Vec<_> =
            Scenario::value_variants().iter().flat_map(|one| one.questions()).collect();
        let parts = independence::catalogue();
        fs::write(&path, report::page(&figures, &all, &parts, &report::machine(), &old))
            .with_context(|| format!("failed to write {path}"))?;
        eprintln!("wrote {path}");
    }
    let missed = figures.iter().filter(|figure| !figure.met()).count();
    if options.check && missed > 0 {
        bail!("{missed} of {} targets are missed", figures.len());
    }
    Ok(())
}

fn measure(programs: &Programs, options: &Options) -> Vec<Figure> {
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let mut figures = Vec::new();
    for scenario in Scenario::value_variants() {
        if !options.only.is_empty() && !options.only.contains(scenario) {
            continue;
        }
        eprintln!("measuring {scenario:?}");
        let measured = scenario.measure(programs, effort, &options.fault);
        let mut rounds = measured.map_err(|error| format!("{error:#}")).map(Vec::into_iter);
        for question in scenario.questions() {
            if *scenario == Scenario::Independence
                && !independence::is_wanted(question.name, &options.fault)
            {
                continue;
            }
            let rounds = match &mut rounds {
                Ok(rounds) => Ok(rounds.next().unwrap_or_default()),
                Err(reason) => Err(reason.clone()),
            };
            figures.push(Figure { question, rounds });
        }
    }
    figures
}

/// The given program, or a fresh release build of it.
///
/// One build for each package: together they would share features that the one alone lacks.
fn build(
    workspace: &Workspace,
    given: Option<&Utf8PathBuf>,
    package: &str,
    name: &str,
) -> anyhow::Result<Utf8PathBuf> {
    if let Some(given) = given {
        return given.canonicalize_utf8().with_context(|| format!("{given} is not there"));
    }
    let shell = workspace.shell()?;
    cmd!(shell, "cargo build --release --package {package} --bin {name}").run()?;
    Ok(workspace.built("release", name))
}

fn again_in_release(workspace: &Workspace, programs: &Programs) -> anyhow::Result<()> {
    let xtask = build(workspace, None, "xtask", "xtask")?;
    let mut arguments: Vec<_> = env::args().skip(1).collect();
    for (flag, program) in [
        ("--mcplex", &programs.mcplex),
        ("--echo-server", &programs.echo),
        ("--fake-server", &programs.fake),
    ] {
        let joined = format!("{flag}=");
        if !arguments.iter().any(|given| given == flag || given.starts_with(&joined)) {
            arguments.extend([flag.to_owned(), program.to_string()]);
        }
    }
    // Not in the root: a program that was named by a relative path is found from here.
    let shell = Shell::new()?;
    Ok(cmd!(shell, "{xtask} {arguments...}").quiet().run()?)
}
