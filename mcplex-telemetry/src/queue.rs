//! A bounded queue to the carrier: who fills it never waits.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use crate::carrier::{Accepted, Batch, Carrier, Outlet};
use crate::plan::Batching;
use crate::tally::{Lines, Tally};

/// How many may ask for a flush at a time; the end of the process is the only one who does.
const ASKS: usize = 4;

/// Takes items, and has them sent in batches.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    shared: Arc<Shared<T>>,
    asks: mpsc::Sender<Ask>,
}

/// Somebody waits until everything has left.
type Ask = oneshot::Sender<()>;

/// What who fills it and who empties it share.
#[derive(Debug)]
struct Shared<T> {
    items: Mutex<VecDeque<T>>,
    /// At the first item, and when a batch is full: twice per batch, and not once per item.
    wake: Notify,
    batching: Batching,
    tally: Arc<Tally>,
    /// How many found no room in this queue; the tally is of all that have it.
    dropped: AtomicU64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        // Nothing is done under the lock that could leave it half done.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<T> {
        let mut items = self.lock();
        let count = items.len().min(self.batching.batch);
        items.drain(..count).collect()
    }
}

impl<T: Send + 'static> Queue<T> {
    /// Starts the task that empties the queue.
    ///
    /// `what` names the items in the log, `pack` brings them into the form of OTLP.
    pub(crate) fn start(
        carrier: &Carrier,
        batching: Batching,
        tally: Arc<Tally>,
        outlet: Outlet,
        what: &'static str,
        pack: impl FnMut(Vec<T>) -> Batch + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            items: Mutex::default(),
            wake: Notify::new(),
            batching,
            tally,
            dropped: AtomicU64::new(0),
        });
        let (asks, asked) = mpsc::channel(ASKS);
        let worker = Worker {
            shared: Arc::clone(&shared),
            asked,
            outlet,
            what,
            pack,
            failures: Lines::default(),
            rejections: Lines::default(),
            drops: Lines::default(),
            told_drops: 0,
        };
        carrier.run(worker.run());
        Self { shared, asks }
    }

    /// Takes an item if there is room, and counts it in any case.
    pub(crate) fn push(&self, item: T) {
        self.shared.tally.ended();
        let mut items = self.shared.lock();
        if items.len() >= self.shared.batching.queue {
            drop(items);
            self.shared.tally.dropped();
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        items.push_back(item);
        let count = items.len();
        drop(items);
        if count == 1 || count == self.shared.batching.batch {
            self.shared.wake.notify_one();
        }
    }

    /// Has everything sent that waits, and says when that is done, well or not.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        // Where there is no room or nobody is there, the sender is gone: that is an answer.
        drop(self.asks.try_send(done));
        wait
    }
}

/// Empties the queue.
struct Worker<T, P> {
    shared: Arc<Shared<T>>,
    asked: mpsc::Receiver<Ask>,
    outlet: Outlet,
    what: &'static str,
    pack: P,
    failures: Lines,
    rejections: Lines,
    drops: Lines,
    /// How many drops the log knows of.
    told_drops: u64,
}

/// Why a wait is over.
enum Woken {
    /// Something waits, or has waited long enough.
    Due,
    /// Somebody wants everything to leave.
    Asked(Ask),
    /// Nobody fills the queue any more.
    Over,
}

impl<T: Send, P: FnMut(Vec<T>) -> Batch + Send> Worker<T, P> {
    async fn run(mut self) {
        loop {
            let waiting = self.shared.lock().len();
            let woken = match waiting {
                0 => self.first().await,
                _ => self.company().await,
            };
            match woken {
                Woken::Due if waiting == 0 => {}
                Woken::Due => self.export(false).await,
                Woken::Asked(done) => {
                    self.drain().await;
                    // Who asked may have lost patience.
                    let _ = done.send(());
                }
                Woken::Over => return self.drain().await,
            }
            self.tell_drops();
        }
    }

    /// Waits until there is something.
    async fn first(&mut self) -> Woken {
        tokio::select! {
            () = self.shared.wake.notified() => Woken::Due,
            ask = self.asked.recv() => ask.map_or(Woken::Over, Woken::Asked),
        }
    }

    /// Waits until a batch is full or has waited long enough.
    async fn company(&mut self) -> Woken {
        let mut wait = pin!(sleep(self.shared.batching.delay));
        while self.shared.lock().len() < self.shared.batching.batch {
            tokio::select! {
                () = &mut wait => break,
                () = self.shared.wake.notified() => {}
                ask = self.asked.recv() => return ask.map_or(Woken::Over, Woken::Asked),
            }
        }
        Woken::Due
    }

    /// Sends all that waits now, each batch once: this is the end, and others wait for it.
    async fn drain(&mut self) {
        // What comes meanwhile comes after the end that was asked for.
        let mut left = self.shared.lock().len();
        while left > 0 {
            left = left.saturating_sub(self.shared.batching.batch);
            self.export(true).await;
        }
    }

    async fn export(&mut self, is_last: bool) {
        let items = self.shared.take();
        let count = items.len();
        if count == 0 {
            return;
        }
        let batch = (self.pack)(items);
        let tally = &self.shared.tally;
        let (what, endpoint) = (self.what, self.outlet.endpoint());
        match self.outlet.send(&batch, is_last).await {
            Ok(Accepted { rejected, message }) => {
                let rejected = usize::try_from(rejected).unwrap_or(usize::MAX).min(count);
                tally.exported(count - rejected);
                tally.refused(rejected);
                if (rejected > 0 || !message.is_empty())
                    && let Some(times) = self.rejections.failed()
                {
                    tracing::warn!(
                        endpoint,
                        signal = what,
                        rejected,
                        message,
                        times,
                        "the collector did not want everything"
                    );
                }
            }
            Err(error) => {
                tally.refused(count);
                if let Some(times) = self.failures.failed() {
                    tracing::warn!(
                        endpoint, signal = what, %error, lost = count, times,
                        "an export failed"
                    );
                }
            }
        }
    }

    /// Says that there was no room, if there was none.
    fn tell_drops(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.told_drops && self.drops.failed().is_some() {
            let lost = dropped - self.told_drops;
            self.told_drops = dropped;
            tracing::warn!(signal = self.what, lost, dropped, "the queue to the collector is full");
        }
    }
}

#[cfg(test)]
mod tests;
