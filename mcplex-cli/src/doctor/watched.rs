//! A transport that notes what a supervisor has no reason to tell: how long a start took, what came
//! that was no message, why no connection was had, and what it took to end it.

use super::now;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use mcplex_proto::{
    peer::Place,
    redact::Secrets,
    transport::{
        CloseStep, Closed, ConnectError, Connection, Ending, Grace, LastWords, Lifeline, LogSink,
        Received, SessionName, Transport, Usage, Word,
    },
};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Lines of stderr that are kept for a server that says nothing else; a screen has not many more.
const LINES: usize = 10;

/// What was noted.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Starts so far.
    pub(crate) starts: u32,
    /// How long the last one took, and when it was done.
    pub(crate) started: Option<(Duration, Instant)>,
    /// Lines on stdout that were no messages, and what was wrong with the first.
    pub(crate) noise: u64,
    pub(crate) first_noise: Option<String>,
    /// Why there was no connection.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) close: Option<CloseStep>,
    /// The last lines of stderr, without secrets.
    pub(crate) lines: VecDeque<String>,
    secrets: Secrets,
}

/// Why there was no connection, in words that can be kept.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The word of what only a person can repair.
    pub(crate) kind: Option<&'static str>,
    /// What the system says, if it was asked.
    pub(crate) io: Option<io::ErrorKind>,
    /// All of it.
    pub(crate) text: String,
}

/// Notes that a trial and its transport share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook(Arc<Mutex<Notes>>);

impl Notebook {
    /// What is noted; held for a moment only.
    pub(crate) fn read(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, received: &Received) {
        match received {
            Received::Garbage(bad) => {
                let mut notes = self.read();
                notes.noise += 1;
                notes.first_noise.get_or_insert_with(|| bad.to_string());
            }
            Received::Refused(error) => self.refused(error),
            Received::Message(_) | Received::About(..) | Received::Broken(_) => {}
        }
    }

    fn refused(&self, error: &ConnectError) {
        let source = std::error::Error::source(error);
        // The hint of one is told by itself.
        let what = if let ConnectError::Permanent { what, .. } = error {
            what
        } else {
            &error.to_string()
        };
        let text = source.map_or_else(|| what.clone(), |source| format!("{what}: {source}"));
        let io = source.and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
        let kind =
            if let ConnectError::Permanent { kind, .. } = error { Some(*kind) } else { None };
        self.read().refusal = Some(Refusal { kind, io, text });
    }
}

impl LogSink for Notebook {
    fn word(&self, word: &Word) {
        let mut notes = self.read();
        if notes.lines.len() == LINES {
            notes.lines.pop_front();
        }
        let line = notes.secrets.redact(&word.text).into_owned();
        notes.lines.push_back(line);
    }
}

/// A transport whose connections are noted.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn Transport>,
    notes: Notebook,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Transport>, notes: Notebook) -> Self {
        notes.read().secrets = inner.secrets();
        Self { inner, notes }
    }
}

#[async_trait]
impl Transport for Watched {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let begun = now();
        let connected = self.inner.connect().await;
        let done = now();
        {
            let mut notes = self.notes.read();
            notes.starts += 1;
            notes.started = Some((done.saturating_duration_since(begun), done));
        }
        let connection = connected.inspect_err(|error| self.notes.refused(error))?;
        let notes = self.notes.clone();
        let incoming = connection.incoming.inspect(move |received| notes.received(received));
        let lifeline = Watch { inner: connection.lifeline, notes: self.notes.clone() };
        Ok(Connection {
            outgoing: connection.outgoing,
            incoming: Box::pin(incoming),
            lifeline: Box::new(lifeline),
        })
    }

    fn network(&self) -> &'static str {
        self.inner.network()
    }

    fn place(&self) -> Place {
        self.inner.place()
    }

    fn secrets(&self) -> Secrets {
        self.inner.secrets()
    }

    fn failure_tells_era(&self) -> bool {
        self.inner.failure_tells_era()
    }
}

/// A lifeline that tells what an end took.
#[derive(Debug)]
struct Watch {
    inner: Box<dyn Lifeline>,
    notes: Notebook,
}

#[async_trait]
impl Lifeline for Watch {
    async fn ended(&mut self) -> Ending {
        self.inner.ended().await
    }

    async fn close(&mut self, grace: Grace) -> Closed {
        let closed = self.inner.close(grace).await;
        self.notes.read().close = Some(closed.step);
        closed
    }

    fn last_words(&self) -> Vec<Word> {
        self.inner.last_words()
    }

    fn listener(&self) -> Option<LastWords> {
        self.inner.listener()
    }

    fn pid(&self) -> Option<u32> {
        self.inner.pid()
    }

    fn session(&self) -> Option<SessionName> {
        self.inner.session()
    }

    fn usage(&self) -> Option<Usage> {
        self.inner.usage()
    }
}
