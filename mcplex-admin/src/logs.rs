//! What upstreams wrote to their stderr, kept within bounds and off the way of supervision.
//!
//! Whoever hears a line puts it into a bounded queue and goes on; one thread writes. A disk that is
//! slow or full costs lines, which are counted and told, and never time or memory. The same thread
//! answers who wants to read, so that a reader gets every line once: those before its question from
//! the files, those after it as they come.

mod file;
mod follow;
mod writer;

pub use file::{read_tail, upstreams};
pub use follow::Follower;

use mcplex_proto::transport::{LogSink, Word};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, SystemTime},
};
use tokio::sync::{broadcast, oneshot};

/// How many lines wait to be written. With the longest lines that is 4 MiB.
const QUEUE: usize = 1024;

/// How long the last lines may take to reach the disk at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Bounds on what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one file may become, in bytes.
    pub size: u64,
    /// How many files are kept of one upstream.
    pub files: usize,
    /// How much all files may take, in bytes.
    pub total: u64,
}

/// The logs of all upstreams; cheap to clone.
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

struct Shared {
    queue: SyncSender<Entry>,
    lost: Lost,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

/// What waits for the thread.
enum Entry {
    Line {
        upstream: Arc<str>,
        at: SystemTime,
        text: String,
        /// How many lines were lost right before it.
        missing: u64,
    },
    Tail {
        upstream: Arc<str>,
        lines: usize,
        reply: oneshot::Sender<Tail>,
    },
    /// Answered when everything before it is written.
    Flush(mpsc::Sender<()>),
}

/// The end of a log, and what comes after it.
#[derive(Debug)]
pub struct Tail {
    /// The last lines, oldest first.
    pub lines: Vec<String>,
    /// What is written from then on.
    pub more: More,
}

/// Lines as they are written.
#[derive(Debug)]
pub struct More(Option<broadcast::Receiver<Arc<str>>>);

impl More {
    /// The next line; `None` when nobody writes any more.
    pub async fn next(&mut self) -> Option<String> {
        match self.0.as_mut()?.recv().await {
            Ok(line) => Some(line.to_string()),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(format!(
                "-- mcplex: {count} lines were left out here, because they came too fast"
            )),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Lines that could not be kept.
#[derive(Clone, Default)]
struct Lost {
    /// Not yet told in the log itself, by upstream.
    untold: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
    total: Arc<AtomicU64>,
}

impl Lost {
    fn some(&self, upstream: &Arc<str>, count: u64) {
        self.total.fetch_add(count, Ordering::Relaxed);
        self.untold(upstream, count);
    }

    /// These have not been told yet, or not in a way that lasts.
    fn untold(&self, upstream: &Arc<str>, count: u64) {
        if count > 0 {
            *self.lock().entry(Arc::clone(upstream)).or_default() += count;
        }
    }

    fn take(&self, upstream: &str) -> u64 {
        self.lock().remove(upstream).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logs {
    /// Logs in this folder, or in memory alone.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn open(folder: Option<PathBuf>, limits: Limits) -> std::io::Result<Self> {
        let (logs, writes) = Self::unwritten(folder, limits);
        // It ends when the last of the senders is gone.
        drop(thread::Builder::new().name("logs".to_owned()).spawn(writes)?);
        Ok(logs)
    }

    /// Logs, and what has to run so that they are written.
    fn unwritten(
        folder: Option<PathBuf>,
        limits: Limits,
    ) -> (Self, impl FnOnce() + Send + 'static) {
        let (queue, entries) = mpsc::sync_channel(QUEUE);
        let lost = Lost::default();
        let writer = writer::Writer::new(folder, limits, lost.clone());
        (Self(Arc::new(Shared { queue, lost })), move || writer.run(&entries))
    }

    /// Where an upstream's lines go.
    #[must_use]
    pub fn of(&self, upstream: &str) -> Log {
        Log { logs: self.clone(), upstream: upstream.into() }
    }

    /// How many lines were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.total.load(Ordering::Relaxed)
    }

    /// The last lines of an upstream, and what follows them.
    pub async fn tail(&self, upstream: &str, lines: usize) -> Tail {
        let (reply, answer) = oneshot::channel();
        let (logs, upstream) = (self.clone(), Arc::from(upstream));
        // A flood may have filled the queue; the thread always gets on with it.
        let asked = tokio::task::spawn_blocking(move || {
            logs.0.queue.send(Entry::Tail { upstream, lines, reply }).is_ok()
        });
        let _is_asked = asked.await;
        answer.await.unwrap_or(Tail { lines: Vec::new(), more: More(None) })
    }

    /// Waits a moment for the last lines to be written.
    pub fn flush(&self) {
        let (done, finished) = mpsc::channel();
        if self.0.queue.try_send(Entry::Flush(done)).is_ok() {
            let _in_time = finished.recv_timeout(FLUSH);
        }
    }
}

/// The log of one upstream; never blocks.
#[derive(Clone, Debug)]
pub struct Log {
    logs: Logs,
    upstream: Arc<str>,
}

impl Log {
    /// Adds what mcplex itself has to say, such as that a life began.
    pub fn note(&self, at: SystemTime, text: &str) {
        self.push(at, format!("-- mcplex: {text}"));
    }

    fn push(&self, at: SystemTime, text: String) {
        let Shared { queue, lost } = &*self.logs.0;
        let upstream = Arc::clone(&self.upstream);
        let missing = lost.take(&upstream);
        let entry = Entry::Line { upstream, at, text, missing };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(entry) {
            lost.untold(&self.upstream, missing);
            lost.some(&self.upstream, 1);
        }
    }
}

impl LogSink for Log {
    fn word(&self, word: &Word) {
        self.push(word.at, word.text.clone());
    }
}

/// A line as it stands in a file.
fn written(at: SystemTime, text: &str) -> String {
    format!("{} {text}", humantime::format_rfc3339_millis(at))
}

/// The file that is written for an upstream.
fn file_of(folder: &Path, upstream: &str) -> PathBuf {
    folder.join(format!("{upstream}.log"))
}

#[cfg(test)]
mod tests;
