//! What the child is told on its stdin.

use crate::outbox::Outbox;
use futures_sink::Sink;
use mcplex_proto::{message::Message, transport::Outlet};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::process::ChildStdin;

/// No more is accepted while this many bytes wait: sixteen pipes full, so a slow child costs its
/// callers time and mcplex no memory. One message may be larger; it is accepted alone.
const MAX_BYTES: usize = 1024 * 1024;

/// No more is accepted while this many messages wait.
const MAX_LINES: usize = 1024;

/// The writer of a child's stdin; dropping it closes the pipe.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Gone once the sink was closed.
    stdin: Option<ChildStdin>,
    outbox: Outbox,
}

impl Lines {
    pub(crate) fn new(stdin: ChildStdin) -> Self {
        Self { stdin: Some(stdin), outbox: Outbox::default() }
    }

    fn is_full(&self) -> bool {
        self.outbox.bytes() >= MAX_BYTES || self.outbox.lines() >= MAX_LINES
    }
}

impl Sink<Message> for Lines {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_full() {
            let Self { stdin, outbox } = &mut *self;
            ready!(outbox.poll_write_some(cx, open(stdin)?))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        open(&mut self.stdin)?;
        self.outbox.push(&message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stdin, outbox } = &mut *self;
        outbox.poll_write(cx, open(stdin)?)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stdin.is_some() {
            ready!(self.as_mut().poll_flush(cx))?;
            self.stdin = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Outlet for Lines {
    fn written(&self) -> u64 {
        self.outbox.written()
    }

    /// A pipe keeps what nobody read for as long as its writing end is open.
    #[cfg(target_os = "linux")]
    fn unread(&self) -> Option<u64> {
        rustix::io::ioctl_fionread(self.stdin.as_ref()?).ok()
    }
}

fn open(stdin: &mut Option<ChildStdin>) -> io::Result<&mut ChildStdin> {
    stdin.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}
