//! Loads a file and prints every setting with where it came from.
//!
//! `cargo run -p mcplex-config --example load -- mcplex.toml`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use mcplex_config::{Config, Document, Sources};
use std::process::ExitCode;

fn main() -> ExitCode {
    let document = std::env::args_os().nth(1).map(|path| Document::Path(path.into()));
    match Config::load(Sources { document, ..Sources::from_process() }) {
        Ok(loaded) => {
            for setting in loaded.settings() {
                println!("{} = {}  # {}", setting.key, setting.value, setting.origin);
            }
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\n\nhint: {}", error.hint);
            ExitCode::FAILURE
        }
    }
}
