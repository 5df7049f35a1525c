//! Folders and files that only the user can read.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// A folder that belongs to this process until it is dropped.
///
/// Of two gateways with the same configuration only one writes logs and reports: two that rotate
/// the same files would lose lines.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// The folder itself, locked; the system takes the lock back when the process ends in any way.
    _lock: Option<File>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be made or opened.
    #[error("{} cannot be used", .path.display())]
    Unusable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process writes there.
    #[error("{} is in use by another mcplex", .path.display())]
    Taken {
        /// Which one.
        path: PathBuf,
    },
}

impl Store {
    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be used, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Unusable { path: path.to_owned(), source };
        private_folder(path).map_err(unusable)?;
        let lock = lock(path).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                StoreError::Taken { path: path.to_owned() }
            } else {
                unusable(error)
            }
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a folder that nobody else can enter.
///
/// # Errors
/// When it cannot be made, belongs to somebody else, or is no folder.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
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

/// How a new file is opened so that nobody else can read it.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let folder = File::open(path)?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(folder))
}

/// Folders cannot be locked there; the socket's own check is what is left.
#[cfg(not(unix))]
fn lock(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_belongs_to_one_process_and_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let store = Store::open(&path).unwrap();
        let mode = std::fs::metadata(store.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(matches!(Store::open(&path), Err(StoreError::Taken { .. })));
        drop(store);
        drop(Store::open(&path).unwrap());
    }

    #[test]
    fn a_link_is_no_folder_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(matches!(Store::open(&link), Err(StoreError::Unusable { .. })));
    }
}
