//! How fast an upstream may talk unasked before it is read more slowly.
//!
//! All upstreams share one thread, so what one says by itself costs the others. A burst is taken as
//! it comes; in a flood the rest stays in the upstream's own pipe for a moment, which slows nobody
//! but it. Nothing is lost, and answers to calls cost nothing here.

use crate::time::Time;

/// Messages in a millisecond, in the long run: at 5 µs to 10 µs each they cost a twentieth to a
/// tenth of the thread. Progress told by a person's tool comes some hundred times a second.
const PER_MS: u64 = 10;

/// Messages taken at once after a quiet time: the start of a chatty server, or a log that was held
/// back, takes no pause.
const BURST: u64 = 5000;

/// The debt of one incarnation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When all that was said will have been paid for, in parts of a millisecond.
    paid: u64,
}

impl Pace {
    /// Something was said unasked; until when to listen no more, if it was too much.
    pub(crate) fn spend(&mut self, now: Time) -> Option<Time> {
        let now_parts = now.0.saturating_mul(PER_MS);
        self.paid = self.paid.max(now_parts).saturating_add(1);
        (self.paid > now_parts.saturating_add(BURST)).then(|| Time(now.0.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a flood are heard in so many milliseconds.
    fn heard(pace: &mut Pace, from: u64, ms: u64) -> u64 {
        let mut heard = 0;
        for now in from..from + ms {
            loop {
                heard += 1;
                if pace.spend(Time(now)).is_some() {
                    break;
                }
            }
        }
        heard
    }

    #[test]
    fn a_flood_is_heard_at_its_pace_and_a_burst_at_once() {
        let mut pace = Pace::default();
        // One more than the burst shows that it was too much.
        assert_eq!(heard(&mut pace, 7, 1), BURST + 1);
        assert_eq!(heard(&mut pace, 8, 1000), 1000 * PER_MS);
        // Half a second of quiet pays for a whole burst; the millisecond itself for its part.
        assert_eq!(heard(&mut pace, 1008 + 499, 1), BURST);
    }

    #[test]
    fn who_talks_within_the_pace_is_never_paused() {
        let mut pace = Pace::default();
        assert!((0..100_000).all(|n| pace.spend(Time(n / PER_MS)).is_none()));
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        assert!(Pace::default().spend(Time(u64::MAX)).is_none());
    }
}
