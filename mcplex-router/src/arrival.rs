//! Who has not been heard of since it was added, and who waits for them.
//!
//! An upstream has *arrived* once its lists were read for the first time, or once it died before
//! that: nobody should wait for what may never come. Until all have arrived, a call by an unknown
//! name waits a little, because its upstream may be on the way; calls by known names never do.

use crate::router::{UpstreamKey, lock};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// The upstreams that are still on the way.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Read on every call, so that the lock is taken only at the start.
    is_awaited: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    missing: BTreeSet<UpstreamKey>,
    /// One per waiting request, and so bounded by the listeners' bounds on those.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Arrivals {
    /// An upstream is on the way.
    pub(crate) fn expect(&self, upstream: UpstreamKey) {
        let mut state = lock(&self.state);
        state.missing.insert(upstream);
        self.is_awaited.store(true, Ordering::Release);
    }

    /// Whether all have arrived.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_awaited.load(Ordering::Acquire)
    }

    /// An upstream has arrived, or is gone for good; whoever waits looks again.
    pub(crate) fn arrived(&self, upstream: UpstreamKey) {
        if self.is_over() {
            return;
        }
        let mut state = lock(&self.state);
        if state.missing.remove(&upstream) {
            self.is_awaited.store(!state.missing.is_empty(), Ordering::Release);
            for waiting in state.waiting.drain(..) {
                // Refused means that its time was over.
                let _is_there = waiting.send(()).is_ok();
            }
        }
    }

    /// Waits until nothing is missed any more, all have arrived, or the time is over.
    pub(crate) async fn wait(&self, is_missed: impl Fn() -> bool, time: impl Future<Output = ()>) {
        let mut time = pin!(time);
        while is_missed() {
            let Some(next) = self.next() else { return };
            if let Either::Right(_) = select(next, time.as_mut()).await {
                return;
            }
        }
    }

    /// Resolves with the next arrival; `None` when there will be none.
    fn next(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if state.missing.is_empty() {
            return None;
        }
        let (told, next) = oneshot::channel();
        state.waiting.retain(|waiting| !waiting.is_canceled());
        state.waiting.push(told);
        Some(next)
    }
}
