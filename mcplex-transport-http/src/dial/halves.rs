//! The two halves of a connection that the supervisor holds.

use futures_channel::mpsc;
use futures_core::Stream;
use futures_sink::Sink;
use mcplex_proto::{
    message::Message,
    transport::{Outlet, Received},
};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Messages that wait to be taken by the task that sends them.
const UNTAKEN: usize = 64;

/// Messages on their way to the server.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// What came while there was no room; the supervisor's own messages do not wait for room.
    overflow: VecDeque<Message>,
    out: mpsc::Sender<Message>,
    written: Written,
}

/// Bytes of messages that were taken to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<AtomicU64>);

impl Written {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Outbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>, Written) {
        let (out, taken) = mpsc::channel(UNTAKEN);
        let written = Written::default();
        (Self { overflow: VecDeque::new(), out, written: written.clone() }, taken, written)
    }

    /// Hands on what waits.
    fn poll_hand_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.overflow.is_empty() {
            ready!(self.out.poll_ready(cx)).map_err(gone)?;
            if let Some(message) = self.overflow.pop_front() {
                self.out.start_send(message).map_err(gone)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink<Message> for Outbox {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_on(cx))?;
        self.out.poll_ready(cx).map_err(gone)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        if self.out.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.overflow.push_back(message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_hand_on(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_on(cx))?;
        self.out.close_channel();
        Poll::Ready(Ok(()))
    }
}

impl Outlet for Outbox {
    fn written(&self) -> u64 {
        self.written.0.load(Ordering::Relaxed)
    }
}

fn gone(_: mpsc::SendError) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Messages of the server, as they come.
#[derive(Debug)]
pub(crate) struct Messages(tokio::sync::mpsc::Receiver<Received>);

impl Messages {
    pub(crate) fn new(incoming: tokio::sync::mpsc::Receiver<Received>) -> Self {
        Self(incoming)
    }
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.0.poll_recv(cx)
    }
}
