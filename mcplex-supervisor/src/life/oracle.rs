//! A second opinion on the rules of a life, written from the module's doc and not from the machine.
//!
//! It knows no states: only what process there is, what people want, and every death there was. It
//! says how the machine has to look after each step, up to the length of a wait.

use super::{Life, NextTrial, Standing, State};
use crate::{
    event::{Action, Event, Failure},
    options::{OnExitZero, Options, Restart},
};
use std::time::Duration;

/// What is there of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Child {
    None,
    Connecting { deadline: u64, is_granted: bool, trial: bool },
    Ready { since: u64, trial: bool, is_stable: bool, is_degraded: bool },
    Ending,
}

/// What people and the policy want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    Down,
    OnDemand,
    Up,
}

/// What the machine was told in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Event(Event),
    Timeout,
}

/// The rules in their plainest form: every death is kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oracle {
    pub(super) options: Options,
    pub(super) now: u64,
    pub(super) child: Child,
    pub(super) wish: Wish,
    /// Whether the next life has to begin without a wait.
    pub(super) at_once: bool,
    pub(super) is_open: bool,
    pub(super) deaths: Vec<u64>,
    pub(super) run: u32,
    pub(super) trips: u32,
    pub(super) era_deaths: u32,
    pub(super) settles: u64,
    /// Trips that this step must report.
    pub(super) expected: u32,
    /// When lives began since a person last had a hand in it, those that were spared left out.
    pub(super) begins: Vec<u64>,
    /// The first rule that was broken.
    pub(super) broken: Option<&'static str>,
    /// A deliberate mistake, to show that it is noticed.
    pub(super) mistake: Option<Mistake>,
}

/// A mistake that an implementation could make; made by the oracle, so that machine and oracle
/// differ exactly as they would if the machine made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A good connect forgets the deaths before it, as the original mcplex did.
    ForgetsAtConnect,
    /// It trips one death too late.
    OneTooMany,
    /// A death as old as the window still counts.
    WindowIncludesItsEdge,
    /// A failure of the host counts.
    CountsResources,
    /// A trial closes the breaker as soon as it is ready.
    ClosesAtConnect,
    /// A degraded life becomes stable.
    TrustsDegraded,
    /// A deadline missed right after a gap counts.
    CountsGaps,
    /// A stop keeps the wish to run.
    ForgetsStop,
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

impl Oracle {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            now: 0,
            child: Child::None,
            wish: Wish::Down,
            at_once: false,
            is_open: false,
            deaths: Vec::new(),
            run: 0,
            trips: 0,
            era_deaths: 0,
            settles: 0,
            expected: 0,
            begins: Vec::new(),
            broken: None,
            mistake: None,
        }
    }

    fn must(&mut self, holds: bool, rule: &'static str) {
        if !holds {
            self.broken.get_or_insert(rule);
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Settles what the age of a ready life earned.
    fn mature(&mut self) {
        let trusts = self.makes(Mistake::TrustsDegraded);
        let Child::Ready { since, trial, is_stable, is_degraded } = &mut self.child else { return };
        if *is_degraded && !trusts {
            return;
        }
        let age = self.now - *since;
        if *trial && age >= ms(self.options.probation) {
            *trial = false;
            self.is_open = false;
        }
        if !*trial && age >= ms(self.options.stable_after) {
            *is_stable = true;
            (self.run, self.trips, self.era_deaths) = (0, 0, 0);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.mature();
        let (trial, is_stable, ready) = match self.child {
            Child::Connecting { trial, .. } => (trial, false, None),
            Child::Ready { since, trial, is_stable, .. } => {
                (trial, is_stable, Some(self.now - since))
            }
            Child::None | Child::Ending => return,
        };
        self.child = Child::Ending;
        let is_clean = failure == Failure::CleanExit;
        let counts = match failure {
            Failure::Resource => self.makes(Mistake::CountsResources),
            Failure::Overdue => self.now >= self.settles || self.makes(Mistake::CountsGaps),
            Failure::EraProbe => ready.is_some() || self.era_deaths >= 2,
            Failure::CleanExit => {
                let was_useful = ready.is_some_and(|ready| ready >= 10_000);
                !(self.options.on_exit_0 == OnExitZero::Idle && was_useful && !trial)
            }
            Failure::Permanent | Failure::Death => true,
        };
        if !counts {
            self.begins.pop();
            match failure {
                Failure::EraProbe => (self.era_deaths, self.at_once) = (self.era_deaths + 1, true),
                Failure::CleanExit => self.leave(is_clean),
                Failure::Permanent | Failure::Resource | Failure::Overdue | Failure::Death => {}
            }
            return;
        }
        self.deaths.push(self.now);
        self.run += u32::from(!is_stable);
        let most = self.options.max_deaths + u32::from(self.makes(Mistake::OneTooMany));
        let window =
            ms(self.options.window) + u64::from(self.makes(Mistake::WindowIncludesItsEdge));
        let recent = self.deaths.iter().filter(|at| self.now - **at < window).count();
        let is_loop = recent > most as usize || self.run > self.options.max_run;
        if failure == Failure::Permanent || trial || is_loop {
            self.is_open = true;
            self.trips += 1;
            self.expected += 1;
        } else {
            self.leave(is_clean);
        }
    }

    /// What the policy makes of an end that opened no breaker.
    fn leave(&mut self, is_clean: bool) {
        let is_idle = is_clean && self.options.on_exit_0 == OnExitZero::Idle;
        match self.options.restart {
            Restart::Never => self.wish = Wish::Down,
            _ if is_idle => self.wish = Wish::OnDemand,
            Restart::OnFailure if is_clean => self.wish = Wish::Down,
            Restart::Always | Restart::OnFailure => {}
        }
    }

    fn timeout(&mut self) {
        match self.child {
            Child::Connecting { deadline, is_granted, .. } if deadline <= self.now => {
                self.fail(if is_granted { Failure::Overdue } else { Failure::Resource });
            }
            Child::None | Child::Connecting { .. } | Child::Ready { .. } | Child::Ending => {
                self.mature();
            }
        }
    }

    fn jump(&mut self, gap: u64) {
        self.settles = self.now + 10_000;
        for at in &mut self.deaths {
            *at = (*at + gap).min(self.now);
        }
        match &mut self.child {
            Child::Connecting { deadline, .. } => *deadline = (*deadline + gap).max(self.settles),
            Child::Ready { since, .. } => *since = (*since + gap).min(self.now),
            Child::None | Child::Ending => {}
        }
    }

    /// Takes in what the machine is told; before the machine does.
    pub(super) fn hear(&mut self, told: Told) {
        let Told::Event(event) = told else { return self.timeout() };
        match event {
            Event::Start if self.wish != Wish::Up => self.want(),
            Event::Start => {}
            Event::Lazy if self.wish == Wish::Down => self.wish = Wish::OnDemand,
            Event::Lazy => {}
            Event::Stop => {
                if !self.makes(Mistake::ForgetsStop) {
                    self.wish = Wish::Down;
                }
                self.at_once = false;
                self.finish();
            }
            Event::Restart => {
                self.finish();
                self.want();
            }
            Event::Reset => self.reset(),
            Event::Demand if self.wish == Wish::OnDemand => self.want(),
            Event::Demand | Event::NotGone { .. } => {}
            Event::Rest => {
                if let Child::Ready { .. } = self.child {
                    self.finish();
                    self.wish = Wish::OnDemand;
                    self.begins.pop();
                }
            }
            Event::Granted(_) => {
                if let Child::Connecting { deadline, is_granted, .. } = &mut self.child
                    && !*is_granted
                {
                    (*deadline, *is_granted) =
                        (self.now + ms(self.options.handshake_timeout), true);
                }
            }
            Event::Connected(_) => self.connect(),
            Event::Degraded(_) | Event::Heard(_) => {
                if let Child::Ready { is_degraded, .. } = &mut self.child {
                    *is_degraded = matches!(event, Event::Degraded(_));
                }
            }
            Event::Failed { failure, .. } => self.fail(failure),
            Event::Gone { .. } => {
                self.fail(Failure::Death);
                self.child = Child::None;
            }
            Event::ClockJumped(gap) => self.jump(ms(gap)),
        }
        if matches!(event, Event::Start | Event::Stop | Event::Restart | Event::Lazy) {
            self.begins.clear();
        }
    }

    fn want(&mut self) {
        (self.wish, self.at_once) = (Wish::Up, true);
    }

    /// Ends what runs without a death.
    fn finish(&mut self) {
        self.mature();
        if self.child != Child::None {
            self.child = Child::Ending;
        }
    }

    fn connect(&mut self) {
        let Child::Connecting { mut trial, .. } = self.child else { return };
        if self.makes(Mistake::ForgetsAtConnect) {
            (self.run, self.deaths) = (0, Vec::new());
        }
        if self.makes(Mistake::ClosesAtConnect) {
            (trial, self.is_open) = (false, false);
        }
        let since = self.now;
        self.child = Child::Ready { since, trial, is_stable: false, is_degraded: false };
    }

    fn reset(&mut self) {
        self.is_open = false;
        (self.run, self.trips, self.era_deaths) = (0, 0, 0);
        self.deaths.clear();
        self.begins.clear();
        match &mut self.child {
            Child::Connecting { trial, .. } | Child::Ready { trial, .. } => {
                *trial = false;
                self.wish = Wish::Up;
            }
            Child::None | Child::Ending => self.want(),
        }
    }

    /// Obeys an action and checks that it may be asked for.
    pub(super) fn obey(&mut self, action: Action, told: Told) {
        let Action::Connect { trial, .. } = action else {
            return self.must(self.child == Child::Ending, "only what ends is closed");
        };
        let is_called = told == Told::Event(Event::Demand)
            && self.is_open
            && self.trips > self.options.auto_trials;
        self.must(self.child == Child::None, "there is never a second child");
        self.must(self.wish == Wish::Up, "nothing starts that nobody wants");
        self.must(trial == self.is_open, "an open breaker lets only trials through");
        self.must(self.at_once || is_called || told == Told::Timeout, "a respawn waits");
        self.at_once = false;
        let deadline = self.now + ms(self.options.start_wait);
        self.child = Child::Connecting { deadline, is_granted: false, trial };
        self.begins.push(self.now);
        let window = ms(self.options.window);
        let within =
            |from: &u64| self.begins.iter().filter(|at| *at >= from && *at - from < window).count();
        let worst = self.begins.iter().map(within).max().unwrap_or(0);
        self.must(worst <= self.options.max_deaths as usize + 2, "few lives begin in a window");
    }

    /// Checks that the machine looks as it should, after everything it asked for was taken.
    pub(super) fn judge(&mut self, life: &Life, trips: u32) {
        let expected = std::mem::take(&mut self.expected);
        self.must(trips == expected, "it trips exactly when the rules say so");
        let looks_right = match (life.state(), self.child, self.wish) {
            (State::Stopped, Child::None, Wish::Down)
            | (State::Idle, Child::None, Wish::OnDemand) => true,
            (State::Backoff { .. }, Child::None, Wish::Up) => !self.is_open && !self.at_once,
            (State::Open { .. }, Child::None, Wish::Up) => self.is_open && !self.at_once,
            (State::Stopping { .. }, Child::Ending, _) => true,
            (
                State::Starting { deadline, trial, is_granted },
                Child::Connecting { deadline: at, is_granted: granted, trial: open },
                Wish::Up,
            ) => (deadline.0, *trial, *is_granted) == (at, open, granted),
            (
                State::Ready { since, standing, is_degraded },
                Child::Ready { since: at, trial, is_stable, is_degraded: degraded },
                Wish::Up,
            ) => {
                let earned = match standing {
                    Standing::Probation => trial,
                    Standing::New => !trial && !is_stable,
                    Standing::Stable => is_stable,
                };
                (since.0, *is_degraded, earned) == (at, degraded, true)
            }
            _ => false,
        };
        self.must(looks_right, "its state is what events and time made of it");
        self.must(life.poll_timeout().is_some() || self.may_rest(life), "nothing is stuck");
        self.must(
            life.tripped_by().is_some() == self.is_open,
            "the breaker is open when it tripped",
        );
        self.must((life.run(), life.trips()) == (self.run, self.trips), "it counts right");
        let bound = self.options.max_deaths as usize + 1;
        self.must(life.breaker.remembered() <= bound, "the window is bounded");
        self.must(life.actions.is_empty() && life.notes.is_empty(), "everything was taken");
    }

    /// Whether a machine may be without a deadline.
    fn may_rest(&self, life: &Life) -> bool {
        let is_held = self.options.cooldown_never || self.options.restart == Restart::Never;
        match life.state() {
            State::Stopped | State::Idle => true,
            State::Ready { standing, is_degraded, .. } => {
                *standing == Standing::Stable || *is_degraded
            }
            State::Open { trial: NextTrial::Never } => is_held,
            State::Open { .. } => self.trips > self.options.auto_trials,
            State::Starting { .. } | State::Stopping { .. } | State::Backoff { .. } => false,
        }
    }
}
