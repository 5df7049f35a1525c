//! Golden logs: the same options, seed and events give the same actions and notes, byte for byte.
//!
//! A log in `tests/golden` has one line per thing that happened:
//!
//! ```text
//! # what the story is about
//! seed 7
//! set on_exit_0 idle           any option that is not the default
//! @1250 failed 3 death         what the machine was told, and at which millisecond
//! @1400 timeout                that it was called because something was due
//!   note Waiting { .. }        what it noted, in order
//!   do Close { .. }            what it asked for, in order
//! ```
//!
//! Each log is checked twice: the story is played again and has to write the same log, and what the
//! log says that went in goes into a new machine, which has to answer what the log says. With
//! `MCPLEX_BLESS=1` the logs are written instead; a changed log is a changed rule and is reviewed
//! as one.

use super::{
    world::{Script, World},
    *,
};
use crate::options::{OnExitZero, Restart};
use std::{fmt::Write as _, fs, path::PathBuf};

pub(super) fn write_event(log: &mut String, now: Time, event: Event) {
    writeln!(log, "@{} {}", now.0, words(event)).unwrap();
}

pub(super) fn write_timeout(log: &mut String, now: Time) {
    writeln!(log, "@{} timeout", now.0).unwrap();
}

pub(super) fn write_note(log: &mut String, note: Note) {
    writeln!(log, "  note {note:?}").unwrap();
}

pub(super) fn write_action(log: &mut String, action: Action) {
    writeln!(log, "  do {action:?}").unwrap();
}

/// Events that are one word, and those that are one word and an incarnation.
const PLAIN: [(&str, Event); 7] = [
    ("start", Event::Start),
    ("lazy", Event::Lazy),
    ("stop", Event::Stop),
    ("restart", Event::Restart),
    ("reset", Event::Reset),
    ("demand", Event::Demand),
    ("rest", Event::Rest),
];
type Report = fn(Incarnation) -> Event;
const REPORTS: [(&str, Report); 12] = [
    ("granted", Event::Granted),
    ("connected", Event::Connected),
    ("degraded", Event::Degraded),
    ("heard", Event::Heard),
    ("gone", |incarnation| Event::Gone { incarnation }),
    ("not_gone", |incarnation| Event::NotGone { incarnation }),
    ("permanent", |incarnation| Event::Failed { incarnation, failure: Failure::Permanent }),
    ("resource", |incarnation| Event::Failed { incarnation, failure: Failure::Resource }),
    ("era_probe", |incarnation| Event::Failed { incarnation, failure: Failure::EraProbe }),
    ("clean_exit", |incarnation| Event::Failed { incarnation, failure: Failure::CleanExit }),
    ("overdue", |incarnation| Event::Failed { incarnation, failure: Failure::Overdue }),
    ("death", |incarnation| Event::Failed { incarnation, failure: Failure::Death }),
];

fn words(event: Event) -> String {
    if let Event::ClockJumped(gap) = event {
        return format!("clock_jumped {}", gap.as_millis());
    }
    if let Some((word, _)) = PLAIN.iter().find(|(_, plain)| *plain == event) {
        return (*word).to_owned();
    }
    let of = event.incarnation().expect("all others speak of a life");
    let (word, _) = REPORTS.iter().find(|(_, report)| report(of) == event).unwrap();
    format!("{word} {of}")
}

fn event(words: &str) -> Event {
    let Some((word, number)) = words.split_once(' ') else {
        return PLAIN.iter().find(|(word, _)| *word == words).unwrap().1;
    };
    let number: u64 = number.parse().unwrap();
    if word == "clock_jumped" {
        return Event::ClockJumped(Duration::from_millis(number));
    }
    REPORTS.iter().find(|(report, _)| *report == word).unwrap().1(Incarnation(number))
}

/// Changes an option as a log or a story says.
fn set(options: &mut Options, setting: &str) {
    match setting {
        "on_exit_0 idle" => options.on_exit_0 = OnExitZero::Idle,
        "restart on-failure" => options.restart = Restart::OnFailure,
        "restart never" => options.restart = Restart::Never,
        "cooldown_never" => options.cooldown_never = true,
        _ => panic!("no setting {setting:?}"),
    }
}

/// What a new machine answers to what a log says that went in; all of it as a log.
fn replay(log: &str) -> String {
    let mut options = Options::default();
    let mut life = None;
    let mut out = String::new();
    let mut seed = 0;
    for line in log.lines() {
        if let Some(words) = line.strip_prefix("seed ") {
            seed = words.parse().unwrap();
        } else if let Some(words) = line.strip_prefix("set ") {
            set(&mut options, words);
        } else if let Some(words) = line.strip_prefix('@') {
            let life = life.get_or_insert_with(|| Life::new(options.clone(), seed));
            let (now, words) = words.split_once(' ').unwrap();
            let now = Time(now.parse().unwrap());
            writeln!(out, "{line}").unwrap();
            match words {
                "timeout" => life.handle_timeout(now),
                words => life.handle_event(event(words), now),
            }
            while let Some(note) = life.poll_note() {
                write_note(&mut out, note);
            }
            while let Some(action) = life.poll_action() {
                write_action(&mut out, action);
            }
            continue;
        } else if line.starts_with("  ") {
            continue;
        }
        writeln!(out, "{line}").unwrap();
    }
    out
}

/// Plays a story and checks its log.
fn check(
    name: &str,
    about: &str,
    settings: &[&str],
    script: fn(u64) -> Script,
    story: fn(&mut World),
) {
    const SEED: u64 = 7;
    let mut options = Options::default();
    let mut told = format!("# {about}\nseed {SEED}\n");
    for setting in settings {
        set(&mut options, setting);
        writeln!(told, "set {setting}").unwrap();
    }
    let mut world = World::new(options, SEED, script);
    story(&mut world);
    told.push_str(&world.log);
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden", name].iter().collect();
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &told).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(told == golden, "{name} has changed; MCPLEX_BLESS=1 writes it anew\n{told}");
    assert!(replay(&golden) == golden, "{name} is answered differently when it is replayed");
}

#[test]
fn a_crash_loop() {
    let about =
        "It dies 500 ms after each handshake; five trials fail, then it waits for a caller.";
    check(
        "crash-loop.log",
        about,
        &[],
        |_| Script::dies_when_ready(500),
        |world| {
            world.tell(Event::Start);
            world.run(3_600_000);
            world.tell(Event::Demand);
            world.run(1_000);
        },
    );
}

#[test]
fn a_trial_that_goes_well() {
    let about = "Six deaths in the handshake, a trial that lives for 30 s, then it is healthy.";
    let script = |incarnation| match incarnation {
        ..=6 => Script::dies_in_handshake(100),
        7 => Script::dies_when_ready(30_000),
        _ => Script::HEALTHY,
    };
    check("recovery.log", about, &[], script, |world| {
        world.tell(Event::Start);
        world.run(300_000);
    });
}

#[test]
fn what_people_do() {
    let about = "Starts, restarts, stops and resets, over a process that cannot be ended at first.";
    let script = |incarnation| match incarnation {
        3 => Script { ready: None, dies: None, ends: None },
        4 => Script { ready: None, dies: Some((5, Failure::Permanent)), ends: Some(0) },
        _ => Script::HEALTHY,
    };
    check("people.log", about, &["restart never"], script, |world| {
        world.tell(Event::Start);
        world.run(1_000);
        world.tell(Event::Restart);
        world.run(100_000);
        world.tell(Event::Stop);
        world.run(1_000);
        world.tell(Event::Start);
        // Nothing is done about it, and it ends at last.
        world.run(50_000);
        world.tell(Event::Gone { incarnation: Incarnation(3) });
        world.tell(Event::Start);
        world.run(1_000);
        world.tell(Event::Start);
        world.tell(Event::Reset);
        world.run(1_000);
        world.tell(Event::Restart);
        world.tell(Event::Stop);
        world.run(1_000);
    });
}

#[test]
fn a_host_that_sleeps_and_starves() {
    let about = "Failures of the host, a gap in each state, a hang, and ends that are no deaths.";
    let script = |incarnation| match incarnation {
        1 => Script { ready: None, dies: Some((1, Failure::Resource)), ends: Some(3) },
        2..=4 => Script { ready: None, dies: Some((50, Failure::EraProbe)), ends: Some(3) },
        5 => Script { ready: None, dies: None, ends: Some(4_000) },
        6 => Script { ready: Some(200), dies: Some((41_000, Failure::Overdue)), ends: Some(3) },
        _ => Script::HEALTHY,
    };
    check("host.log", about, &[], script, |world| {
        world.tell(Event::Start);
        world.run(2_000);
        world.sleep(Duration::from_secs(3600));
        world.run(31_000);
        world.sleep(Duration::from_secs(8));
        world.run(20_000);
        let incarnation = world.life.incarnation();
        world.tell(Event::Degraded(incarnation));
        world.run(30_000);
        world.sleep(Duration::from_secs(100));
        world.run(60_000);
        let incarnation = world.life.incarnation();
        world.tell(Event::Degraded(incarnation));
        world.run(5_000);
        world.tell(Event::Heard(incarnation));
        world.run(60_000);
    });
}

#[test]
fn a_lazy_one() {
    let about =
        "It starts with the first call, leaves when it is done, rests, and leaves too early.";
    let script = |incarnation| match incarnation {
        1 => Script { ready: Some(200), dies: Some((15_000, Failure::CleanExit)), ends: Some(3) },
        3 => Script { ready: Some(200), dies: Some((9_999, Failure::CleanExit)), ends: Some(3) },
        _ => Script::HEALTHY,
    };
    check("lazy.log", about, &["on_exit_0 idle"], script, |world| {
        world.tell(Event::Lazy);
        world.run(60_000);
        for _ in 0..3 {
            world.tell(Event::Demand);
            world.run(20_000);
            world.tell(Event::Rest);
            world.run(1_000);
        }
        world.tell(Event::Stop);
        world.run(1_000);
        world.tell(Event::Demand);
    });
}
