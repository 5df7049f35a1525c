//! Turns between processes of one user that use the same grant.

use crate::client::store::make_folder;
use std::{fs, io, path::Path, time::Duration};

/// How long somebody else may have it; 10 s. That is one answer of a token endpoint, twice.
const WAIT: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile; the system cannot tell us without a thread that waits.
const EVERY: Duration = Duration::from_millis(20);

/// The right to use a refresh token and to keep the next one, until it is dropped or its process
/// ends.
///
/// It lies beside what it guards: that file is replaced as a whole, and so cannot be held itself.
#[derive(Debug)]
pub struct Lock(fs::File);

impl Lock {
    /// Waits until nobody else has what is kept at this path of a folder.
    pub(crate) async fn of(folder: &Path, path: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = Self(options.open(path.with_extension("lock"))?);
        let late = || io::Error::new(io::ErrorKind::TimedOut, "another process does not let it go");
        tokio::time::timeout(WAIT, async {
            while !lock.try_to_have()? {
                tokio::time::sleep(EVERY).await;
            }
            Ok(lock)
        })
        .await
        .unwrap_or_else(|_| Err(late()))
    }

    fn try_to_have(&self) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use rustix::{
                fs::{FlockOperation, flock},
                io::Errno,
            };
            match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        #[cfg(not(unix))]
        Ok(self.0.metadata().is_ok())
    }
}
