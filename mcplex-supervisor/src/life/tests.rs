use super::{
    world::{Script, World},
    *,
};
use crate::breaker::TripCause;
use mcplex_proto::upstream::Health;

const HOUR: u64 = 3_600_000;
const NEVER: fn() -> Options = || Options { cooldown_never: true, ..Options::default() };

mod the_seed {
    //! Incidents of the original mcplex, whose respawn tasks multiplied: never again.

    use super::*;

    /// Issue 16: a server without its credentials died during the handshake; 3,012 starts a minute,
    /// and 26 with the breaker that was proposed.
    #[test]
    fn a_death_in_the_handshake_makes_six_starts_and_one_trip() {
        for after in [0, 500, 6000] {
            for seed in 0..50 {
                let mut world =
                    World::start(NEVER(), seed, move |_| Script::dies_in_handshake(after));
                world.run(HOUR);
                assert_eq!(world.spawns.len(), 6, "dies after {after} ms, seed {seed}");
                let window = Duration::from_secs(60);
                assert_eq!(world.trips(), [TripCause::TooManyDeaths { deaths: 6, window }]);
                assert_eq!(world.life.health(), Health::Tripped);
                assert_eq!(world.life.state(), &State::Open { trial: NextTrial::Never });
            }
        }
    }

    /// Pull request 17: the respawn task's own counter began again after each good handshake, so
    /// it never gave up: 44 starts in 92 s.
    #[test]
    fn a_death_right_after_the_handshake_makes_six_starts_and_one_trip() {
        for after in [0, 300, 2000] {
            for seed in 0..50 {
                let mut world =
                    World::start(NEVER(), seed, move |_| Script::dies_when_ready(after));
                world.run(HOUR);
                assert_eq!(world.spawns.len(), 6, "dies after {after} ms, seed {seed}");
                assert_eq!(world.trips().len(), 1);
            }
        }
    }

    /// A hang in the handshake leaked the child for ever or branched as well.
    #[test]
    fn a_hang_in_the_handshake_is_ended_and_trips_by_its_run() {
        let mute = Script { ready: None, dies: None, ends: Some(4000) };
        let mut world = World::start(NEVER(), 1, move |_| mute);
        world.run(HOUR);
        assert_eq!(world.trips(), [TripCause::NeverStable { run: 9 }]);
        assert_eq!(world.spawns.len(), 9);
    }

    /// A healthy server that crashed once and whose first respawn failed was flapped for ever.
    #[test]
    fn one_crash_and_one_failed_respawn_end_in_a_stable_life() {
        let mut world = World::start(Options::default(), 1, |incarnation| match incarnation {
            1 => Script::dies_when_ready(90_000),
            2 => Script::dies_in_handshake(100),
            _ => Script::HEALTHY,
        });
        world.run(HOUR);
        assert_eq!(world.spawns.len(), 3);
        assert_eq!(world.trips(), []);
        assert_eq!(world.life.health(), Health::Ready);
        assert_eq!(world.notes.last().unwrap().1, Note::Stable);
    }
}

#[test]
fn a_slow_crasher_trips_by_its_run_and_a_stable_one_never() {
    let check = |alive: u64, expect: &[TripCause], spawns: std::ops::RangeInclusive<usize>| {
        for seed in 0..20 {
            let mut world = World::start(NEVER(), seed, move |_| Script::dies_when_ready(alive));
            world.run(HOUR);
            assert_eq!(world.trips(), expect, "lives {alive} ms");
            assert!(spawns.contains(&world.spawns.len()), "{alive} ms: {}", world.spawns.len());
        }
    };
    let never_stable = [TripCause::NeverStable { run: 9 }];
    check(12_000, &never_stable, 9..=9);
    check(59_000, &never_stable, 9..=9);
    check(59_999, &never_stable, 9..=9);
    check(60_000, &[], 55..=60);
    check(61_000, &[], 55..=60);
}

#[test]
fn an_hour_of_any_crash_loop_costs_a_handful_of_starts() {
    for script in [
        Script::dies_in_handshake(0),
        Script::dies_in_handshake(6000),
        Script::dies_when_ready(0),
        Script::dies_when_ready(9_999),
        Script::dies_when_ready(12_000),
        Script::dies_when_ready(30_000),
        Script::dies_when_ready(59_999),
    ] {
        for seed in 0..20 {
            let mut world = World::start(Options::default(), seed, move |_| script);
            world.run(HOUR);
            assert!(world.spawns.len() <= 16, "{script:?}: {}", world.spawns.len());
            assert!(world.worst_window() <= 6, "{script:?}: {}", world.worst_window());
            assert!(!world.trips().is_empty());
        }
    }
}

#[test]
fn five_trials_start_by_themselves_and_further_ones_need_a_caller() {
    let mut world = World::start(Options::default(), 7, |_| Script::dies_in_handshake(10));
    world.run(24 * HOUR);
    let trials = world.spawns.iter().filter(|(_, trial)| *trial).count();
    assert_eq!((world.spawns.len(), trials, world.life.trips()), (11, 5, 6));
    let State::Open { trial: NextTrial::OnDemand { from } } = *world.life.state() else {
        panic!("{:?}", world.life)
    };
    assert!(from < world.now);
    world.tell(Event::Demand);
    world.tell(Event::Demand);
    assert_eq!(world.spawns.len(), 12);
    world.run(1000);
    let due = world.life.retry_at().unwrap();
    world.tell(Event::Demand);
    world.run(due.since(world.now).as_millis() as u64 - 1);
    world.tell(Event::Demand);
    assert_eq!(world.spawns.len(), 12, "the cool-down holds for callers too");
    world.run(1);
    assert_eq!(world.spawns.len(), 12, "nothing starts without a caller");
    world.tell(Event::Demand);
    assert_eq!(world.spawns.len(), 13);
}

#[test]
fn a_trial_closes_the_breaker_when_it_is_ready_for_ten_seconds() {
    let check = |alive: u64, expect: Option<TripCause>| {
        let mut world = World::start(Options::default(), 7, move |incarnation| {
            let dies = if incarnation <= 6 { 0 } else { alive };
            Script::dies_when_ready(dies)
        });
        world.run_to_trip();
        let due = world.life.retry_at().unwrap();
        world.run(due.since(world.now).as_millis() as u64);
        assert_eq!(world.spawns.last(), Some(&(world.now, true)));
        assert_eq!(world.life.health(), Health::Recovering);
        world.run(210 + alive);
        assert_eq!(world.trips().get(1).copied(), expect, "alive {alive}");
        let closed = world.notes.iter().any(|(_, note)| *note == Note::BreakerClosed);
        assert_eq!(closed, expect.is_none());
    };
    check(0, Some(TripCause::TrialFailed));
    check(9_999, Some(TripCause::TrialFailed));
    check(10_000, None);
    check(30_000, None);
}

#[test]
fn a_stable_life_forgives_backoff_run_and_trips() {
    let mut world = World::start(Options::default(), 7, |incarnation| match incarnation {
        ..=6 => Script::dies_in_handshake(0),
        7 => Script::dies_when_ready(60_000),
        _ => Script::HEALTHY,
    });
    world.run_to_trip();
    assert_eq!((world.life.trips(), world.life.run()), (1, 6));
    let due = world.life.retry_at().unwrap().since(world.now).as_millis() as u64;
    world.run(due + 200 + 59_999);
    assert_eq!((world.life.trips(), world.life.run(), world.life.tripped_by()), (1, 6, None));
    world.run(1);
    assert_eq!((world.life.trips(), world.life.run()), (0, 0));
    world.run(3);
    let Some((_, Note::Waiting { delay, attempt: 1 })) = world.notes.last() else {
        panic!("{:?}", world.notes)
    };
    assert!(*delay <= Duration::from_millis(250));
}

#[test]
fn what_only_a_person_can_repair_trips_at_once() {
    let broken = Script { ready: None, dies: Some((5, Failure::Permanent)), ends: Some(0) };
    let mut world = World::start(Options::default(), 7, move |_| broken);
    world.run(10);
    assert_eq!((world.trips(), world.spawns.len()), (vec![TripCause::Permanent], 1));
    assert_eq!(world.life.last_failure(), Some(Failure::Permanent));
    let wait = world.life.retry_at().unwrap().since(world.now);
    assert!(wait > Duration::from_secs(14 * 60) && wait <= Duration::from_secs(18 * 60));
    world.run(HOUR);
    assert!((3..=5).contains(&world.spawns.len()));
}

#[test]
fn a_failure_of_the_host_backs_off_and_is_no_death() {
    let starved = Script { ready: None, dies: Some((1, Failure::Resource)), ends: Some(0) };
    let mut world = World::start(Options::default(), 7, move |_| starved);
    world.run(HOUR);
    assert_eq!((world.trips(), world.life.deaths(world.now), world.life.run()), (vec![], 0, 0));
    assert!((120..=260).contains(&world.spawns.len()), "{}", world.spawns.len());
    assert!(world.worst_window() <= 11, "{}", world.worst_window());
}

#[test]
fn a_trial_that_met_a_failure_of_the_host_is_repeated_and_not_judged() {
    let mut world = World::start(Options::default(), 7, |incarnation| match incarnation {
        ..=6 => Script::dies_in_handshake(0),
        7..=9 => Script { ready: None, dies: Some((1, Failure::Resource)), ends: Some(0) },
        _ => Script::HEALTHY,
    });
    world.run(10 * 60_000);
    assert_eq!((world.trips().len(), world.spawns.len()), (1, 10));
    assert!(world.spawns[6..].iter().all(|(_, trial)| *trial));
    assert_eq!(world.life.health(), Health::Ready);
}

#[test]
fn nothing_starts_over_what_cannot_be_ended() {
    let mut undead = Script::dies_when_ready(1000);
    undead.ends = None;
    let mut world = World::start(Options::default(), 7, move |_| undead);
    world.run(HOUR);
    world.tell(Event::Reset);
    world.tell(Event::Stop);
    world.tell(Event::Start);
    world.run(HOUR);
    assert_eq!(world.spawns.len(), 1);
    let alarm = Note::Unkillable { incarnation: Incarnation(1) };
    assert!(world.notes.iter().filter(|(_, note)| *note == alarm).count() > 100);
    world.tell(Event::Gone { incarnation: Incarnation(1) });
    assert_eq!(world.spawns.len(), 2, "once it is gone the start that was asked for comes");
}

#[test]
fn a_close_that_is_never_answered_is_asked_for_again() {
    let mut life = starting();
    life.handle_event(Event::Stop, Time(5));
    assert_eq!(life.poll_action(), Some(CLOSE_1));
    assert_eq!(life.poll_timeout(), Some((Time(11_005), Why::Close)));
    life.handle_timeout(Time(11_005));
    assert_eq!(life.poll_action(), Some(CLOSE_1));
    assert_eq!(life.poll_note(), Some(Note::Unkillable { incarnation: Incarnation(1) }));
    assert_eq!(life.poll_timeout(), Some((Time(16_005), Why::Close)));
}

const FIRST: Incarnation = Incarnation(1);
const CLOSE_1: Action = Action::Close { incarnation: FIRST };
const DEATH_1: Event = Event::Failed { incarnation: FIRST, failure: Failure::Death };
const GONE_1: Event = Event::Gone { incarnation: FIRST };

/// A life that was started at 0 and whose first incarnation connects.
fn starting() -> Life {
    after(&[Event::Start, Event::Granted(FIRST)], Options::default())
}

/// A life after these events, all at 0; its actions and notes are taken.
fn after(events: &[Event], options: Options) -> Life {
    let mut life = Life::new(options, 1);
    for event in events {
        life.handle_event(*event, Time(0));
        while life.poll_action().is_some() {}
        while life.poll_note().is_some() {}
    }
    life
}

#[test]
fn what_people_ask_for_does_the_right_thing_in_every_state() {
    use Event::{Connected, Reset, Start, Stop};
    let check = |path: &[Event], event: Event, health: Health, actions: &[Action]| {
        let options = Options { max_deaths: 0, ..Options::default() };
        let mut life = after(path, options);
        life.handle_event(event, Time(1));
        let done: Vec<Action> = std::iter::from_fn(|| life.poll_action()).collect();
        assert_eq!((life.health(), &*done), (health, actions), "{event:?} after {path:?}");
    };
    let resource = Event::Failed { incarnation: FIRST, failure: Failure::Resource };
    let connect = |n, trial| Action::Connect { incarnation: Incarnation(n), trial };
    let stopped: &[Event] = &[];
    let ready: &[Event] = &[Start, Connected(FIRST)];
    let stopping: &[Event] = &[Start, Stop];
    let backoff: &[Event] = &[Start, resource, GONE_1];
    let open: &[Event] = &[Start, DEATH_1, GONE_1];

    check(stopped, Start, Health::Recovering, &[connect(1, false)]);
    check(&[Start], Start, Health::Recovering, &[]);
    check(ready, Start, Health::Ready, &[]);
    check(stopping, Start, Health::Recovering, &[]);
    check(backoff, Start, Health::Recovering, &[]);
    check(open, Start, Health::Tripped, &[]);

    check(stopped, Stop, Health::Stopped, &[]);
    check(&[Start], Stop, Health::Stopped, &[CLOSE_1]);
    check(ready, Stop, Health::Stopped, &[CLOSE_1]);
    check(&[Start, DEATH_1], Stop, Health::Stopped, &[]);
    check(backoff, Stop, Health::Stopped, &[]);
    check(open, Stop, Health::Stopped, &[]);

    check(stopped, Reset, Health::Recovering, &[connect(1, false)]);
    check(&[Start], Reset, Health::Recovering, &[]);
    check(ready, Reset, Health::Ready, &[]);
    check(stopping, Reset, Health::Recovering, &[]);
    check(backoff, Reset, Health::Recovering, &[connect(2, false)]);
    check(open, Reset, Health::Recovering, &[connect(2, false)]);

    // What follows a stop is decided by the last word; a stop does not close the breaker.
    check(&[Start, Stop, Start], GONE_1, Health::Recovering, &[connect(2, false)]);
    check(&[Start, Stop, Start, Stop], GONE_1, Health::Stopped, &[]);
    check(&[Start, DEATH_1, Reset], GONE_1, Health::Recovering, &[connect(2, false)]);
    check(&[Start, DEATH_1, GONE_1, Stop], Start, Health::Recovering, &[connect(2, true)]);
    check(&[Start, DEATH_1, Stop], GONE_1, Health::Stopped, &[]);
    check(&[Start, DEATH_1], GONE_1, Health::Tripped, &[]);
}

#[test]
fn an_exit_in_the_same_tick_as_a_stop_is_no_death() {
    let mut life = after(&[Event::Start, Event::Connected(FIRST), Event::Stop], Options::default());
    life.handle_event(DEATH_1, Time(0));
    assert_eq!((life.poll_note(), life.deaths(Time(0))), (None, 0));
    life.handle_event(GONE_1, Time(0));
    assert_eq!(life.state(), &State::Stopped);
}

#[test]
fn one_incarnation_dies_once_and_an_earlier_one_changes_nothing() {
    let mut life = after(&[Event::Start, DEATH_1, DEATH_1, GONE_1], Options::default());
    assert_eq!(life.deaths(Time(0)), 1);
    let (due, _) = life.poll_timeout().unwrap();
    life.handle_timeout(due);
    assert_eq!(life.incarnation(), Incarnation(2));
    let before = life.clone();
    for late in [Event::Connected(FIRST), DEATH_1, GONE_1, Event::NotGone { incarnation: FIRST }] {
        life.handle_event(late, due);
        assert_eq!(life, before, "{late:?}");
    }
}

#[test]
fn a_process_that_is_gone_without_a_word_died() {
    for path in [&[Event::Start][..], &[Event::Start, Event::Connected(FIRST)]] {
        let mut life = after(path, Options::default());
        life.handle_event(GONE_1, Time(0));
        assert_eq!((life.deaths(Time(0)), life.poll_action()), (1, None));
        assert!(matches!(life.state(), State::Backoff { .. }));
    }
}

#[test]
fn the_handshake_has_its_deadline_to_the_millisecond() {
    let mut life = starting();
    life.handle_timeout(Time(29_999));
    assert_eq!((life.poll_action(), life.health()), (None, Health::Recovering));
    let mut late = life.clone();
    late.handle_timeout(Time(30_000));
    assert_eq!((late.poll_action(), late.deaths(Time(30_000))), (Some(CLOSE_1), 1));
    late.handle_event(Event::Connected(FIRST), Time(30_000));
    assert_eq!(late.health(), Health::Recovering, "too late");
    life.handle_event(Event::Connected(FIRST), Time(29_999));
    assert_eq!(life.health(), Health::Ready);
}

#[test]
fn a_gap_in_which_nothing_ran_moves_every_deadline() {
    let gap = Duration::from_secs(3600);
    let mut life = starting();
    life.handle_event(Event::ClockJumped(gap), Time(3_600_001));
    life.handle_timeout(Time(3_600_001));
    assert_eq!(life.poll_timeout(), Some((Time(3_630_000), Why::Handshake)));
    life.handle_event(Event::Connected(FIRST), Time(3_600_002));
    life.handle_event(Event::ClockJumped(gap), Time(7_200_002));
    assert_eq!(life.poll_timeout(), Some((Time(7_260_002), Why::Stable)));
}

#[test]
fn the_same_seed_and_events_give_the_same_lives() {
    let story = |seed| {
        let mut world =
            World::start(Options::default(), seed, |n| Script::dies_when_ready(n * 700));
        world.run(HOUR);
        (world.spawns, world.notes)
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}
