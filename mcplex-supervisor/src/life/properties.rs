//! Random events, and the [`Oracle`] as a second opinion.

use super::{
    oracle::{Child, Oracle, Told},
    world::{Script, World},
    *,
};
use crate::options::{OnExitZero, Restart};
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
    Tell(Event),
    Granted(Whose),
    Connected(Whose),
    Degraded(Whose),
    Heard(Whose),
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
        3 => Just(Failure::CleanExit),
        3 => Just(Failure::Overdue),
        3 => Just(Failure::EraProbe),
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
        2 => Just(Step::Tell(Event::Start)),
        1 => Just(Step::Tell(Event::Stop)),
        1 => Just(Step::Tell(Event::Lazy)),
        1 => Just(Step::Tell(Event::Restart)),
        1 => Just(Step::Tell(Event::Reset)),
        1 => Just(Step::Tell(Event::Rest)),
        2 => Just(Step::Tell(Event::Demand)),
        10 => whose().prop_map(Step::Granted),
        10 => whose().prop_map(Step::Connected),
        1 => whose().prop_map(Step::Degraded),
        1 => whose().prop_map(Step::Heard),
        12 => (whose(), failure()).prop_map(|(whose, failure)| Step::Failed(whose, failure)),
        12 => whose().prop_map(Step::Gone),
        1 => whose().prop_map(Step::NotGone),
        1 => (0..100 * SECOND).prop_map(Step::ClockJumped),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let restart = prop_oneof![
        4 => Just(Restart::Always),
        1 => Just(Restart::OnFailure),
        1 => Just(Restart::Never),
    ];
    let on_exit_0 = prop_oneof![Just(OnExitZero::Restart), Just(OnExitZero::Idle)];
    (restart, on_exit_0).prop_map(|(restart, on_exit_0)| Options {
        restart,
        on_exit_0,
        ..Options::default()
    })
}

/// A machine and the second opinion on it.
struct Check {
    life: Life,
    oracle: Oracle,
}

impl Check {
    fn new(options: Options, seed: u64) -> Self {
        Self { oracle: Oracle::new(options.clone()), life: Life::new(options, seed) }
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
                self.oracle.now = self.oracle.now.max(end);
            }
            Step::Sleep(ms) => self.timeout(self.oracle.now + ms),
            Step::NextTimer => {
                if let Some((due, _)) = self.life.poll_timeout() {
                    self.timeout(due.0);
                }
            }
            Step::Tell(event) => self.tell(Told::Event(event)),
            Step::ClockJumped(ms) => {
                self.oracle.now += ms;
                self.tell(Told::Event(Event::ClockJumped(Duration::from_millis(ms))));
            }
            Step::Granted(whose) => self.report(whose, Event::Granted),
            Step::Connected(whose) => self.report(whose, Event::Connected),
            Step::Degraded(whose) => self.report(whose, Event::Degraded),
            Step::Heard(whose) => self.report(whose, Event::Heard),
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
            self.tell(Told::Event(event));
        } else {
            let before = self.life.clone();
            self.life.handle_event(event, Time(self.oracle.now));
            assert_eq!(self.life, before, "a stale {event:?} changed something");
        }
    }

    fn timeout(&mut self, now: u64) {
        // A timer may be due since before: the clock never goes back for it.
        self.oracle.now = self.oracle.now.max(now);
        self.tell(Told::Timeout);
    }

    fn tell(&mut self, told: Told) {
        let now = Time(self.oracle.now);
        self.oracle.hear(told);
        match told {
            Told::Event(event) => self.life.handle_event(event, now),
            Told::Timeout => self.life.handle_timeout(now),
        }
        while let Some(action) = self.life.poll_action() {
            self.oracle.obey(action, told);
        }
        let mut trips = 0;
        while let Some(note) = self.life.poll_note() {
            trips += u32::from(matches!(note, Note::Tripped { .. }));
        }
        self.oracle.judge(&self.life, trips);
        assert_eq!(self.oracle.broken, None, "{told:?}: {:?}\n{:?}", self.oracle, self.life);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(
        options in options(),
        seed: u64,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut check = Check::new(options, seed);
        check.step(Step::Tell(Event::Start));
        for step in steps {
            check.step(step);
        }
        // A host that obeys lets every stop come to its end.
        check.step(Step::Tell(Event::Stop));
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
