//! A bounded queue, and the thread that writes what waits in it.

#[cfg(unix)]
use crate::private_file;
use crate::{Failed, Limits, Rotated};
use std::{
    fmt,
    fs::{DirBuilder, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

/// How often lost lines are told in the log, at most.
const COMPLAIN: Duration = Duration::from_secs(60);

/// How long somebody who wants to see everything written waits between two looks at a full queue.
const LOOK: Duration = Duration::from_millis(1);

/// Makes lines of what is said; it runs on the thread.
pub trait Words: Send + 'static {
    /// What is said.
    type Entry: Send + 'static;

    /// Writes it, without the end of a line.
    fn write(&mut self, entry: Self::Entry, line: &mut Vec<u8>);

    /// Says that so many lines are missing here.
    fn gap(&mut self, missing: u64, line: &mut Vec<u8>);
}

/// How a journal is kept.
pub struct Options {
    /// Which file.
    pub path: PathBuf,
    /// Bounds on the disk.
    pub limits: Limits,
    /// How many entries may wait.
    pub entries: usize,
    /// How much they may weigh together, in bytes.
    pub weight: usize,
    /// What is kept there, for the log.
    pub what: &'static str,
    /// Whether a file that cannot be opened is an error; else it is tried again with each entry,
    /// unless it is no file or another process has it, which does not pass.
    pub must_open: bool,
    /// Hears how many lines were lost, each time some are.
    pub lost: Box<dyn Fn(u64) + Send + Sync>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("path", &self.path)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Takes entries and never waits; cheap to clone.
pub struct Journal<E>(Arc<Shared<E>>);

struct Shared<E> {
    queue: SyncSender<Item<E>>,
    most: usize,
    counts: Arc<Counts>,
}

impl<E> Clone for Journal<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("lost", &self.0.counts.lost).finish_non_exhaustive()
    }
}

/// What waits for the thread.
enum Item<E> {
    Entry {
        entry: E,
        weight: usize,
        /// How many were lost before it, since the last one that was not.
        missing: u64,
    },
    Flush(mpsc::Sender<()>),
}

struct Counts {
    /// What waits weighs so much.
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// Lost, and not yet told in the file.
    untold: AtomicU64,
    hears: Box<dyn Fn(u64) + Send + Sync>,
}

impl Counts {
    fn lose(&self, lines: u64) {
        if lines > 0 {
            self.lost.fetch_add(lines, Ordering::Relaxed);
            self.untold.fetch_add(lines, Ordering::Relaxed);
            (self.hears)(lines);
        }
    }
}

impl<E: Send + 'static> Journal<E> {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// When another process has the file (`WouldBlock`), it is a pipe or a device (`InvalidInput`) or a
    /// folder, it cannot be opened and must be, or there is no thread.
    pub fn open<W: Words<Entry = E>>(options: Options, words: W) -> io::Result<Self> {
        let Options { path, limits, entries, weight, what, must_open, lost } = options;
        let (queue, items) = mpsc::sync_channel(entries);
        let counts = Arc::new(Counts {
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            hears: lost,
        });
        let mut writer = Writer {
            path,
            limits,
            words,
            file: None,
            line: Vec::new(),
            counts: Arc::clone(&counts),
            what,
            complained: None,
            lock: None,
        };
        match writer.opened(now()) {
            Err(error) if must_open || !may_pass(&error) => return Err(error),
            // Told with the first line that is lost for it.
            Ok(()) | Err(_) => {}
        }
        // It ends when the last of the senders is gone.
        drop(thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&items))?);
        Ok(Self(Arc::new(Shared { queue, most: weight, counts })))
    }

    /// Has an entry written that weighs so much, or counts it as lost.
    pub fn push(&self, entry: E, weight: usize) {
        let Shared { queue, most, counts } = &*self.0;
        let before = counts.waiting.fetch_add(weight, Ordering::Relaxed);
        let missing = counts.untold.swap(0, Ordering::Relaxed);
        let is_in = before.saturating_add(weight) <= *most
            && match queue.try_send(Item::Entry { entry, weight, missing }) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !is_in {
            counts.waiting.fetch_sub(weight, Ordering::Relaxed);
            counts.untold.fetch_add(missing, Ordering::Relaxed);
            counts.lose(1);
        }
    }

    /// How many lines were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.counts.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything said so far is written; `false` when that takes longer.
    pub fn flush(&self, timeout: Duration) -> bool {
        let until = clock() + timeout;
        let (done, finished) = mpsc::channel();
        let mut item = Item::Flush(done);
        loop {
            match self.0.queue.try_send(item) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => item = back,
            }
            if clock() >= until {
                return false;
            }
            thread::sleep(LOOK);
        }
        finished.recv_timeout(until.saturating_duration_since(clock())).is_ok()
    }
}

/// What the thread has.
struct Writer<W> {
    path: PathBuf,
    limits: Limits,
    words: W,
    /// None after a failure, until the next line.
    file: Option<Rotated>,
    line: Vec<u8>,
    counts: Arc<Counts>,
    what: &'static str,
    complained: Option<Instant>,
    /// Held until the end.
    lock: Option<File>,
}

impl<W: Words> Writer<W> {
    /// Works until nobody can say anything any more.
    fn run(mut self, items: &Receiver<Item<W::Entry>>) {
        loop {
            let item = match items.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    // Nothing to do: what was said becomes visible.
                    self.settle();
                    match items.recv() {
                        Ok(item) => item,
                        Err(mpsc::RecvError) => break,
                    }
                }
            };
            match item {
                Item::Entry { entry, weight, missing } => {
                    self.counts.waiting.fetch_sub(weight, Ordering::Relaxed);
                    self.tell_gap(missing);
                    self.entry(entry);
                }
                Item::Flush(done) => {
                    self.settle();
                    // Nothing may follow that could say so.
                    let missing = self.counts.untold.swap(0, Ordering::Relaxed);
                    self.tell_gap(missing);
                    let _is_awaited = done.send(());
                }
            }
        }
        self.settle();
    }

    fn entry(&mut self, entry: W::Entry) {
        self.line.clear();
        self.words.write(entry, &mut self.line);
        let now = now();
        let written = match self.opened(now) {
            Ok(()) => match &mut self.file {
                Some(file) => file.write(&self.line, now).map(drop),
                None => Ok(()),
            },
            Err(error) => Err(Failed { lines: 1, error }),
        };
        if let Err(failed) = written {
            self.failed(failed);
        }
    }

    /// Says where lines are missing, before the next one that is there.
    fn tell_gap(&mut self, missing: u64) {
        if missing == 0 {
            return;
        }
        self.settle();
        self.line.clear();
        self.words.gap(missing, &mut self.line);
        let now = now();
        let told = match self.opened(now) {
            Ok(()) => match &mut self.file {
                Some(file) => file
                    .write(&self.line, now)
                    .and_then(|_| file.flush())
                    .map_err(|failed| failed.error),
                None => Ok(()),
            },
            Err(error) => Err(error),
        };
        if told.is_err() {
            self.file = None;
            self.counts.untold.fetch_add(missing, Ordering::Relaxed);
        }
        self.complain(told.err().as_ref());
    }

    /// Opens the file again after a failure.
    fn opened(&mut self, now: SystemTime) -> io::Result<()> {
        if self.file.is_none() {
            make_folder(&self.path)?;
            if self.lock.is_none() {
                self.lock = lock(&self.path)?;
            }
            self.file = Some(Rotated::open(&self.path, &self.limits, now)?);
        }
        Ok(())
    }

    fn settle(&mut self) {
        if let Some(Err(failed)) = self.file.as_mut().map(Rotated::flush) {
            self.failed(failed);
        }
    }

    fn failed(&mut self, Failed { lines, error }: Failed) {
        self.file = None;
        self.counts.lose(lines);
        self.complain(Some(&error));
    }

    /// Tells it in the log, now and then.
    fn complain(&mut self, error: Option<&io::Error>) {
        let now = clock();
        if self.complained.is_some_and(|last| now.duration_since(last) < COMPLAIN) {
            return;
        }
        self.complained = Some(now);
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let (file, what) = (self.path.display(), self.what);
        match error {
            Some(error) => {
                tracing::warn!(%file, what, lost, %error, "lines cannot be written to disk and are lost until they can");
            }
            None => {
                tracing::warn!(%file, what, lost, "lines came faster than they could be written and are lost");
            }
        }
    }
}

/// Whether what keeps a file from being opened may be over in a moment.
fn may_pass(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
    )
}

/// Makes the folder of a file where there is none; nobody else can enter it then.
fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// The file that is locked by whoever writes to a file of lines.
#[must_use]
pub fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Keeps other processes from writing the same file, which would move it aside under us.
#[cfg(unix)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let file = private_file().write(true).open(lock_path(path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(file))
}

/// There a file that is open for writing cannot be renamed, which shows soon enough.
#[cfg(not(unix))]
fn lock(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// What people call the time; files are moved aside by it.
#[expect(clippy::disallowed_methods, reason = "the age of a file is told in the time of people")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// For waits, on a thread of its own or at the end.
#[expect(clippy::disallowed_methods, reason = "bounds waits of threads that do nothing else")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
