//! What one machine cannot show, or not in minutes: played on the rules, in made-up time.

use crate::{
    fault::{Case, Fault},
    sim::{Course, World},
};
use anyhow::ensure;
use mcplex_proto::upstream::{Health, Incarnation};
use mcplex_supervisor::{Event, Failure, Note, Options, Probe, ProbeOptions, State, Time, Verdict};
use std::time::Duration;

pub(super) const DEATH: &[Fault] = &[
    Fault::new(
        "F19",
        "crash-every-12s-and-59s",
        "the run of lives trips it, after about 156 s and 579 s",
        slow_crashers,
    )
    .simulated(),
    Fault::new("F20", "crash-every-61s", "never tripped, at most one start a minute", stable)
        .simulated(),
    Fault::new("F21", "exit-0-later", "one death, and started again", exit_later).simulated(),
    Fault::new(
        "F28",
        "death-and-stop-at-once",
        "stopped, whichever comes first; nothing starts",
        stop_and_exit,
    )
    .simulated(),
    Fault::new("F30", "late-event", "an event of another life changes nothing", late).simulated(),
];

pub(super) const TREE: &[Fault] = &[Fault::new(
    "F46",
    "unkillable",
    "an alarm again and again, and nothing is started over it",
    unkillable,
)
.simulated()];

pub(super) const TIME: &[Fault] =
    &[Fault::new("F68", "laptop-sleep", "deadlines move by the sleep, nothing dies of it", sleep)
        .simulated()];

const HOUR: Duration = Duration::from_secs(3600);

/// An hour of a server that dies after so long, every time.
fn hour_of(secs: u64) -> anyhow::Result<World> {
    let mut world = World::new(Options::default(), Course::dies_after(secs))?;
    world.pass(HOUR)?;
    Ok(world)
}

fn slow_crashers(_: &Case) -> anyhow::Result<String> {
    let mut told = Vec::new();
    for (secs, least, most) in [(12, 120, 175), (59, 540, 600)] {
        let world = hour_of(secs)?;
        let first = world.trips().first().map_or(0, |time| time.0 / 1000);
        ensure!((least..=most).contains(&first), "every {secs} s: tripped after {first} s");
        let starts = world.starts.len();
        ensure!(starts <= 20, "every {secs} s: {starts} starts in an hour");
        told.push(format!("every {secs} s: tripped after {first} s, {starts} starts an hour"));
    }
    Ok(told.join("; "))
}

fn stable(_: &Case) -> anyhow::Result<String> {
    let world = hour_of(61)?;
    let (starts, trips) = (world.starts.len(), world.trips().len());
    ensure!(trips == 0 && starts <= 60, "{starts} starts, {trips} trips");
    Ok(format!("{starts} starts in an hour, 0 trips"))
}

fn exit_later(_: &Case) -> anyhow::Result<String> {
    let end = Some((Duration::from_secs(300), Failure::CleanExit));
    let mut world = World::new(Options::default(), Course { end, ..Course::GOOD })?;
    world.pass(Duration::from_secs(310))?;
    let (starts, deaths) = (world.starts.len(), world.deaths());
    ensure!((starts, deaths) == (2, 1), "{starts} starts, {deaths} deaths");
    ensure!(world.life.health() == Health::Ready, "it is {:?}", world.life.health());
    Ok("1 death, ready again".to_owned())
}

fn stop_and_exit(_: &Case) -> anyhow::Result<String> {
    for stop_first in [true, false] {
        let mut world = World::new(Options::default(), Course::GOOD)?;
        world.pass(Duration::from_secs(5))?;
        let incarnation = world.life.incarnation();
        let exit = Event::Failed { incarnation, failure: Failure::Death };
        let both = if stop_first { [Event::Stop, exit] } else { [exit, Event::Stop] };
        for event in both {
            world.tell(event)?;
        }
        world.pass(HOUR)?;
        let starts = world.starts.len();
        ensure!(*world.life.state() == State::Stopped, "it is {:?}", world.life.state());
        ensure!(starts == 1, "{starts} starts");
    }
    Ok("stopped in both orders, 1 start".to_owned())
}

fn late(_: &Case) -> anyhow::Result<String> {
    let mut world = World::new(Options::default(), Course::GOOD)?;
    world.pass(Duration::from_secs(5))?;
    world.tell(Event::Failed { incarnation: Incarnation(1), failure: Failure::Death })?;
    world.pass(Duration::from_secs(5))?;
    let before = world.life.clone();
    ensure!(before.incarnation() == Incarnation(2), "life {:?}", before.incarnation());
    for event in [
        Event::Gone { incarnation: Incarnation(1) },
        Event::NotGone { incarnation: Incarnation(1) },
        Event::Failed { incarnation: Incarnation(1), failure: Failure::Permanent },
        Event::Connected(Incarnation(1)),
        Event::Gone { incarnation: Incarnation(3) },
    ] {
        world.tell(event)?;
        ensure!(world.life == before, "{event:?} changed something");
    }
    Ok("5 events of other lives, no change".to_owned())
}

fn unkillable(_: &Case) -> anyhow::Result<String> {
    let stuck = Course { gone: None, ..Course::dies_after(5) };
    let mut world = World::new(Options::default(), stuck)?;
    world.pass(HOUR)?;
    let is_alarm = |note: &Note| matches!(note, Note::Unkillable { .. });
    let alarms = world.notes.iter().filter(|(_, note)| is_alarm(note)).count();
    let starts = world.starts.len();
    ensure!(starts == 1 && alarms > 100, "{starts} starts, {alarms} alarms");
    world.set(Course::GOOD);
    world.pass(Duration::from_secs(60))?;
    ensure!(world.life.health() == Health::Ready, "it is {:?}", world.life.health());
    Ok(format!("{alarms} alarms in an hour, 0 starts over it; ready once it was gone"))
}

fn sleep(_: &Case) -> anyhow::Result<String> {
    const NIGHT: Duration = Duration::from_secs(8 * 3600);
    // It falls asleep 10 s into a handshake of 20 s.
    let slow = Course { handshake: Some(NIGHT + Duration::from_secs(20)), ..Course::GOOD };
    let mut world = World::new(Options::default(), slow)?;
    world.pass(Duration::from_secs(10))?;
    world.now = world.now + NIGHT;
    world.tell(Event::ClockJumped(NIGHT))?;
    world.pass(Duration::from_secs(11))?;
    ensure!(world.life.health() == Health::Ready, "it is {:?}", world.life.health());
    ensure!(world.deaths() == 0, "{} deaths", world.deaths());
    // It falls asleep while a probe waits for its answer.
    let options = ProbeOptions::default();
    let mut probe = Probe::new(options, Time(0));
    let asked = Time(0) + options.every;
    ensure!(probe.handle_timeout(0, asked) == Verdict::Ask, "it is not asked");
    let awake = asked + NIGHT;
    probe.skip(NIGHT, awake);
    let verdict = probe.handle_timeout(0, awake);
    ensure!(verdict == Verdict::Wait, "a sleep was a miss: {verdict:?}");
    Ok("a handshake and a probe outlived 8 h of sleep, 0 deaths".to_owned())
}
