//! A wake-up call that is never lost and never queues up.

use crate::router::lock;
use futures_channel::mpsc;
use std::sync::Mutex;

/// One waiting signal is enough: what is to be done stands elsewhere.
#[derive(Debug)]
pub(crate) struct Signal {
    sender: Mutex<mpsc::Sender<()>>,
    receiver: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Default for Signal {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(0);
        Self { sender: Mutex::new(sender), receiver: Mutex::new(Some(receiver)) }
    }
}

impl Signal {
    /// Wakes whoever listens, now or when it listens next.
    pub(crate) fn raise(&self) {
        // Full means that a signal is waiting already; closed, that nobody will ever listen.
        let _ = lock(&self.sender).try_send(());
    }

    /// Tells whoever listens that there will be no more.
    pub(crate) fn close(&self) {
        lock(&self.sender).close_channel();
    }

    /// The end to listen at; there is one.
    pub(crate) fn listen(&self) -> Option<mpsc::Receiver<()>> {
        lock(&self.receiver).take()
    }
}
