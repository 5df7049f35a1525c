//! The folder that one process has for what it keeps.

pub(crate) use mcplex_journal::{private_file, private_folder};
use std::{
    fs::File,
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
