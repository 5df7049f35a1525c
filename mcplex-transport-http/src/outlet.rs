//! A client as the gateway sees it: a mailbox behind a lock.

use crate::{mailbox::Mailbox, options::Options};
use mcplex_proto::{downstream::Client, id::Id, message::Message, peer::Origin};
use std::sync::{Arc, Mutex, MutexGuard};

/// The mailbox of one session; no lock is held while foreign code runs.
#[derive(Debug)]
pub(crate) struct Outlet {
    mailbox: Mutex<Mailbox>,
    /// The name of the session.
    session: Arc<str>,
}

impl Outlet {
    pub(crate) fn new(session: &str, options: &Options) -> Self {
        Self { mailbox: Mutex::new(Mailbox::new(options)), session: session.into() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().expect("nothing panics while it holds the mailbox")
    }

    /// Ends a call with its answer.
    pub(crate) fn answer(&self, id: &Id, answer: Option<&Message>) {
        let waker = self.lock().answer(id, answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// No more events will come in this track.
    pub(crate) fn finish(&self, number: u64) {
        let waker = self.lock().finish(number);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the open standalone stream, if any.
    pub(crate) fn end_standalone(&self) {
        let waker = self.lock().end_standalone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends everything.
    pub(crate) fn close(&self) {
        let (wakers, dropped) = {
            let mut mailbox = self.lock();
            (mailbox.close(), mailbox.dropped())
        };
        if dropped > 0 {
            tracing::info!(dropped, "a client has left that did not read its notifications");
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Client for Outlet {
    fn send(&self, message: Message, about: Option<&Id>) -> bool {
        let (before, (is_taken, waker), dropped) = {
            let mut mailbox = self.lock();
            (mailbox.dropped(), mailbox.send(&message, about), mailbox.dropped())
        };
        // Told each time that it has doubled: a flood of them must not become one of the log.
        if dropped.checked_ilog2() != before.checked_ilog2() {
            tracing::warn!(
                dropped,
                "a client does not read; its oldest notifications make room for newer ones"
            );
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        is_taken
    }

    fn network(&self) -> &'static str {
        "tcp"
    }

    fn origin(&self, about: Option<&Id>) -> Origin {
        let origin = about.and_then(|id| self.lock().origin(id)).unwrap_or_default();
        Origin { session: Some(Arc::clone(&self.session)), ..origin }
    }
}
