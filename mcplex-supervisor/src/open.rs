//! One open connection: messages both ways, and whatever shows that it is broken.

use crate::{
    cause::Cause, garbage::Garbage, life::SETTLE as SETTLE_GAP, pace::Pace, probe::Probe,
    time::Time, warden::End,
};
use mcplex_proto::{
    handshake::Handshake,
    message::{BadMessage, Message},
    transport::{Incoming, LastWords, Outgoing, Received, SessionName, Usage, Word},
    upstream::Incarnation,
};
use std::{
    fmt,
    future::Future as _,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, task};

/// How long the other signs of a death are waited for after the first: the exit code and the last
/// answers. Their order is chance; 250 ms is a thousand times what they are apart on a busy host.
const SETTLE: Duration = Duration::from_millis(250);

/// How many messages are read before a try to write: enough for many to share one write, and too
/// few for one that talks without a pause to look as if it did not read.
const MAX_IN_A_ROW: u32 = 16;

/// How many of them nobody may have asked for: 20 µs to 40 µs, after which every other upstream and
/// client gets its turn. A burst is heard as fast as the thread is free, and delays nobody by more.
const MAX_UNASKED_IN_A_ROW: u32 = 4;

/// What happened on the connection.
#[derive(Debug)]
pub(crate) enum Incident {
    /// A message, and the call it is certainly about.
    Heard(Message, Option<u64>),
    Garbage(BadMessage),
    Fault(Cause),
}

/// A connection of one incarnation.
pub(crate) struct Open {
    pub(crate) incarnation: Incarnation,
    pub(crate) pid: Option<u32>,
    pub(crate) since: Time,
    /// While the session is being opened.
    pub(crate) handshake: Option<Handshake>,
    /// Until when it has to say which era it belongs to.
    pub(crate) answer_by: Option<Time>,
    /// Tells the name of its session, where its transport knows sessions.
    pub(crate) session: Option<SessionName>,
    /// Whether requests stand for themselves; such a server may not ask anything.
    pub(crate) is_modern: bool,
    /// What it asked all the same.
    pub(crate) refused: u64,
    pub(crate) probe: Option<Probe>,
    /// Tells the warden to bring about the end.
    pub(crate) order: oneshot::Sender<End>,
    /// What it asked before its session was open.
    pub(crate) asked: u32,
    /// Lines that were no messages.
    pub(crate) garbage: Garbage,
    /// Whether it was asked for a sign of life and nothing was heard since.
    pub(crate) is_asked: bool,
    /// Tells its last words while it lives.
    pub(crate) listener: Option<LastWords>,
    /// What was found when it ended by itself.
    pub(crate) evidence: Option<(Vec<Word>, Option<Usage>)>,
    outgoing: Outgoing,
    incoming: Incoming,
    is_unflushed: bool,
    write_error: Option<io::Error>,
    /// When what waits to be written counts as stuck, and how much had left when that was set.
    stuck: Option<(Time, u64)>,
    has_heard: bool,
    /// Messages read since the last try to write.
    heard_in_a_row: u32,
    /// Those of them that nobody asked for.
    unasked_in_a_row: u32,
    pace: Pace,
    /// Until when nothing is read, because it talks too fast.
    paused: Option<Time>,
    is_silent: bool,
    /// The first sign of a death, and until when a better one is waited for.
    fault: Option<(Cause, Time)>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}

impl Open {
    pub(crate) fn new(
        incarnation: Incarnation,
        pid: Option<u32>,
        since: Time,
        halves: (Outgoing, Incoming),
        handshake: Handshake,
        order: oneshot::Sender<End>,
    ) -> Self {
        let (outgoing, incoming) = halves;
        Self {
            incarnation,
            pid,
            since,
            handshake: Some(handshake),
            answer_by: None,
            session: None,
            is_modern: false,
            refused: 0,
            probe: None,
            order,
            asked: 0,
            garbage: Garbage::default(),
            is_asked: false,
            listener: None,
            evidence: None,
            outgoing,
            incoming,
            is_unflushed: false,
            write_error: None,
            stuck: None,
            has_heard: false,
            heard_in_a_row: 0,
            unasked_in_a_row: 0,
            pace: Pace::default(),
            paused: None,
            is_silent: false,
            fault: None,
        }
    }

    /// Whether calls can be sent now; if not, the task is woken when they can.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if self.fault.is_some() {
            return false;
        }
        match self.outgoing.as_mut().poll_ready(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.write_error.get_or_insert(error);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Queues a message; it is written by [`poll`](Self::poll).
    pub(crate) fn send(&mut self, message: Message) {
        self.is_unflushed = true;
        if let Err(error) = self.outgoing.as_mut().start_send(message) {
            self.write_error.get_or_insert(error);
        }
    }

    /// The next thing that happens; writes mostly when nothing can be read, so that many messages
    /// share one write, but not never when it talks without a pause.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Incident> {
        if !self.is_silent
            && self.paused.is_none()
            && !self.is_turn_over()
            && let Poll::Ready(received) = self.incoming.as_mut().poll_next(cx)
        {
            self.has_heard = true;
            self.heard_in_a_row += 1;
            return Poll::Ready(match received {
                Some(Received::Message(message)) => Incident::Heard(message, None),
                Some(Received::About(message, id)) => Incident::Heard(message, id.minted()),
                Some(Received::Garbage(bad)) => Incident::Garbage(bad),
                Some(Received::Broken(why)) => {
                    self.is_silent = true;
                    Incident::Fault(Cause::Broken(why))
                }
                Some(Received::Refused(error)) => {
                    self.is_silent = true;
                    Incident::Fault(Cause::Connect(error))
                }
                None => {
                    self.is_silent = true;
                    Incident::Fault(Cause::OutputClosed)
                }
            });
        }
        if self.is_turn_over() && self.paused.is_none() {
            // There may be more to read, and nothing else would say so. Woken like this, the task
            // comes after whatever else is ready, what the system has to tell included.
            let _later = pin!(task::yield_now()).poll(cx);
        }
        (self.heard_in_a_row, self.unasked_in_a_row) = (0, 0);
        if self.is_unflushed && self.write_error.is_none() {
            match self.outgoing.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.is_unflushed = false;
                    self.stuck = None;
                }
                Poll::Ready(Err(error)) => self.write_error = Some(error),
                Poll::Pending => {}
            }
        }
        match self.write_error.take() {
            Some(error) => {
                self.is_unflushed = false;
                Poll::Ready(Incident::Fault(Cause::WriteFailed(error)))
            }
            None => Poll::Pending,
        }
    }

    fn is_turn_over(&self) -> bool {
        self.heard_in_a_row >= MAX_IN_A_ROW || self.unasked_in_a_row >= MAX_UNASKED_IN_A_ROW
    }

    /// Takes a sign of a death; gives the cause when nothing better can come.
    pub(crate) fn fault(&mut self, cause: Cause, now: Time) -> Option<Cause> {
        let best = match self.fault.take() {
            Some((before, _)) if before.weight() > cause.weight() => before,
            Some(_) | None => cause,
        };
        let is_certain = match best.weight() {
            0 | 1 => false,
            // Its last answers may still be on their way.
            2 => self.is_silent,
            _ => true,
        };
        if is_certain {
            return Some(best);
        }
        self.fault = Some((best, now + SETTLE));
        None
    }

    /// Whether it may have read anything; one that ended and read nothing did not end of what it was
    /// told.
    pub(crate) fn may_have_read(&self) -> bool {
        self.outgoing.unread().is_none_or(|unread| unread < self.outgoing.written())
    }

    /// Whether what was sent waits to be read.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// It said something that nobody asked for, with so many bytes of payload.
    pub(crate) fn is_unasked(&mut self, bytes: usize, now: Time) {
        self.unasked_in_a_row += 1;
        self.paused = self.pace.spend(bytes, now);
    }

    /// It wrote a line that is no message.
    pub(crate) fn is_garbage(&mut self, now: Time) {
        self.unasked_in_a_row += 1;
        self.paused = self.pace.spend_on_garbage(now);
    }

    /// Notes how the time passes: what is stuck, and what was heard.
    ///
    /// Only bytes that leave prove that it reads: one that talks and never reads is stuck. Says
    /// whether anything was heard since the last time.
    pub(crate) fn tick(&mut self, write_stall: Duration, now: Time) -> bool {
        self.paused = self.paused.filter(|until| now < *until);
        let has_heard = std::mem::take(&mut self.has_heard);
        if has_heard {
            self.is_asked = false;
            if let Some(probe) = &mut self.probe {
                probe.handle_heard(now);
            }
        }
        if self.is_unflushed {
            let written = self.outgoing.written();
            if self.stuck.is_none_or(|(_, before)| before != written) {
                self.stuck = Some((now + write_stall, written));
            }
        }
        has_heard
    }

    /// Moves what is measured by a gap in which nothing ran; the probe a little further.
    pub(crate) fn skip(&mut self, gap: Duration, spread: Duration, now: Time) {
        let later = |due: Time| (due + gap).max(now + SETTLE_GAP);
        for due in self.stuck.iter_mut().map(|(due, _)| due).chain(&mut self.answer_by) {
            *due = later(*due);
        }
        if let Some((_, until)) = &mut self.fault {
            *until = *until + gap;
        }
        if let Some(probe) = &mut self.probe {
            probe.skip(gap + spread, now + spread);
        }
    }

    /// Whether a gap in time could be taken for its fault.
    pub(crate) fn is_measuring(&self) -> bool {
        self.handshake.is_some() || self.stuck.is_some() || self.fault.is_some() || self.is_asked
    }

    /// When something has to be decided.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let fault = self.fault.as_ref().map(|&(_, until)| until);
        let stuck = self.stuck.map(|(due, _)| due);
        let probe = self.probe.as_ref().map(Probe::poll_timeout);
        [fault, stuck, probe, self.paused, self.answer_by].into_iter().flatten().min()
    }

    /// The cause of a death that is due now.
    pub(crate) fn overdue(&mut self, write_stall: Duration, now: Time) -> Option<Cause> {
        if self.fault.as_ref().is_some_and(|&(_, until)| until <= now) {
            return self.fault.take().map(|(cause, _)| cause);
        }
        let is_stuck = self.stuck.is_some_and(|(due, _)| due <= now);
        is_stuck.then_some(Cause::WriteStalled(write_stall))
    }
}
