//! What is remembered of upstreams, on disk: in each folder one small file per upstream, named after
//! it and everything that decides what it is.

use mcplex_config::{Fingerprint, Server};
use mcplex_router::Memory;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The longest document that is kept; the length of an upstream's longest line by default. Measured
/// lists reach some hundred KiB.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// Files that are kept in all, far more than a person has servers; the oldest goes first.
const MAX_FILES: usize = 256;

/// What upstreams listed last.
const CATALOG: &str = "catalog";

/// The file of one upstream.
#[derive(Debug)]
pub(crate) struct File(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    upstream: String,
    fingerprint: Fingerprint,
    /// What is to be written next: of several, the last.
    pending: Mutex<Option<String>>,
    /// Held while it is written.
    writing: Mutex<()>,
}

impl File {
    /// The file of what a server listed last, in the folder of a configuration.
    pub(crate) fn of(state: &Path, server: &Server) -> Self {
        Self::inside(state, CATALOG, server)
    }

    /// The file of a server in a folder of that folder.
    pub(crate) fn inside(state: &Path, folder: &str, server: &Server) -> Self {
        Self(Arc::new(Shared {
            folder: state.join(folder),
            upstream: server.name.clone(),
            fingerprint: server.fingerprint(),
            pending: Mutex::default(),
            writing: Mutex::default(),
        }))
    }
}

impl Memory for File {
    fn recall(&self) -> Option<String> {
        match self.0.read() {
            Ok(document) => Some(document),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                let path = self.0.path();
                tracing::warn!(upstream = self.0.upstream, path = %path.display(), %error,
                    "what is remembered of an upstream cannot be read; it is asked again");
                None
            }
        }
    }

    fn remember(&self, document: String) {
        *lock(&self.0.pending) = Some(document);
        let shared = Arc::clone(&self.0);
        // A slow disk is waited for by a thread of its own, and by the end of mcplex.
        drop(tokio::task::spawn_blocking(move || shared.write_pending()));
    }
}

impl Shared {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}-{}.json", self.upstream, self.fingerprint))
    }

    fn read(&self) -> io::Result<String> {
        let file = fs::File::open(self.path())?;
        let mut document = String::new();
        let length = file.take(MAX_SIZE + 1).read_to_string(&mut document)?;
        if length as u64 > MAX_SIZE {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too long"));
        }
        Ok(document)
    }

    fn write_pending(&self) {
        let _guard = lock(&self.writing);
        let Some(document) = lock(&self.pending).take() else { return };
        if document.len() as u64 > MAX_SIZE {
            tracing::warn!(
                upstream = self.upstream,
                size = document.len(),
                limit = MAX_SIZE,
                "there is too much to remember of an upstream"
            );
            return;
        }
        if let Err(error) = self.write(document.as_bytes()) {
            tracing::warn!(upstream = self.upstream, path = %self.path().display(), %error,
                "what is known of an upstream is not remembered");
        }
    }

    /// Writes a file beside the old one and puts it in its place, so that nobody reads half of it.
    fn write(&self, document: &[u8]) -> io::Result<()> {
        create(&self.folder)?;
        let path = self.path();
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let written = private_file(&draft).and_then(|mut file| file.write_all(document));
        let placed = written.and_then(|()| fs::rename(&draft, &path));
        if placed.is_err() {
            // What is left of a full disk or a folder that vanished is not worth a second error.
            let _is_removed = fs::remove_file(&draft).is_ok();
        }
        placed?;
        self.forget_old(&path)
    }

    /// Removes files of the same upstream as it was configured before, and the oldest of too many.
    fn forget_old(&self, current: &Path) -> io::Result<()> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path == current {
                continue;
            }
            if is_of(&self.upstream, &entry.file_name().to_string_lossy()) {
                fs::remove_file(path)?;
            } else {
                others.push((entry.metadata()?.modified()?, path));
            }
        }
        others.sort();
        let too_many = (others.len() + 1).saturating_sub(MAX_FILES);
        others.into_iter().take(too_many).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// Whether a file is one of this upstream; another's name may begin alike.
fn is_of(upstream: &str, file: &str) -> bool {
    let rest = file.strip_prefix(upstream).and_then(|rest| rest.strip_prefix('-'));
    let hash = rest.and_then(|rest| rest.strip_suffix(".json"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Makes a folder that is for this user alone.
fn create(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// A panic elsewhere leaves a whole document behind, or none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_config::{Config, Document, Format, Sources};

    fn server(text: &str) -> Server {
        let text = format!("[[servers]]\n{text}");
        let document = Document::Text { name: "test".to_owned(), text, format: Format::Toml };
        let sources = Sources { document: Some(document), ..Sources::default() };
        Config::load(sources).unwrap().config.servers.remove(0)
    }

    fn file(state: &Path, text: &str) -> File {
        File::of(state, &server(text))
    }

    fn write(file: &File, document: &str) {
        *lock(&file.0.pending) = Some(document.to_owned());
        file.0.write_pending();
    }

    fn files(state: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(state.join("catalog")) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_by_the_same_server_only() {
        let dir = tempfile::tempdir().unwrap();
        let own = "name = \"a\"\ncommand = \"x\"\nenv = { KEY = \"secret\" }\n";
        let first = file(dir.path(), own);
        assert_eq!(first.recall(), None);
        write(&first, "{}");
        assert_eq!(file(dir.path(), own).recall().as_deref(), Some("{}"));
        // How it is kept alive says nothing of what it lists.
        let kept = format!("{own}[servers.supervise]\nmax_deaths = 1\n");
        assert_eq!(file(dir.path(), &kept).recall().as_deref(), Some("{}"));
        for other in [
            "name = \"a\"\ncommand = \"y\"\nenv = { KEY = \"secret\" }\n",
            "name = \"a\"\ncommand = \"x\"\nenv = { KEY = \"other\" }\n",
            "name = \"a\"\ncommand = \"x\"\nargs = [\"secret\"]\n",
            "name = \"b\"\ncommand = \"x\"\nenv = { KEY = \"secret\" }\n",
        ] {
            assert_eq!(file(dir.path(), other).recall(), None, "{other}");
        }
        assert!(files(dir.path()).iter().all(|name| !name.contains("secret")));
    }

    #[test]
    fn a_changed_server_leaves_no_file_of_before_and_no_other_server_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        write(&file(dir.path(), "name = \"a\"\ncommand = \"x\"\n"), "1");
        write(&file(dir.path(), "name = \"a-b\"\ncommand = \"x\"\n"), "2");
        let changed = file(dir.path(), "name = \"a\"\ncommand = \"y\"\n");
        write(&changed, "3");
        write(&changed, "4");
        assert_eq!(files(dir.path()).len(), 2, "{:?}", files(dir.path()));
        assert_eq!(changed.recall().as_deref(), Some("4"));
        let other = file(dir.path(), "name = \"a-b\"\ncommand = \"x\"\n");
        assert_eq!(other.recall().as_deref(), Some("2"));
    }

    #[test]
    fn there_are_never_more_than_so_many_files() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MAX_FILES + 5 {
            let text = format!("name = \"s{number}\"\ncommand = \"x\"\n");
            write(&file(dir.path(), &text), "{}");
        }
        assert_eq!(files(dir.path()).len(), MAX_FILES);
    }

    #[test]
    fn what_is_too_long_or_not_text_is_as_good_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "name = \"a\"\ncommand = \"x\"\n");
        write(&file, &"x".repeat(usize::try_from(MAX_SIZE).unwrap() + 1));
        assert!(files(dir.path()).is_empty());
        write(&file, "{}");
        fs::write(file.0.path(), [0xff, 0xfe]).unwrap();
        assert_eq!(file.recall(), None);
        let long = fs::File::create(file.0.path()).unwrap();
        long.set_len(MAX_SIZE + 1).unwrap();
        assert_eq!(file.recall(), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "name = \"a\"\ncommand = \"x\"\n");
        write(&file, "{}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.0.path()), mode(&file.0.folder)), (0o600, 0o700));
    }
}
