//! Boundary: where refresh tokens outlive us.

use crate::{client::lock::Lock, metadata::Issuer, secret::Secret};
use async_trait::async_trait;
use ring::digest::{SHA256, digest};
use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Keeps one refresh token per issuer and resource.
///
/// It is asked seldom: when a token is to be got, and when a new one was handed out.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// Waits until nobody else uses the token: one that replaces itself may be used once, so whoever
    /// uses it must be the only one from loading it to saving the next. `None` where nobody else
    /// reaches the store.
    ///
    /// # Errors
    /// When somebody else does not come to an end.
    async fn lock(&self, issuer: &Issuer, resource: &str) -> io::Result<Option<Lock>>;

    /// The token that was saved last; `None` when there is none.
    ///
    /// # Errors
    /// When that cannot be told.
    fn load(&self, issuer: &Issuer, resource: &str) -> io::Result<Option<Secret>>;

    /// Keeps a token in place of the one before.
    ///
    /// # Errors
    /// When it is not kept; the one before may be void already.
    fn save(&self, issuer: &Issuer, resource: &str, refresh: &Secret) -> io::Result<()>;
}

/// Keeps tokens in files that only their owner can read.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// Keeps them in this folder, which is made when the first one comes.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// A name that no issuer can choose: the hash of what the token is for.
    fn path(&self, issuer: &Issuer, resource: &str) -> PathBuf {
        let hash = digest(&SHA256, format!("{issuer} {resource}").as_bytes());
        let name: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{name}.token"))
    }
}

#[async_trait]
impl TokenStore for FileStore {
    async fn lock(&self, issuer: &Issuer, resource: &str) -> io::Result<Option<Lock>> {
        Lock::of(&self.folder, &self.path(issuer, resource)).await.map(Some)
    }

    fn load(&self, issuer: &Issuer, resource: &str) -> io::Result<Option<Secret>> {
        match fs::read_to_string(self.path(issuer, resource)) {
            Ok(text) => Ok(Some(Secret::new(text.trim_end()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Written beside and then put in place, so that there is always one of the two.
    fn save(&self, issuer: &Issuer, resource: &str, refresh: &Secret) -> io::Result<()> {
        put(&self.folder, &self.path(issuer, resource), refresh)
    }
}

/// Writes a file of a folder that is for its owner alone, so that a crash at any moment leaves the
/// old one or the new one.
pub(crate) fn put(folder: &Path, path: &Path, secret: &Secret) -> io::Result<()> {
    make_folder(folder)?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&beside, secret).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written?;
    // The name too has to outlive a loss of power. Where a folder cannot be synced, nothing can.
    drop(fs::File::open(folder).and_then(|folder| folder.sync_all()));
    Ok(())
}

fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    // Anew, so that nobody has it open who could read it before.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.expose().as_bytes())?;
    file.sync_all()
}

pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::new(folder.path().join("tokens"));
        let issuer = Issuer::new("https://as.example").unwrap();
        let load = |resource| store.load(&issuer, resource).unwrap();
        assert!(load("a").is_none());
        for text in ["first", "second"] {
            store.save(&issuer, "a", &Secret::new(text)).unwrap();
            assert_eq!(load("a").unwrap().expose(), text);
        }
        assert!(load("b").is_none());
        let files: Vec<_> = fs::read_dir(folder.path().join("tokens")).unwrap().collect();
        assert_eq!(files.len(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&files[0].as_ref().unwrap().path()), 0o600);
            assert_eq!(mode(&folder.path().join("tokens")), 0o700);
        }
    }
}
