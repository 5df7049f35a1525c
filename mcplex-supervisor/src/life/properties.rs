//! Random events against a second opinion that is written from the rules and not from the machine.

use super::{
    world::{Script, World},
    *,
};
use proptest::prelude::*;

const SECOND: u64 = 1000;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Lets so many milliseconds pass; every timer fires on time.
    Wait(u64),
    /// Lets so many milliseconds pass; the timer fires at the end of them.
    Sleep(u64),
    /// Lets time pass to the next timer.
    NextTimer,
    Start,
    Stop,
    Reset,
    Demand,
    Connected(Whose),
    Failed(Whose, Failure),
    Gone(Whose),
    NotGone(Whose),
    ClockJumped(u64),
}

/// Of which incarnation an event speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Current,
    Earlier,
    Later,
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![8 => Just(Whose::Current), 1 => Just(Whose::Earlier), 1 => Just(Whose::Later)]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        20 => Just(Failure::Death),
        2 => Just(Failure::Resource),
        1 => Just(Failure::Permanent),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        4 => 0..20 * SECOND,
        2 => prop::sample::select(vec![9_999, 10_000, 29_999, 30_000, 59_999, 60_000]),
        1 => 0..200 * SECOND,
    ];
    prop_oneof![
        6 => wait.clone().prop_map(Step::Wait),
        2 => wait.prop_map(Step::Sleep),
        12 => Just(Step::NextTimer),
        2 => Just(Step::Start),
        1 => Just(Step::Stop),
        1 => Just(Step::Reset),
        1 => Just(Step::Demand),
        10 => whose().prop_map(Step::Connected),
        12 => (whose(), failure()).prop_map(|(whose, failure)| Step::Failed(whose, failure)),
        12 => whose().prop_map(Step::Gone),
        1 => whose().prop_map(Step::NotGone),
        1 => (0..100 * SECOND).prop_map(Step::ClockJumped),
    ]
}

/// What the second opinion thinks is there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Child {
    None,
    Connecting { deadline: u64, trial: bool },
    Ready { since: u64, trial: bool },
    Ending,
}

/// The rules of the module's doc in their plainest form: every death is kept for ever.
struct Oracle {
    now: u64,
    child: Child,
    is_wanted: bool,
    is_open: bool,
    deaths: Vec<u64>,
    run: u32,
    trips: u32,
    /// Trips that this step must report.
    expected: u32,
    /// When lives began since somebody last had a hand in it, those the host refused left out.
    begins: Vec<u64>,
}

impl Oracle {
    /// Settles what the age of a ready life earned.
    fn mature(&mut self) {
        let Child::Ready { since, trial } = self.child else { return };
        let age = self.now - since;
        if trial && age >= 10 * SECOND {
            self.is_open = false;
            self.child = Child::Ready { since, trial: false };
        }
        if age >= 60 * SECOND {
            self.run = 0;
            self.trips = 0;
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.mature();
        let (trial, stable) = match self.child {
            Child::Connecting { trial, .. } => (trial, false),
            Child::Ready { since, trial } => (trial, self.now - since >= 60 * SECOND),
            Child::None | Child::Ending => return,
        };
        self.child = Child::Ending;
        if failure == Failure::Resource {
            self.begins.pop();
            return;
        }
        self.deaths.push(self.now);
        self.run += u32::from(!stable);
        let recent = self.deaths.iter().filter(|at| self.now - **at < 60 * SECOND).count();
        if failure == Failure::Permanent || trial || recent > 5 || self.run > 8 {
            self.is_open = true;
            self.trips += 1;
            self.expected += 1;
        }
    }

    fn timeout(&mut self) {
        match self.child {
            Child::Connecting { deadline, .. } if deadline <= self.now => self.fail(Failure::Death),
            Child::None | Child::Connecting { .. } | Child::Ready { .. } | Child::Ending => {
                self.mature();
            }
        }
    }

    fn jump(&mut self, gap: u64) {
        for at in &mut self.deaths {
            *at = (*at + gap).min(self.now);
        }
        match &mut self.child {
            Child::Connecting { deadline, .. } => *deadline += gap,
            Child::Ready { since, .. } => *since = (*since + gap).min(self.now),
            Child::None | Child::Ending => {}
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Start => self.is_wanted = true,
            Event::Stop => {
                self.is_wanted = false;
                self.mature();
                if self.child != Child::None {
                    self.child = Child::Ending;
                }
            }
            Event::Reset => {
                self.is_wanted = true;
                self.is_open = false;
                (self.run, self.trips) = (0, 0);
                self.deaths.clear();
                self.begins.clear();
                if let Child::Connecting { trial, .. } | Child::Ready { trial, .. } =
                    &mut self.child
                {
                    *trial = false;
                }
            }
            Event::Demand | Event::NotGone { .. } => {}
            Event::Connected(_) => {
                if let Child::Connecting { trial, .. } = self.child {
                    self.child = Child::Ready { since: self.now, trial };
                }
            }
            Event::Failed { failure, .. } => self.fail(failure),
            Event::Gone { .. } => {
                self.fail(Failure::Death);
                self.child = Child::None;
            }
            Event::ClockJumped(gap) => self.jump(gap.as_millis() as u64),
        }
        if matches!(event, Event::Start | Event::Stop) {
            self.begins.clear();
        }
    }

    /// Obeys an action and checks that it may be asked for.
    fn obey(&mut self, action: Action) {
        match action {
            Action::Connect { trial, .. } => {
                assert_eq!(self.child, Child::None, "a second child");
                assert!(self.is_wanted, "nobody wants it");
                assert_eq!(trial, self.is_open, "an open breaker lets only trials through");
                self.child = Child::Connecting { deadline: self.now + 30 * SECOND, trial };
                self.begins.push(self.now);
                let worst = |from: &u64| {
                    self.begins.iter().filter(|at| *at >= from && *at - from < 60 * SECOND).count()
                };
                assert!(self.begins.iter().map(worst).max() <= Some(7), "{:?}", self.begins);
            }
            Action::Close { .. } => assert_eq!(self.child, Child::Ending, "nothing to close"),
        }
    }
}

struct Check {
    life: Life,
    oracle: Oracle,
}

impl Check {
    fn new(seed: u64) -> Self {
        let oracle = Oracle {
            now: 0,
            child: Child::None,
            is_wanted: false,
            is_open: false,
            deaths: Vec::new(),
            run: 0,
            trips: 0,
            expected: 0,
            begins: Vec::new(),
        };
        Self { life: Life::new(Options::default(), seed), oracle }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => {
                let end = self.oracle.now + ms;
                for _ in 0..10_000 {
                    match self.life.poll_timeout() {
                        Some((due, _)) if due.0 <= end => self.timeout(due.0),
                        _ => break,
                    }
                }
                self.oracle.now = end;
            }
            Step::Sleep(ms) => self.timeout(self.oracle.now + ms),
            Step::NextTimer => {
                if let Some((due, _)) = self.life.poll_timeout() {
                    self.timeout(due.0);
                }
            }
            Step::Start => self.tell(Event::Start),
            Step::Stop => self.tell(Event::Stop),
            Step::Reset => self.tell(Event::Reset),
            Step::Demand => self.tell(Event::Demand),
            Step::ClockJumped(ms) => {
                self.oracle.now += ms;
                self.tell(Event::ClockJumped(Duration::from_millis(ms)));
            }
            Step::Connected(whose) => self.report(whose, Event::Connected),
            Step::Failed(whose, failure) => {
                self.report(whose, |incarnation| Event::Failed { incarnation, failure });
            }
            Step::Gone(whose) => self.report(whose, |incarnation| Event::Gone { incarnation }),
            Step::NotGone(whose) => {
                self.report(whose, |incarnation| Event::NotGone { incarnation });
            }
        }
    }

    fn report(&mut self, whose: Whose, event: impl Fn(Incarnation) -> Event) {
        let Incarnation(current) = self.life.incarnation();
        let (is_current, incarnation) = match whose {
            Whose::Current => (true, current),
            Whose::Earlier => (false, current.wrapping_sub(1)),
            Whose::Later => (false, current + 1),
        };
        let event = event(Incarnation(incarnation));
        if is_current && self.oracle.child != Child::None {
            self.tell(event);
        } else {
            let before = self.life.clone();
            self.life.handle_event(event, Time(self.oracle.now));
            assert_eq!(self.life, before, "a stale {event:?} changed something");
        }
    }

    fn tell(&mut self, event: Event) {
        self.oracle.hear(event);
        self.life.handle_event(event, Time(self.oracle.now));
        self.settle();
    }

    fn timeout(&mut self, now: u64) {
        // A timer may be due since before: the clock never goes back for it.
        self.oracle.now = self.oracle.now.max(now);
        self.oracle.timeout();
        self.life.handle_timeout(Time(self.oracle.now));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.life.poll_action() {
            self.oracle.obey(action);
        }
        let mut trips = 0;
        while let Some(note) = self.life.poll_note() {
            trips += u32::from(matches!(note, Note::Tripped { .. }));
        }
        assert_eq!(trips, std::mem::take(&mut self.oracle.expected), "trips in this step");
        self.agree();
    }

    fn agree(&self) {
        let Self { life, oracle } = self;
        let has_child = match life.state() {
            State::Stopped | State::Backoff { .. } | State::Open { .. } => false,
            State::Starting { .. } | State::Ready { .. } | State::Stopping { .. } => true,
        };
        assert_eq!(has_child, oracle.child != Child::None, "{life:?}");
        let can_rest = match life.state() {
            State::Stopped => !oracle.is_wanted,
            State::Ready { standing, .. } => *standing == Standing::Stable,
            State::Open { trial } => *trial != NextTrial::Never && oracle.trips > 5,
            State::Starting { .. } | State::Stopping { .. } | State::Backoff { .. } => false,
        };
        assert!(life.poll_timeout().is_some() || can_rest, "stuck: {life:?}");
        assert_eq!(life.tripped_by().is_some(), oracle.is_open);
        assert_eq!((life.run(), life.trips()), (oracle.run, oracle.trips));
        assert!(life.deaths(Time(oracle.now)) <= 6, "the window is bounded");
        assert!(life.actions.is_empty() && life.notes.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(seed: u64, steps in prop::collection::vec(step(), 1..120)) {
        let mut check = Check::new(seed);
        check.step(Step::Start);
        for step in steps {
            check.step(step);
        }
        // A host that obeys lets every stop come to its end.
        check.step(Step::Stop);
        check.step(Step::Gone(Whose::Current));
        prop_assert_eq!(check.life.state(), &State::Stopped);
        prop_assert_eq!(check.life.poll_timeout(), None);
    }

}

proptest! {
    // Each case is an hour.
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_hour_of_any_crashes_starts_few_and_never_two(
        seed: u64,
        scripts in prop::collection::vec((prop::option::of(0..40 * SECOND), 0..90 * SECOND, 0..7 * SECOND), 1..12),
    ) {
        let mut world = World::start(Options::default(), seed, move |incarnation| {
            let (ready, alive, ends) = scripts[incarnation as usize % scripts.len()];
            Script { ready, dies: Some((alive, Failure::Death)), ends: Some(ends) }
        });
        world.run(3600 * SECOND);
        prop_assert!(world.worst_window() <= 7, "{:?}", world.spawns);
        prop_assert!(world.spawns.len() <= 130, "{}", world.spawns.len());
    }
}
