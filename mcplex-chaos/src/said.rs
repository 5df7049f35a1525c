//! What mcplex says on its stderr, as events with the time they came.

use anyhow::bail;
use serde_json::Value;
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How many lines that are no events of mcplex are kept, for the words of a failure.
const LINES: usize = 60;

/// One event of mcplex's log.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) value: Value,
}

impl Event {
    pub(crate) fn is(&self, upstream: &str, message: &str) -> bool {
        self.value["upstream"] == upstream
            && self.value["message"].as_str().is_some_and(|text| text.starts_with(message))
    }

    pub(crate) fn reason(&self) -> &str {
        self.value["reason"].as_str().unwrap_or_default()
    }
}

/// The lines of a pipe, as they come.
#[derive(Clone, Debug)]
pub(crate) struct Said(Arc<(Mutex<Log>, Condvar)>);

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    lines: VecDeque<String>,
    /// Lines of servers' own logs.
    words: u64,
    ended: bool,
}

impl Said {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let said = Self(Arc::default());
        let writing = said.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::with_capacity(256 * 1024, pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                writing.take(&String::from_utf8_lossy(&line));
                line.clear();
            }
            writing.lock().ended = true;
            writing.0.1.notify_all();
        });
        said
    }

    fn take(&self, line: &str) {
        let at = Instant::now();
        // Not parsed: a flood of them must not be what is measured.
        if line.contains("mcplex::upstream_stderr") {
            self.lock().words += 1;
            return;
        }
        let mut log = self.lock();
        if let Ok(value) = serde_json::from_str::<Value>(line) {
            log.events.push(Event { at, value });
        }
        if log.lines.len() == LINES {
            log.lines.pop_front();
        }
        log.lines.push_back(line.trim_end().to_owned());
        drop(log);
        self.0.1.notify_all();
    }

    /// One that panicked elsewhere does not make the lines wrong.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines, for the words of a failure.
    pub(crate) fn tail(&self, count: usize, between: &str) -> String {
        let log = self.lock();
        let skip = log.lines.len().saturating_sub(count);
        log.lines.iter().skip(skip).cloned().collect::<Vec<_>>().join(between)
    }

    /// How many lines of its servers' stderr it logged.
    pub(crate) fn words(&self) -> u64 {
        self.lock().words
    }

    pub(crate) fn events(&self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.lock().events.iter().filter(|event| is_it(event)).cloned().collect()
    }

    /// Waits until a line holds a text.
    pub(crate) fn wait_line(&self, text: &str, limit: Duration) -> anyhow::Result<String> {
        self.wait(limit, text, |log| log.lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits until there are so many events, and gives all of them.
    pub(crate) fn wait_events(
        &self,
        limit: Duration,
        what: &str,
        count: usize,
        is_it: impl Fn(&Event) -> bool,
    ) -> anyhow::Result<Vec<Event>> {
        self.wait(limit, what, |log| {
            let found: Vec<_> = log.events.iter().filter(|event| is_it(event)).cloned().collect();
            (found.len() >= count).then_some(found)
        })
    }

    fn wait<T>(
        &self,
        limit: Duration,
        what: &str,
        find: impl Fn(&Log) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + limit;
        let mut log = self.lock();
        loop {
            if let Some(found) = find(&log) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() {
                let how = if log.ended { "ended" } else { "waited" };
                drop(log);
                bail!("it {how} and did not say «{what}»; its last words: {}", self.tail(4, " / "));
            }
            let waited = self.0.1.wait_timeout(log, left);
            (log, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
