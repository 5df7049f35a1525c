//! Events on their way to a stream that is never resumed.

use crate::{clock, options::Options, sse, sse::Pieces};
use bytes::Bytes;
use mcplex_proto::{downstream::Client, id::Id, message::Message, peer::Origin};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Sleep;

/// A client as the gateway sees it: what waits for its one stream.
#[derive(Debug)]
pub(crate) struct Line {
    /// The only request the stream may speak of; without one it carries everything.
    about: Option<Id>,
    /// Whether the client reads streams.
    is_read: bool,
    max_events: usize,
    max_bytes: usize,
    origin: Origin,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Pieces>,
    bytes: usize,
    waker: Option<Waker>,
    is_over: bool,
}

impl Line {
    /// One for the answer to a request; `is_read` says that the client takes more than JSON.
    pub(crate) fn about(id: Id, is_read: bool, options: &Options) -> Self {
        Self::new(Some(id), is_read, options)
    }

    /// One for everything that a session says.
    pub(crate) fn of_session(options: &Options) -> Self {
        Self::new(None, true, options)
    }

    fn new(about: Option<Id>, is_read: bool, options: &Options) -> Self {
        let (max_events, max_bytes) = (options.replay_events, options.replay_bytes);
        let (origin, state) = (Origin::default(), Mutex::default());
        Self { about, is_read, max_events, max_bytes, origin, state }
    }

    /// The same for a client that is known to be there.
    pub(crate) fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the line")
    }

    /// Whether something waits to be read; remembers whom to wake when nothing does.
    pub(crate) fn has_events(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.events.is_empty() && !state.is_over {
            state.wake_with(waker);
        }
        !state.events.is_empty()
    }

    /// Adds an answer, which no bound holds up: the calls themselves are bounded.
    pub(crate) fn answer(&self, answer: &Message) {
        let mut state = self.lock();
        state.push(sse::event(None, answer));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// Whether as much waits as may wait: the client does not read.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(&self.lock())
    }

    fn has_room(&self, state: &State) -> bool {
        state.events.len() < self.max_events && state.bytes < self.max_bytes
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    fn takes(&self, message: &Message, about: Option<&Id>) -> bool {
        match &self.about {
            None => true,
            // A stateless client cannot answer, and gets its own answer from elsewhere.
            Some(id) => {
                self.is_read && about == Some(id) && matches!(message, Message::Notification(_))
            }
        }
    }
}

impl Client for Line {
    fn send(&self, message: Message, about: Option<&Id>) -> bool {
        if !self.takes(&message, about) {
            return false;
        }
        let mut state = self.lock();
        if state.is_over || !self.has_room(&state) {
            return false;
        }
        state.push(sse::event(None, &message));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        true
    }

    fn network(&self) -> &'static str {
        "tcp"
    }

    fn origin(&self, _: Option<&Id>) -> Origin {
        self.origin.clone()
    }
}

impl State {
    fn push(&mut self, pieces: Pieces) {
        self.bytes += pieces.len();
        self.events.push_back(pieces);
    }

    fn wake_with(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Reads a line until its end, and breaks a silence by comments.
#[derive(Debug)]
pub(crate) struct Reader {
    line: Arc<Line>,
    /// What is being written.
    pieces: Pieces,
    silence: Pin<Box<Sleep>>,
    keepalive: Duration,
}

impl Reader {
    /// Reads `first`, then the line.
    pub(crate) fn new(line: Arc<Line>, first: Pieces, keepalive: Duration) -> Self {
        let silence = Box::pin(tokio::time::sleep(keepalive));
        Self { line, pieces: first, silence, keepalive }
    }

    /// The rest of an event that was begun.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        self.pieces.pop()
    }

    /// The next bytes, or `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.rest() {
            return Poll::Ready(Some(piece));
        }
        let mut state = self.line.lock();
        if let Some(pieces) = state.events.pop_front() {
            state.bytes -= pieces.len();
            drop(state);
            self.pieces = pieces;
            self.silence.as_mut().reset(clock::after(self.keepalive));
            return Poll::Ready(self.pieces.pop());
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.wake_with(cx.waker());
        drop(state);
        std::task::ready!(self.silence.as_mut().poll(cx));
        self.silence.as_mut().reset(clock::after(self.keepalive));
        Poll::Ready(Some(sse::KEEPALIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{message::Notification, message::Request, raw::Raw};

    fn note(text: &str) -> Message {
        Notification::new("notifications/message", Some(Raw::of(&[text]))).into()
    }

    #[test]
    fn the_stream_of_an_answer_carries_what_is_about_its_request_and_nothing_else() {
        let line = Line::about(7.into(), true, &Options::default());
        assert!(line.send(note("a"), Some(&7.into())));
        assert!(!line.send(note("b"), Some(&8.into())) && !line.send(note("c"), None));
        let question = Request::new(1, "roots/list", None);
        assert!(!line.send(question.clone().into(), Some(&7.into())));
        let json_only = Line::about(7.into(), false, &Options::default());
        assert!(!json_only.send(note("a"), Some(&7.into())));
        let session = Line::of_session(&Options::default());
        assert!(session.send(question.into(), None) && session.send(note("d"), Some(&1.into())));
    }

    #[test]
    fn what_waits_is_bounded_and_nothing_comes_after_the_end() {
        let options = Options { replay_events: 2, ..Options::default() };
        let line = Line::of_session(&options);
        assert!(line.send(note("1"), None) && line.send(note("2"), None));
        assert!(!line.send(note("3"), None));
        line.answer(&note("an answer"));
        assert_eq!(line.lock().events.len(), 3);
        let few = Line::of_session(&Options { replay_bytes: 10, ..Options::default() });
        assert!(few.send(note("1"), None) && !few.send(note("2"), None));
        let over = Line::of_session(&Options::default());
        over.end();
        assert!(!over.send(note("1"), None));
    }
}
