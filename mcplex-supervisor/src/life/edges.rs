//! Every limit to the millisecond, and the hour of crash loops that the documentation quotes.

use super::{
    world::{Script, World},
    *,
};
use crate::{
    breaker::TripCause,
    options::{OnExitZero, Restart},
};
use mcplex_proto::upstream::Health;

const FIRST: Incarnation = Incarnation(1);
const HOUR: u64 = 3_600_000;

/// A life and what it was asked for last; everything else is taken and forgotten.
struct Told {
    life: Life,
    actions: Vec<Action>,
    notes: Vec<Note>,
}

impl Told {
    fn new(options: Options) -> Self {
        let mut told = Self { life: Life::new(options, 1), actions: Vec::new(), notes: Vec::new() };
        told.at(0, Event::Start);
        told
    }

    /// One that is ready since `since`.
    fn ready(options: Options, since: u64) -> Self {
        let mut told = Self::new(options);
        told.at(since, Event::Granted(FIRST));
        told.at(since, Event::Connected(FIRST));
        told
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.life.handle_event(event, Time(ms));
        self.take();
    }

    fn fails(&mut self, ms: u64, failure: Failure) {
        let incarnation = self.life.incarnation();
        self.at(ms, Event::Failed { incarnation, failure });
        let notes = self.notes.clone();
        self.at(ms, Event::Gone { incarnation });
        self.notes.splice(..0, notes);
    }

    fn due(&mut self, ms: u64) {
        self.life.handle_timeout(Time(ms));
        self.take();
    }

    fn take(&mut self) {
        self.actions = std::iter::from_fn(|| self.life.poll_action()).collect();
        self.notes = std::iter::from_fn(|| self.life.poll_note()).collect();
    }

    /// Deaths in the window.
    fn deaths(&self, ms: u64) -> u32 {
        self.life.deaths(Time(ms))
    }
}

/// The table of `docs/design/supervision.md`. A first trip is as many lives as it takes and the
/// waits between them, which are random between their half and their whole: 7.75 s for five of
/// them, 61.75 s for eight.
#[test]
fn an_hour_of_each_crash_loop_is_as_documented() {
    let handshake = Script::dies_in_handshake;
    let ready = Script::dies_when_ready;
    for (script, starts, most, trip) in [
        (handshake(0), 11, 6, Some((0, 5))),
        (handshake(6_000), 11, 6, Some((6 * 6_000, 5))),
        (ready(12_000), 14, 5, Some((9 * 12_200, 8))),
        (ready(30_000), 14, 2, Some((9 * 30_200, 8))),
        (ready(59_000), 14, 2, Some((9 * 59_200, 8))),
        (ready(61_000), 59, 1, None),
    ] {
        for seed in 0..30 {
            let mut world = World::start(Options::default(), seed, move |_| script);
            world.run(HOUR);
            assert_eq!((world.spawns.len(), world.worst_window()), (starts, most), "{script:?}");
            let tripped = world.notes.iter().find(|(_, note)| matches!(note, Note::Tripped { .. }));
            let first = tripped.map(|(at, _)| at.0);
            assert_eq!(first.is_some(), trip.is_some(), "{script:?}");
            let Some((first, (lives, waits))) = first.zip(trip) else { continue };
            // Each end takes 3 ms.
            let (waited, ends) = (if waits == 5 { 7_750 } else { 61_750 }, 3 * waits);
            let range = lives + ends + waited / 2..=lives + ends + waited;
            assert!(range.contains(&first), "{script:?}: tripped at {first} and not in {range:?}");
        }
    }
}

#[test]
fn a_start_waits_for_its_turn_and_then_has_its_whole_time() {
    let mut told = Told::new(Options::default());
    assert_eq!(told.life.poll_timeout(), Some((Time(60_000), Why::Grant)));
    told.due(59_999);
    assert_eq!(told.actions, []);
    let mut late = Told { life: told.life.clone(), actions: Vec::new(), notes: Vec::new() };
    late.due(60_000);
    assert_eq!(late.actions, [Action::Close { incarnation: FIRST }]);
    assert_eq!((late.deaths(60_000), late.life.run()), (0, 0));
    assert_eq!(late.life.last_failure(), Some(Failure::Resource));

    told.at(59_999, Event::Granted(FIRST));
    assert_eq!(told.life.poll_timeout(), Some((Time(89_999), Why::Handshake)));
    told.at(60_000, Event::Granted(FIRST));
    assert_eq!(told.life.poll_timeout(), Some((Time(89_999), Why::Handshake)), "only once");
    told.due(89_999);
    assert_eq!((told.deaths(89_999), told.life.last_failure()), (1, Some(Failure::Overdue)));
}

#[test]
fn what_passes_right_after_a_gap_is_no_death() {
    let check = |after: u64, counts: u32| {
        let mut told = Told::ready(Options::default(), 0);
        told.at(100_000, Event::ClockJumped(Duration::from_secs(90)));
        told.fails(100_000 + after, Failure::Overdue);
        assert_eq!(told.deaths(100_000 + after), counts, "{after} ms after the gap");
        assert_eq!(told.life.run(), counts);
        assert!(matches!(told.life.state(), State::Backoff { .. }));
    };
    check(0, 0);
    check(9_999, 0);
    check(10_000, 1);
    // An exit is an exit.
    let mut told = Told::ready(Options::default(), 0);
    told.at(100_000, Event::ClockJumped(Duration::from_secs(90)));
    told.fails(100_000, Failure::Death);
    assert_eq!(told.deaths(100_000), 1);
}

#[test]
fn a_start_over_a_gap_has_ten_seconds_at_least() {
    let check = |gap: u64, due: u64| {
        let mut told = Told::new(Options::default());
        told.at(0, Event::Granted(FIRST));
        let now = 29_000 + gap;
        told.at(now, Event::ClockJumped(Duration::from_millis(gap)));
        assert_eq!(told.life.poll_timeout(), Some((Time(due), Why::Handshake)), "gap of {gap}");
        told.due(due);
        assert_eq!(told.deaths(due), 1, "then it had its time");
    };
    check(5_000, 44_000);
    check(100_000, 139_000);
    let mut told = Told::new(Options::default());
    told.at(20_000, Event::ClockJumped(Duration::from_secs(10)));
    assert_eq!(told.life.poll_timeout(), Some((Time(70_000), Why::Grant)), "it moves by the gap");
}

#[test]
fn a_clean_exit_is_a_death_unless_it_may_leave() {
    let idle = || Options { on_exit_0: OnExitZero::Idle, ..Options::default() };
    let check = |options: Options, ready: u64, health: Health, deaths: u32| {
        let mut told = Told::ready(options, 1_000);
        told.fails(1_000 + ready, Failure::CleanExit);
        let found = (told.life.health(), told.deaths(1_000 + ready));
        assert_eq!(found, (health, deaths), "ready for {ready} ms");
        let retired = told
            .notes
            .contains(&Note::Retired { incarnation: FIRST, is_idle: health == Health::Idle });
        assert_eq!(retired, health != Health::Recovering);
    };
    check(Options::default(), 600_000, Health::Recovering, 1);
    check(idle(), 9_999, Health::Idle, 1);
    check(idle(), 10_000, Health::Idle, 0);
    check(
        Options { restart: Restart::OnFailure, ..Options::default() },
        20_000,
        Health::Stopped,
        1,
    );
    check(Options { restart: Restart::OnFailure, ..idle() }, 20_000, Health::Idle, 0);
    check(Options { restart: Restart::Never, ..idle() }, 20_000, Health::Stopped, 0);
    check(Options { restart: Restart::Never, ..Options::default() }, 20_000, Health::Stopped, 1);
    // Another end is no wish to leave.
    let mut told = Told::ready(idle(), 0);
    told.fails(20_000, Failure::Death);
    assert_eq!(told.life.health(), Health::Recovering);
    // One that was never ready did nothing for anybody.
    let mut told = Told::new(idle());
    told.fails(20_000, Failure::CleanExit);
    assert_eq!((told.life.health(), told.deaths(20_000)), (Health::Idle, 1));
}

#[test]
fn a_clean_exit_at_once_trips_like_any_other_crash() {
    for on_exit_0 in [OnExitZero::Restart, OnExitZero::Idle] {
        let options = Options { on_exit_0, ..Options::default() };
        let mut told = Told::new(options);
        for n in 0..6 {
            told.fails(n, Failure::CleanExit);
            told.at(n, Event::Demand);
            if let State::Backoff { until } = *told.life.state() {
                told.due(until.0);
            }
        }
        assert_eq!(told.life.health(), Health::Tripped, "{on_exit_0:?}");
    }
}

#[test]
fn a_trial_that_leaves_has_failed() {
    let options = Options {
        on_exit_0: OnExitZero::Idle,
        probation: Duration::from_secs(30),
        max_deaths: 0,
        ..Options::default()
    };
    let mut told = Told::new(options);
    told.fails(0, Failure::Death);
    told.at(1, Event::Restart);
    let trial = told.life.incarnation();
    told.at(1, Event::Connected(trial));
    told.fails(20_000, Failure::CleanExit);
    assert_eq!(told.life.tripped_by(), Some(TripCause::TrialFailed));
    assert_eq!(told.life.health(), Health::Tripped);
}

#[test]
fn restart_decides_what_follows_a_death() {
    let check = |restart: Restart, failure: Failure, health: Health| {
        let mut told = Told::ready(Options { restart, ..Options::default() }, 0);
        told.fails(1_000, failure);
        assert_eq!(told.life.health(), health, "{restart:?}, {failure:?}");
    };
    for restart in [Restart::Always, Restart::OnFailure] {
        check(restart, Failure::Death, Health::Recovering);
        check(restart, Failure::Overdue, Health::Recovering);
        check(restart, Failure::Resource, Health::Recovering);
        check(restart, Failure::Permanent, Health::Tripped);
    }
    check(Restart::Never, Failure::Death, Health::Stopped);
    check(Restart::Never, Failure::Overdue, Health::Stopped);
    check(Restart::Never, Failure::Resource, Health::Recovering);
    check(Restart::Never, Failure::Permanent, Health::Tripped);
    let mut told = Told::new(Options { restart: Restart::Never, ..Options::default() });
    told.fails(0, Failure::Permanent);
    assert_eq!(told.life.state(), &State::Open { trial: NextTrial::Never }, "nothing by itself");
}

#[test]
fn only_two_ends_in_the_search_for_the_era_are_no_deaths() {
    let mut told = Told::new(Options::default());
    for n in 1..=2 {
        told.fails(n, Failure::EraProbe);
        assert_eq!(told.deaths(n), 0);
        let next = Action::Connect { incarnation: Incarnation(n + 1), trial: false };
        assert_eq!(told.actions, [next], "at once");
    }
    told.fails(3, Failure::EraProbe);
    assert_eq!((told.deaths(3), told.actions.clone()), (1, vec![]));
    // A connect does not make them forgotten, a stable life does.
    let (due, _) = told.life.poll_timeout().unwrap();
    told.due(due.0);
    told.at(due.0, Event::Connected(Incarnation(4)));
    told.due(due.0 + 60_000);
    told.fails(due.0 + 60_000, Failure::EraProbe);
    assert_eq!(told.deaths(due.0 + 60_000), 1, "a ready one is not asked any more");
    let (due, _) = told.life.poll_timeout().unwrap();
    told.due(due.0);
    told.fails(due.0, Failure::EraProbe);
    assert_eq!(told.deaths(due.0), 1);
    assert_eq!(told.life.incarnation(), Incarnation(6));
}

#[test]
fn a_degraded_life_earns_nothing_until_it_is_heard() {
    let mut told = Told::ready(Options::default(), 0);
    told.at(40_000, Event::Degraded(FIRST));
    told.at(50_000, Event::Degraded(FIRST));
    assert_eq!((told.life.health(), told.notes.clone()), (Health::Degraded, vec![]));
    assert_eq!(told.life.poll_timeout(), None);
    told.due(60_000);
    assert_eq!(told.life.health(), Health::Degraded);
    let mut hung = Told { life: told.life.clone(), actions: Vec::new(), notes: Vec::new() };
    hung.fails(60_000, Failure::Overdue);
    assert_eq!(hung.life.run(), 1, "it was never stable");
    told.at(61_000, Event::Heard(FIRST));
    assert_eq!(told.notes, [Note::Recovered { incarnation: FIRST }]);
    assert_eq!(told.life.poll_timeout(), Some((Time(60_000), Why::Stable)));
    told.due(61_000);
    assert_eq!((told.life.health(), told.notes.clone()), (Health::Ready, vec![Note::Stable]));
    told.at(61_000, Event::Heard(FIRST));
    assert_eq!(told.notes, []);
}

#[test]
fn one_that_hangs_after_every_handshake_trips() {
    let script = Script { ready: Some(200), dies: Some((60_000, Failure::Overdue)), ends: Some(3) };
    let mut world = World::start(Options::default(), 1, move |_| script);
    for _ in 0..HOUR / 1000 {
        if let State::Ready { since, is_degraded: false, .. } = *world.life.state()
            && since + Duration::from_secs(40) <= world.now
        {
            let incarnation = world.life.incarnation();
            world.tell(Event::Degraded(incarnation));
        }
        world.run(1_000);
    }
    assert_eq!(world.trips().first(), Some(&TripCause::NeverStable { run: 9 }));
}

#[test]
fn an_idle_one_starts_with_a_caller_and_rests_again() {
    let mut told = Told { life: Life::new(Options::default(), 1), actions: vec![], notes: vec![] };
    told.at(0, Event::Demand);
    assert_eq!(told.life.health(), Health::Stopped, "nobody wants it");
    told.at(0, Event::Lazy);
    assert_eq!((told.life.health(), told.life.poll_timeout()), (Health::Idle, None));
    told.at(0, Event::Rest);
    told.at(5, Event::Demand);
    assert_eq!(told.actions, [Action::Connect { incarnation: FIRST, trial: false }]);
    told.at(5, Event::Rest);
    assert_eq!(told.life.health(), Health::Recovering, "what starts is not idle");
    told.at(6, Event::Connected(FIRST));
    told.at(7, Event::Rest);
    assert_eq!(told.actions, [Action::Close { incarnation: FIRST }]);
    assert_eq!(told.notes, [Note::Rested { incarnation: FIRST }]);
    assert_eq!(told.life.health(), Health::Idle);
    let mut called = Told { life: told.life.clone(), actions: vec![], notes: vec![] };
    told.at(8, Event::Gone { incarnation: FIRST });
    assert_eq!((told.life.state(), told.deaths(8)), (&State::Idle, 0));
    // A caller came while it ended.
    called.at(8, Event::Demand);
    called.at(8, Event::Gone { incarnation: FIRST });
    assert_eq!(called.life.incarnation(), Incarnation(2));
}

#[test]
fn an_operators_restart_is_no_death_and_keeps_the_past() {
    let mut told = Told::ready(Options::default(), 0);
    told.fails(1_000, Failure::Death);
    let (due, _) = told.life.poll_timeout().unwrap();
    told.at(1_001, Event::Restart);
    assert_eq!(told.life.incarnation(), Incarnation(2), "before the backoff is over at {due:?}");
    told.at(1_002, Event::Restart);
    assert_eq!(told.actions, [Action::Close { incarnation: Incarnation(2) }]);
    told.at(1_003, Event::Gone { incarnation: Incarnation(2) });
    assert_eq!(told.actions, [Action::Connect { incarnation: Incarnation(3), trial: false }]);
    assert_eq!((told.deaths(1_003), told.life.run()), (1, 1));
    // One that was stable by then has earned it.
    told.at(2_000, Event::Connected(Incarnation(3)));
    told.at(62_000, Event::Restart);
    assert_eq!(told.life.run(), 0);
}

#[test]
fn a_reset_ends_a_probation_and_takes_nothing_that_was_earned() {
    let mut told = Told::new(Options { max_deaths: 0, ..Options::default() });
    told.fails(0, Failure::Death);
    told.at(1, Event::Restart);
    told.at(2, Event::Connected(Incarnation(2)));
    let standing = |told: &Told| {
        let State::Ready { standing, .. } = told.life.state() else { return None };
        Some(*standing)
    };
    assert_eq!(standing(&told), Some(Standing::Probation));
    told.at(3, Event::Reset);
    assert_eq!((standing(&told), told.life.tripped_by()), (Some(Standing::New), None));
    told.due(60_002);
    told.at(60_003, Event::Reset);
    assert_eq!(standing(&told), Some(Standing::Stable));
}

#[test]
fn only_the_very_first_start_may_install() {
    let first_handshake_timeout = Some(Duration::from_secs(60));
    let options = Options { first_handshake_timeout, ..Options::default() };
    let mut told = Told::new(options);
    told.at(5, Event::Granted(FIRST));
    assert_eq!(told.life.poll_timeout(), Some((Time(60_005), Why::Handshake)));
    told.fails(40_000, Failure::Death);
    told.due(41_000);
    told.at(41_000, Event::Granted(Incarnation(2)));
    assert_eq!(told.life.poll_timeout(), Some((Time(71_000), Why::Handshake)));
}

#[test]
fn new_limits_hold_from_the_next_decision_on() {
    let mut told = Told::new(Options::default());
    let handshake_timeout = Duration::from_secs(5);
    let options = Options { handshake_timeout, max_deaths: 0, ..Options::default() };
    told.life.set_options(options.clone());
    assert_eq!(told.life.options(), &options);
    assert_eq!(told.life.poll_timeout(), Some((Time(60_000), Why::Grant)), "what was set stays");
    told.at(0, Event::Granted(FIRST));
    told.due(5_000);
    assert_eq!(told.life.health(), Health::Tripped);
}
