//! Lines on their way out: the part of writing that must survive a cancelled future.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use mcplex_proto::message::Message;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Small lines are gathered up to this size, so that a burst is one write: the capacity of a pipe.
const GATHERED: usize = 64 * 1024;

/// A payload of this size is written from where it is; a smaller one is cheaper to copy.
const LARGE: usize = 16 * 1024;

/// An empty buffer larger than this is given back, so that idle peers cost little.
const KEPT_IDLE: usize = 4 * 1024;

/// Pieces handed to one vectored write; a gathered piece and the three of a large line need four.
const SLICES: usize = 16;

/// Whole lines, written in order and freed piece by piece.
///
/// How far a line was written is remembered here and nowhere else, so no caller that gives up can
/// cut one.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Small lines that may still be joined by more.
    gathered: BytesMut,
    gathered_lines: usize,
    bytes: usize,
    lines: usize,
    /// Bytes that have left.
    written: u64,
}

#[derive(Debug)]
struct Piece {
    rest: Bytes,
    /// How many lines end with this piece.
    lines: usize,
}

impl Outbox {
    /// Adds one message as a line.
    pub(crate) fn push(&mut self, message: &Message) {
        let (head, body, tail) = message.parts();
        let body = body.map(|raw| raw.bytes().clone()).unwrap_or_default();
        if body.len() < LARGE {
            self.push_small(&[&head, &body, &tail]);
            return;
        }
        self.seal();
        let mut tail = tail;
        tail.put_u8(b'\n');
        self.push_piece(head.freeze(), 0);
        self.push_piece(body, 0);
        self.push_piece(tail.freeze(), 1);
        self.lines += 1;
    }

    /// Adds one line that is already text, without its line break.
    pub(crate) fn push_text(&mut self, line: &[u8]) {
        self.push_small(&[line]);
    }

    /// Bytes that wait to be written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lines that wait to be written.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Bytes that have left, ever.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes until nothing waits; what was written is gone from here also when it is pending.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            ready!(self.poll_write_some(cx, out))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once.
    pub(crate) fn poll_write_some<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.pieces.is_empty() {
            self.seal();
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.pieces.len().min(SLICES);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece.rest);
        }
        let written = ready!(Pin::new(out).poll_write_vectored(cx, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.release(written);
        Poll::Ready(Ok(()))
    }

    fn push_small(&mut self, parts: &[&[u8]]) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
        if !self.gathered.is_empty() && self.gathered.len() + len > GATHERED {
            self.seal();
        }
        self.gathered.reserve(len);
        for part in parts {
            self.gathered.put_slice(part);
        }
        self.gathered.put_u8(b'\n');
        self.gathered_lines += 1;
        self.bytes += len;
        self.lines += 1;
    }

    fn push_piece(&mut self, rest: Bytes, lines: usize) {
        self.bytes += rest.len();
        self.pieces.push_back(Piece { rest, lines });
    }

    /// Closes the gathered lines, so that their order against what follows is fixed.
    fn seal(&mut self) {
        if !self.gathered.is_empty() {
            let rest = self.gathered.split().freeze();
            let lines = std::mem::take(&mut self.gathered_lines);
            self.pieces.push_back(Piece { rest, lines });
        }
    }

    fn release(&mut self, mut written: usize) {
        self.bytes -= written;
        self.written = self.written.saturating_add(written as u64);
        while let Some(piece) = self.pieces.front_mut() {
            let taken = written.min(piece.rest.len());
            piece.rest.advance(taken);
            written -= taken;
            if piece.rest.has_remaining() {
                break;
            }
            self.lines -= piece.lines;
            self.pieces.pop_front();
        }
        if self.bytes == 0 {
            // The pieces are gone, so what is left of the buffer can be used from its start again.
            if !self.gathered.try_reclaim(1) || self.gathered.capacity() > KEPT_IDLE {
                self.gathered = BytesMut::new();
            }
            self.pieces.shrink_to(SLICES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{message::Notification, raw::Raw};
    use std::task::Waker;

    /// Takes a few bytes at a time, then is pending once.
    struct Trickle {
        taken: Vec<u8>,
        step: usize,
        pause: bool,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.pause = !self.pause;
            if self.pause {
                return Poll::Pending;
            }
            let count = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn message(size: usize) -> Message {
        Notification::new("note", Some(Raw::of(&[&*"x".repeat(size)]))).into()
    }

    #[test]
    fn lines_come_out_whole_and_in_order_whatever_a_write_takes() {
        let sizes = [3, LARGE, 5, 40_000, 40_000, 9, GATHERED, 1];
        for step in [7, 1000, usize::MAX] {
            let mut outbox = Outbox::default();
            let mut expect = Vec::new();
            for size in sizes {
                outbox.push(&message(size));
                expect.extend_from_slice(&message(size).to_bytes());
                expect.push(b'\n');
            }
            assert_eq!((outbox.bytes(), outbox.lines()), (expect.len(), sizes.len()));
            let mut out = Trickle { taken: Vec::new(), step, pause: false };
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..=expect.len() {
                if outbox.poll_write(&mut cx, &mut out).is_ready() {
                    break;
                }
            }
            assert!(out.taken == expect, "step {step}");
            assert_eq!((outbox.bytes(), outbox.lines()), (0, 0));
        }
    }

    #[test]
    fn an_idle_outbox_keeps_little_memory() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.push(&message(1000));
        }
        let mut out = tokio::io::sink();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_write(&mut cx, &mut out).is_ready());
        assert!(outbox.gathered.capacity() <= KEPT_IDLE);
    }
}
