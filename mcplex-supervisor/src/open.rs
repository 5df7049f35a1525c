//! One open connection: messages both ways, and whatever shows that it is broken.

use crate::{cause::Cause, options::Options, probe::Probe, time::Time, warden::End};
use mcplex_proto::{
    handshake::Handshake,
    message::{BadMessage, Message},
    transport::{Incoming, Outgoing, Received},
    upstream::Incarnation,
};
use std::{
    fmt, io,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;

/// How long the other signs of a death are waited for after the first: the exit code and the last
/// answers. Their order is chance; 250 ms is a thousand times what they are apart on a busy host.
const SETTLE: Duration = Duration::from_millis(250);

/// What happened on the connection.
#[derive(Debug)]
pub(crate) enum Incident {
    Heard(Message),
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
    pub(crate) probe: Option<Probe>,
    /// Tells the warden to bring about the end.
    pub(crate) order: oneshot::Sender<End>,
    /// What it asked before its session was open.
    pub(crate) asked: u32,
    /// Lines that were no messages.
    pub(crate) garbage: u64,
    outgoing: Outgoing,
    incoming: Incoming,
    is_unflushed: bool,
    write_error: Option<io::Error>,
    stuck_since: Option<Time>,
    has_heard: bool,
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
            probe: None,
            order,
            asked: 0,
            garbage: 0,
            outgoing,
            incoming,
            is_unflushed: false,
            write_error: None,
            stuck_since: None,
            has_heard: false,
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

    /// The next thing that happens; writes only when nothing can be read, so that many messages
    /// share one write.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Incident> {
        if !self.is_silent
            && let Poll::Ready(received) = self.incoming.as_mut().poll_next(cx)
        {
            self.has_heard = true;
            return Poll::Ready(match received {
                Some(Received::Message(message)) => Incident::Heard(message),
                Some(Received::Garbage(bad)) => Incident::Garbage(bad),
                Some(Received::Broken(why)) => {
                    self.is_silent = true;
                    Incident::Fault(Cause::Broken(why))
                }
                None => {
                    self.is_silent = true;
                    Incident::Fault(Cause::OutputClosed)
                }
            });
        }
        if self.is_unflushed && self.write_error.is_none() {
            match self.outgoing.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.is_unflushed = false;
                    self.stuck_since = None;
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

    /// Notes how the time passes: what is stuck, and what was heard.
    ///
    /// Says whether anything was heard since the last time.
    pub(crate) fn tick(&mut self, now: Time) -> bool {
        let has_heard = std::mem::take(&mut self.has_heard);
        if has_heard {
            self.stuck_since = None;
            if let Some(probe) = &mut self.probe {
                probe.handle_heard(now);
            }
        }
        if self.is_unflushed {
            self.stuck_since.get_or_insert(now);
        }
        has_heard
    }

    /// Moves what is measured by a gap in which nothing ran.
    pub(crate) fn skip(&mut self, gap: Duration, now: Time) {
        if let Some(since) = &mut self.stuck_since {
            *since = (*since + gap).min(now);
        }
        if let Some(probe) = &mut self.probe {
            probe.skip(gap, now);
        }
    }

    /// When something has to be decided.
    pub(crate) fn poll_timeout(&self, options: &Options) -> Option<Time> {
        let fault = self.fault.as_ref().map(|&(_, until)| until);
        let stuck = self.stuck_since.map(|since| since + options.write_stall);
        let probe = self.probe.as_ref().map(Probe::poll_timeout);
        [fault, stuck, probe].into_iter().flatten().min()
    }

    /// The cause of a death that is due now.
    pub(crate) fn overdue(&mut self, options: &Options, now: Time) -> Option<Cause> {
        if self.fault.as_ref().is_some_and(|&(_, until)| until <= now) {
            return self.fault.take().map(|(cause, _)| cause);
        }
        let stuck = self.stuck_since.is_some_and(|since| since + options.write_stall <= now);
        stuck.then_some(Cause::WriteStalled(options.write_stall))
    }
}
