//! An honest count of what leaves and what does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often a failure that goes on is a line of the log: a day without a collector is some
/// hundreds of lines, each of which says how many it stands for.
const EVERY: Duration = Duration::from_secs(60);

/// What became of the items of one signal.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ended: AtomicU64,
    dropped: AtomicU64,
    exported: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// One more was there to leave.
    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// One more found no room.
    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The collector took these.
    pub(crate) fn exported(&self, items: usize) {
        self.exported.fetch_add(wide(items), Ordering::Relaxed);
    }

    /// These were sent in vain.
    pub(crate) fn refused(&self, items: usize) {
        self.refused.fetch_add(wide(items), Ordering::Relaxed);
    }

    /// How many have ended and not arrived.
    pub(crate) fn missing(&self) -> u64 {
        let exported = self.exported.load(Ordering::Relaxed);
        self.ended.load(Ordering::Relaxed).saturating_sub(exported)
    }

    /// How many were sent in vain or found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.refused.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed)
    }

    /// How many the collector took, and how many were sent in vain.
    pub(crate) fn sent(&self) -> (u64, u64) {
        (self.exported.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// How many found room, and how many did not.
    pub(crate) fn queued(&self) -> (u64, u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        (self.ended.load(Ordering::Relaxed).saturating_sub(dropped), dropped)
    }
}

fn wide(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// Says of what goes on failing whether it is worth a line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    last: Option<Instant>,
    since: u64,
}

impl Lines {
    /// Counts a failure; how many there were since the last line, if it is worth one.
    pub(crate) fn failed(&mut self) -> Option<u64> {
        #[expect(clippy::disallowed_methods, reason = "it decides about lines of the log only")]
        let now = Instant::now();
        self.since += 1;
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_failing_is_a_line_a_minute_with_a_count() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for _ in 0..25 {
            told.extend(lines.failed());
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        assert_eq!(told, [1, 12, 12]);
    }

    #[test]
    fn missing_is_what_ended_and_did_not_arrive() {
        let tally = Tally::default();
        for _ in 0..5 {
            tally.ended();
        }
        tally.dropped();
        tally.exported(3);
        tally.refused(1);
        assert_eq!(tally.missing(), 2);
        assert_eq!(tally.sent(), (3, 1));
        assert_eq!(tally.lost(), 2);
        assert_eq!(tally.queued(), (4, 1));
    }
}
