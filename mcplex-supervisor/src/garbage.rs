//! Lines on an upstream's output that are no messages: borne, until they do not end.
//!
//! A banner or a stray debug line harms nobody. A program that writes nothing else for seconds is
//! no MCP server, or one that has lost its mind, and costs a processor for as long as it is read.

use crate::time::Time;
use std::time::Duration;

/// More lines than this in a second are a flood: a server that logs to its output by mistake writes
/// some tens of them.
const FLOOD: u32 = 1000;

/// How many seconds of flood in a row are the end; a dump of a million lines at once takes less.
pub(crate) const SECONDS: u32 = 5;

const SECOND: Duration = Duration::from_secs(1);

/// Counts them, for one incarnation.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    /// All of them.
    pub(crate) lines: u64,
    /// When the second that is counted began.
    since: Time,
    in_second: u32,
    /// Seconds of flood in a row, before this one.
    flooded: u32,
}

impl Garbage {
    /// Takes one more; whether it is to be borne no longer.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        self.lines += 1;
        let gone = now.since(self.since);
        if gone >= SECOND {
            // A pause ends a flood, also one that the counting slept through.
            let is_flooded = self.in_second > FLOOD && gone < 2 * SECOND;
            self.flooded = if is_flooded { self.flooded + 1 } else { 0 };
            self.since = now;
            self.in_second = 0;
        }
        self.in_second = self.in_second.saturating_add(1);
        self.flooded >= SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many lines a second; after how many seconds it was too much.
    fn after(per_second: u64, seconds: u64, is_quiet: impl Fn(u64) -> bool) -> Option<u64> {
        let mut garbage = Garbage::default();
        (0..seconds * per_second)
            .map(|n| (n * 1000 / per_second, n))
            .filter(|(ms, _)| !is_quiet(ms / 1000))
            .find(|&(ms, _)| garbage.take(Time(10_000 + ms)))
            .map(|(ms, _)| ms / 1000)
    }

    #[test]
    fn only_a_flood_that_does_not_end_is_too_much() {
        assert_eq!(after(1_001, 20, |_| false), Some(5));
        assert_eq!(after(50_000, 20, |_| false), Some(5));
        assert_eq!(after(1_000, 3600, |_| false), None);
        assert_eq!(after(50_000, 60, |second| second % 5 == 4), None);
    }

    #[test]
    fn a_million_lines_at_once_are_borne() {
        let mut garbage = Garbage::default();
        assert!(!(0..1_000_000).any(|_| garbage.take(Time(10_000))));
        assert_eq!(garbage.lines, 1_000_000);
    }
}
