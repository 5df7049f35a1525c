//! What is kept of a login, in a file that only its owner can read.

use crate::{
    client::{lock::Lock, options::Proof, store::put},
    metadata::Issuer,
    secret::Secret,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};
use url::Url;

/// The longest file that is read; tokens have a few KiB.
const SIZE_MAX: u64 = 1024 * 1024;

/// What a person has agreed to, and what was handed out for it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Who handed it out.
    pub issuer: Issuer,
    /// What it is for, as the resource calls itself.
    pub resource: String,
    /// Where the metadata of the resource lies, when it has said so.
    pub about: Option<Url>,
    /// Who we are to the issuer; `None` once it has forgotten us.
    pub client: Option<Client>,
    /// Where the browser was sent back to, which a registration holds for.
    pub redirect: Url,
    /// What was agreed to.
    pub scopes: Vec<String>,
    /// What the server wanted beyond that, for the next login.
    pub wanted: Vec<String>,
    /// What later tokens are got with, if that is possible.
    pub refresh: Option<Secret>,
    /// The newest token.
    pub access: Option<Access>,
}

/// A token, and its end.
#[derive(Clone, Debug)]
pub struct Access {
    /// The value of the `Authorization` header.
    pub header: Secret,
    /// Its end, in seconds since 1970, where that was told.
    pub until: Option<u64>,
}

/// A client, by its name.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name.
    pub id: String,
    /// How the issuer came to know it.
    pub known: Known,
}

/// How an issuer came to know us.
#[derive(Clone, Debug)]
pub enum Known {
    /// An operator arranged it; what shows that the name is ours is in the configuration.
    Configured,
    /// The name is the address of a document about us.
    Document,
    /// We registered ourselves, and were told how to show who we are.
    Registered(Proof),
}

impl Kept {
    /// Whether a token is there or can be got without a person, as far as is known at this moment.
    #[must_use]
    pub fn is_usable(&self, unix: u64) -> bool {
        let access = self.access.as_ref();
        let lives = access.is_some_and(|access| access.until.is_none_or(|until| unix < until));
        self.client.is_some() && (self.refresh.is_some() || lives)
    }
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Words {
    issuer: String,
    resource: String,
    about: Option<String>,
    client: Option<ClientWords>,
    redirect: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    wanted: Vec<String>,
    refresh: Option<String>,
    access: Option<AccessWords>,
}

#[derive(Serialize, Deserialize)]
struct ClientWords {
    id: String,
    known: KnownWords,
    secret: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KnownWords {
    Configured,
    Document,
    RegisteredNone,
    RegisteredBasic,
    RegisteredPost,
}

#[derive(Serialize, Deserialize)]
struct AccessWords {
    header: String,
    until: Option<u64>,
}

impl Words {
    fn of(kept: &Kept) -> Self {
        let text = |secret: &Secret| secret.expose().to_owned();
        let client = kept.client.as_ref().map(|client| {
            let (known, secret) = match &client.known {
                Known::Configured => (KnownWords::Configured, None),
                Known::Document => (KnownWords::Document, None),
                Known::Registered(Proof::Basic(secret)) => {
                    (KnownWords::RegisteredBasic, Some(text(secret)))
                }
                Known::Registered(Proof::Post(secret)) => {
                    (KnownWords::RegisteredPost, Some(text(secret)))
                }
                // Nobody registers with a key, for which there would have to be one.
                Known::Registered(Proof::Nothing | Proof::Key(_)) => {
                    (KnownWords::RegisteredNone, None)
                }
            };
            ClientWords { id: client.id.clone(), known, secret }
        });
        Self {
            issuer: kept.issuer.to_string(),
            resource: kept.resource.clone(),
            about: kept.about.as_ref().map(Url::to_string),
            client,
            redirect: kept.redirect.to_string(),
            scopes: kept.scopes.clone(),
            wanted: kept.wanted.clone(),
            refresh: kept.refresh.as_ref().map(text),
            access: kept
                .access
                .as_ref()
                .map(|access| AccessWords { header: text(&access.header), until: access.until }),
        }
    }

    fn read(self) -> Option<Kept> {
        let client = match self.client {
            None => None,
            Some(ClientWords { id, known, secret }) => {
                let secret = secret.map(Secret::new);
                let known = match known {
                    KnownWords::Configured => Known::Configured,
                    KnownWords::Document => Known::Document,
                    KnownWords::RegisteredNone => Known::Registered(Proof::Nothing),
                    KnownWords::RegisteredBasic => Known::Registered(Proof::Basic(secret?)),
                    KnownWords::RegisteredPost => Known::Registered(Proof::Post(secret?)),
                };
                Some(Client { id, known })
            }
        };
        Some(Kept {
            issuer: Issuer::new(&self.issuer).ok()?,
            resource: self.resource,
            about: self.about.map(|about| Url::parse(&about)).transpose().ok()?,
            client,
            redirect: Url::parse(&self.redirect).ok()?,
            scopes: self.scopes,
            wanted: self.wanted,
            refresh: self.refresh.map(Secret::new),
            access: self
                .access
                .map(|AccessWords { header, until }| Access { header: Secret::new(header), until }),
        })
    }
}

/// The file of one login.
#[derive(Clone, Debug)]
pub struct LoginFile {
    folder: PathBuf,
    path: PathBuf,
}

/// Tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    changed: Option<SystemTime>,
    inode: u64,
}

impl LoginFile {
    /// The file of whatever is called so, in this folder, which is made when somebody logs in.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, name: &str) -> Self {
        let folder = folder.into();
        let hash = digest(&SHA256, name.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: folder.join(format!("{hash}.login")), folder }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept; `None` when nobody has logged in.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn load(&self) -> io::Result<Option<Kept>> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(found) if found.len() > SIZE_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => {}
        }
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(text) => Secret::new(text),
        };
        let words: Option<Words> = serde_json::from_str(text.expose()).ok();
        // What the parser says would quote it.
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is damaged");
        words.and_then(Words::read).map(Some).ok_or_else(damaged)
    }

    /// Keeps this in place of what was kept before.
    ///
    /// # Errors
    /// When it is not kept.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_string(&Words::of(kept)).map_err(io::Error::other)?;
        put(&self.folder, &self.path, &Secret::new(text))
    }

    /// Forgets it; whether there was something.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until nobody else changes it. A refresh token may be used once, so whoever uses it
    /// must be the only one from reading it to keeping the next.
    ///
    /// # Errors
    /// When somebody else does not come to an end.
    pub async fn lock(&self) -> io::Result<Lock> {
        Lock::of(&self.folder, &self.path).await
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(&self.path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Stamp { length: found.len(), changed: found.modified().ok(), inode })
    }
}
