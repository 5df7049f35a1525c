//! Every life that is possible with small limits, one state after another.
//!
//! Time passes in ticks of 5 s. Nothing in a machine depends on the absolute time, on the number of
//! its incarnation, or on counts beyond the limit they are compared with, so each state is moved
//! back to the same moment and cut to these limits. That makes the states finite, and the check
//! covers lives of any length instead of those up to a horizon.

use super::{
    oracle::{Child, Mistake, Oracle, Told},
    *,
};
use crate::options::{OnExitZero, Restart};
use stateright::{Checker as _, HasDiscoveries, Model, Property};
use std::hash::{Hash, Hasher};

const TICK: u64 = 5_000;
/// When everything happens.
const NOW: u64 = 1_000_000;
/// To whom everything happens.
const IT: Incarnation = Incarnation(1_000);

/// Limits of a few ticks each: two deaths are borne in four ticks, three lives in a row.
fn small() -> Options {
    let ticks = |n: u64| Duration::from_millis(n * TICK);
    Options {
        start_wait: ticks(1),
        handshake_timeout: ticks(2),
        max_deaths: 2,
        window: ticks(4),
        max_run: 3,
        stable_after: ticks(5),
        // Too short for any jitter.
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
        cooldown_first: ticks(4),
        cooldown_max: ticks(4),
        cooldown_permanent: ticks(4),
        cooldown_jitter: 0,
        probation: ticks(1),
        auto_trials: 1,
        ..Options::default()
    }
}

/// What can happen in one configuration.
#[derive(Clone, Debug)]
struct Small {
    options: Options,
    events: Vec<Event>,
    /// How long timers may be late.
    delays: &'static [u64],
    /// How long time may stand still.
    jumps: &'static [u64],
    mistake: Option<Mistake>,
}

/// One step of the host, of people, or of time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Move {
    /// So many ticks pass before a timer gets its turn.
    Ticks(u64),
    /// So many ticks pass in which nothing ran.
    Jump(u64),
    Tell(Event),
}

/// A machine and the second opinion on it.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    life: Life,
    oracle: Oracle,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, to: &mut H) {
        let Self { life, oracle } = self;
        (life.state, &life.breaker, life.backoff.attempt()).hash(to);
        (life.era_deaths, life.settles).hash(to);
        (oracle.child, oracle.wish, oracle.at_once, oracle.is_open).hash(to);
        (&oracle.deaths, oracle.run, oracle.trips).hash(to);
        (oracle.era_deaths, oracle.settles, &oracle.begins, oracle.broken).hash(to);
    }
}

impl Small {
    fn new(options: Options, events: &[Event]) -> Self {
        let alive = [
            Event::Granted(IT),
            Event::Connected(IT),
            Event::Failed { incarnation: IT, failure: Failure::Death },
            Event::Gone { incarnation: IT },
        ];
        let events = alive.iter().chain(events).copied().collect();
        Self { options, events, delays: &[], jumps: &[], mistake: None }
    }
}

impl Model for Small {
    type State = Node;
    type Action = Move;

    fn init_states(&self) -> Vec<Node> {
        let mut oracle = Oracle::new(self.options.clone());
        (oracle.now, oracle.mistake) = (NOW, self.mistake);
        let mut node = Node { life: Life::new(self.options.clone(), 0), oracle };
        node.take(Told::Event(Event::Start));
        vec![node]
    }

    fn actions(&self, _: &Node, moves: &mut Vec<Move>) {
        moves.push(Move::Ticks(1));
        moves.extend(self.jumps.iter().map(|ticks| Move::Jump(*ticks)));
        moves.extend(self.delays.iter().map(|ticks| Move::Ticks(*ticks)));
        moves.extend(self.events.iter().map(|event| Move::Tell(*event)));
    }

    fn next_state(&self, last: &Node, next: Move) -> Option<Node> {
        let mut node = last.clone();
        match next {
            Move::Ticks(ticks) => {
                node.oracle.now += ticks * TICK;
                node.take(Told::Timeout);
            }
            Move::Jump(ticks) => {
                node.oracle.now += ticks * TICK;
                let gap = Duration::from_millis(ticks * TICK);
                node.take(Told::Event(Event::ClockJumped(gap)));
            }
            Move::Tell(event) => node.take(Told::Event(event)),
        }
        Some(node)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the rules hold", |_, node: &Node| node.oracle.broken.is_none()),
            Property::always("another life's events change nothing", |_, node: &Node| {
                node.is_deaf()
            }),
            Property::always("a stop comes to its end", |_, node: &Node| node.stops()),
            // That the check is not about nothing.
            Property::sometimes("it trips", |_, node: &Node| node.oracle.trips == 1),
            Property::sometimes("a trial fails", |_, node: &Node| node.oracle.trips == 2),
            Property::sometimes("it waits for somebody", |_, node: &Node| {
                let State::Open { trial } = node.life.state else { return false };
                matches!(trial, NextTrial::OnDemand { .. } | NextTrial::Never)
            }),
            Property::sometimes("a trial goes well", |_, node: &Node| {
                node.oracle.trips > 0 && !node.oracle.is_open
            }),
            Property::sometimes("it is stable", |_, node: &Node| {
                matches!(node.life.state, State::Ready { standing: Standing::Stable, .. })
            }),
        ]
    }
}

impl Node {
    /// Tells both and lets the one judge the other.
    fn take(&mut self, told: Told) {
        let Self { life, oracle } = self;
        let now = Time(oracle.now);
        oracle.hear(told);
        match told {
            Told::Event(event) => life.handle_event(event, now),
            Told::Timeout => life.handle_timeout(now),
        }
        while let Some(action) = life.poll_action() {
            oracle.obey(action, told);
        }
        let mut trips = 0;
        while let Some(note) = life.poll_note() {
            trips += u32::from(matches!(note, Note::Tripped { .. }));
        }
        oracle.judge(life, trips);
        self.move_back();
    }

    fn is_deaf(&self) -> bool {
        [Incarnation(IT.0 - 1), Incarnation(IT.0 + 1)].into_iter().all(|of| {
            let mut life = self.life.clone();
            for event in [
                Event::Granted(of),
                Event::Connected(of),
                Event::Degraded(of),
                Event::Heard(of),
                Event::Failed { incarnation: of, failure: Failure::Death },
                Event::Gone { incarnation: of },
                Event::NotGone { incarnation: of },
            ] {
                life.handle_event(event, Time(NOW));
            }
            life == self.life
        })
    }

    /// A host that obeys ends whatever there is, and nothing follows.
    fn stops(&self) -> bool {
        let mut life = self.life.clone();
        life.handle_event(Event::Stop, Time(NOW));
        if let Some(Action::Close { incarnation }) = life.poll_action() {
            life.handle_event(Event::Gone { incarnation }, Time(NOW));
        } else if life.state != State::Stopped {
            life.handle_event(Event::Gone { incarnation: IT }, Time(NOW));
        }
        life.state == State::Stopped && life.poll_action().is_none()
    }

    /// Forgets what can make no difference any more.
    fn move_back(&mut self) {
        let Self { life, oracle } = self;
        let options = &life.options;
        let by = oracle.now - NOW;
        let window = options.window.as_millis() as u64;
        // Past this a ready life has earned all there is.
        let grown = options.stable_after.max(options.probation).as_millis() as u64;
        let back = |time: &mut Time| time.0 -= by;
        match &mut life.state {
            State::Stopped | State::Idle | State::Open { trial: NextTrial::Never } => {}
            State::Ready { since, .. } => since.0 = (since.0 - by).max(NOW - grown),
            State::Open { trial: NextTrial::OnDemand { from } } => {
                from.0 = (from.0 - by).max(NOW);
            }
            State::Starting { deadline: due, .. }
            | State::Stopping { check: due, .. }
            | State::Backoff { until: due }
            | State::Open { trial: NextTrial::At(due) } => back(due),
        }
        life.incarnation = IT;
        life.jitter = Jitter::new(0);
        life.last_failure = None;
        life.settles.0 = life.settles.0.saturating_sub(by).max(NOW);
        life.backoff.forget();
        life.breaker.move_back(by, Time(NOW), options);

        oracle.now = NOW;
        match &mut oracle.child {
            Child::None | Child::Ending => {}
            Child::Connecting { deadline, .. } => *deadline -= by,
            Child::Ready { since, .. } => *since = (*since - by).max(NOW - grown),
        }
        for times in [&mut oracle.deaths, &mut oracle.begins] {
            times.iter_mut().for_each(|time| *time -= by);
            times.retain(|time| NOW - *time <= window);
        }
        // More deaths than that cannot change a verdict.
        let spare = oracle.deaths.len().saturating_sub(options.max_deaths as usize + 2);
        oracle.deaths.drain(..spare);
        oracle.settles = oracle.settles.saturating_sub(by).max(NOW);
        oracle.run = oracle.run.min(options.max_run + 1);
        oracle.trips = oracle.trips.min(options.auto_trials + 1);
    }
}

const fn failed(failure: Failure) -> Event {
    Event::Failed { incarnation: IT, failure }
}

/// Visits every state, and gives their number.
fn check(name: &str, model: Small) -> usize {
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, {} steps", checker.state_count());
    states
}

#[test]
fn a_life_without_people() {
    let events = [
        Event::Demand,
        failed(Failure::Resource),
        failed(Failure::Permanent),
        Event::NotGone { incarnation: IT },
    ];
    check("plain", Small { delays: &[2, 5], ..Small::new(small(), &events) });
    let ticks = |n: u64| Duration::from_millis(n * TICK);
    let wider = Options { max_deaths: 4, window: ticks(8), max_run: 5, ..small() };
    check("wider", Small::new(wider, &events[..1]));
}

#[test]
fn gaps_in_time_and_what_may_hang() {
    let events = [Event::Demand, failed(Failure::Overdue), Event::Degraded(IT), Event::Heard(IT)];
    check("gaps", Small { jumps: &[1, 3], ..Small::new(small(), &events) });
}

#[test]
fn what_people_ask_for_at_any_time() {
    let events = [Event::Demand, Event::Start, Event::Stop, Event::Restart, Event::Reset];
    check("people", Small::new(small(), &events));
}

#[test]
fn lives_that_wait_for_callers() {
    let options = Options { on_exit_0: OnExitZero::Idle, ..small() };
    let events = [Event::Demand, Event::Lazy, Event::Stop, Event::Rest, failed(Failure::CleanExit)];
    check("idle", Small::new(options, &events));
}

#[test]
fn lives_that_are_not_always_followed() {
    let events = [Event::Demand, Event::Restart, failed(Failure::CleanExit)];
    for (restart, on_exit_0) in [
        (Restart::OnFailure, OnExitZero::Restart),
        (Restart::OnFailure, OnExitZero::Idle),
        (Restart::Never, OnExitZero::Restart),
        (Restart::Never, OnExitZero::Idle),
    ] {
        let options = Options { restart, on_exit_0, ..small() };
        check(&format!("{restart:?}, {on_exit_0:?}"), Small::new(options, &events));
    }
}

#[test]
fn lives_that_end_while_the_era_is_asked() {
    let events = [Event::Demand, failed(Failure::EraProbe), failed(Failure::Resource)];
    check("era", Small::new(small(), &events));
}

/// Each mistake that could be made is found; the oracle makes it, so that both differ as they would
/// if the machine made it.
#[test]
fn no_mistake_escapes() {
    for mistake in [
        Mistake::ForgetsAtConnect,
        Mistake::OneTooMany,
        Mistake::WindowIncludesItsEdge,
        Mistake::CountsResources,
        Mistake::ClosesAtConnect,
        Mistake::TrustsDegraded,
        Mistake::CountsGaps,
        Mistake::ForgetsStop,
    ] {
        let events =
            [Event::Stop, failed(Failure::Resource), failed(Failure::Overdue), Event::Degraded(IT)];
        let model = Small { jumps: &[1], mistake: Some(mistake), ..Small::new(small(), &events) };
        let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        assert!(checker.discovery("the rules hold").is_some(), "{mistake:?} was not noticed");
    }
}
