//! What a child writes on its stderr: always read, logged, and the last of it kept.
//!
//! A flood of it is read at a pace that costs the other upstreams nothing, and no more of it is
//! logged than somebody could read; the last lines are kept in any case.

use crate::{
    command::Command,
    rate::{Flow, Rate},
};
use mcplex_proto::{
    plain::plain,
    redact::Secrets,
    transport::{LastWords, LogSink, Word},
    upstream::UpstreamName,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::{self, JoinSet},
    time::{self, Instant},
};

/// The target of a child's own log lines.
pub const TARGET_STDERR: &str = "mcplex::upstream_stderr";

/// How long the last words may take after the death: a process that outlives the child may hold
/// the pipe open, and nobody should wait for it.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The longest line kept and logged: 4 KiB; the rest of a longer one is dropped.
const MAX_LINE: usize = 4 * 1024;

/// What is read at once: as much as a line is kept of, so that idle upstreams cost little.
const READ: usize = 4 * 1024;

/// What is read at once in a flood: all that a pipe holds. Each part wakes this task and then the
/// writer, which costs others more than the bytes do, so few large parts are better than many small
/// ones; reading and counting one takes some ten microseconds.
const READ_FLOOD: usize = 64 * 1024;

/// The last lines, oldest first.
type Kept = Mutex<VecDeque<Word>>;

/// The reader of a child's stderr and the lines it kept.
#[derive(Debug)]
pub(crate) struct Words {
    kept: Arc<Kept>,
    /// One task; it ends with the pipe, or when this is dropped.
    reader: JoinSet<()>,
    heard_out: bool,
}

impl Words {
    /// Begins to read the `stderr` of a child, keeping as many of its last lines as its command says.
    pub(crate) fn of<R>(command: &Command, stderr: R) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let kept = Arc::<Kept>::default();
        let lines = Lines::of(command, Arc::clone(&kept));
        let mut reader = JoinSet::new();
        reader.spawn(read(stderr, lines));
        Self { kept, reader, heard_out: false }
    }

    /// The last lines, oldest first.
    pub(crate) fn last(&self) -> Vec<Word> {
        last(&self.kept)
    }

    /// The same for whoever does not own the process.
    pub(crate) fn listener(&self) -> LastWords {
        let kept = Arc::clone(&self.kept);
        Box::new(move || last(&kept))
    }

    /// Waits for the end of the pipe of a child that is dead, once and not for long; cancel safe.
    pub(crate) async fn hear_out(&mut self) {
        if !self.heard_out {
            let _in_time: Result<(), _> = time::timeout(LAST_WORDS, self.finished()).await;
            self.heard_out = true;
        }
    }

    async fn finished(&mut self) {
        while self.reader.join_next().await.is_some() {}
    }
}

fn last(kept: &Kept) -> Vec<Word> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

async fn read<R: AsyncRead + Unpin>(mut stderr: R, mut lines: Lines) {
    let begin = clock();
    let (mut rate, mut flow) = (Rate::new(begin), Flow::new(begin));
    let mut chunk = vec![0; READ];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let now = clock();
        let ends = memchr::memchr_iter(b'\n', &chunk[..count]).count();
        let passed = rate.take(u32::try_from(ends).unwrap_or(u32::MAX), now);
        if passed > 0 {
            lines.tell(rate.held_back());
        }
        lines.take(&chunk[..count], ends, usize::try_from(passed).unwrap_or(usize::MAX));
        let is_flood = match flow.take(count, now) {
            Some(until) => {
                time::sleep_until(until).await;
                true
            }
            None => {
                // Others on the same thread are not to wait for more than one part.
                task::yield_now().await;
                false
            }
        };
        // A flood is read in larger parts, for little of it is looked at.
        let size = if is_flood { READ_FLOOD } else { READ };
        if size != chunk.len() {
            chunk = vec![0; size];
        }
    }
    lines.end(true);
    lines.tell(rate.held_back());
}

/// Lines as they come, logged and kept.
struct Lines {
    name: UpstreamName,
    /// Which of several children it is.
    member: Option<Box<str>>,
    bound: usize,
    log: Option<Arc<dyn LogSink>>,
    secrets: Secrets,
    kept: Arc<Kept>,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// When it was read.
    now: SystemTime,
}

impl Lines {
    fn of(command: &Command, kept: Arc<Kept>) -> Self {
        Self {
            name: command.name.clone(),
            member: command.member.clone(),
            bound: command.stderr_lines.max(1),
            log: command.log.clone(),
            secrets: command.secrets(),
            kept,
            line: Vec::new(),
            now: wall_clock(),
        }
    }

    /// Takes what was read, in which so many lines end, the first of which are logged; of the
    /// others only those are looked at that will be kept.
    fn take(&mut self, chunk: &[u8], ends: usize, logged: usize) {
        self.now = wall_clock();
        let (mut rest, mut n) = (chunk, 0);
        while n < ends {
            if n >= logged && ends - n > self.bound {
                // The line end before the first of those that will be kept, from behind.
                let before = memchr::memrchr_iter(b'\n', rest).nth(self.bound);
                rest = &rest[before.map_or(0, |at| at + 1)..];
                n = ends - self.bound;
                self.line.clear();
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            self.extend(&rest[..end]);
            self.end(n < logged);
            rest = &rest[end + 1..];
            n += 1;
        }
        self.extend(rest);
    }

    fn extend(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Ends the line.
    fn end(&mut self, is_logged: bool) {
        let text = plain(&String::from_utf8_lossy(&self.line)).into_owned();
        self.line.clear();
        if text.trim().is_empty() {
            return;
        }
        let word = Word { at: self.now, text };
        if is_logged {
            tracing::info!(
                target: TARGET_STDERR,
                // This log goes to wherever logs are gathered; the upstream's own stays on this
                // disk, for this user, as it was written.
                line = &*self.secrets.redact(&word.text),
                upstream = self.name.as_str(),
                member = self.member.as_deref(),
                "upstream wrote to its stderr",
            );
            self.log(&word);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= self.bound {
            kept.pop_front();
        }
        kept.push_back(word);
    }

    /// Tells that lines were left out of the log.
    fn tell(&self, held_back: Option<u64>) {
        let Some(lines) = held_back else { return };
        tracing::warn!(
            upstream = self.name.as_str(),
            member = self.member.as_deref(),
            lines,
            "upstream writes faster to its stderr than is logged; lines were left out"
        );
        let text = format!("[mcplex left out {lines} lines that came too fast]");
        self.log(&Word { at: wall_clock(), text });
    }

    /// Adds a line to the upstream's log, which several children may share.
    fn log(&self, word: &Word) {
        match (&self.log, &self.member) {
            (None, _) => {}
            (Some(log), None) => log.word(word),
            (Some(log), Some(member)) => {
                log.word(&Word { at: word.at, text: format!("{member}: {}", word.text) });
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it limits a log; nothing else is decided by it")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "a line of a log is dated; nothing is decided by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(bound: usize, log: Option<Arc<dyn LogSink>>) -> Command {
        let name = UpstreamName::new("test").expect("a good name");
        Command { stderr_lines: bound, log, ..Command::new(name, "sh") }
    }

    async fn heard(bytes: &'static [u8], bound: usize) -> Vec<String> {
        let mut words = Words::of(&command(bound, None), bytes);
        time::timeout(Duration::from_secs(10), words.finished()).await.unwrap();
        words.last().into_iter().map(|word| word.text).collect()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_also_without_a_line_break_at_the_end() {
        assert_eq!(heard(b"one\r\ntwo\n\n\xffthree", 2).await, ["two", "\u{fffd}three"]);
    }

    #[derive(Debug, Default)]
    struct Count(Mutex<Vec<String>>);

    impl LogSink for Count {
        fn word(&self, word: &Word) {
            self.0.lock().unwrap().push(word.text.clone());
        }
    }

    #[tokio::test]
    async fn a_line_of_one_of_several_children_says_which_one_wrote_it() {
        let log = Arc::new(Count::default());
        let child = Command { member: Some("test/2".into()), ..command(3, Some(log.clone())) };
        let mut words = Words::of(&child, &b"hello\n"[..]);
        time::timeout(Duration::from_secs(10), words.finished()).await.unwrap();
        assert_eq!(*log.0.lock().unwrap(), ["test/2: hello"]);
        // What is kept is for the report of a death, which names the child itself.
        assert_eq!(words.last()[0].text, "hello");
    }

    #[tokio::test]
    async fn of_a_flood_the_last_lines_are_kept_and_few_are_logged() {
        let flood: String = (1..=50_000).map(|n| format!("line {n}\n")).collect();
        let log = Arc::new(Count::default());
        let bytes: &'static [u8] = flood.into_bytes().leak();
        let mut words = Words::of(&command(3, Some(log.clone())), bytes);
        time::timeout(Duration::from_secs(10), words.finished()).await.unwrap();
        let last: Vec<_> = words.last().into_iter().map(|word| word.text).collect();
        assert_eq!(last, ["line 49998", "line 49999", "line 50000"]);
        let logged = log.0.lock().unwrap();
        assert!((1_000..10_000).contains(&logged.len()), "{}", logged.len());
        assert_eq!(logged[0], "line 1");
        assert!(logged.last().unwrap().starts_with("[mcplex left out "), "{:?}", logged.last());
    }

    #[test]
    fn whatever_is_skipped_the_first_lines_are_logged_and_the_last_ones_kept() {
        for (logged, bound, parts) in
            [(0, 1, 1), (0, 3, 3), (2, 3, 7), (5, 1, 4), (100, 2, 9), (1, 200, 5)]
        {
            let log = Arc::new(Count::default());
            let command = command(bound, Some(log.clone()));
            let mut lines = Lines::of(&command, Arc::default());
            let text: String = (0..97).map(|n| format!("line {n}\n")).collect();
            let mut left = logged;
            for part in text.as_bytes().chunks(text.len().div_ceil(parts)) {
                let ends = memchr::memchr_iter(b'\n', part).count();
                lines.take(part, ends, left);
                left -= left.min(ends);
            }
            let line = |n| format!("line {n}");
            let last: Vec<_> = last(&lines.kept).into_iter().map(|word| word.text).collect();
            let expect: Vec<_> = (97_usize.saturating_sub(bound)..97).map(line).collect();
            assert_eq!(last, expect, "{logged} {bound} {parts}");
            let expect: Vec<_> = (0..logged.min(97)).map(line).collect();
            assert_eq!(*log.0.lock().unwrap(), expect, "{logged} {bound} {parts}");
        }
    }

    #[tokio::test]
    async fn a_long_line_is_cut() {
        let long = vec![b'x'; 3 * MAX_LINE].leak();
        let kept = heard(long, 5).await;
        assert_eq!(kept, ["x".repeat(MAX_LINE)]);
    }
}
