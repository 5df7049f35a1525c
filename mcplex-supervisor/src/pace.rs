//! How fast an upstream may talk unasked before it is read more slowly.
//!
//! All upstreams share one thread, so what one says by itself costs the others. A burst is taken as
//! it comes, in small turns; in a flood the rest stays in the upstream's own pipe for a moment,
//! which slows nobody but it. Nothing is lost, and answers to calls cost nothing here. Why the
//! figures are what they are is told in `docs/design/limits.md`.

use crate::time::Time;

/// What a message costs besides its bytes, counted as if it were so much longer: to read, route and
/// write one costs 5 µs to 10 µs, in which as much text goes through.
const MESSAGE: u64 = 4 * 1024;

/// The same for a line that is no message and goes nowhere.
const GARBAGE: u64 = 1024;

/// Bytes in a millisecond, in the long run, which are four small messages: they cost about a
/// fiftieth of the thread, and a client shows a person some tens of them a second.
const PER_MS: u64 = 4 * MESSAGE;

/// Taken at once after a quiet time, 5000 messages of some hundred bytes: the start of a chatty
/// server, the steps of a long task or a log that was held back takes no pause.
const BURST: u64 = 24 * 1024 * 1024;

/// No pause is longer, in milliseconds: whoever waits for an answer behind it has more patience.
const LONGEST: u64 = 1000;

/// The debt of one incarnation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When all that was said will have been paid for, in parts of a millisecond.
    paid: u64,
}

impl Pace {
    /// A message of so many bytes came unasked; until when to listen no more, if it was too much.
    pub(crate) fn spend(&mut self, bytes: usize, now: Time) -> Option<Time> {
        self.pay(MESSAGE, bytes, now)
    }

    /// The same for a line that is no message.
    pub(crate) fn spend_on_garbage(&mut self, now: Time) -> Option<Time> {
        self.pay(GARBAGE, 0, now)
    }

    fn pay(&mut self, fixed: u64, bytes: usize, now: Time) -> Option<Time> {
        let cost = fixed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let now_parts = now.0.saturating_mul(PER_MS);
        self.paid = self.paid.max(now_parts).saturating_add(cost);
        let debt = self.paid.saturating_sub(now_parts.saturating_add(BURST));
        (debt > 0).then(|| Time(now.0.saturating_add(debt.div_ceil(PER_MS).min(LONGEST))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: u64 = BURST / MESSAGE;

    /// How many of a flood are heard in so many milliseconds.
    fn heard(pace: &mut Pace, bytes: usize, from: u64, ms: u64) -> u64 {
        let (mut heard, mut now) = (0, from);
        while now < from + ms {
            heard += 1;
            if let Some(until) = pace.spend(bytes, Time(now)) {
                now = until.0;
            }
        }
        heard
    }

    #[test]
    fn a_flood_is_heard_at_its_pace_and_a_burst_at_once() {
        let mut pace = Pace::default();
        // One more than the burst shows that it was too much.
        assert_eq!(heard(&mut pace, 0, 7, 1), SMALL + 1);
        assert_eq!(heard(&mut pace, 0, 8, 1000), 1000 * PER_MS / MESSAGE);
        // As much quiet as the burst is long pays for all of it; the millisecond for its part.
        let quiet = BURST / PER_MS;
        assert_eq!(heard(&mut pace, 0, 1008 + quiet - 1, 1), SMALL);
    }

    #[test]
    fn long_messages_count_by_their_bytes_and_garbage_by_less() {
        let mut pace = Pace::default();
        let long = usize::try_from(MESSAGE).unwrap();
        assert_eq!(heard(&mut pace, long, 0, 1), SMALL / 2 + 1);
        assert_eq!(heard(&mut pace, long, 1, 1000), 1000 * PER_MS / MESSAGE / 2);
        let mut pace = Pace::default();
        let lines = (1..).find(|_| pace.spend_on_garbage(Time(0)).is_some()).unwrap();
        assert_eq!(lines, BURST / GARBAGE + 1);
        // Whatever it is, it is paid for in a moment.
        assert_eq!(pace.spend(usize::MAX, Time(5)), Some(Time(5 + LONGEST)));
    }

    #[test]
    fn who_talks_within_the_pace_is_never_paused() {
        let mut pace = Pace::default();
        let per_ms = PER_MS / MESSAGE;
        assert!((0..100_000).all(|n| pace.spend(0, Time(n / per_ms)).is_none()));
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        assert!(Pace::default().spend(usize::MAX, Time(u64::MAX)).is_none());
    }
}
