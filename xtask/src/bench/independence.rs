//! What the faults of one upstream do to the calls of another.
//!
//! Two gateways run side by side: behind one the neighbour of the good twin behaves, behind the
//! other it has its fault. Calls to the two twins take turns, in slices so short that a busy moment
//! of the machine meets both. What a fault costs the machine by itself (a server that floods uses a
//! processor) is part of the figure.

use super::{
    client::{self, Ask, Ids, Until},
    gateway::{Config, Gateway, Programs},
    http::Http,
    report::{Question, Target},
    scenario::Effort,
    stats,
};
use anyhow::Context as _;
use std::time::Duration;

/// Slices of a round; each takes its turn with one of the other gateway.
const SLICES: u32 = 10;

/// Bytes of text in a call of the twin.
const SMALL: usize = 16;

/// Keeps a crash loop going for as long as is measured, as fast as a first respawn comes: the
/// backoff would slow it, and the breaker would end it after six.
const FOR_EVER: &str = "max_deaths = 100000\nmax_run = 100000\n\
                        backoff_first = \"250ms\"\nbackoff_max = \"250ms\"\n";

/// More bytes than any round can carry.
const ENDLESS: &str = "1000000000000";

/// A fault, and how the neighbour comes to have it.
struct Fault {
    /// Flags of the misbehaving server.
    flags: &'static [&'static str],
    /// Lines of its `[servers.supervise]`.
    supervise: &'static str,
}

const fn question(name: &'static str, what: &'static str) -> Question {
    // The goal of the supervision: the twin's p99 stays within one and a half of its own.
    Question { name, what, target: Target::AtMost(1.5), unit: "×", seed: "" }
}

pub(crate) static QUESTIONS: [Question; 8] = [
    question("twin-crash-loop", "p99 of the twin, neighbour dies four times a second and more"),
    question("twin-mute", "the same, neighbour never answers initialize"),
    question("twin-deaf", "the same, neighbour reads nothing"),
    question("twin-closed", "the same, neighbour closes its output again and again"),
    question("twin-stderr", "the same, neighbour floods its stderr"),
    question("twin-garbage", "the same, neighbour floods its stdout with garbage"),
    question("twin-notify", "the same, neighbour floods with notifications"),
    question("twin-line", "the same, neighbour writes a line without end in a loop"),
];

/// In the order of the questions.
const FAULTS: [Fault; 8] = [
    Fault { flags: &["--die-before-handshake", "0"], supervise: FOR_EVER },
    Fault { flags: &["--never-answer-initialize"], supervise: "" },
    Fault { flags: &["--stop-reading"], supervise: "" },
    Fault { flags: &["--close-stdout"], supervise: FOR_EVER },
    Fault { flags: &["--flood-stderr", ENDLESS], supervise: "" },
    Fault { flags: &["--garbage-flood", ENDLESS], supervise: FOR_EVER },
    Fault { flags: &["--notify-flood", ENDLESS], supervise: "" },
    Fault { flags: &["--no-newline-flood", ENDLESS], supervise: FOR_EVER },
];

/// How much longer the twin's slowest hundredth takes, in each round and for each fault.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    FAULTS.iter().map(|fault| with(programs, fault, effort)).collect()
}

fn with(programs: &Programs, fault: &Fault, effort: Effort) -> anyhow::Result<Vec<f64>> {
    let ids = Ids::default();
    let good = Config::of("good", &render(programs, &[], ""))?;
    let bad = Config::of("bad", &render(programs, fault.flags, fault.supervise))?;
    let (good, bad) = (Gateway::start(programs, &good)?, Gateway::start(programs, &bad)?);
    let (mut calm, mut stormy) = (twin(&good, &ids)?, twin(&bad, &ids)?);
    let until = Until::Elapsed(effort.length / SLICES);
    let ask = Ask::Echo("twin__echo".to_owned(), "x".repeat(SMALL));
    let (mut rounds, mut own) = (Vec::new(), Vec::new());
    for round in 0..=effort.rounds {
        let (mut without, mut within) = (Vec::new(), Vec::new());
        for _ in 0..SLICES {
            without.extend(client::run(&mut calm, &ids, &ask, until)?.latencies);
            within.extend(client::run(&mut stormy, &ids, &ask, until)?.latencies);
        }
        // The first round warms caches and is not counted.
        if round > 0 {
            own.push(p99(&without)?);
            rounds.push(p99(&within)? / p99(&without)?);
        }
    }
    eprintln!("  {}: {rounds:.2?}, p99 {own:.0?} µs without it", fault.flags.join(" "));
    good.stop()?;
    bad.stop()?;
    Ok(rounds)
}

fn p99(latencies: &[Duration]) -> anyhow::Result<f64> {
    stats::p99_micros(latencies).context("no call ended")
}

/// A client that sees the twin's tool.
fn twin(gateway: &Gateway, ids: &Ids) -> anyhow::Result<Vec<Http>> {
    let mut client = gateway.connect(ids, 1)?;
    client::tools(&mut client[0], ids, 1)?;
    Ok(client)
}

fn render(programs: &Programs, flags: &[&str], supervise: &str) -> String {
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncontrol = false\n[router]\nnaming = \"prefix\"\n\
         [telemetry]\nlog = \"error\"\n\
         [[servers]]\nname = \"twin\"\ncommand = {:?}\n\
         [[servers]]\nname = \"neighbour\"\ncommand = {:?}\nargs = {flags:?}\n\
         [servers.supervise]\n{supervise}",
        programs.echo.as_str(),
        programs.fake.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_question() {
        assert_eq!(FAULTS.len(), QUESTIONS.len());
    }
}
