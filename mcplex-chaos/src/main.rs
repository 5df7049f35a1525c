//! Every way an MCP server is known to fail, shown against the real mcplex.
//!
//! It never looks inside mcplex: it starts the program, puts a misbehaving server and a good twin
//! behind it, and counts processes, descriptors, bytes and answers from outside. What one machine
//! cannot show is played on the rules themselves, in time that is made up, and says so.
//!
//! Read `fault.rs` for what a fault is, `gateway.rs` for what surrounds one, `outcome.rs` for what
//! most of them must end in; `faults/` holds them all.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to the person who runs it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it starts programs and times them; none of this runs inside mcplex"
)]

// What a fault is, and how all of them are run.
mod fault;

mod run;

mod table;

// What surrounds one.
mod ground;

mod setup;

mod gateway;

mod said;

mod client;

mod ledger;

mod twin;

mod outcome;

mod patience;

// Where the rules alone are played.
mod sim;

// All of them.
mod faults;

// All at once, for long.
mod soak;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run::run(&run::Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
