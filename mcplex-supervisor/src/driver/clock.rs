//! The clock, and the gaps in it.
//!
//! A deadline means something only if both sides could work until then. Two things take that away:
//!
//! - **Nothing ran here**: this process was halted (SIGSTOP, a debugger, a frozen container, a host
//!   that swaps). The monotonic clock went on, so it shows as a timer that comes late. A timer can
//!   only be late if it was set, so while anything is measured one is set for at most
//!   [`CHECK`] ahead; an upstream at rest has nothing that a gap could falsify and needs none. A
//!   task that is never idle has no timer to be late, and looks at the steps of the clock instead.
//! - **Nothing ran anywhere**: the host slept. The monotonic clock stood still, so no deadline is
//!   late; but the network is gone and everything wakes at once. It shows as a difference between
//!   two clocks of the host, of which one counts the sleep.
//!
//! After either, deadlines move, and what is due within 10 s after it does not count.

use crate::{host::facts::HostFacts, time::Time};
use std::time::Duration;
use tokio::time::Instant;

/// A timer that comes so late was held up by more than a busy host.
pub(crate) const GAP: Duration = Duration::from_secs(5);
/// How far ahead a timer is set while something is measured; no gap is overlooked by more.
const CHECK: Duration = Duration::from_secs(5);
/// How often the host is asked for its sleep at most: with every look it would cost per message.
const LOOK: Duration = Duration::from_secs(1);

/// A time in which nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Here; deadlines passed meanwhile.
    Late(Duration),
    /// On the whole host; deadlines stood still as well.
    Slept(Duration),
}

#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// What the timer was set to when the task last had nothing to do.
    armed: Option<Time>,
    asleep: Duration,
    looked: Time,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
    pub(super) fn start(facts: &dyn HostFacts) -> Self {
        Self { began: Instant::now(), armed: None, asleep: facts.time_asleep(), looked: Time(0) }
    }

    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn instant(&self, time: Time) -> Instant {
        // Past a year nothing is waited for; it keeps the sum within what a clock can say.
        const YEAR_MS: u64 = 366 * 24 * 3600 * 1000;
        let ahead = time.0.min(self.now().0.saturating_add(YEAR_MS));
        self.began + Duration::from_millis(ahead)
    }

    /// When to wake up for a deadline.
    pub(super) fn wake_at(due: Time, is_measuring: bool, now: Time) -> Time {
        if is_measuring { due.min(now + CHECK) } else { due }
    }

    /// The task waits, with its timer set to this or to nothing.
    pub(super) fn arm(&mut self, wake: Option<Time>) {
        self.armed = wake;
    }

    /// The task goes on; `before` is when it last did.
    pub(super) fn gap(
        &mut self,
        has_waited: bool,
        before: Time,
        now: Time,
        facts: &dyn HostFacts,
    ) -> Option<Gap> {
        let late = match self.armed.take() {
            Some(wake) => now.since(wake),
            // It waited for others and for no time.
            None if has_waited => Duration::ZERO,
            None => now.since(before),
        };
        if late > GAP {
            return Some(Gap::Late(late));
        }
        if now.since(self.looked) < LOOK {
            return None;
        }
        self.looked = now;
        let asleep = facts.time_asleep();
        let slept = asleep.saturating_sub(std::mem::replace(&mut self.asleep, asleep));
        (slept > GAP).then_some(Gap::Slept(slept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug)]
    struct Nap(Mutex<Duration>);

    impl HostFacts for Nap {
        fn free_descriptors(&self) -> Option<usize> {
            None
        }

        fn time_asleep(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_late_timer_a_long_step_and_a_sleep_are_gaps_and_a_long_wait_is_none() {
        let nap = Nap(Mutex::default());
        let mut clock = Clock::start(&nap);
        let mut gap = |armed: Option<u64>, has_waited, before, now| {
            clock.arm(armed.map(Time));
            clock.gap(has_waited, Time(before), Time(now), &nap)
        };
        let late = |ms| Some(Gap::Late(Duration::from_millis(ms)));
        assert_eq!(gap(Some(5_000), true, 0, 10_000), None);
        assert_eq!(gap(Some(5_000), true, 0, 10_001), late(5_001));
        assert_eq!(gap(Some(90_000), true, 0, 60_000), None, "another input came first");
        assert_eq!(gap(None, true, 0, 3_600_000), None, "nothing was measured");
        assert_eq!(gap(None, false, 0, 5_001), late(5_001), "it never waited");
        *nap.0.lock().unwrap() = Duration::from_secs(3600);
        let slept = Some(Gap::Slept(Duration::from_secs(3600)));
        assert_eq!(gap(Some(3_601_500), true, 3_600_000, 3_601_500), slept);
        assert_eq!(gap(Some(3_603_000), true, 3_601_500, 3_603_000), None, "told once");
    }

    #[test]
    fn a_timer_is_near_only_while_something_is_measured() {
        assert_eq!(Clock::wake_at(Time(30_000), true, Time(1)), Time(5_001));
        assert_eq!(Clock::wake_at(Time(2_000), true, Time(1)), Time(2_000));
        assert_eq!(Clock::wake_at(Time(30_000), false, Time(1)), Time(30_000));
    }
}
