//! Sees when a file has changed and the change has settled.
//!
//! Folders are watched, not the file: editors put a new file in its place. Of a symbolic link every
//! folder on its way is watched, as in a mounted config map, where the link to a folder is swapped.
//! What counts is whether the file behind the path is another one or another version; what happens
//! beside it in its folder does not. Because file systems of other machines tell nothing, and
//! watches run out, the file is looked at from time to time as well.

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::AccessKind,
};
use std::{
    collections::BTreeSet,
    fs, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// How long nothing must have changed: editors and `git checkout` write in several steps, a few
/// milliseconds apart.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// How long a change waits at most for the changes after it.
pub(crate) const LATEST: Duration = Duration::from_secs(3);

/// How often the file is looked at without being told. A mounted config map comes up to a minute
/// late anyway; one `stat` in this time costs nothing.
const LOOK: Duration = Duration::from_secs(5);

/// How long after being told of a folder the file is looked at, and so at most ten times a second:
/// in a folder that is busy with other files, one look for each of them would cost every call.
const REST: Duration = Duration::from_millis(100);

/// Links on the way to a file; as many as Linux follows.
const MAX_LINKS: usize = 40;

#[derive(Debug)]
pub(crate) struct FileWatch {
    path: PathBuf,
    /// Absent where the system has none to give; then looking from time to time must do.
    watcher: Option<RecommendedWatcher>,
    /// The folders that are watched.
    folders: BTreeSet<Folder>,
    woken: Arc<Notify>,
    seen: Option<Version>,
    /// A change was seen that has not settled yet.
    is_open: bool,
}

/// A folder by its real path; one that was made anew is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    path: PathBuf,
    number: u64,
}

/// Tells one version of a file from another; the same for the same content is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    /// Nothing if the file cannot be reached.
    fn of(path: &Path) -> Option<Self> {
        Some(Self::told(&fs::metadata(path).ok()?))
    }

    #[cfg(unix)]
    fn told(meta: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// A file that was put in the place of another was made at another time.
    #[cfg(windows)]
    fn told(meta: &fs::Metadata) -> Self {
        use std::os::windows::fs::MetadataExt as _;
        Self {
            file: (0, meta.creation_time()),
            size: meta.file_size(),
            modified: (0, meta.last_write_time().cast_signed()),
            changed: (0, 0),
        }
    }
}

impl FileWatch {
    /// Begins to watch. What was read before that may be older, so the file counts as changed.
    pub(crate) fn new(path: PathBuf) -> Self {
        let woken = Arc::new(Notify::new());
        let wakes = Arc::clone(&woken);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may mean that events were lost.
            if event.is_ok_and(|event| !may_change(event.kind)) {
                return;
            }
            wakes.notify_one();
        });
        let watcher = watcher.map_err(|error| looks_only(&error)).ok();
        let folders = BTreeSet::new();
        let mut watch = Self { path, watcher, folders, woken, seen: None, is_open: true };
        watch.look();
        watch
    }

    /// Waits until the file has changed and has been left alone for a moment; cancel safe.
    pub(crate) async fn settled(&mut self) {
        if !self.is_open {
            self.changed().await;
        }
        let quiet = async { while timeout(QUIET, self.changed()).await.is_ok() {} };
        let _is_quiet = timeout(LATEST, quiet).await.is_ok();
        self.is_open = false;
    }

    /// Waits until the file is another version than it was seen last.
    async fn changed(&mut self) {
        while !self.look() {
            tokio::select! {
                () = self.woken.notified() => sleep(REST).await,
                () = sleep(LOOK) => {}
            }
        }
    }

    fn look(&mut self) -> bool {
        // Watched first, so that no change falls between.
        self.follow();
        let version = Version::of(&self.path);
        let is_new = mem::replace(&mut self.seen, version) != version;
        self.is_open |= is_new;
        is_new
    }

    /// Watches the folders that the way to the file goes through now.
    fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted = folders(&self.path);
        if wanted == self.folders {
            return;
        }
        for gone in self.folders.difference(&wanted) {
            // Refused where the folder is gone, and the watch with it.
            let _is_known = watcher.unwatch(&gone.path).is_ok();
        }
        self.folders.retain(|folder| wanted.contains(folder));
        for new in wanted {
            if self.folders.contains(&new) {
                continue;
            }
            match watcher.watch(&new.path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(new)),
                Err(error) => {
                    looks_only(&error);
                    self.watcher = None;
                    return;
                }
            }
        }
    }
}

fn looks_only(error: &notify::Error) {
    tracing::warn!(%error, every_s = LOOK.as_secs(),
        "the configuration cannot be watched; it is looked at from time to time");
}

/// Whether a file may be another one after such an event.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(_)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Every folder in which a name on the way to the file stands.
fn folders(path: &Path) -> BTreeSet<Folder> {
    let mut folders = BTreeSet::new();
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Some(parent) = path.parent() else { break };
        // A folder may itself be behind a link, which stands in another folder.
        let links = parent.ancestors().filter(|folder| folder.is_symlink());
        folders.extend(links.filter_map(|link| Folder::of(link.parent()?)));
        folders.extend(Folder::of(parent));
        let Ok(target) = fs::read_link(&path) else { break };
        path = parent.join(target);
    }
    folders
}

impl Folder {
    fn of(path: &Path) -> Option<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let path = fs::canonicalize(path).ok()?;
        let Version { file: (_, number), .. } = Version::of(&path)?;
        Some(Self { path, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn watched(path: &Path) -> Vec<PathBuf> {
        folders(path).into_iter().map(|folder| folder.path).collect()
    }

    #[test]
    fn every_folder_on_the_way_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let [config, real, away] = ["config", "config/..1", "away"].map(|name| root.join(name));
        for folder in [&config, &real, &away] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(real.join("a.toml"), "").unwrap();
        let alone = std::slice::from_ref(&config);
        assert_eq!(watched(&config.join("b.toml")), alone, "also for what is not there");
        // As a mounted config map has it.
        symlink("..1", config.join("..data")).unwrap();
        symlink("..data/a.toml", config.join("a.toml")).unwrap();
        assert_eq!(watched(&config.join("a.toml")), [config.clone(), real.clone()]);
        // A link to another folder, and a folder behind a link.
        symlink(config.join("a.toml"), away.join("a.toml")).unwrap();
        symlink("away", root.join("link")).unwrap();
        let all = [root.clone(), away, config, real];
        assert_eq!(watched(&root.join("link/a.toml")), all);
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert_eq!(watched(&a).len(), 1);
        assert_eq!(Version::of(&a), None);
    }
}
