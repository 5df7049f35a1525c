//! Folders and files that only the user can read.

use std::{fs::OpenOptions, io, path::Path};

/// Makes a folder that nobody else can enter.
///
/// # Errors
/// When it cannot be made, belongs to somebody else, or is no folder.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt};
        builder.mode(0o700).create(path)?;
        // Not through a link, which somebody else may have laid.
        let found = std::fs::symlink_metadata(path)?;
        if !found.is_dir() || found.uid() != rustix::process::getuid().as_raw() {
            return Err(io::Error::other("it is not a folder of this user"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
        }
    }
    #[cfg(not(unix))]
    builder.create(path)?;
    Ok(())
}

/// How a new file is opened so that nobody else can read it; a pipe that has its name is not waited
/// for.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        // Nothing to a file, and everything to a pipe without a reader.
        options.mode(0o600).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    }
    options
}
