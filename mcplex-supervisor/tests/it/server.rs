//! The server at the other end of a connection.

use crate::fake::Script;
use async_trait::async_trait;
use futures_core::Stream;
use futures_sink::Sink;
use mcplex_proto::{
    error::ErrorObject,
    message::{Message, Response},
    raw::Raw,
    transport::{
        CloseStep, Closed, Ending, Grace, LastWords, Lifeline, Outlet, Received, Usage, Word,
    },
};
use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::SystemTime,
};
use tokio::sync::watch;

/// The other end of a connection.
#[derive(Clone)]
pub(crate) struct Server {
    inner: Arc<Mutex<Inner>>,
    /// How it ended, once it has.
    ending: watch::Sender<Option<Ending>>,
}

struct Inner {
    script: Script,
    pid: u32,
    /// What it wrote and nobody has read; `None` is the end of its output.
    output: VecDeque<Option<Received>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What it was told and the test has not taken.
    heard: Vec<String>,
    /// What was written and not flushed, or not read.
    unread: Vec<Message>,
    /// How much it has read.
    read: u64,
    reads: bool,
    /// Whether its words can be heard while it lives.
    has_listener: bool,
    /// Whether all that was written lies in its pipe.
    is_deaf: bool,
    usage: Option<Usage>,
    answers_pings: bool,
    fails_writes: bool,
    is_killable: bool,
    words: Vec<String>,
    closes: usize,
    floods: usize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    pub(crate) fn new(script: Script, number: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                script,
                pid: 1000 + u32::try_from(number).unwrap(),
                output: VecDeque::new(),
                reader: None,
                writer: None,
                heard: Vec::new(),
                unread: Vec::new(),
                read: 0,
                reads: true,
                has_listener: false,
                is_deaf: false,
                usage: None,
                answers_pings: true,
                fails_writes: false,
                is_killable: true,
                words: vec!["Error: no token".to_owned()],
                closes: 0,
                floods: 0,
            })),
            ending: watch::Sender::new(None),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ending.borrow().is_none()
    }

    /// What it was told since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        self.with(|inner| std::mem::take(&mut inner.heard))
    }

    pub(crate) fn says(&self, text: &str) {
        let received = match Message::parse(text.to_owned().into()) {
            Ok(message) => Received::Message(message),
            Err(bad) => Received::Garbage(bad),
        };
        self.puts(Some(received));
    }

    fn puts(&self, received: Option<Received>) {
        let reader = self.with(|inner| {
            inner.output.push_back(received);
            inner.reader.take()
        });
        reader.into_iter().for_each(Waker::wake);
    }

    /// Its output breaks.
    pub(crate) fn breaks(&self) {
        self.puts(Some(Received::Broken("a line is too long".into())));
    }

    /// Its output ends and it goes on running.
    pub(crate) fn falls_silent(&self) {
        self.puts(None);
    }

    /// It exits; its output ends too.
    pub(crate) fn exits(&self, code: i32) {
        self.falls_silent();
        self.exits_leaving_a_helper(code);
    }

    /// It exits, and somebody else holds its output open.
    pub(crate) fn exits_leaving_a_helper(&self, code: i32) {
        self.ending.send_replace(Some(Ending::Exited(code)));
    }

    /// Whether it reads its input; while it does not, writes are stuck.
    pub(crate) fn reads(&self, reads: bool) {
        let writer = self.with(|inner| {
            inner.reads = reads;
            inner.writer.take()
        });
        writer.into_iter().for_each(Waker::wake);
    }

    /// It reads what its pipe holds now, and nothing after that.
    pub(crate) fn reads_once(&self) {
        let (unread, writer) = self.with(|inner| {
            let unread = std::mem::take(&mut inner.unread);
            inner.read += unread.len() as u64;
            (unread, inner.writer.take())
        });
        for message in &unread {
            self.hears(message);
        }
        writer.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn answers_pings(&self, does: bool) {
        self.with(|inner| inner.answers_pings = does);
    }

    pub(crate) fn fails_writes(&self) {
        self.with(|inner| inner.fails_writes = true);
    }

    pub(crate) fn set_killable(&self, is_killable: bool) {
        self.with(|inner| inner.is_killable = is_killable);
    }

    /// It has read nothing of what it was told.
    pub(crate) fn is_deaf(&self) {
        self.with(|inner| inner.is_deaf = true);
    }

    /// Its log can be read while it lives.
    pub(crate) fn has_listener(&self) {
        self.with(|inner| inner.has_listener = true);
    }

    /// It is ended by a signal; its output ends too.
    pub(crate) fn is_killed(&self, signal: i32) {
        self.falls_silent();
        self.ending.send_replace(Some(Ending::Signaled(signal)));
    }

    /// What it writes to its log.
    pub(crate) fn whispers(&self, words: &[&str]) {
        self.with(|inner| inner.words = words.iter().map(|word| (*word).to_owned()).collect());
    }

    fn last_words(&self) -> Vec<Word> {
        let word = |text: &String| Word { at: SystemTime::UNIX_EPOCH, text: text.clone() };
        self.with(|inner| inner.words.iter().map(word).collect())
    }

    /// What it will have used once it ended.
    pub(crate) fn uses(&self, usage: Usage) {
        self.with(|inner| inner.usage = Some(usage));
    }

    /// How often somebody tried to end it.
    pub(crate) fn closes(&self) -> usize {
        self.with(|inner| inner.closes)
    }

    /// Takes in one message, and does what the script says.
    fn hears(&self, message: &Message) {
        let text = String::from_utf8(message.to_bytes().to_vec()).unwrap();
        let (script, answers_pings) = self.with(|inner| {
            inner.heard.push(text);
            (inner.script, inner.answers_pings)
        });
        let Message::Request(request) = message else { return };
        let result = |result: String| {
            let result = Raw::parse(result).unwrap();
            self.puts(Some(Received::Message(Response::result(request.id.clone(), result).into())));
        };
        let error = |code| {
            let error = ErrorObject::new(code, "no");
            let response = Response::error(Some(request.id.clone()), &error);
            self.puts(Some(Received::Message(response.into())));
        };
        let hello = |version: &str| {
            result(format!(
                r#"{{"protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"f"}}}}"#
            ));
        };
        match (&*request.method, script) {
            (_, Script::EndsWhenAsked) => self.exits(1),
            ("server/discover", Script::Modern) if answers_pings => result(
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#
                    .to_owned(),
            ),
            ("initialize", Script::Modern) => error(-32022),
            ("server/discover", Script::EndsWhenProbed) => self.exits(1),
            (
                "server/discover",
                Script::Modern | Script::MuteWhenProbed | Script::Mute | Script::Floods,
            ) => {}
            ("server/discover", _) => error(-32601),
            ("initialize", Script::Mute | Script::Floods) => {}
            ("initialize", Script::Speaks(version)) => hello(version),
            ("initialize", Script::DiesInHandshake) => self.exits(1),
            ("initialize", Script::DiesWhenReady) => {
                hello("2025-06-18");
                self.exits(1);
            }
            ("initialize", _) => hello("2025-06-18"),
            ("ping", _) if answers_pings => result("{}".to_owned()),
            _ => {}
        }
    }
}

pub(crate) struct ToServer(pub(crate) Server);

impl ToServer {
    fn check(&self) -> io::Result<()> {
        let fails = self.0.with(|inner| inner.fails_writes);
        if fails { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl Sink<Message> for ToServer {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // As much as a pipe holds.
        let is_full = self.0.with(|inner| {
            inner.writer = Some(cx.waker().clone());
            inner.unread.len() >= 8
        });
        if is_full { self.poll_flush(cx) } else { Poll::Ready(self.check()) }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        self.check()?;
        self.0.with(|inner| inner.unread.push(message));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let unread = self.0.with(|inner| {
            inner.writer = Some(cx.waker().clone());
            let unread = inner.reads.then(|| std::mem::take(&mut inner.unread));
            inner.read += unread.as_ref().map_or(0, |unread| unread.len() as u64);
            unread
        });
        let Some(unread) = unread else { return Poll::Pending };
        for message in &unread {
            self.0.hears(message);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Outlet for ToServer {
    fn written(&self) -> u64 {
        self.0.with(|inner| inner.read)
    }

    fn unread(&self) -> Option<u64> {
        self.0.with(|inner| inner.is_deaf.then_some(inner.read))
    }
}

pub(crate) struct FromServer(pub(crate) Server);

/// A flood ends at some time, so that a test of a reader that never looks up ends too.
const MAX_FLOOD: usize = 10_000;

impl Stream for FromServer {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let (next, floods) = self.0.with(|inner| {
            inner.reader = Some(cx.waker().clone());
            inner.floods += 1;
            let floods = inner.script == Script::Floods && inner.floods < MAX_FLOOD;
            (inner.output.pop_front(), floods)
        });
        if floods {
            let mut second = Box::pin(tokio::time::advance(std::time::Duration::from_secs(1)));
            // The first poll moves the clock; what comes after only yields.
            let _has_moved = second.as_mut().poll(cx).is_ready();
            let bad = Message::parse("y".into()).unwrap_err();
            return Poll::Ready(Some(Received::Garbage(bad)));
        }
        next.map_or(Poll::Pending, Poll::Ready)
    }
}

#[derive(Debug)]
pub(crate) struct FakeLifeline(pub(crate) Server);

impl Drop for FakeLifeline {
    fn drop(&mut self) {
        if self.0.is_running() {
            self.0.ending.send_replace(Some(Ending::Signaled(9)));
        }
    }
}

#[async_trait]
impl Lifeline for FakeLifeline {
    async fn ended(&mut self) -> Ending {
        let mut ending = self.0.ending.subscribe();
        let ended = ending.wait_for(Option::is_some).await.expect("the server holds the sender");
        ended.clone().expect("it was waited for")
    }

    async fn close(&mut self, grace: Grace) -> Closed {
        let is_killable = self.0.with(|inner| {
            inner.closes += 1;
            inner.is_killable
        });
        let was_running = self.0.is_running();
        if was_running && !is_killable {
            tokio::time::sleep(grace.eof + grace.term + grace.kill).await;
            return Closed { ending: Ending::Unknown, step: CloseStep::Kill, is_gone: false };
        }
        if was_running {
            self.0.ending.send_replace(Some(Ending::Exited(0)));
        }
        let step = if was_running { CloseStep::Eof } else { CloseStep::Ended };
        Closed { ending: Ending::Exited(0), step, is_gone: true }
    }

    fn last_words(&self) -> Vec<Word> {
        self.0.last_words()
    }

    fn listener(&self) -> Option<LastWords> {
        let server = self.0.clone();
        let listens = server.with(|inner| inner.has_listener);
        listens.then(|| -> LastWords { Box::new(move || server.last_words()) })
    }

    fn usage(&self) -> Option<Usage> {
        self.0.with(|inner| inner.usage)
    }

    fn pid(&self) -> Option<u32> {
        Some(self.0.with(|inner| inner.pid))
    }
}
