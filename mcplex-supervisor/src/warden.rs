//! The task that watches the end of one incarnation, and brings it about when told to.
//!
//! It alone holds the lifeline. Dropped before the end, it takes everything of the incarnation
//! with it.

use mcplex_proto::{
    transport::{CloseStep, Closed, Ending, Grace, Lifeline, Usage, Word},
    upstream::Incarnation,
};
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

/// What a warden says.
#[derive(Debug)]
pub(crate) enum Report {
    /// The incarnation has ended by itself.
    Ended { incarnation: Incarnation, ending: Ending, words: Vec<Word>, usage: Option<Usage> },
    /// An end that was ordered was tried; once nothing is left, this is the last report.
    Closed { incarnation: Incarnation, closed: Closed },
}

/// How an end is brought about; told with the order, because limits may change in a life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) grace: Grace,
    /// How long until an end that failed is tried again.
    pub(crate) recheck: Duration,
}

/// Whose end is watched.
#[derive(Debug)]
pub(crate) struct Warden {
    pub(crate) incarnation: Incarnation,
    pub(crate) lifeline: Box<dyn Lifeline>,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl Warden {
    /// Watches until nothing of the incarnation is left.
    pub(crate) async fn watch(mut self, order: oneshot::Receiver<End>) {
        tokio::pin!(order);
        let end = tokio::select! {
            ending = self.lifeline.ended() => {
                let (words, usage) = (self.lifeline.last_words(), self.lifeline.usage());
                let incarnation = self.incarnation;
                self.say(Report::Ended { incarnation, ending, words, usage }).await;
                order.await
            }
            ordered = &mut order => ordered,
        };
        // A dropped order means that the driver is gone; so should this be.
        let Ok(End { mut grace, recheck }) = end else { return };
        loop {
            let closed = self.lifeline.close(grace).await;
            let is_gone = closed.is_gone;
            if closed.step == CloseStep::Kill {
                tracing::debug!(incarnation = self.incarnation.0, is_gone, "it had to be killed");
            }
            self.say(Report::Closed { incarnation: self.incarnation, closed }).await;
            if is_gone {
                return;
            }
            time::sleep(recheck).await;
            // It had its time to end politely.
            grace = Grace { eof: Duration::ZERO, term: Duration::ZERO, kill: grace.kill };
        }
    }

    async fn say(&mut self, report: Report) {
        // Refused means that the driver is gone and nobody listens.
        let _is_heard: Result<(), _> = self.reports.send(report).await;
    }
}
