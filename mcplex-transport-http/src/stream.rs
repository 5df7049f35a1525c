//! One open event stream: what a client reads of a track.

use crate::{
    clock,
    mailbox::{Next, Place},
    outlet::Outlet,
    sse,
    sse::{EventId, Pieces},
};
use bytes::Bytes;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Sleep;

/// Reads a track until it ends, the client leaves, or another reader takes over.
#[derive(Debug)]
pub(crate) struct EventStream {
    outlet: Arc<Outlet>,
    place: Place,
    /// What is being written.
    pieces: Pieces,
    silence: Pin<Box<Sleep>>,
    keepalive: Duration,
}

impl EventStream {
    /// Reads from `place`; `is_primed` puts an id and a wait for resuming before everything.
    pub(crate) fn new(
        outlet: Arc<Outlet>,
        place: Place,
        is_primed: bool,
        keepalive: Duration,
    ) -> Self {
        let id = EventId { stream: place.stream, number: place.number };
        let pieces = if is_primed { sse::prime(id).into() } else { Pieces::default() };
        Self { outlet, place, pieces, silence: Box::pin(tokio::time::sleep(keepalive)), keepalive }
    }

    /// The next bytes, or `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(piece));
        }
        let next = self.outlet.lock().read(&mut self.place, cx.waker());
        match next {
            Next::Event(pieces) => {
                self.pieces = pieces;
                self.silence.as_mut().reset(clock::after(self.keepalive));
                Poll::Ready(self.pieces.pop())
            }
            Next::End => Poll::Ready(None),
            Next::Pending => {
                std::task::ready!(self.silence.as_mut().poll(cx));
                self.silence.as_mut().reset(clock::after(self.keepalive));
                Poll::Ready(Some(sse::KEEPALIVE))
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.outlet.lock().detach(self.place);
    }
}
