//! Tells a hung upstream from a busy one.
//!
//! Many servers do one thing at a time and answer nothing while a tool runs, so silence alone
//! proves nothing. A miss counts only when nothing was heard since the question and no call is
//! waited for; calls have deadlines of their own.

use crate::{options::ProbeOptions, time::Time};

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
        if self.is_asking {
            self.misses = self.misses.saturating_add(1);
            if self.misses >= self.options.misses {
                self.due = Time(u64::MAX);
                return Verdict::Hung;
            }
        }
        self.is_asking = true;
        self.due = now + self.options.timeout;
        Verdict::Ask
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
        use Verdict::{Ask, Hung};
        let seen = run(&[], 0..0, 3600);
        assert_eq!(seen, [(30, Ask), (40, Ask), (50, Ask), (60, Hung)]);
    }

    #[test]
    fn any_answer_clears_the_misses_also_a_late_one() {
        use Verdict::{Ask, Hung};
        let seen = run(&[31, 79, 109], 0..0, 180);
        assert_eq!(
            seen,
            [(30, Ask), (61, Ask), (71, Ask), (139, Ask), (149, Ask), (159, Ask), (169, Hung)]
        );
    }

    #[test]
    fn a_busy_upstream_is_never_hung() {
        assert_eq!(run(&[], 0..301, 300), []);
        // A call that begins between the question and its deadline excuses the silence.
        assert_eq!(run(&[], 35..301, 300), [(30, Verdict::Ask)]);
    }
}
