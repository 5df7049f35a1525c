//! The life of one upstream: all its incarnations and the rules between them.
//!
//! A state machine that does nothing itself. `handle_*` tells it what happened and when, `poll_*`
//! takes out what to do, what to log and when to come back; after every `handle_*` all three are
//! to be emptied.
//!
//! | state | a process | leaves by | to |
//! | --- | --- | --- | --- |
//! | `Stopped` | no | `Start`, `Reset` | `Starting` |
//! | `Starting` | may be | `Connected` | `Ready` |
//! | | | `Failed`, `Gone`, the handshake's deadline, `Stop` | `Stopping` |
//! | `Ready` | yes | `Failed`, `Gone`, `Stop` | `Stopping` |
//! | `Stopping` | may be | `Gone` | what its `next` says |
//! | `Backoff` | no | its deadline, `Reset` | `Starting` |
//! | | | `Stop` | `Stopped` |
//! | `Open` | no | its deadline or a `Demand`, `Reset` | `Starting`; a trial unless reset |
//! | | | `Stop` | `Stopped` |
//!
//! What always holds:
//!
//! 1. A connect is asked for only when nothing of the life before is left: there is never more than
//!    one. What cannot be ended is looked at again for ever and never started over.
//! 2. A failed connect and the end of its process are one event of one incarnation. The first report
//!    decides, every other changes nothing; so does whatever speaks of another incarnation.
//! 3. Deaths belong to the life, not to an attempt: a good connect forgets none of them.
//! 4. The breaker stands before the connect itself. It trips on the sixth death in a minute, on the
//!    ninth life in a row that was never stable, on the death of a trial, and at once on what only
//!    a person can repair. A failure of the host is no death; it only backs off.
//! 5. An open breaker lets one trial through after a cool-down that grows from trip to trip. The
//!    trial has to connect and to stay ready for a while before the breaker closes; backoff, run
//!    and trips are forgotten only when a life was stable.
//! 6. So at most `max_deaths + 2` lives begin by themselves in any window. A `Start` of a stopped
//!    upstream adds one (a trial, if it was stopped while the breaker was open), a `Reset` a new
//!    count.
//! 7. Every state but `Stopped`, a stable `Ready` and an `Open` that waits for somebody has a
//!    deadline: nothing is stuck.
//! 8. The same options, seed and events give the same actions.

mod view;

use crate::{
    backoff::{Backoff, Jitter},
    breaker::{Breaker, Death},
    event::{Action, Event, Failure, Note},
    options::Options,
    state::{Next, NextTrial, Standing, State, Why},
    time::Time,
};
use mcplex_proto::upstream::Incarnation;
use std::{collections::VecDeque, time::Duration};

/// How many notes wait to be taken; one `handle_*` makes three at most, older ones are dropped.
const NOTES: usize = 32;

/// One upstream's lives, and what they teach about the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    options: Options,
    state: State,
    incarnation: Incarnation,
    breaker: Breaker,
    backoff: Backoff,
    jitter: Jitter,
    last_failure: Option<Failure>,
    actions: VecDeque<Action>,
    notes: VecDeque<Note>,
}

impl Life {
    /// A stopped upstream; the seed decides all jitter.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        Self {
            options,
            state: State::Stopped,
            incarnation: Incarnation(0),
            breaker: Breaker::default(),
            backoff: Backoff::default(),
            jitter: Jitter::new(seed),
            last_failure: None,
            actions: VecDeque::new(),
            notes: VecDeque::new(),
        }
    }

    /// Changes the limits. What has happened stays, and so do deadlines that were set; every
    /// later decision is by the new ones.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Takes in what happened.
    pub fn handle_event(&mut self, event: Event, now: Time) {
        match event {
            Event::Start => self.start(now),
            Event::Stop => self.stop(now),
            Event::Reset => self.reset(now),
            Event::Demand => self.demand(now),
            Event::ClockJumped(gap) => self.skip(gap, now),
            Event::Connected(incarnation) if incarnation == self.incarnation => self.connected(now),
            Event::Failed { incarnation, failure } if incarnation == self.incarnation => {
                self.failed(failure, now);
            }
            Event::Gone { incarnation } if incarnation == self.incarnation => self.gone(now),
            Event::NotGone { incarnation } if incarnation == self.incarnation => self.not_gone(now),
            // They speak of an earlier life.
            Event::Connected(_)
            | Event::Failed { .. }
            | Event::Gone { .. }
            | Event::NotGone { .. } => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        // The longest way in one moment: probation, new, stable.
        for _ in 0..3 {
            let Some((_, why)) = self.poll_timeout().filter(|(due, _)| *due <= now) else { return };
            match why {
                Why::Handshake => self.failed(Failure::Death, now),
                Why::Probation | Why::Stable => self.mature(now),
                Why::Close => self.look_again(now),
                Why::Respawn | Why::Trial => self.begin(now),
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Time, Why)> {
        match self.state {
            State::Starting { deadline, .. } => Some((deadline, Why::Handshake)),
            State::Ready { since, standing } => match standing {
                Standing::Probation => Some((since + self.options.probation, Why::Probation)),
                Standing::New => Some((since + self.options.stable_after, Why::Stable)),
                Standing::Stable => None,
            },
            State::Stopping { check, .. } => Some((check, Why::Close)),
            State::Backoff { until } => Some((until, Why::Respawn)),
            State::Open { trial: NextTrial::At(time) } => Some((time, Why::Trial)),
            State::Stopped | State::Open { .. } => None,
        }
    }

    /// The next thing to do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to log.
    #[must_use]
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }
}

/// What people ask for.
impl Life {
    fn start(&mut self, now: Time) {
        match &mut self.state {
            State::Stopped => self.begin(now),
            State::Stopping { next: next @ Next::Stopped, .. } => *next = Next::Start,
            State::Starting { .. }
            | State::Ready { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Open { .. } => {}
        }
    }

    fn stop(&mut self, now: Time) {
        self.mature(now);
        match &mut self.state {
            State::Starting { .. } | State::Ready { .. } => self.end(Next::Stopped, now),
            State::Stopping { next, .. } => *next = Next::Stopped,
            State::Stopped | State::Backoff { .. } | State::Open { .. } => {
                self.state = State::Stopped;
            }
        }
    }

    fn reset(&mut self, now: Time) {
        self.breaker.reset();
        self.backoff.forget();
        self.last_failure = None;
        self.note(Note::WasReset);
        match &mut self.state {
            State::Stopped | State::Backoff { .. } | State::Open { .. } => self.begin(now),
            State::Stopping { next, .. } => *next = Next::Start,
            State::Starting { trial, .. } => *trial = false,
            State::Ready { standing, .. } => {
                if *standing == Standing::Probation {
                    *standing = Standing::New;
                }
            }
        }
    }

    fn demand(&mut self, now: Time) {
        if let State::Open { trial: NextTrial::OnDemand { from } } = self.state
            && from <= now
        {
            self.begin(now);
        }
    }
}

/// What the current incarnation reports.
impl Life {
    fn connected(&mut self, now: Time) {
        if let State::Starting { trial, .. } = self.state {
            let standing = if trial { Standing::Probation } else { Standing::New };
            self.state = State::Ready { since: now, standing };
        }
    }

    fn failed(&mut self, failure: Failure, now: Time) {
        self.mature(now);
        let (was_trial, was_stable) = match self.state {
            State::Starting { trial, .. } => (trial, false),
            State::Ready { standing, .. } => {
                (standing == Standing::Probation, standing == Standing::Stable)
            }
            // The first report decided already.
            State::Stopped
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Open { .. } => {
                return;
            }
        };
        self.last_failure = Some(failure);
        let next = match failure {
            Failure::Resource => self.spare(was_trial, now),
            Failure::Permanent | Failure::Death => {
                let was_permanent = failure == Failure::Permanent;
                self.count(Death { was_permanent, was_trial, was_stable }, now)
            }
        };
        self.end(next, now);
    }

    fn gone(&mut self, now: Time) {
        // An end that nobody announced is a death like any other.
        self.failed(Failure::Death, now);
        let State::Stopping { next, .. } = self.state else { return };
        // It is gone already, or was closed in answer to an earlier action.
        self.actions.retain(|action| !matches!(action, Action::Close { .. }));
        match next {
            Next::Stopped => self.state = State::Stopped,
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

    fn not_gone(&mut self, now: Time) {
        if let State::Stopping { next, .. } = self.state {
            self.state = State::Stopping { next, check: now + self.options.recheck() };
            self.note(Note::Unkillable { incarnation: self.incarnation });
        }
    }

    fn look_again(&mut self, now: Time) {
        self.not_gone(now);
        self.act(Action::Close { incarnation: self.incarnation });
    }
}

/// What follows.
impl Life {
    /// The only place where a life begins.
    fn begin(&mut self, now: Time) {
        self.incarnation.0 += 1;
        let trial = self.breaker.open().is_some();
        self.state = State::Starting { deadline: now + self.options.handshake_timeout, trial };
        self.act(Action::Connect { incarnation: self.incarnation, trial });
    }

    /// The only place where a life ends.
    fn end(&mut self, next: Next, now: Time) {
        self.state = State::Stopping { next, check: now + self.options.close_limit() };
        self.act(Action::Close { incarnation: self.incarnation });
    }

    /// Counts a death.
    fn count(&mut self, death: Death, now: Time) -> Next {
        let trip = self.breaker.count(death, &self.options, now);
        self.note_death(true, now);
        let Some(cause) = trip else { return self.wait() };
        let cooldown = self.breaker.cooldown(&self.options, &mut self.jitter);
        let (incarnation, trips) = (self.incarnation, self.breaker.trips());
        self.note(Note::Tripped { incarnation, cause, trips, cooldown });
        Next::Open { cooldown }
    }

    /// Does not count a failure of the host; a trial that met one is repeated, not judged.
    fn spare(&mut self, was_trial: bool, now: Time) -> Next {
        self.note_death(false, now);
        if was_trial {
            Next::Open { cooldown: self.breaker.cooldown(&self.options, &mut self.jitter) }
        } else {
            self.wait()
        }
    }

    fn wait(&mut self) -> Next {
        let delay = self.backoff.next(&self.options, &mut self.jitter);
        self.note(Note::Waiting { delay, attempt: self.backoff.attempt() });
        Next::Backoff { delay }
    }

    /// Trusts a ready life as much as its age deserves.
    fn mature(&mut self, now: Time) {
        let State::Ready { since, mut standing } = self.state else { return };
        if standing == Standing::Probation && since + self.options.probation <= now {
            standing = Standing::New;
            self.breaker.close();
            self.note(Note::BreakerClosed);
        }
        if standing == Standing::New && since + self.options.stable_after <= now {
            standing = Standing::Stable;
            self.breaker.forgive();
            self.backoff.forget();
            self.note(Note::Stable);
        }
        self.state = State::Ready { since, standing };
    }

    /// Moves everything that is measured by a gap in which nothing ran.
    fn skip(&mut self, gap: Duration, now: Time) {
        self.breaker.skip(gap, now);
        match &mut self.state {
            State::Stopped | State::Open { trial: NextTrial::Never } => {}
            State::Ready { since, .. } => *since = (*since + gap).min(now),
            State::Starting { deadline: due, .. }
            | State::Stopping { check: due, .. }
            | State::Backoff { until: due }
            | State::Open { trial: NextTrial::At(due) | NextTrial::OnDemand { from: due } } => {
                *due = *due + gap;
            }
        }
    }

    fn note_death(&mut self, counted: bool, now: Time) {
        let (incarnation, deaths, run) = (self.incarnation, self.deaths(now), self.run());
        self.note(Note::Died { incarnation, deaths, run, counted });
    }

    fn note(&mut self, note: Note) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }

    fn act(&mut self, action: Action) {
        if self.actions.back() != Some(&action) {
            self.actions.push_back(action);
        }
    }
}

#[cfg(test)]
mod world;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
