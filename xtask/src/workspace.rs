//! Where the workspace is, and what cargo knows about it.

use anyhow::Context as _;
use cargo_metadata::{
    Metadata, MetadataCommand,
    camino::{Utf8Path, Utf8PathBuf},
};
use std::env;
use xshell::Shell;

/// The workspace that this xtask was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo about the workspace around this crate.
    pub(crate) fn load() -> anyhow::Result<Self> {
        // Cargo sets the variable when it runs us; the compiled-in path serves a direct start.
        let manifest =
            env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
        let metadata = MetadataCommand::new()
            .manifest_path(Utf8PathBuf::from(manifest).join("Cargo.toml"))
            .exec()
            .context("failed to read the cargo metadata of the workspace")?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }

    pub(crate) fn target(&self) -> &Utf8Path {
        &self.metadata.target_directory
    }

    /// A program that cargo built.
    pub(crate) fn built(&self, profile: &str, name: &str) -> Utf8PathBuf {
        self.target().join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// A shell that stands in the root.
    pub(crate) fn shell(&self) -> anyhow::Result<Shell> {
        let shell = Shell::new()?;
        shell.change_dir(self.root());
        Ok(shell)
    }
}
