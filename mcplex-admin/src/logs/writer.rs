//! The thread that keeps what upstreams say.

use super::{Entry, Limits, Lost, More, Tail, file, written};
use mcplex_journal::{Failed, Rotated};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvError},
    },
    time::SystemTime,
};
use tokio::sync::broadcast;

/// What is kept of an upstream where nothing can be written, in bytes: a few screens.
const MEMORY: usize = 64 * 1024;

/// How far a reader may fall behind before lines are left out for it.
const BEHIND: usize = 1024;

pub(super) struct Writer {
    folder: Option<PathBuf>,
    limits: Limits,
    lost: Lost,
    /// The one file that is open, so that upstreams cost no descriptors at rest.
    open: Option<(Arc<str>, Rotated)>,
    logs: BTreeMap<Arc<str>, Kept>,
    /// Whether it was said that the disk takes nothing.
    has_complained: bool,
}

/// What is known of one upstream.
#[derive(Default)]
struct Kept {
    /// Where nothing can be written.
    memory: VecDeque<Arc<str>>,
    bytes: usize,
    /// Who reads along.
    readers: Option<broadcast::Sender<Arc<str>>>,
}

impl Writer {
    pub(super) fn new(folder: Option<PathBuf>, limits: Limits, lost: Lost) -> Self {
        Self { folder, limits, lost, open: None, logs: BTreeMap::new(), has_complained: false }
    }

    /// Works until nobody can say anything any more.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        while let Some(entry) = entries.try_recv().ok().or_else(|| {
            // Nothing to do: what was written becomes visible, and the file is closed.
            self.settle();
            entries.recv().map_err(|RecvError| ()).ok()
        }) {
            match entry {
                Entry::Line { upstream, at, text, missing } => {
                    self.line(&upstream, at, &text, missing);
                }
                Entry::Tail { upstream, lines, reply } => {
                    self.settle();
                    // Who asked may have gone.
                    drop(reply.send(self.tail(&upstream, lines)));
                }
                Entry::Flush(done) => {
                    self.settle();
                    let _is_awaited = done.send(());
                }
            }
        }
        self.settle();
    }

    fn line(&mut self, upstream: &Arc<str>, at: SystemTime, text: &str, missing: u64) {
        if missing > 0 {
            self.gap(upstream, at, missing);
        }
        if let Err(failed) = self.keep(upstream, &written(at, text).into()) {
            self.failed(upstream, &failed);
        }
    }

    /// Says that lines are missing here; where that cannot be written either, it is told later.
    fn gap(&mut self, upstream: &Arc<str>, at: SystemTime, missing: u64) {
        let what =
            format!("-- mcplex: {missing} lines are missing here, because they could not be kept");
        // What was said before it fails by itself.
        self.settle();
        let told = self.keep(upstream, &written(at, &what).into());
        let told = told.and_then(|()| match self.open.as_mut() {
            Some((_, file)) => file.flush(),
            None => Ok(()),
        });
        if told.is_err() {
            self.open = None;
            self.lost.untold(upstream, missing);
        }
    }

    fn keep(&mut self, upstream: &Arc<str>, line: &Arc<str>) -> Result<(), Failed> {
        let kept = self.logs.entry(Arc::clone(upstream)).or_default();
        kept.readers.take_if(|readers| readers.send(Arc::clone(line)).is_err());
        if self.folder.is_none() {
            kept.bytes += line.len();
            kept.memory.push_back(Arc::clone(line));
            while kept.bytes > MEMORY
                && let Some(oldest) = kept.memory.pop_front()
            {
                kept.bytes -= oldest.len();
            }
            return Ok(());
        }
        let written = self.write(upstream, line);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn write(&mut self, upstream: &Arc<str>, line: &str) -> Result<(), Failed> {
        if self.open.as_ref().is_some_and(|(name, _)| name != upstream) {
            self.settle();
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        let (_, file) = match &mut self.open {
            Some(open) => open,
            none => {
                let file = file::open(folder, upstream, &self.limits)
                    .map_err(|error| Failed { lines: 1, error })?;
                none.insert((Arc::clone(upstream), file))
            }
        };
        let has_moved = file.write(line.as_bytes(), file::now())?;
        if has_moved && let Err(error) = file::sweep(folder, self.limits.total) {
            tracing::warn!(%error, "old logs of upstreams cannot be removed");
        }
        Ok(())
    }

    /// Writes what waits and closes the file.
    fn settle(&mut self) {
        let Some((upstream, mut file)) = self.open.take() else { return };
        match file.flush() {
            Ok(()) => self.has_complained = false,
            Err(failed) => self.failed(&upstream, &failed),
        }
    }

    fn failed(&mut self, upstream: &Arc<str>, Failed { lines, error }: &Failed) {
        self.lost.some(upstream, *lines);
        if !std::mem::replace(&mut self.has_complained, true) {
            tracing::warn!(%error, upstream = &**upstream,
                "what upstreams say cannot be written to disk; lines are lost until it can");
        }
    }

    fn tail(&mut self, upstream: &Arc<str>, lines: usize) -> Tail {
        let kept = self.logs.entry(Arc::clone(upstream)).or_default();
        let last = match &self.folder {
            Some(folder) => file::read_tail(folder, upstream, lines).unwrap_or_default(),
            None => {
                let skipped = kept.memory.len().saturating_sub(lines);
                kept.memory.iter().skip(skipped).map(ToString::to_string).collect()
            }
        };
        let readers = kept.readers.get_or_insert_with(|| broadcast::channel(BEHIND).0);
        Tail { lines: last, more: More(Some(readers.subscribe())) }
    }
}
