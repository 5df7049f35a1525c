//! The life of one upstream: all its incarnations and the rules between them.
//!
//! A state machine that does nothing itself. `handle_*` tells it what happened and when, `poll_*`
//! takes out what to do, what to log and when to come back; after every `handle_*` all three are
//! to be emptied.
//!
//! | state | a process | leaves by | to |
//! | --- | --- | --- | --- |
//! | `Stopped` | no | `Start`, `Reset`, `Restart` | `Starting` |
//! | | | `Lazy` | `Idle` |
//! | `Idle` | no | `Demand`, `Start`, `Reset`, `Restart` | `Starting` |
//! | | | `Stop` | `Stopped` |
//! | `Starting` | may be | `Connected` | `Ready` |
//! | | | `Failed`, `Gone`, its deadline, `Stop`, `Restart` | `Stopping` |
//! | `Ready` | yes | `Failed`, `Gone`, `Stop`, `Restart`, `Rest` | `Stopping` |
//! | `Stopping` | may be | `Gone` | what its `next` says |
//! | `Backoff` | no | its deadline, `Reset`, `Restart` | `Starting` |
//! | | | `Stop` | `Stopped` |
//! | `Open` | no | its deadline or a `Demand`, `Reset`, `Restart` | `Starting`; a trial unless reset |
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
//!    a person can repair.
//! 5. No death is a failure of the host, a deadline that passes right after a gap in time, or the
//!    first two ends that asking for the era brought about. They only end the life.
//! 6. An open breaker lets one trial through after a cool-down that grows from trip to trip. The
//!    trial has to connect and to stay ready for a while before the breaker closes; backoff, run
//!    and trips are forgotten only when a life was stable. While it is degraded it earns nothing.
//! 7. So at most `max_deaths + 2` lives begin by themselves in any window; what rule 5 spares comes
//!    on top, slowed by the backoff or bounded by its number. A `Start`, `Restart` or `Lazy` adds
//!    one (a trial, if the breaker is open), a `Reset` a new count.
//! 8. Every state but `Stopped`, `Idle`, a `Ready` that has no more to earn and an `Open` that waits
//!    for somebody has a deadline: nothing is stuck.
//! 9. The same options, seed and events give the same actions.

mod ends;

mod view;

use crate::{
    backoff::{Backoff, Jitter},
    breaker::Breaker,
    event::{Action, Event, Failure, Note},
    options::Options,
    state::{Next, NextTrial, Standing, State, Why},
    time::Time,
};
use mcplex_proto::upstream::Incarnation;
use std::{collections::VecDeque, time::Duration};

/// How many notes wait to be taken; one `handle_*` makes four at most, older ones are dropped.
const NOTES: usize = 32;

/// How long after a gap in time no deadline counts as missed: everything wakes up at once, and a
/// laptop needs a few seconds for its disk and its network.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

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
    /// Ends since the last stable life or reset that asking for the era brought about.
    era_deaths: u32,
    /// Until when a missed deadline is the fault of a gap in time.
    settles: Time,
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
            era_deaths: 0,
            settles: Time(0),
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
        // What speaks of another life changes nothing.
        if event.incarnation().is_some_and(|of| of != self.incarnation) {
            return;
        }
        match event {
            Event::Start => self.start(now),
            Event::Lazy => self.lazy(),
            Event::Stop => self.stop(now),
            Event::Restart => self.restart(now),
            Event::Reset => self.reset(now),
            Event::Demand => self.demand(now),
            Event::Rest => self.rest(now),
            Event::ClockJumped(gap) => self.skip(gap, now),
            Event::Granted(_) => self.granted(now),
            Event::Connected(_) => self.connected(now),
            Event::Degraded(_) => self.suspect(true),
            Event::Heard(_) => self.suspect(false),
            Event::Failed { failure, .. } => self.failed(failure, now),
            Event::Gone { .. } => self.gone(now),
            Event::NotGone { .. } => self.not_gone(now),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        // The longest way in one moment: probation, new, stable.
        for _ in 0..3 {
            let Some((_, why)) = self.poll_timeout().filter(|(due, _)| *due <= now) else { return };
            match why {
                Why::Grant => self.failed(Failure::Resource, now),
                Why::Handshake => self.failed(Failure::Overdue, now),
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
            State::Starting { deadline, is_granted: true, .. } => Some((deadline, Why::Handshake)),
            State::Starting { deadline, .. } => Some((deadline, Why::Grant)),
            State::Ready { is_degraded: true, .. } => None,
            State::Ready { since, standing, .. } => match standing {
                Standing::Probation => Some((since + self.options.probation, Why::Probation)),
                Standing::New => Some((since + self.options.stable_after, Why::Stable)),
                Standing::Stable => None,
            },
            State::Stopping { check, .. } => Some((check, Why::Close)),
            State::Backoff { until } => Some((until, Why::Respawn)),
            State::Open { trial: NextTrial::At(time) } => Some((time, Why::Trial)),
            State::Stopped | State::Idle | State::Open { .. } => None,
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

/// What people and callers ask for.
impl Life {
    fn start(&mut self, now: Time) {
        match &mut self.state {
            State::Stopped | State::Idle => self.begin(now),
            State::Stopping { next: next @ (Next::Stopped | Next::Idle), .. } => {
                *next = Next::Start;
            }
            State::Starting { .. }
            | State::Ready { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Open { .. } => {}
        }
    }

    fn lazy(&mut self) {
        match &mut self.state {
            State::Stopped => self.state = State::Idle,
            State::Stopping { next: next @ Next::Stopped, .. } => *next = Next::Idle,
            State::Idle
            | State::Starting { .. }
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
            State::Stopped | State::Idle | State::Backoff { .. } | State::Open { .. } => {
                self.state = State::Stopped;
            }
        }
    }

    fn restart(&mut self, now: Time) {
        self.mature(now);
        match &mut self.state {
            State::Starting { .. } | State::Ready { .. } => self.end(Next::Start, now),
            State::Stopping { next, .. } => *next = Next::Start,
            State::Stopped | State::Idle | State::Backoff { .. } | State::Open { .. } => {
                self.begin(now);
            }
        }
    }

    fn reset(&mut self, now: Time) {
        self.breaker.reset();
        self.backoff.forget();
        self.last_failure = None;
        self.era_deaths = 0;
        self.note(Note::WasReset);
        match &mut self.state {
            State::Stopped | State::Idle | State::Backoff { .. } | State::Open { .. } => {
                self.begin(now);
            }
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
        match &mut self.state {
            State::Idle => self.begin(now),
            State::Open { trial: NextTrial::OnDemand { from } } if *from <= now => self.begin(now),
            State::Stopping { next: next @ Next::Idle, .. } => *next = Next::Start,
            State::Stopped
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Open { .. } => {}
        }
    }

    fn rest(&mut self, now: Time) {
        self.mature(now);
        if let State::Ready { .. } = self.state {
            self.note(Note::Rested { incarnation: self.incarnation });
            self.end(Next::Idle, now);
        }
    }
}

/// How it goes on.
impl Life {
    /// The only place where a life begins.
    fn begin(&mut self, now: Time) {
        self.incarnation.0 += 1;
        let trial = self.breaker.open().is_some();
        let deadline = now + self.options.start_wait;
        self.state = State::Starting { deadline, trial, is_granted: false };
        self.act(Action::Connect { incarnation: self.incarnation, trial });
    }

    /// Trusts a ready life as much as its age deserves, but none that may hang.
    fn mature(&mut self, now: Time) {
        let State::Ready { since, mut standing, is_degraded: false } = self.state else { return };
        if standing == Standing::Probation && since + self.options.probation <= now {
            standing = Standing::New;
            self.breaker.close();
            self.note(Note::BreakerClosed);
        }
        if standing == Standing::New && since + self.options.stable_after <= now {
            standing = Standing::Stable;
            self.breaker.forgive();
            self.backoff.forget();
            self.era_deaths = 0;
            self.note(Note::Stable);
        }
        self.state = State::Ready { since, standing, is_degraded: false };
    }

    /// Moves everything that is measured by a gap in which nothing ran.
    fn skip(&mut self, gap: Duration, now: Time) {
        self.breaker.skip(gap, now);
        self.settles = now + SETTLE;
        match &mut self.state {
            State::Stopped | State::Idle | State::Open { trial: NextTrial::Never } => {}
            State::Ready { since, .. } => *since = (*since + gap).min(now),
            State::Starting { deadline, .. } => *deadline = (*deadline + gap).max(self.settles),
            State::Stopping { check: due, .. }
            | State::Backoff { until: due }
            | State::Open { trial: NextTrial::At(due) | NextTrial::OnDemand { from: due } } => {
                *due = *due + gap;
            }
        }
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
mod oracle;

#[cfg(test)]
mod replay;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod edges;

#[cfg(test)]
mod properties;

#[cfg(test)]
mod model;
