//! Timers for waits that nearly always end before their time.
//!
//! Every call has such a wait. To set a timer for it that is earlier than all others wakes the
//! runtime by a system call, and setting and unsetting takes longer than a small call is parsed.
//! A timer that was set for an earlier wait and not used up does as well: it comes too early, and is
//! then set anew, once a second instead of with every call.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that are kept: as many calls as a busy client has in flight.
const KEPT: usize = 32;

/// Timers that nobody waits for; some are still running.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<Vec<Pin<Box<Sleep>>>>);

/// One wait, which gives its timer back at its end.
pub(crate) struct Alarm<'a> {
    alarms: &'a Alarms,
    due: Instant,
    /// There until it is dropped.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Alarm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Alarms {
    /// A wait of this length, from now.
    #[expect(clippy::disallowed_methods, reason = "a timer is set from now on")]
    pub(crate) fn set(&self, wait: Duration) -> Alarm<'_> {
        let due = Instant::now() + wait;
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that is set for later than this would come too late.
        let sleep = match kept {
            Some(sleep) if sleep.deadline() <= due => sleep,
            Some(_) | None => Box::pin(sleep_until(due)),
        };
        Alarm { alarms: self, due, sleep: Some(sleep) }
    }
}

impl Alarm<'_> {
    /// Ready when the time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        ready!(sleep.as_mut().poll(cx));
        if sleep.deadline() >= self.due {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(self.due);
        sleep.as_mut().poll(cx)
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let mut kept = self.alarms.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.extend(self.sleep.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[expect(clippy::disallowed_methods, reason = "paused time is what is tested")]
    async fn takes(alarms: &Alarms, wait: Duration) -> Duration {
        let began = Instant::now();
        let mut alarm = alarms.set(wait);
        poll_fn(|cx| alarm.poll(cx)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_set_before_comes_no_sooner_and_no_later() {
        let alarms = Alarms::default();
        let second = Duration::from_secs(1);
        for wait in [second, second, second / 2, 3 * second] {
            // One that ends before its time, and leaves its timer running.
            let mut early = alarms.set(wait);
            let is_pending = poll_fn(|cx| Poll::Ready(early.poll(cx).is_pending())).await;
            assert!(is_pending);
            drop(early);
            tokio::time::sleep(wait / 3).await;
            assert_eq!(takes(&alarms, wait).await, wait);
            assert_eq!(takes(&alarms, wait / 10).await, wait / 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_a_busy_client_needs() {
        let alarms = Alarms::default();
        let all: Vec<_> = (0..2 * KEPT).map(|_| alarms.set(Duration::from_secs(1))).collect();
        drop(all);
        assert_eq!(alarms.0.lock().unwrap().len(), KEPT);
    }
}
