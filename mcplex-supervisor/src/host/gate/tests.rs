use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn options() -> HostOptions {
    HostOptions { max_starts: 4, starts_per_second: 10, starts_burst: 20, fd_reserve: 64 }
}

fn gate(seats: u64, options: HostOptions) -> Gate {
    let mut gate = Gate::new(options, 1);
    (0..seats).for_each(|seat| gate.enter(seat));
    gate
}

fn plenty() -> Option<usize> {
    Some(10_000)
}

/// No processor is idle.
fn busy() -> bool {
    false
}

#[test]
fn an_idle_processor_is_given_a_start_also_when_many_are_under_way() {
    let mut gate = gate(6, options());
    (0..6).for_each(|seat| gate.ask(seat, Time(0)));
    (0..4).for_each(|seat| assert_eq!(gate.poll(seat, Time(0), busy, plenty), Answer::Go));
    assert_eq!(gate.poll(4, Time(0), busy, plenty), Answer::At(Time(10)));
    assert_eq!(gate.poll(4, Time(10), || true, plenty), Answer::Go);
    assert_eq!(gate.poll(5, Time(10), busy, plenty), Answer::At(Time(20)));
}

#[test]
fn so_many_starts_are_under_way_and_the_rest_come_in_order() {
    let mut gate = gate(6, options());
    (0..6).for_each(|seat| gate.ask(seat, Time(0)));
    assert_eq!(gate.poll(1, Time(0), busy, plenty), Answer::Wait, "not before the first");
    for seat in 0..4 {
        assert_eq!(gate.poll(seat, Time(0), busy, plenty), Answer::Go);
    }
    assert_eq!(gate.poll(4, Time(0), busy, plenty), Answer::At(Time(10)));
    gate.over(2, Outcome::Borne, Time(5));
    assert_eq!(gate.first(Time(5)), Some(4));
    assert_eq!(gate.poll(5, Time(5), busy, plenty), Answer::Wait);
    assert_eq!(gate.poll(4, Time(5), busy, plenty), Answer::Go);
    // One that has left makes room as well.
    gate.forget(0);
    gate.over(0, Outcome::Unknown, Time(6));
    assert_eq!(gate.poll(5, Time(6), busy, plenty), Answer::Go);
}

#[test]
fn a_start_that_takes_long_holds_nobody_up() {
    let mut gate = gate(6, options());
    (0..6).for_each(|seat| gate.ask(seat, Time(seat)));
    (0..4).for_each(|seat| assert_eq!(gate.poll(seat, Time(seat), busy, plenty), Answer::Go));
    assert_eq!(gate.poll(4, Time(9_999), busy, plenty), Answer::At(Time(10_000)));
    assert_eq!(gate.poll(4, Time(10_000), busy, plenty), Answer::Go);
    assert_eq!(gate.poll(5, Time(10_000), busy, plenty), Answer::At(Time(10_001)));
}

#[test]
fn the_bucket_gives_a_burst_and_then_so_many_a_second() {
    // Of many upstreams, for one alone has less.
    let mut gate = gate(49, HostOptions { max_starts: 1000, ..options() });
    let mut starts = Vec::new();
    (0..49).for_each(|seat| gate.ask(seat, Time(0)));
    for ms in 0..3000 {
        while let Some(seat) = gate.first(Time(ms))
            && gate.poll(seat, Time(ms), busy, plenty) == Answer::Go
        {
            starts.push(ms);
        }
    }
    assert_eq!(starts.iter().filter(|ms| **ms == 0).count(), 20);
    assert_eq!(starts.len(), 20 + 29);
    assert_eq!(starts[20..23], [100, 200, 300]);
}

#[test]
fn one_upstream_alone_has_a_pace_of_its_own_and_holds_nobody_up() {
    let mut gate = gate(2, options());
    let mut starts = Vec::new();
    gate.ask(0, Time(0));
    for ms in 0..2000 {
        while gate.poll(0, Time(ms), busy, plenty) == Answer::Go {
            starts.push(ms);
            gate.over(0, Outcome::Borne, Time(ms));
            gate.up(0);
            gate.down(0);
            // It wants to start again as soon as it has.
            gate.ask(0, Time(ms));
        }
        if ms == 300 {
            // The other one comes first although it asked later.
            gate.ask(1, Time(ms));
            assert_eq!(gate.first(Time(ms)), Some(1));
            assert_eq!(gate.poll(1, Time(ms), busy, plenty), Answer::Go);
            assert_eq!(gate.poll(0, Time(ms), busy, plenty), Answer::At(Time(500)));
        }
    }
    assert_eq!(starts, [0, 0, 0, 0, 0, 250, 500, 750, 1000, 1250, 1500, 1750]);
    // What was quiet for a while may do as much at once again, and no more.
    let later = Time(60_000);
    gate.ask(0, later);
    let burst = std::iter::from_fn(|| {
        let has_gone = gate.poll(0, later, busy, plenty) == Answer::Go;
        gate.ask(0, later);
        has_gone.then_some(())
    });
    assert_eq!(burst.count(), 5);
}

#[test]
fn nothing_starts_while_descriptors_are_short() {
    let mut gate = gate(2, options());
    gate.ask(0, Time(0));
    gate.ask(1, Time(0));
    assert_eq!(gate.poll(0, Time(0), busy, || Some(63)), Answer::At(Time(1000)));
    assert_eq!(gate.poll(0, Time(1000), busy, || Some(64)), Answer::Go);
    // What the first will open is not there yet and counts already.
    assert_eq!(gate.poll(1, Time(1000), busy, || Some(71)), Answer::At(Time(2000)));
    assert_eq!(gate.poll(1, Time(2000), busy, || None), Answer::Go, "unknown is no reason to wait");
}

#[test]
fn a_lack_of_resources_holds_back_all_and_one_tries_for_all() {
    let mut gate = gate(3, options());
    (0..3).for_each(|seat| gate.ask(seat, Time(0)));
    assert_eq!(gate.poll(0, Time(0), busy, plenty), Answer::Go);
    assert_eq!(gate.poll(1, Time(0), busy, plenty), Answer::Go);
    gate.over(0, Outcome::Lacked, Time(0));
    // A second one of the same moment says nothing new.
    gate.over(1, Outcome::Lacked, Time(10));
    assert_eq!(gate.poll(2, Time(10), busy, plenty), Answer::At(Time(1000)));
    assert_eq!(gate.poll(2, Time(1000), busy, plenty), Answer::Go);
    gate.ask(0, Time(1000));
    assert_eq!(gate.poll(0, Time(1000), busy, plenty), Answer::Wait, "one alone tries");
    let mut at = 1000;
    for wait in [2, 4, 8, 16, 30, 30].map(|secs| secs * 1000) {
        gate.over(2, Outcome::Lacked, Time(at));
        gate.leave(0);
        gate.ask(2, Time(at));
        assert_eq!(gate.poll(2, Time(at), busy, plenty), Answer::At(Time(at + wait)));
        at += wait;
        assert_eq!(gate.poll(2, Time(at), busy, plenty), Answer::Go);
    }
    // A trial that was given up decides nothing; the next one tries.
    gate.over(2, Outcome::Unknown, Time(at));
    gate.ask(0, Time(at));
    gate.ask(1, Time(at));
    assert_eq!(gate.poll(0, Time(at), busy, plenty), Answer::Go);
    assert_eq!(gate.poll(1, Time(at), busy, plenty), Answer::Wait);
    gate.over(0, Outcome::Borne, Time(at));
    assert_eq!(gate.poll(1, Time(at), busy, plenty), Answer::Go);
}

#[test]
fn half_of_the_upstreams_dying_together_come_back_as_one_wave() {
    let mut gate = gate(10, options());
    (0..10).for_each(|seat| gate.up(seat));
    let storm: Vec<_> = (0..6).map(|seat| gate.died(seat, Time(1000 + seat * 100))).collect();
    assert_eq!(storm, [false, false, false, false, true, false]);
    let mut turns = Vec::new();
    for seat in 0..6 {
        gate.ask(seat, Time(1600));
        let Answer::At(at) = gate.poll(seat, Time(1600), busy, plenty) else { panic!("{seat}") };
        turns.push(at.0);
    }
    assert!(turns.iter().all(|at| (2400..=3400).contains(at)), "{turns:?}");
    turns.sort_unstable();
    turns.dedup();
    assert!(turns.len() > 3, "spread: {turns:?}");
    // After the wave a start is a start.
    gate.ask(9, Time(3500));
    (0..6).for_each(|seat| gate.leave(seat));
    assert_eq!(gate.poll(9, Time(3500), busy, plenty), Answer::Go);
}

#[test]
fn few_deaths_or_old_ones_or_those_of_what_never_ran_are_no_storm() {
    let mut two = gate(2, options());
    (0..2).for_each(|seat| two.up(seat));
    assert!(!(0..2).any(|seat| two.died(seat, Time(0))));
    let mut slow = gate(3, options());
    (0..3).for_each(|seat| slow.up(seat));
    assert!(!(0..3).any(|seat| slow.died(seat, Time(seat * 5001))));
    let mut never_up = gate(3, options());
    assert!(!(0..3).any(|seat| never_up.died(seat, Time(0))));
    let mut stopped = gate(4, options());
    (0..4).for_each(|seat| stopped.up(seat));
    (0..4).for_each(|seat| stopped.down(seat));
    assert!(!(0..4).any(|seat| stopped.died(seat, Time(0))));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u64),
    Leave(u64),
    Over(u64, u8),
    Up(u64),
    Died(u64),
    Forget(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let seat = 0..8_u64;
    prop_oneof![
        6 => seat.clone().prop_map(Step::Ask),
        1 => seat.clone().prop_map(Step::Leave),
        6 => (seat.clone(), 0..3_u8).prop_map(|(seat, how)| Step::Over(seat, how)),
        3 => seat.clone().prop_map(Step::Up),
        3 => seat.clone().prop_map(Step::Died),
        1 => seat.prop_map(Step::Forget),
        4 => prop_oneof![Just(1), Just(100), Just(1000), Just(40_000)].prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens: never more than `max_starts`, and whoever waits gets its turn once the
    /// others are over.
    #[test]
    fn nobody_is_forgotten(steps in prop::collection::vec(step(), 1..120)) {
        let mut gate = gate(8, options());
        let (mut now, mut waiting, mut under_way) = (Time(0), BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Ask(seat) if !under_way.contains(&seat) => {
                    gate.ask(seat, now);
                    waiting.insert(seat);
                }
                Step::Ask(_) => {}
                Step::Leave(seat) => {
                    gate.leave(seat);
                    waiting.remove(&seat);
                }
                Step::Over(seat, how) => {
                    let outcomes = [Outcome::Borne, Outcome::Lacked, Outcome::Unknown];
                    gate.over(seat, outcomes[usize::from(how)], now);
                    under_way.remove(&seat);
                }
                Step::Up(seat) => gate.up(seat),
                Step::Died(seat) => drop(gate.died(seat, now)),
                Step::Forget(seat) => {
                    gate.forget(seat);
                    waiting.remove(&seat);
                }
                Step::Pass(ms) => now = now + Duration::from_millis(ms),
            }
            // As the drivers do it: the first is woken.
            while let Some(seat) = gate.first(now) {
                if gate.poll(seat, now, busy, plenty) != Answer::Go {
                    break;
                }
                waiting.remove(&seat);
                under_way.insert(seat);
            }
            let held = gate.starting.values().filter(|since| now.since(**since) < HOLD).count();
            prop_assert!(held <= 4);
        }
        for seat in std::mem::take(&mut under_way) {
            gate.over(seat, Outcome::Borne, now);
        }
        for _ in 0..40 {
            now = now + Duration::from_secs(31);
            while let Some(seat) = gate.first(now) {
                prop_assert_eq!(gate.poll(seat, now, busy, plenty), Answer::Go);
                gate.borne(seat);
                gate.over(seat, Outcome::Unknown, now);
                waiting.remove(&seat);
            }
        }
        prop_assert!(waiting.is_empty(), "{:?}", waiting);
    }
}
