//! The gate: every step that a change must pass, in the order that fails soonest.

use crate::{arrows, chaos, conformance, dashboard, deny, fuzz, interop, workspace::Workspace};
use anyhow::bail;
use clap::{Args, ValueEnum};
use std::time::{Duration, Instant};
use xshell::cmd;

/// Which steps of the gate run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs these steps alone.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP,..")]
    only: Vec<Step>,
    /// Leaves these steps out.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP,..")]
    skip: Vec<Step>,
    /// Goes on after a step that failed; the exit code still tells.
    #[arg(long)]
    keep_going: bool,
}

impl Options {
    fn wants(&self, step: Step) -> bool {
        (self.only.is_empty() || self.only.contains(&step)) && !self.skip.contains(&step)
    }
}

/// One step of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted.
    Fmt,
    /// No crate depends on what it must not know.
    Arrows,
    /// Clippy has nothing to say.
    Clippy,
    /// The documentation builds without a warning.
    Docs,
    /// Licenses, advisories and sources of the dependencies are fine.
    Deny,
    /// Every test that needs only Rust passes.
    Test,
    /// Nothing is found by a moment of random input.
    Fuzz,
    /// The quick part of the known faults comes out as it must.
    Chaos,
    /// Real servers and clients work through mcplex.
    Interop,
    /// The dashboard works in a real browser.
    Dashboard,
    /// The official suite passes through mcplex.
    Conformance,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Arrows => "arrows",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Deny => "deny",
            Self::Test => "test",
            Self::Fuzz => "fuzz",
            Self::Chaos => "chaos",
            Self::Interop => "interop",
            Self::Dashboard => "dashboard",
            Self::Conformance => "conformance",
        }
    }

    fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        match self {
            Self::Fmt => fmt(workspace),
            Self::Arrows => arrows::run(workspace),
            Self::Clippy => clippy(workspace),
            Self::Docs => docs(workspace),
            Self::Deny => deny::run(workspace),
            Self::Test => test(workspace),
            Self::Fuzz => fuzz::run(workspace, &fuzz::Options::quick()),
            Self::Chaos => chaos::run(workspace, &chaos::Options::quick()),
            Self::Interop => interop::run(workspace),
            Self::Dashboard => dashboard::run(workspace, &dashboard::Options::default()),
            Self::Conformance => conformance::run(workspace, &conformance::Options::default()),
        }
    }
}

/// Runs the wanted steps and prints a table of how each went.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for step in Step::value_variants() {
        let name = step.name();
        if !options.wants(*step) {
            lines.push(line(name, "left out", None));
            continue;
        }
        if !failed.is_empty() && !options.keep_going {
            lines.push(line(name, "not reached", None));
            continue;
        }
        println!("\n==> {name}");
        let began = Instant::now();
        let outcome = step.run(workspace);
        let took = began.elapsed();
        if let Err(error) = &outcome {
            eprintln!("step {name} failed: {error:#}");
            failed.push(name);
        }
        println!("<== {name}: {:.1} s", took.as_secs_f64());
        lines.push(line(name, if outcome.is_ok() { "passed" } else { "FAILED" }, Some(took)));
    }
    println!("\n{}", lines.join("\n"));
    if !failed.is_empty() {
        bail!("the gate is closed: {}", failed.join(", "));
    }
    Ok(())
}

fn line(name: &str, outcome: &str, took: Option<Duration>) -> String {
    let took = took.map(|took| format!("{:>8.1} s", took.as_secs_f64())).unwrap_or_default();
    format!("  {name:<11} {outcome:<11} {took}").trim_end().to_owned()
}

fn fmt(workspace: &Workspace) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    Ok(cmd!(shell, "cargo fmt --all --check").run()?)
}

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    Ok(cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings").run()?)
}

fn docs(workspace: &Workspace) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    println!("$ RUSTDOCFLAGS='-D warnings' \\");
    Ok(cmd!(shell, "cargo doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings").run()?)
}

/// Builds every program of the workspace, then runs all tests.
///
/// The programs come first because the tests of one crate start programs of another, which
/// `cargo test` alone does not promise to have built.
pub(crate) fn test(workspace: &Workspace) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    cmd!(shell, "cargo build --workspace --bins").run()?;
    Ok(cmd!(shell, "cargo test --workspace").run()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[Step], skip: &[Step]) -> Options {
        Options { only: only.to_vec(), skip: skip.to_vec(), keep_going: false }
    }

    #[test]
    fn no_choice_means_every_step() {
        let all = options(&[], &[]);
        assert!(Step::value_variants().iter().all(|step| all.wants(*step)));
    }

    #[test]
    fn only_and_skip_choose_together() {
        let some = options(&[Step::Fmt, Step::Docs], &[Step::Docs]);
        assert!(some.wants(Step::Fmt));
        assert!(!some.wants(Step::Docs));
        assert!(!some.wants(Step::Test));
    }

    #[test]
    fn the_table_lines_up() {
        let took = Some(Duration::from_millis(12_340));
        assert_eq!(line("fmt", "passed", took), "  fmt         passed          12.3 s");
        assert_eq!(line("interop", "left out", None), "  interop     left out");
    }
}
