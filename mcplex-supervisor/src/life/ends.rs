//! What an incarnation reports, and what follows its end.

use super::Life;
use crate::{
    breaker::Death,
    event::{Action, Failure, Note},
    options::{OnExitZero, Restart},
    state::{Next, NextTrial, Standing, State},
    time::Time,
};
use std::time::Duration;

/// How many ends that asking for the era brought about are borne without counting.
///
/// One era is tried after another and there are two; a server that dies a third time dies of
/// something else, and nothing may loop for ever.
const ERA_DEATHS: u32 = 2;

/// How long a server that may leave when it is done has to have been ready first.
///
/// A shorter life did nothing for anybody: it is a crash that says it is none.
const USEFUL_LIFE: Duration = Duration::from_secs(10);

/// What the current incarnation reports.
impl Life {
    pub(super) fn granted(&mut self, now: Time) {
        let limit = self.handshake_limit();
        if let State::Starting { deadline, is_granted, .. } = &mut self.state
            && !*is_granted
        {
            *is_granted = true;
            *deadline = now + limit;
        }
    }

    pub(super) fn connected(&mut self, now: Time) {
        if let State::Starting { trial, .. } = self.state {
            let standing = if trial { Standing::Probation } else { Standing::New };
            self.state = State::Ready { since: now, standing, is_degraded: false };
        }
    }

    /// Takes a suspicion that it hangs, or the proof that it does not.
    pub(super) fn suspect(&mut self, is_silent: bool) {
        let incarnation = self.incarnation;
        if let State::Ready { is_degraded, .. } = &mut self.state
            && *is_degraded != is_silent
        {
            *is_degraded = is_silent;
            self.note(if is_silent {
                Note::Degraded { incarnation }
            } else {
                Note::Recovered { incarnation }
            });
        }
    }

    pub(super) fn failed(&mut self, failure: Failure, now: Time) {
        self.mature(now);
        let (standing, ready) = match self.state {
            State::Starting { trial: true, .. } => (Standing::Probation, None),
            State::Starting { .. } => (Standing::New, None),
            State::Ready { since, standing, .. } => (standing, Some(now.since(since))),
            // The first report decided already.
            State::Stopped
            | State::Idle
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Open { .. } => {
                return;
            }
        };
        self.last_failure = Some(failure);
        let next = match failure {
            Failure::Resource => self.spare(standing, now),
            Failure::Overdue if now < self.settles => self.spare(standing, now),
            Failure::EraProbe if ready.is_none() && self.era_deaths < ERA_DEATHS => {
                self.era_deaths += 1;
                self.note_death(false, now);
                Next::Start
            }
            Failure::CleanExit if self.may_leave(standing, ready) => {
                self.note_death(false, now);
                self.follow(failure)
            }
            Failure::Permanent
            | Failure::Overdue
            | Failure::EraProbe
            | Failure::CleanExit
            | Failure::Death => self.count(failure, standing, now),
        };
        self.end(next, now);
    }

    pub(super) fn gone(&mut self, now: Time) {
        // An end that nobody announced is a death like any other.
        self.failed(Failure::Death, now);
        let State::Stopping { next, .. } = self.state else { return };
        // It is gone already, or was closed in answer to an earlier action.
        self.actions.retain(|action| !matches!(action, Action::Close { .. }));
        match next {
            Next::Stopped => self.state = State::Stopped,
            Next::Idle => self.state = State::Idle,
            Next::Start => self.begin(now),
            Next::Backoff { delay } => self.state = State::Backoff { until: now + delay },
            Next::Open { cooldown } => {
                let trial = match cooldown {
                    None => NextTrial::Never,
                    Some(wait) if self.breaker.tries_by_itself(&self.options) => {
                        NextTrial::At(now + wait)
                    }
                    Some(wait) => NextTrial::OnDemand { from: now + wait },
                };
                self.state = State::Open { trial };
            }
        }
    }

    pub(super) fn not_gone(&mut self, now: Time) {
        if let State::Stopping { next, .. } = self.state {
            self.state = State::Stopping { next, check: now + self.options.recheck() };
            self.note(Note::Unkillable { incarnation: self.incarnation });
        }
    }

    pub(super) fn look_again(&mut self, now: Time) {
        self.not_gone(now);
        self.act(Action::Close { incarnation: self.incarnation });
    }
}

/// What follows.
impl Life {
    /// The only place where a life ends.
    pub(super) fn end(&mut self, next: Next, now: Time) {
        self.state = State::Stopping { next, check: now + self.options.close_limit() };
        self.act(Action::Close { incarnation: self.incarnation });
    }

    /// Counts a death.
    fn count(&mut self, failure: Failure, standing: Standing, now: Time) -> Next {
        let death = Death {
            was_permanent: failure == Failure::Permanent,
            was_trial: standing == Standing::Probation,
            was_stable: standing == Standing::Stable,
        };
        let trip = self.breaker.count(death, &self.options, now);
        self.note_death(true, now);
        let Some(cause) = trip else { return self.follow(failure) };
        let cooldown = self.cooldown();
        let (incarnation, trips) = (self.incarnation, self.breaker.trips());
        self.note(Note::Tripped { incarnation, cause, trips, cooldown });
        Next::Open { cooldown }
    }

    /// Does not count what is not its fault; a trial that met it is repeated, not judged.
    fn spare(&mut self, standing: Standing, now: Time) -> Next {
        self.note_death(false, now);
        if standing == Standing::Probation {
            Next::Open { cooldown: self.cooldown() }
        } else {
            self.wait()
        }
    }

    /// Whether it may leave now without having died.
    fn may_leave(&self, standing: Standing, ready: Option<Duration>) -> bool {
        self.options.on_exit_0 == OnExitZero::Idle
            && standing != Standing::Probation
            && ready.is_some_and(|ready| ready >= USEFUL_LIFE)
    }

    /// What a closed breaker lets follow.
    fn follow(&mut self, failure: Failure) -> Next {
        let is_clean = failure == Failure::CleanExit;
        let next = match (self.options.restart, self.options.on_exit_0) {
            (Restart::Never, _) => Next::Stopped,
            (Restart::Always | Restart::OnFailure, OnExitZero::Idle) if is_clean => Next::Idle,
            (Restart::OnFailure, OnExitZero::Restart) if is_clean => Next::Stopped,
            (Restart::Always | Restart::OnFailure, _) => return self.wait(),
        };
        let (incarnation, is_idle) = (self.incarnation, next == Next::Idle);
        self.note(Note::Retired { incarnation, is_idle });
        next
    }

    fn wait(&mut self) -> Next {
        let delay = self.backoff.next(&self.options, &mut self.jitter);
        self.note(Note::Waiting { delay, attempt: self.backoff.attempt() });
        Next::Backoff { delay }
    }

    /// How long the breaker stays open; what is never restarted is never tried by itself either.
    fn cooldown(&mut self) -> Option<Duration> {
        if self.options.restart == Restart::Never {
            return None;
        }
        self.breaker.cooldown(&self.options, &mut self.jitter)
    }

    fn note_death(&mut self, counted: bool, now: Time) {
        let (incarnation, deaths, run) = (self.incarnation, self.deaths(now), self.run());
        self.note(Note::Died { incarnation, deaths, run, counted });
    }
}
