//! Tells a hung upstream from a busy one.
//!
//! Many servers do one thing at a time and answer nothing while a tool runs, so silence alone
//! proves nothing. A miss counts only when nothing was heard since the question and no call is
//! waited for; calls have deadlines of their own. The first miss makes an upstream suspect, the
//! last one means that it hangs, and anything heard between them clears it.
//!
//! What is asked is for the driver to choose, because it depends on the session: `ping`, or
//! `server/discover` where the protocol knows no `ping` any more. Any answer will do, also an error.

use crate::{life::SETTLE, options::ProbeOptions, time::Time};
use std::time::Duration;

/// The questions of one incarnation; a new one begins with every connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    options: ProbeOptions,
    due: Time,
    is_asking: bool,
    misses: u32,
}

/// What to do when a probe's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; it is busy, or it was too early.
    Wait,
    /// Ask it something that every server answers.
    Ask,
    /// It missed a question: it is degraded until something is heard. Ask again.
    Degraded,
    /// It hangs; end it. Nothing is due any more.
    Hung,
}

impl Probe {
    /// Begins with the connect.
    #[must_use]
    pub fn new(options: ProbeOptions, now: Time) -> Self {
        Self { options, due: now + options.every, is_asking: false, misses: 0 }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    ///
    /// It only ever moves to later, so an old timer that comes early is answered with
    /// [`Verdict::Wait`].
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        self.due
    }

    /// Something was heard from the upstream, an answer or not.
    pub fn handle_heard(&mut self, now: Time) {
        *self = Self::new(self.options, now);
    }

    /// Nothing ran for so long: a question gets its time again, and 10 s at least.
    pub fn skip(&mut self, gap: Duration, now: Time) {
        self.due = (self.due + gap).max(now + SETTLE);
    }

    /// Decides what is due; `in_flight` is how many calls are waited for, probes excluded.
    #[must_use]
    pub fn handle_timeout(&mut self, in_flight: usize, now: Time) -> Verdict {
        if now < self.due {
            return Verdict::Wait;
        }
        if in_flight > 0 {
            self.is_asking = false;
            self.due = now + self.options.every;
            return Verdict::Wait;
        }
        if !self.is_asking {
            self.is_asking = true;
            self.due = now + self.options.timeout;
            return Verdict::Ask;
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses >= self.options.misses {
            self.due = Time(u64::MAX);
            return Verdict::Hung;
        }
        self.due = now + self.options.timeout;
        Verdict::Degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs to `end` seconds; what was decided at which second, without the waits.
    fn run(heard: &[u64], busy: std::ops::Range<u64>, end: u64) -> Vec<(u64, Verdict)> {
        let mut probe = Probe::new(ProbeOptions::default(), Time(0));
        let mut seen = Vec::new();
        for second in 0..=end {
            let now = Time(second * 1000);
            if heard.contains(&second) {
                probe.handle_heard(now);
            }
            let verdict = probe.handle_timeout(usize::from(busy.contains(&second)), now);
            if verdict != Verdict::Wait {
                seen.push((second, verdict));
            }
        }
        seen
    }

    #[test]
    fn an_idle_upstream_that_says_nothing_is_hung_after_three_misses() {
        use Verdict::{Ask, Degraded, Hung};
        let seen = run(&[], 0..0, 3600);
        assert_eq!(seen, [(30, Ask), (40, Degraded), (50, Degraded), (60, Hung)]);
    }

    #[test]
    fn any_answer_clears_the_misses_also_a_late_one() {
        use Verdict::{Ask, Degraded, Hung};
        let seen = run(&[31, 79, 109], 0..0, 180);
        let silence = [(139, Ask), (149, Degraded), (159, Degraded), (169, Hung)];
        assert_eq!(seen, [&[(30, Ask), (61, Ask), (71, Degraded)][..], &silence].concat());
    }

    #[test]
    fn a_busy_upstream_is_never_hung() {
        assert_eq!(run(&[], 0..301, 300), []);
        // A call that begins between the question and its deadline excuses the silence.
        assert_eq!(run(&[], 35..301, 300), [(30, Verdict::Ask)]);
    }

    #[test]
    fn a_gap_in_time_is_no_miss() {
        let mut probe = Probe::new(ProbeOptions::default(), Time(0));
        assert_eq!(probe.handle_timeout(0, Time(30_000)), Verdict::Ask);
        // It slept for an hour, one millisecond before the question was overdue.
        let woke = Time(3_639_999);
        probe.skip(Duration::from_secs(3600), woke);
        assert_eq!(probe.poll_timeout(), Time(3_649_999));
        assert_eq!(probe.handle_timeout(0, Time(3_649_998)), Verdict::Wait);
        assert_eq!(probe.handle_timeout(0, Time(3_649_999)), Verdict::Degraded);
        // What was due later than that only moves by the gap.
        probe.handle_heard(Time(3_650_000));
        probe.skip(Duration::from_secs(7), Time(3_657_000));
        assert_eq!(probe.poll_timeout(), Time(3_687_000));
    }

    #[test]
    fn one_miss_is_enough_where_one_is_set() {
        let options = ProbeOptions { misses: 1, ..ProbeOptions::default() };
        let mut probe = Probe::new(options, Time(0));
        assert_eq!(probe.handle_timeout(0, Time(30_000)), Verdict::Ask);
        assert_eq!(probe.handle_timeout(0, Time(40_000)), Verdict::Hung);
        assert_eq!(probe.poll_timeout(), Time(u64::MAX));
    }
}
