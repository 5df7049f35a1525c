//! Serves the one client that talks to us over a pair of pipes.

use crate::{
    backlog::Backlog,
    batch::{Answer, answer_batch, answer_one},
    inbox::{Inbox, Unread, in_place_of, unreadable},
};
use bytes::Bytes;
use futures_util::{
    stream::{FuturesUnordered, StreamExt as _},
    task::AtomicWaker,
};
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway, Principal, Session, Stay},
    error::{ErrorObject, QUEUE_FULL},
    frame,
    id::Id,
    message::{BadMessage, Message, Request, Response},
    raw,
    version::Version,
};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Nothing more is read while this many bytes wait to be written: a client that does not read
/// its answers gets no new ones.
const PAUSE_READING: usize = 1024 * 1024;

/// How far is read ahead meanwhile, only to see whether the client has left: as much again as a
/// pipe holds, which is more than a client writes that waits for answers.
const READ_AHEAD: usize = 64 * 1024;

/// How long answers that are ready may take to be written at the end.
const LAST_WRITE: Duration = Duration::from_millis(250);

/// Lines taken before answers are written, so that a burst in does not hold up the way out.
const LINES_AT_ONCE: usize = 64;

/// Bounds on one client.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests that may run at the same time; one more is refused at once.
    pub max_in_flight: usize,
    /// The longest line the client may write.
    pub max_line: usize,
    /// How often values may stand inside each other in a line.
    pub max_depth: usize,
    /// The most messages in one batch; real ones hold a handful.
    pub max_batch: usize,
    /// How long running calls may go on once we were asked to stop; a client that closed our input
    /// has left and waits for nothing.
    pub drain: Duration,
}

impl Default for Options {
    /// 4096 calls of some 2 KiB each; no drain.
    fn default() -> Self {
        Self {
            max_in_flight: 4096,
            max_line: frame::MAX_LINE,
            max_depth: frame::MAX_DEPTH,
            max_batch: 1000,
            drain: Duration::ZERO,
        }
    }
}

/// Why serving has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The client closed our input.
    InputEnded,
    /// We were asked to stop.
    Stopped,
    /// The client closed our output.
    OutputClosed,
    /// Nothing more can be read or written, and why; a line may be too long.
    Broken(Arc<str>),
}

/// Serves one client until it leaves, or until `stop` resolves.
///
/// Requests run side by side; each is begun before the next message is looked at. Dropping the
/// future closes the session too.
pub async fn serve_stdio<R, W>(
    gateway: Arc<dyn Gateway>,
    input: R,
    output: W,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Left
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let peer = Arc::new(Peer::default());
    let mut served = Served {
        session: Open(gateway.open(
            Arc::<Peer>::clone(&peer),
            Arrival { principal: Principal::Pipe, stay: Stay::Long },
        )),
        peer,
        inbox: Inbox::new(input, options.max_line),
        output,
        calls: FuturesUnordered::new(),
        in_flight: 0,
        options,
    };
    let mut stop = pin!(stop);
    let left = poll_fn(|cx| match stop.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Left::Stopped),
        Poll::Pending => served.poll(cx),
    })
    .await;
    if left == Left::Stopped {
        // What lasts until it is ended is answered now, also where nothing else is waited for.
        served.session.0.drain();
        let drained: Result<_, _> =
            timeout(options.drain, poll_fn(|cx| served.poll_drained(cx))).await;
        tracing::debug!(is_complete = drained.is_ok(), "calls in flight were drained");
    }
    served.finish().await;
    left
}

/// The client as the gateway sees it.
#[derive(Default)]
struct Peer {
    /// Locked also while its bytes are written, which never waits.
    backlog: Mutex<Backlog>,
    /// Wakes the task that writes.
    writer: AtomicWaker,
}

impl Peer {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

impl Client for Peer {
    fn send(&self, message: Message, _: Option<&Id>) -> bool {
        let (before, is_taken, dropped) = {
            let mut backlog = self.backlog();
            (backlog.dropped(), backlog.offer(message), backlog.dropped())
        };
        // Told each time that it has doubled: a flood of them must not become one of the log.
        if dropped.checked_ilog2() != before.checked_ilog2() {
            tracing::warn!(
                dropped,
                "a client does not read; its oldest notifications make room for newer ones"
            );
        }
        if is_taken {
            self.writer.wake();
        }
        is_taken
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}

/// A session that is closed when nobody serves it any more.
struct Open(Arc<dyn Session>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

struct Served<R, W> {
    session: Open,
    peer: Arc<Peer>,
    inbox: Inbox<R>,
    output: W,
    /// A batch is one of them.
    calls: FuturesUnordered<Call>,
    in_flight: usize,
    options: Options,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Served<R, W> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Left> {
        self.peer.writer.register(cx.waker());
        loop {
            let could_read = self.may_read();
            let (taken, left) = self.take_lines(cx);
            let answered = self.collect(cx);
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(if error.kind() == io::ErrorKind::BrokenPipe {
                    Left::OutputClosed
                } else {
                    Left::Broken(error.to_string().into())
                });
            }
            if let Some(left) = left {
                return Poll::Ready(left);
            }
            let may_read_again = !could_read && self.may_read();
            if taken + answered == 0 && !may_read_again {
                return Poll::Pending;
            }
        }
    }

    /// Resolves when all calls are answered and all answers written.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.peer.writer.register(cx.waker());
        self.collect(cx);
        ready!(self.poll_write(cx))?;
        if self.calls.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Closes the session, then writes what is ready.
    async fn finish(self) {
        let Self { session, peer, mut output, calls, .. } = self;
        drop((session, calls));
        let write = poll_fn(|cx| {
            ready!(peer.backlog().poll_write(cx, &mut output))?;
            Pin::new(&mut output).poll_flush(cx)
        });
        if !matches!(timeout(LAST_WRITE, write).await, Ok(Ok(()))) {
            tracing::debug!("the client left before it had read everything");
        }
        let dropped = peer.backlog().dropped();
        if dropped > 0 {
            tracing::info!(dropped, "a client has left that did not read its notifications");
        }
    }

    fn may_read(&self) -> bool {
        self.peer.backlog().bytes() < PAUSE_READING
    }

    /// Takes lines until there are no more, and says how many they were.
    fn take_lines(&mut self, cx: &mut Context<'_>) -> (usize, Option<Left>) {
        for taken in 0..LINES_AT_ONCE {
            if !self.may_read() {
                let has_left = self.inbox.poll_end(cx, READ_AHEAD);
                return (taken, has_left.then_some(Left::InputEnded));
            }
            match self.inbox.poll_line(cx) {
                Poll::Ready(Some(Ok(line))) => self.take(line, cx),
                Poll::Ready(Some(Err(Unread::Answer(id, why)))) => {
                    self.session.0.response(in_place_of(id, &why));
                }
                Poll::Ready(Some(Err(Unread::Broken(why)))) => {
                    let told = Response::error(None, &ErrorObject::invalid_request(&why));
                    self.peer.backlog().push(told.into());
                    return (taken, Some(Left::Broken(why)));
                }
                Poll::Ready(None) => return (taken, Some(Left::InputEnded)),
                Poll::Pending => return (taken, None),
            }
        }
        (LINES_AT_ONCE, None)
    }

    fn take(&mut self, line: Bytes, cx: &mut Context<'_>) {
        let is_deep = raw::is_deeper_than(&line, self.options.max_depth);
        match Message::parse(line.clone()) {
            Ok(Message::Request(request)) if is_deep => self.refuse(&too_deep(Some(request.id))),
            Err(BadMessage::Batch) if is_deep => self.refuse(&too_deep(None)),
            Ok(Message::Response(Response { id: Some(id), .. })) if is_deep => {
                self.session.0.response(unreadable(id, &too_deep(None)));
            }
            Ok(Message::Notification(_) | Message::Response(_)) if is_deep => {
                tracing::debug!("a message is nested too deep");
            }
            Ok(Message::Request(request)) => self.begin(request, cx),
            Ok(Message::Notification(notification)) => self.session.0.notification(notification),
            Ok(Message::Response(response)) => self.session.0.response(response),
            // Only this revision knows batches.
            Err(BadMessage::Batch) if self.session.0.version() == Some(Version::V2025_03_26) => {
                let room = self.options.max_in_flight.saturating_sub(self.in_flight);
                match answer_batch(&self.session.0, &line, self.options.max_batch, room) {
                    Some((calls, batch)) => self.run(calls, Box::pin(batch), cx),
                    None => self.refuse(&BadMessage::Batch),
                }
            }
            Err(bad) => {
                // Whoever asked would wait for nothing else.
                if let Some(id) = frame::answered(&line) {
                    self.session.0.response(unreadable(id, &bad));
                }
                self.refuse(&bad);
            }
        }
    }

    fn refuse(&mut self, bad: &BadMessage) {
        tracing::debug!(error = %bad, "a client wrote what is no message");
        self.peer.backlog().push(bad.to_response().into());
    }

    fn begin(&mut self, request: Request, cx: &mut Context<'_>) {
        if self.in_flight >= self.options.max_in_flight {
            self.peer.backlog().push(refuse(request).into());
            return;
        }
        let call = answer_one(Arc::clone(&self.session.0), request);
        self.run(1, Box::pin(call), cx);
    }

    /// Begins a call right now: what it was asked comes before all that the client says later.
    fn run(&mut self, calls: usize, mut call: Call, cx: &mut Context<'_>) {
        self.in_flight += calls;
        match call.as_mut().poll(cx) {
            Poll::Ready(answer) => self.answer(answer),
            Poll::Pending => self.calls.push(call),
        }
    }

    fn collect(&mut self, cx: &mut Context<'_>) -> usize {
        let mut answered = 0;
        while let Poll::Ready(Some(answer)) = self.calls.poll_next_unpin(cx) {
            self.answer(answer);
            answered += 1;
        }
        answered
    }

    fn answer(&mut self, answer: Answer) {
        self.in_flight -= answer.calls();
        answer.write(&mut self.peer.backlog());
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.peer.backlog().poll_write(cx, &mut self.output))?;
        Pin::new(&mut self.output).poll_flush(cx)
    }
}

fn too_deep(id: Option<Id>) -> BadMessage {
    BadMessage::NotRpc { why: "its values are nested too deep", id }
}

/// The answer to a request for which there is no room.
pub(crate) fn refuse(request: Request) -> Response {
    let error = ErrorObject::new(QUEUE_FULL, "Too many requests are in flight; try again later");
    Response::error(Some(request.id), &error)
}
