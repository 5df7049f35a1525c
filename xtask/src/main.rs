//! The chores of the project; `cargo xtask --help` names them all.
//!
//! Nothing in here is part of mcplex. A chore prints the commands it runs, so that every step
//! can be repeated by hand.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person who runs it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "chores start programs and time them; none of this runs inside mcplex"
)]

mod archive;
mod arrows;
mod bench;
mod chaos;
mod conformance;
mod dashboard;
mod deny;
mod dist;
mod fuzz;
mod gate;
mod interop;
mod record;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// The chores of the mcplex workspace.
///
/// Start with `cargo xtask test`: it needs nothing but Rust. `cargo xtask ci` is the whole gate
/// and also talks to real servers, clients and a browser, for which it wants Node, Python, Chromium
/// and cargo-deny; `.ci/run` installs what is missing and then calls it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                      every test that needs only Rust
  cargo xtask ci                        the whole gate, as CI runs it
  cargo xtask ci --only fmt,clippy      two steps of it, before a commit
  cargo xtask ci --skip interop,deny    all that works without Node, Python and cargo-deny
  cargo xtask ci --keep-going           do not stop at the first step that fails
  cargo xtask conformance               the official suite through mcplex, one table
  cargo xtask dashboard                 the page for operators in a real browser
  cargo xtask fuzz message --seconds 600    one fuzzer for ten minutes
  cargo xtask chaos                     every known fault, one table, in some minutes
  cargo xtask chaos F36 --json          one of them, for a program to read
  cargo xtask chaos --help              what else it can do; the same for soak
  cargo xtask soak --minutes 10         harm at random, and everything flat at its end
  cargo xtask arrows                    may this crate depend on that one?
  cargo xtask bench --quick             how fast is it, roughly?
  cargo xtask bench --write             the figures of docs/benchmarks.md, in some minutes
  cargo xtask dist                      the release archive in dist/";

#[derive(Debug, Subcommand)]
enum Chore {
    /// Runs every test that needs only Rust, documentation examples included.
    Test,
    /// Runs the whole gate; the exit code says whether it passed.
    Ci(gate::Options),
    /// Checks the dependency arrows between the crates and the shape of the tree.
    Arrows,
    /// Checks licenses, advisories and sources of all dependencies with cargo-deny.
    Deny,
    /// Runs mcplex between real servers and real clients (Node and Python).
    Interop,
    /// Looks at the page for operators with a real browser (Node and Chromium).
    Dashboard(dashboard::Options),
    /// Judges mcplex by the official conformance suite, over every way to an upstream.
    Conformance(conformance::Options),
    /// Feeds random input to everything that reads what strangers write (cargo-fuzz).
    Fuzz(fuzz::Options),
    /// Shows what comes of every way a server is known to fail.
    #[command(disable_help_flag = true)]
    Chaos(chaos::Options),
    /// Kills and starves at random for some minutes, and wants everything flat and exact.
    #[command(disable_help_flag = true)]
    Soak(chaos::Options),
    /// Measures mcplex against its targets, with release builds.
    Bench(bench::Options),
    /// Writes a release archive for this machine.
    Dist(dist::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match chore {
        Chore::Test => gate::test(&workspace),
        Chore::Ci(options) => gate::run(&workspace, &options),
        Chore::Arrows => arrows::run(&workspace),
        Chore::Deny => deny::run(&workspace),
        Chore::Interop => interop::run(&workspace),
        Chore::Dashboard(options) => dashboard::run(&workspace, &options),
        Chore::Conformance(options) => conformance::run(&workspace, &options),
        Chore::Fuzz(options) => fuzz::run(&workspace, &options),
        Chore::Chaos(options) => chaos::run(&workspace, &options),
        Chore::Soak(options) => chaos::soak(&workspace, &options),
        Chore::Bench(options) => bench::run(&workspace, &options),
        Chore::Dist(options) => dist::run(&workspace, &options),
    }
}
