//! What mcplex said to anybody while a suite ran, judged by the schemas of the protocol.

use crate::workspace::Workspace;
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

/// What peers are known to say wrong, which mcplex passes on.
const KNOWN: &str = "conformance/record/faults.json";

/// An empty folder for the records of a suite.
pub(crate) fn folder(workspace: &Workspace, suite: &str) -> anyhow::Result<Utf8PathBuf> {
    let folder = workspace.target().join("records").join(suite);
    let shell = workspace.shell()?;
    shell.remove_path(&folder)?;
    shell.create_dir(&folder)?;
    Ok(folder)
}

/// Judges all records of a folder, of which a part of a suite may have left none.
pub(crate) fn judge(
    workspace: &Workspace,
    shell: &Shell,
    folder: &Utf8Path,
    is_part: bool,
) -> anyhow::Result<()> {
    if is_part && shell.read_dir(folder)?.is_empty() {
        return Ok(());
    }
    cmd!(shell, "cargo build --package mcplex-schema --bin mcplex-judge").run()?;
    let judge = workspace.built("debug", "mcplex-judge");
    Ok(cmd!(shell, "{judge} --known {KNOWN} {folder}").run()?)
}
