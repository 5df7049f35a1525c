//! What waits for a client that reads slowly, or not at all.
//!
//! Only what is about to be written is in the [`Outbox`], as bytes; what follows waits as messages,
//! so that the oldest notification can make room for a newer one. What is newest says most, and a
//! client that reads again should not begin with what is long over.

use crate::outbox::Outbox;
use bytes::Bytes;
use mcplex_proto::{frame, message::Message};
use std::{
    collections::VecDeque,
    io,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// What may wait for a client that does not read: 64 MiB, four of the longest lines, in 16384
/// messages. Beyond, notifications make room for newer ones; without any the client counts as out
/// of reach.
const MAX_WAITING: (usize, usize) = (4 * frame::MAX_LINE, 16 * 1024);

/// As much is handed to the outbox as one write takes: the capacity of a pipe.
const AT_ONCE: usize = 64 * 1024;

/// Lines for a client, in order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    outbox: Outbox,
    /// What is never dropped: answers, and requests that somebody waits for.
    firm: VecDeque<Waiting<Line>>,
    notes: VecDeque<Waiting<Message>>,
    /// The place of the next line among those of both queues.
    next: u64,
    /// Bytes in both queues.
    bytes: usize,
    /// How many notifications were dropped.
    dropped: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    place: u64,
    bytes: usize,
    what: T,
}

#[derive(Debug)]
enum Line {
    Message(Message),
    /// A batch.
    Text(Bytes),
}

impl Backlog {
    /// Adds a message that the client may miss when it does not read; `false` if there is no room.
    pub(crate) fn offer(&mut self, message: Message) -> bool {
        while self.bytes() >= MAX_WAITING.0 || self.lines() >= MAX_WAITING.1 {
            let Some(oldest) = self.notes.pop_front() else { return false };
            self.bytes -= oldest.bytes;
            self.dropped = self.dropped.saturating_add(1);
        }
        self.push(message);
        true
    }

    /// Adds a message, whatever waits: there are bounds on how many answers there can be.
    pub(crate) fn push(&mut self, message: Message) {
        if self.is_free() {
            self.outbox.push(&message);
            return;
        }
        let (head, body, tail) = message.parts();
        let bytes = head.len() + body.map_or(0, |raw| raw.bytes().len()) + tail.len() + 1;
        let place = self.place(bytes);
        if let Message::Notification(_) = message {
            self.notes.push_back(Waiting { place, bytes, what: message });
        } else {
            self.firm.push_back(Waiting { place, bytes, what: Line::Message(message) });
        }
    }

    /// Adds one line that is already text, without its line break.
    pub(crate) fn push_text(&mut self, line: Bytes) {
        if self.is_free() {
            self.outbox.push_text(&line);
            return;
        }
        let bytes = line.len() + 1;
        let place = self.place(bytes);
        self.firm.push_back(Waiting { place, bytes, what: Line::Text(line) });
    }

    /// Bytes that wait to be written.
    pub(crate) fn bytes(&self) -> usize {
        self.outbox.bytes() + self.bytes
    }

    /// How many notifications were dropped, ever.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes until nothing waits; what was written is gone from here also when it is pending.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut W,
    ) -> Poll<io::Result<()>> {
        loop {
            self.hand_over();
            ready!(self.outbox.poll_write(cx, out))?;
            if self.is_free() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn lines(&self) -> usize {
        self.outbox.lines() + self.firm.len() + self.notes.len()
    }

    /// Whether a line may go to the outbox at once: nothing is before it.
    fn is_free(&self) -> bool {
        self.firm.is_empty() && self.notes.is_empty() && self.outbox.bytes() < AT_ONCE
    }

    fn place(&mut self, bytes: usize) -> u64 {
        self.bytes += bytes;
        self.next += 1;
        self.next
    }

    /// Moves what is written next to the outbox, in the order in which it came.
    fn hand_over(&mut self) {
        while self.outbox.bytes() < AT_ONCE {
            let note = self.notes.front().map_or(u64::MAX, |note| note.place);
            let firm = self.firm.front().map_or(u64::MAX, |firm| firm.place);
            if note < firm
                && let Some(note) = self.notes.pop_front()
            {
                self.outbox.push(&note.what);
                self.bytes -= note.bytes;
            } else if let Some(firm) = self.firm.pop_front() {
                match &firm.what {
                    Line::Message(message) => self.outbox.push(message),
                    Line::Text(line) => self.outbox.push_text(line),
                }
                self.bytes -= firm.bytes;
            } else {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{
        message::{Notification, Request, Response},
        raw::Raw,
    };
    use std::task::Waker;

    fn note(n: u64, size: usize) -> Message {
        let params = serde_json::json!({ "n": n, "text": "x".repeat(size) });
        Notification::new("note", Some(Raw::of(&params))).into()
    }

    fn written(backlog: &mut Backlog) -> Vec<Message> {
        let mut out = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(backlog.poll_write(&mut cx, &mut out).is_ready());
        assert_eq!((backlog.bytes(), backlog.lines()), (0, 0));
        let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Message::parse(Bytes::copy_from_slice(line)).unwrap()).collect()
    }

    #[test]
    fn everything_comes_out_in_the_order_in_which_it_came() {
        let mut backlog = Backlog::default();
        let mut expect = Vec::new();
        for n in 0..300 {
            let message = match n % 3 {
                0 => Response::result(n.into(), Raw::of(&*"y".repeat(700))).into(),
                1 => note(n, 20_000),
                _ => note(n, 5),
            };
            assert!(backlog.offer(message.clone()));
            expect.push(message);
        }
        assert_eq!(written(&mut backlog), expect);
    }

    #[test]
    fn the_oldest_notifications_make_room_and_nothing_else_does() {
        let mut backlog = Backlog::default();
        let mut ask = 0;
        let mut request = || {
            ask += 1;
            Message::from(Request::new(ask, "ask", None))
        };
        // The first of them are bytes already, and are written.
        while backlog.is_free() {
            backlog.push(note(0, 1000));
        }
        let first = backlog.lines();
        for n in 1..=20_000 {
            assert!(backlog.offer(note(n, 1)) && backlog.lines() <= MAX_WAITING.1);
        }
        let kept = MAX_WAITING.1 - first;
        assert_eq!(backlog.dropped(), 20_000 - kept as u64);
        let requests = kept + 5;
        let taken = (0..requests).filter(|_| backlog.offer(request())).count();
        assert_eq!(taken, kept, "requests push out notifications, and no request");
        assert_eq!(backlog.dropped(), 20_000);
        assert!(!backlog.offer(note(1, 1)), "there is no older one to drop");
        let all = written(&mut backlog);
        let of_requests = all.iter().filter(|one| matches!(one, Message::Request(_))).count();
        assert_eq!((all.len(), of_requests), (first + kept, kept));
    }
}
