//! Time as an argument: nothing in this crate but the driver reads a clock.

use std::{ops::Add, time::Duration};

/// A moment, in milliseconds of one monotonic clock that the caller chose.
///
/// Only differences mean something. All arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The time since an earlier moment; zero when that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// A part of a millisecond counts as a whole one, so that no wait ends early.
    fn add(self, wait: Duration) -> Self {
        let whole = wait.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_never_cut_short_and_never_overflow() {
        assert_eq!(Time(5) + Duration::from_micros(1), Time(6));
        assert_eq!(Time(5) + Duration::from_millis(2), Time(7));
        assert_eq!(Time(u64::MAX) + Duration::MAX, Time(u64::MAX));
        assert_eq!(Time(7).since(Time(9)), Duration::ZERO);
    }
}
