//! The end of a connection to a server: seen, or brought about.

use super::wire::Wire;
use async_trait::async_trait;
use mcplex_proto::transport::{CloseStep, Closed, Ending, Grace, Lifeline, SessionName, Word};
use std::sync::Arc;
use tokio::{sync::watch, task::JoinSet, time::timeout};

/// Everything that is open with one server; dropped, it is closed at once.
#[derive(Debug)]
pub(crate) struct Life {
    wire: Arc<Wire>,
    ended: watch::Receiver<Option<Ending>>,
    tasks: JoinSet<()>,
}

impl Life {
    pub(crate) fn new(
        wire: Arc<Wire>,
        ended: watch::Receiver<Option<Ending>>,
        tasks: JoinSet<()>,
    ) -> Self {
        Self { wire, ended, tasks }
    }
}

#[async_trait]
impl Lifeline for Life {
    async fn ended(&mut self) -> Ending {
        let ending = self.ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        match ending {
            Some(ending) => ending,
            // The task that says so ends only when it is told to, or by a bug.
            None => std::future::pending().await,
        }
    }

    /// The streams are closed, which cancels what a modern server still does; a legacy session is
    /// ended by name, as long as the server is there to hear it.
    async fn close(&mut self, grace: Grace) -> Closed {
        self.tasks.shutdown().await;
        let ending = self.ended.borrow().clone();
        let has_session = self.wire.session_id().is_some();
        let step = if ending.is_some() { CloseStep::Ended } else { CloseStep::Eof };
        if ending.is_none() && has_session {
            match timeout(grace.eof, self.wire.delete()).await {
                Ok(Ok(status)) => tracing::debug!(%status, "the session is ended"),
                Ok(Err(trouble)) => tracing::debug!(?trouble, "the session ends by itself"),
                Err(_) => tracing::debug!("the server took too long to end the session"),
            }
        }
        self.wire.close();
        Closed { ending: ending.unwrap_or(Ending::Unknown), step, is_gone: true }
    }

    fn last_words(&self) -> Vec<Word> {
        Vec::new()
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn session(&self) -> Option<SessionName> {
        let wire = Arc::clone(&self.wire);
        Some(Box::new(move || Some(wire.session_id()?.to_str().ok()?.to_owned())))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.wire.close();
    }
}
