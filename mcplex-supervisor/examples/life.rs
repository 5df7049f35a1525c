//! Tells the story of a crash loop: a server that dies 500 ms after each start, for half an hour
//! of virtual time.
//!
//! ```text
//! cargo run -p mcplex-supervisor --example life
//! ```

use mcplex_supervisor::{Action, Event, Failure, Life, Note, Options, Time};
use std::time::Duration;

const DIES_AFTER: Duration = Duration::from_millis(500);
const END: Time = Time(30 * 60 * 1000);

fn main() {
    let mut life = Life::new(Options::default(), 42);
    life.handle_event(Event::Start, Time(0));
    let mut now = Time(0);
    let mut crash = None;
    let mut starts = 0;
    // Every turn moves on to a crash or a timer, until the next timer is too late.
    loop {
        while let Some(note) = life.poll_note() {
            tell(now, &story(note));
        }
        // An event can ask for more, so this looks again after each.
        while let Some(action) = life.poll_action() {
            match action {
                Action::Connect { incarnation, trial } => {
                    starts += 1;
                    let kind = if trial { "trial" } else { "life" };
                    tell(now, &format!("{kind} {incarnation} begins"));
                    life.handle_event(Event::Granted(incarnation), now);
                    crash = Some((now + DIES_AFTER, incarnation));
                }
                // The process is gone already, so its end takes no time.
                Action::Close { incarnation } => {
                    crash = None;
                    life.handle_event(Event::Gone { incarnation }, now);
                }
            }
        }
        let timer = life.poll_timeout().map(|(due, _)| due);
        match crash {
            Some((at, incarnation)) if timer.is_none_or(|due| at <= due) => {
                now = at;
                life.handle_event(Event::Failed { incarnation, failure: Failure::Death }, now);
            }
            _ => {
                let Some(due) = timer.filter(|due| *due <= END) else { break };
                now = due;
                life.handle_timeout(now);
            }
        }
    }
    tell(now, &format!("{starts} starts in all; it is {}", life.health().as_str()));
}

fn story(note: Note) -> String {
    match note {
        Note::Died { deaths, .. } => format!("  it died; {deaths} deaths within the window"),
        Note::Waiting { delay, attempt } => format!("  respawn {attempt} in {delay:?}"),
        Note::Tripped { cause, trips, cooldown, .. } => {
            format!("  trip {trips}: {cause:?}; a trial in {cooldown:?}")
        }
        Note::BreakerClosed => "  the trial went well".to_owned(),
        Note::Stable => "  it is stable".to_owned(),
        Note::WasReset => "  somebody reset it".to_owned(),
        Note::Unkillable { .. } => "  it cannot be ended".to_owned(),
        Note::Degraded { .. } => "  it may hang".to_owned(),
        Note::Recovered { .. } => "  it is heard again".to_owned(),
        Note::Rested { .. } => "  nobody uses it".to_owned(),
        Note::Retired { .. } => "  it is not started again".to_owned(),
    }
}

#[expect(clippy::print_stdout, reason = "an example talks to a person")]
fn tell(now: Time, what: &str) {
    println!("{:>9.3} s  {what}", now.since(Time(0)).as_secs_f64());
}
