//! Where the `fake-server` program is.

use std::path::PathBuf;

/// The built `fake-server`, beside the tests that are running.
///
/// Cargo does not build the programs of a dependency, so it must have been built before:
/// `cargo xtask test` does, and so does `cargo build -p mcplex-testkit --bins`. Its `--help` tells
/// what it can do wrong.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn fake_server() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a running program has a path");
    dir.pop();
    // Tests lie in `deps`, examples in `examples`, both beside the programs.
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir.pop();
    }
    let program = dir.join(format!("fake-server{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is missing; run `cargo build -p mcplex-testkit --bins` first",
        program.display()
    );
    program
}
