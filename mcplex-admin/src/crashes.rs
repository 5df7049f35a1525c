//! Reports of deaths, kept within bounds: the last ones in memory, more of them on disk.
//!
//! Whoever has a report puts it into memory and into a bounded queue, and goes on; one thread
//! writes. A disk that is slow or full costs files, which are counted, and never time.

mod disk;

pub use disk::read_all;

use crate::status::UpstreamStatus;
use mcplex_proto::report::CrashReport;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

/// How many reports wait to be written. A hundred upstreams that die at once need as many.
const QUEUE: usize = 128;

/// How many reports are kept in memory of each upstream: one trip's worth.
const IN_MEMORY: usize = 6;

/// How long the last reports may take to reach the disk at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Bounds on what is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many reports of each upstream.
    pub reports: usize,
    /// How much all of them may take, in bytes.
    pub total: u64,
}

/// The line of a report in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Whose death it was.
    pub upstream: String,
    /// Which of its children, where it has several.
    pub member: Option<String>,
    /// Its number: 1 is the newest of that upstream.
    pub number: usize,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// Which life.
    pub incarnation: u64,
    /// What happened.
    pub what: String,
    /// The probable cause, if one is known.
    pub probable_cause: Option<String>,
    /// Whether the breaker opened.
    pub tripped: bool,
}

/// The reports of all upstreams; cheap to clone.
#[derive(Clone)]
pub struct Crashes(Arc<Shared>);

struct Shared {
    memory: Mutex<BTreeMap<String, VecDeque<Arc<CrashReport>>>>,
    folder: Option<PathBuf>,
    /// `None` where nothing is written.
    queue: Option<SyncSender<Job>>,
    lost: Arc<AtomicU64>,
}

enum Job {
    Write(Arc<CrashReport>),
    /// Answered when everything before it is written.
    Flush(mpsc::Sender<()>),
}

impl fmt::Debug for Crashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crashes").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Crashes {
    /// Reports in this folder, or in memory alone.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn open(folder: Option<PathBuf>, limits: Limits) -> io::Result<Self> {
        let lost = Arc::new(AtomicU64::new(0));
        let queue = match folder.clone() {
            None => None,
            Some(folder) => {
                let (queue, jobs) = mpsc::sync_channel(QUEUE);
                let lost = Arc::clone(&lost);
                let write = move || write_all(&folder, &limits, &jobs, &lost);
                // It ends when the last of the senders is gone.
                drop(thread::Builder::new().name("crashes".to_owned()).spawn(write)?);
                Some(queue)
            }
        };
        Ok(Self(Arc::new(Shared { memory: Mutex::default(), folder, queue, lost })))
    }

    /// Keeps a report; never blocks.
    pub fn take(&self, report: Arc<CrashReport>) {
        {
            let mut memory = self.memory();
            let own = memory.entry(report.upstream.clone()).or_default();
            while own.len() >= IN_MEMORY {
                own.pop_front();
            }
            own.push_back(Arc::clone(&report));
        }
        if let Some(queue) = &self.0.queue
            && queue.try_send(Job::Write(report)).is_err()
        {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("a crash report was not written, because the disk is too slow");
        }
    }

    /// How many reports could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// All reports, or those of one upstream, the newest first.
    pub async fn list(&self, upstream: Option<&str>) -> Vec<Summary> {
        summaries(&self.all(upstream).await)
    }

    /// The `number`th newest report of an upstream.
    pub async fn get(&self, upstream: &str, number: usize) -> Option<Arc<CrashReport>> {
        let all = self.all(Some(upstream)).await;
        all.into_iter().nth(number.checked_sub(1)?)
    }

    /// The newest report of an upstream, or of one of its children where it has several.
    pub async fn newest_of(&self, upstream: &UpstreamStatus) -> Option<Arc<CrashReport>> {
        // Of one that is down only its own death says why.
        let is_own = |report: &&Arc<CrashReport>| {
            let is_any = upstream.is_up() && upstream.member.is_none();
            is_any || report.member == upstream.member
        };
        let name = upstream.name.as_str();
        let newest = self.memory().get(name).and_then(|own| own.iter().rev().find(is_own).cloned());
        match newest {
            Some(newest) => Some(newest),
            None => self.all(Some(name)).await.iter().find(is_own).cloned(),
        }
    }

    /// Waits a moment for the last reports to be written.
    pub fn flush(&self) {
        let (done, finished) = mpsc::channel();
        if let Some(queue) = &self.0.queue
            && queue.try_send(Job::Flush(done)).is_ok()
        {
            let _in_time = finished.recv_timeout(FLUSH);
        }
    }

    /// What is on disk and what is in memory, each once, the newest first.
    async fn all(&self, upstream: Option<&str>) -> Vec<Arc<CrashReport>> {
        let mut all: Vec<Arc<CrashReport>> = {
            let memory = self.memory();
            let own = memory.iter().filter(|(name, _)| upstream.is_none_or(|one| one == *name));
            own.flat_map(|(_, reports)| reports.iter().cloned()).collect()
        };
        if let Some(folder) = self.0.folder.clone() {
            let upstream = upstream.map(str::to_owned);
            let read = move || read_all(&folder, upstream.as_deref());
            all.extend(tokio::task::spawn_blocking(read).await.unwrap_or_default());
        }
        newest_first(all)
    }

    /// Locked for a moment, never over a wait.
    fn memory(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Arc<CrashReport>>>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each report once, the newest first.
fn newest_first(mut all: Vec<Arc<CrashReport>>) -> Vec<Arc<CrashReport>> {
    fn key(report: &CrashReport) -> (u64, &str, u64, Option<&str>) {
        (report.at_ms, &report.upstream, report.incarnation, report.member.as_deref())
    }
    all.sort_by(|one, other| key(other).cmp(&key(one)));
    all.dedup_by(|one, other| key(one) == key(other));
    all
}

/// The lines of a list; reports come the newest first.
#[must_use]
pub fn summaries(reports: &[Arc<CrashReport>]) -> Vec<Summary> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    reports
        .iter()
        .map(|report| {
            let number = numbers.entry(&report.upstream).or_default();
            *number += 1;
            Summary {
                upstream: report.upstream.clone(),
                member: report.member.clone(),
                number: *number,
                at_ms: report.at_ms,
                incarnation: report.incarnation,
                what: report.what.clone(),
                probable_cause: report.probable_cause.clone(),
                tripped: report.trip.is_some(),
            }
        })
        .collect()
}

/// Works until nobody has a report any more.
fn write_all(
    folder: &std::path::Path,
    limits: &Limits,
    jobs: &mpsc::Receiver<Job>,
    lost: &AtomicU64,
) {
    let mut has_complained = false;
    for job in jobs {
        match job {
            Job::Flush(done) => {
                let _is_awaited = done.send(());
            }
            Job::Write(report) => match disk::write(folder, &report, limits) {
                Ok(()) => has_complained = false,
                Err(error) => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut has_complained, true) {
                        tracing::warn!(%error, "crash reports cannot be written to disk");
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn report(upstream: &str, n: u64) -> Arc<CrashReport> {
        Arc::new(CrashReport {
            upstream: upstream.to_owned(),
            incarnation: n,
            at_ms: 1_000 * n,
            what: format!("end {n}"),
            ..CrashReport::default()
        })
    }

    /// Of one that is down.
    fn status(name: &str, member: Option<&str>) -> UpstreamStatus {
        let member = member.map(str::to_owned);
        UpstreamStatus { name: name.to_owned(), member, ..UpstreamStatus::default() }
    }

    fn limits(reports: usize, total: u64) -> Limits {
        Limits { reports, total }
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn reports_are_numbered_from_the_newest_and_outlive_mcplex() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Crashes::open(Some(dir.path().to_owned()), limits(3, 1 << 20)).unwrap();
        let first = open();
        for n in 1..=5 {
            first.take(report("a", n));
        }
        first.take(report("b", 9));
        first.flush();
        assert_eq!(files(&dir.path().join("a")).len(), 3);
        drop(first);
        let second = open();
        second.take(report("a", 6));
        second.flush();
        let list = second.list(None).await;
        let shown: Vec<_> =
            list.iter().map(|one| (&*one.upstream, one.number, &*one.what)).collect();
        assert_eq!(
            shown,
            [("b", 1, "end 9"), ("a", 1, "end 6"), ("a", 2, "end 5"), ("a", 3, "end 4")]
        );
        assert_eq!(second.get("a", 2).await.unwrap().what, "end 5");
        assert_eq!(second.newest_of(&status("b", None)).await.unwrap().what, "end 9");
        assert!(second.get("a", 0).await.is_none() && second.get("c", 1).await.is_none());
    }

    #[tokio::test]
    async fn members_that_die_in_the_same_moment_have_a_report_each() {
        let dir = tempfile::tempdir().unwrap();
        let crashes = Crashes::open(Some(dir.path().to_owned()), limits(9, 1 << 20)).unwrap();
        let members = [None, Some("a/2".to_owned()), Some("a/s17".to_owned())];
        for member in members.clone() {
            crashes.take(Arc::new(CrashReport { member, ..CrashReport::clone(&report("a", 1)) }));
        }
        crashes.flush();
        let mut on_disk: Vec<_> =
            read_all(dir.path(), None).iter().map(|report| report.member.clone()).collect();
        on_disk.sort();
        assert_eq!(on_disk, members);
        let names = files(&dir.path().join("a"));
        assert!(names[0].ends_with("-1-2.json") && names[2].ends_with("-1.json"), "{names:?}");
        assert_eq!(crashes.list(None).await.len(), 3);
        for member in [None, Some("a/2"), Some("a/s17")] {
            let newest = crashes.newest_of(&status("a", member)).await.unwrap();
            assert_eq!(newest.member.as_deref(), member);
        }
        assert_eq!(crashes.newest_of(&status("a", Some("a/3"))).await, None);
    }

    #[test]
    fn all_reports_together_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let size = serde_json::to_vec_pretty(&*report("a", 1)).unwrap().len() as u64;
        let folder = Some(dir.path().to_owned());
        let crashes = Crashes::open(folder, limits(100, 4 * size + 100)).unwrap();
        for n in 1..=9 {
            crashes.take(report(if n % 2 == 0 { "a" } else { "b" }, n));
        }
        crashes.flush();
        let left: Vec<_> =
            read_all(dir.path(), None).iter().map(|report| report.incarnation).collect();
        assert_eq!(left, [9, 8, 7, 6]);
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_counted_and_the_memory_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let crashes = Crashes::open(Some(file.join("below")), limits(3, 1 << 20)).unwrap();
        crashes.take(report("a", 1));
        crashes.flush();
        assert_eq!(crashes.lost(), 1);
        assert_eq!(crashes.newest_of(&status("a", None)).await.unwrap().what, "end 1");
    }

    #[tokio::test]
    async fn what_is_no_report_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("a");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("2026-half.json"), "{").unwrap();
        std::fs::write(own.join("notes.txt"), "mine").unwrap();
        let crashes = Crashes::open(Some(dir.path().to_owned()), limits(3, 1 << 20)).unwrap();
        assert_eq!(crashes.list(None).await, []);
        crashes.take(report("a", 1));
        crashes.flush();
        assert!(own.join("notes.txt").exists());
    }
}
