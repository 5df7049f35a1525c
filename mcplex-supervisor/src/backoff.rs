//! How long to wait before the next life.

use crate::options::Options;
use std::time::Duration;

/// Counts respawns and lengthens the wait before each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// The wait before the next respawn: between half of the grown wait and all of it.
    ///
    /// Half of it is certain, so that a loop is slowed; the other half is random, so that
    /// upstreams that died together do not come back together.
    pub(crate) fn next(&mut self, options: &Options, jitter: &mut Jitter) -> Duration {
        let Options { backoff_first, backoff_factor, backoff_max, .. } = options;
        let wait = grown(*backoff_first, *backoff_factor, self.attempt, *backoff_max);
        self.attempt = self.attempt.saturating_add(1);
        let half = wait / 2;
        half + jitter.up_to(wait - half)
    }

    /// Respawns since the last [`forget`](Self::forget).
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Starts again with the shortest wait.
    pub(crate) fn forget(&mut self) {
        self.attempt = 0;
    }
}

/// `first` times `factor` to the power of `times`, at most `max`.
pub(crate) fn grown(first: Duration, factor: u32, times: u32, max: Duration) -> Duration {
    factor.checked_pow(times).map_or(max, |by| first.saturating_mul(by).min(max))
}

/// Random numbers that a seed repeats: the `SplitMix64` sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A duration of whole milliseconds from zero to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let random = self.next();
        // The bias of the remainder is below 2^-30 for every wait shorter than weeks.
        Duration::from_millis(most.checked_add(1).map_or(random, |n| random % n))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_keeps_its_lower_half() {
        let options = Options::default();
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            let mut backoff = Backoff::default();
            for most in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000] {
                let wait = backoff.next(&options, &mut jitter).as_millis();
                assert!((most / 2..=most).contains(&wait), "{wait} of {most}, seed {seed}");
            }
            backoff.forget();
            assert!(backoff.next(&options, &mut jitter).as_millis() <= 250);
        }
    }

    #[test]
    fn no_number_of_attempts_and_no_options_overflow() {
        let max = Duration::from_secs(30);
        assert_eq!(grown(Duration::from_millis(250), 2, u32::MAX, max), max);
        assert_eq!(grown(Duration::MAX, 2, 3, Duration::MAX), Duration::MAX);
        assert_eq!(grown(max, 0, 3, max), Duration::ZERO);
        Jitter::new(7).up_to(Duration::MAX);
    }

    #[test]
    fn both_ends_of_the_jitter_are_reached() {
        let mut jitter = Jitter::new(3);
        let seen: Vec<u128> =
            (0..200).map(|_| jitter.up_to(Duration::from_millis(3)).as_millis()).collect();
        for wait in 0..=3 {
            assert!(seen.contains(&wait), "{wait}");
        }
        assert!(seen.iter().all(|wait| *wait <= 3));
    }
}
