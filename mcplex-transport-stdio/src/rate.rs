//! How much of an upstream's own log is read at a time, and how many lines of it go into ours.

use std::time::Duration;
use tokio::time::Instant;

/// Lines at once: a stack trace, or the greeting of a program that says much.
const BURST: u32 = 1000;

/// Lines a second after that: more than a person reads, and a thousandth of what a program in a
/// loop writes. A gigabyte of them took two minutes to log, and filled the disk of whoever kept it.
const PER_SECOND: u32 = 100;

/// Lets a burst through and then so many a second, and counts what it did not.
#[derive(Debug)]
pub(crate) struct Rate {
    left: u32,
    since: Instant,
    /// Lines that were not let through since the last one that was.
    held_back: u64,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, held_back: 0 }
    }

    /// How many of these lines may pass now; the others are counted.
    pub(crate) fn take(&mut self, lines: u32, now: Instant) -> u32 {
        let gone = now.saturating_duration_since(self.since);
        let earned = u32::try_from(gone.as_millis() / 1000 * u128::from(PER_SECOND));
        let earned = earned.unwrap_or(BURST);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since += Duration::from_secs(gone.as_secs());
        }
        let taken = lines.min(self.left);
        self.left -= taken;
        self.held_back += u64::from(lines - taken);
        taken
    }

    /// How many were held back, once some may pass again or nothing more will come.
    pub(crate) fn held_back(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.held_back)).filter(|count| *count > 0)
    }
}

/// Bytes a millisecond in the long run: 16 MiB/s, at which a flood costs about a hundredth of the
/// thread and 1 GiB of it is gone in a minute. A log that somebody reads is a thousandth of that.
const PER_MS: u64 = 16 * 1024;

/// Bytes that take no pause after a quiet time: a server that tells at its start all that it loads.
const AT_ONCE: u64 = 1024 * 1024;

/// Says when to read on, so that a flood waits in its own pipe.
#[derive(Debug)]
pub(crate) struct Flow {
    /// When all that was read will have been paid for.
    paid: Instant,
}

impl Flow {
    pub(crate) fn new(now: Instant) -> Self {
        Self { paid: now }
    }

    /// So many bytes were read; until when to read no more, if it was too much.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let nanos = |bytes: u64| Duration::from_nanos(bytes.saturating_mul(1_000_000) / PER_MS);
        self.paid = self.paid.max(now) + nanos(u64::try_from(bytes).unwrap_or(u64::MAX));
        let free = now + nanos(AT_ONCE);
        (self.paid > free).then(|| now + (self.paid - free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_then_so_much_a_millisecond() {
        let begin = crate::words::clock();
        let mut flow = Flow::new(begin);
        let part = usize::try_from(PER_MS).unwrap();
        let parts = AT_ONCE / PER_MS;
        assert!((0..parts).all(|_| flow.take(part, begin).is_none()));
        let next = |ms| begin + Duration::from_millis(ms);
        for ms in 0..1000 {
            assert_eq!(flow.take(part, next(ms)), Some(next(ms + 1)));
        }
        // What came late is made up for, and no more of the quiet than a burst is kept.
        assert_eq!(flow.take(part, next(1001)), None);
        let later = next(100_000);
        assert!((0..parts).all(|_| flow.take(part, later).is_none()));
        assert!(flow.take(1, later).is_some());
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let begin = crate::words::clock();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut rate = Rate::new(begin);
        assert_eq!(rate.take(BURST + 5, begin), BURST);
        assert_eq!(rate.take(5, begin), 0);
        assert_eq!((rate.held_back(), rate.held_back()), (Some(10), None));
        assert_eq!(rate.take(1000, at(2_500)), 2 * PER_SECOND);
        assert_eq!(rate.take(1000, at(3_000)), PER_SECOND);
        assert_eq!(rate.take(u32::MAX, at(3_600_000)), BURST);
    }
}
