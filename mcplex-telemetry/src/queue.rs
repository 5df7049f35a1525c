//! A bounded queue to the carrier: who fills it never waits.

use std::collections::VecDeque;
use std::mem;
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

/// What a batch is gathered in.
///
/// Who fills it may do so in the form in which it leaves: then nothing that was made by one thread is
/// freed by another, over which they would get into each other's way.
pub(crate) trait Pile<T>: Default + Send + 'static {
    /// Takes one more.
    fn add(&mut self, item: T);
}

impl<T: Send + 'static> Pile<T> for Vec<T> {
    fn add(&mut self, item: T) {
        self.push(item);
    }
}

/// Takes items, and has them sent in batches.
#[derive(Debug)]
pub(crate) struct Queue<B> {
    shared: Arc<Shared<B>>,
    asks: mpsc::Sender<Ask>,
    outlet: Outlet,
}

/// Somebody waits until everything has left.
type Ask = oneshot::Sender<()>;

/// What who fills it and who empties it share.
#[derive(Debug)]
struct Shared<B> {
    waiting: Mutex<Waiting<B>>,
    /// At the first item, and when a batch is full: twice per batch, and not once per item.
    wake: Notify,
    batching: Batching,
    tally: Arc<Tally>,
    /// How many found no room in this queue; the tally is of all that have it.
    dropped: AtomicU64,
}

/// What has not left yet.
#[derive(Debug, Default)]
struct Waiting<B> {
    /// Batches that are full, oldest first.
    full: VecDeque<B>,
    /// The batch that is being filled, and how many it holds.
    open: B,
    in_open: usize,
    /// Items in all batches.
    count: usize,
    /// A batch that has left, whose memory the next one gets.
    spare: B,
}

impl<B: Default> Waiting<B> {
    fn close(&mut self) -> B {
        self.in_open = 0;
        mem::replace(&mut self.open, mem::take(&mut self.spare))
    }
}

impl<B: Default> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, Waiting<B>> {
        // Nothing is done under the lock that could leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.lock().count
    }

    /// The oldest batch, and how many it holds.
    fn take(&self) -> Option<(B, usize)> {
        let mut waiting = self.lock();
        let batch = match (waiting.full.pop_front(), waiting.in_open) {
            (Some(full), _) => (full, self.batching.batch),
            (None, 0) => return None,
            (None, count) => (waiting.close(), count),
        };
        waiting.count -= batch.1;
        Some(batch)
    }

    /// Keeps the memory of a batch that is empty again.
    fn give_back(&self, batch: B) {
        self.lock().spare = batch;
    }
}

impl<B: Default + Send + 'static> Queue<B> {
    /// Starts the task that empties the queue.
    ///
    /// `what` names the items in the log, `pack` takes them out of a batch in the form of OTLP.
    pub(crate) fn start(
        carrier: &Carrier,
        batching: Batching,
        tally: Arc<Tally>,
        outlet: Outlet,
        what: &'static str,
        pack: impl FnMut(&mut B) -> Batch + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Notify::new(),
            batching,
            tally,
            dropped: AtomicU64::new(0),
        });
        let (asks, asked) = mpsc::channel(ASKS);
        let worker = Worker {
            shared: Arc::clone(&shared),
            asked,
            outlet: outlet.clone(),
            what,
            pack,
            failures: Lines::default(),
            rejections: Lines::default(),
            drops: Lines::default(),
            told_drops: 0,
        };
        carrier.run(worker.run());
        Self { shared, asks, outlet }
    }

    /// Takes an item if there is room, and counts it in any case.
    pub(crate) fn push<T>(&self, item: T)
    where
        B: Pile<T>,
    {
        self.shared.tally.ended();
        let Batching { queue, batch, .. } = self.shared.batching;
        let mut waiting = self.shared.lock();
        if waiting.count >= queue {
            drop(waiting);
            self.shared.tally.dropped();
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.open.add(item);
        waiting.in_open += 1;
        waiting.count += 1;
        if waiting.in_open == batch {
            let full = waiting.close();
            waiting.full.push_back(full);
        }
        let count = waiting.count;
        drop(waiting);
        if count == 1 || count == batch {
            self.shared.wake.notify_one();
        }
    }

    /// Has everything sent that waits, and says when that is done, well or not.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        // Where there is no room or nobody is there, the sender is gone: that is an answer.
        drop(self.asks.try_send(done));
        self.outlet.hurry();
        wait
    }
}

/// Empties the queue.
struct Worker<B, P> {
    shared: Arc<Shared<B>>,
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

impl<B: Default + Send, P: FnMut(&mut B) -> Batch + Send> Worker<B, P> {
    async fn run(mut self) {
        loop {
            let waiting = self.shared.count();
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
        while self.shared.count() < self.shared.batching.batch {
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
        let mut left = self.shared.count();
        while left > 0 {
            left = left.saturating_sub(self.shared.batching.batch);
            self.export(true).await;
        }
    }

    async fn export(&mut self, is_last: bool) {
        let Some((mut items, count)) = self.shared.take() else { return };
        let batch = (self.pack)(&mut items);
        self.shared.give_back(items);
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
                        why = message,
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
