//! What a child writes on its stderr: always read, logged, and the last of it kept.

use mcplex_proto::{
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
    task::JoinSet,
};

/// The target of a child's own log lines.
pub const TARGET_STDERR: &str = "mcplex::upstream_stderr";

/// How long the last words may take after the death: a process that outlives the child may hold
/// the pipe open, and nobody should wait for it.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(250);

/// The longest line kept and logged: 4 KiB; the rest of a longer one is dropped.
const MAX_LINE: usize = 4 * 1024;

/// What is read at once; a writer that is faster than its log is slowed by the pipe.
const READ: usize = 4 * 1024;

/// The reader of a child's stderr and the lines it kept.
#[derive(Debug)]
pub(crate) struct Words {
    kept: Arc<Mutex<VecDeque<Word>>>,
    /// One task; it ends with the pipe, or when this is dropped.
    reader: JoinSet<()>,
}

impl Words {
    /// Begins to read `stderr`, keeping its last `bound` lines.
    pub(crate) fn of<R>(
        name: UpstreamName,
        stderr: R,
        bound: usize,
        log: Option<Arc<dyn LogSink>>,
    ) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let mut reader = JoinSet::new();
        reader.spawn(read(name, stderr, bound, log, Arc::clone(&kept)));
        Self { kept, reader }
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

    /// Waits until the pipe has ended; cancel safe.
    pub(crate) async fn finished(&mut self) {
        while self.reader.join_next().await.is_some() {}
    }
}

fn last(kept: &Mutex<VecDeque<Word>>) -> Vec<Word> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

async fn read<R: AsyncRead + Unpin>(
    name: UpstreamName,
    mut stderr: R,
    bound: usize,
    log: Option<Arc<dyn LogSink>>,
    kept: Arc<Mutex<VecDeque<Word>>>,
) {
    let keep = |line: &mut Vec<u8>| {
        let text = plain(&String::from_utf8_lossy(line));
        line.clear();
        if text.trim().is_empty() {
            return;
        }
        tracing::info!(
            target: TARGET_STDERR,
            line = text,
            upstream = name.as_str(),
            "upstream wrote to its stderr",
        );
        let word = Word { at: wall_clock(), text };
        if let Some(log) = &log {
            log.word(&word);
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= bound.max(1) {
            kept.pop_front();
        }
        kept.push_back(word);
    };
    let mut line = Vec::new();
    let mut chunk = vec![0; READ];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        for part in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                keep(&mut line);
            }
        }
    }
    keep(&mut line);
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "a line of a log is dated; nothing is decided by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Without escape sequences and control characters, which could rewrite a person's terminal.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            '\t' => out.push(c),
            _ if c.is_control() => {}
            _ => out.push(c),
        }
    }
    out
}

/// Skips what follows an escape character: a colour, a title, or a single character.
fn skip_escape(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => {
            rest.find(|c| ('@'..='~').contains(c));
        }
        Some(']') => {
            while let Some(c) = rest.next() {
                if c == '\x07' || (c == '\x1b' && rest.next().is_some()) {
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(bytes: &'static [u8], bound: usize) -> Vec<String> {
        let name = UpstreamName::new("test").expect("a good name");
        let mut words = Words::of(name, bytes, bound, None);
        tokio::time::timeout(Duration::from_secs(10), words.finished()).await.unwrap();
        words.last().into_iter().map(|word| word.text).collect()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_also_without_a_line_break_at_the_end() {
        assert_eq!(heard(b"one\r\ntwo\n\n\xffthree", 2).await, ["two", "\u{fffd}three"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut() {
        let long = vec![b'x'; 3 * MAX_LINE].leak();
        let kept = heard(long, 5).await;
        assert_eq!(kept, ["x".repeat(MAX_LINE)]);
    }

    #[test]
    fn what_could_rewrite_a_terminal_is_removed() {
        let check = |text, expect| assert_eq!(plain(text), expect, "{text:?}");
        check("\x1b[1;31mred\x1b[0m", "red");
        check("a\x1b]0;title\x07b", "ab");
        check("a\x1b]0;title\x1b\\b", "ab");
        check("a\tb\x08\rc", "a\tbc");
        check("end\x1b", "end");
    }
}
