//! What a guard costs: the start it is part of, and its memory.
//!
//! A start is measured from the start of mcplex to the answer of the first call, with guards and
//! without in turns; what they differ by is the guard's.

use super::{
    client::{self, Ask, Ids, Until},
    gateway::{Config, Gateway, Programs},
    process,
    report::{Question, Target},
    scenario::Effort,
    stats,
};
use anyhow::Context as _;
use std::time::Instant;

/// Starts in a round, of each kind.
const STARTS: usize = 15;

/// Guards whose memory is measured at once.
const GUARDS: usize = 5;

pub(crate) static QUESTIONS: [Question; 2] = [
    Question {
        name: "guard-start",
        what: "median added to a start by its guard",
        target: Target::AtMost(2.0),
        unit: "ms",
        seed: "",
    },
    Question {
        name: "guard-memory",
        what: "private memory of a guard",
        target: Target::Under(400.0),
        unit: "KiB",
        seed: "",
    },
];

pub(crate) fn measure(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        starts.push(added(programs)?);
        memory.push(private(programs)?);
    }
    Ok(vec![starts, memory])
}

/// By how many milliseconds the median of starts is longer with guards.
fn added(programs: &Programs) -> anyhow::Result<f64> {
    let with = Config::of("guarded", &render(programs, 1, "auto"))?;
    let without = Config::of("free", &render(programs, 1, "off"))?;
    let (mut guarded, mut free) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        guarded.push(start(programs, &with)?);
        free.push(start(programs, &without)?);
    }
    let middle = |starts: &[f64]| stats::median(starts).context("nothing was started");
    Ok(middle(&guarded)? - middle(&free)?)
}

/// How many milliseconds pass from the start of mcplex to the answer of a server.
fn start(programs: &Programs, config: &Config) -> anyhow::Result<f64> {
    let ids = Ids::default();
    let began = Instant::now();
    let pipe = programs.stdio(config)?;
    let mut client = pipe.workers(1);
    client::initialize(&mut client[0], &ids)?;
    // A call by a name that is not known yet waits for the server that is starting.
    client::run(&mut client, &ids, &Ask::Echo("echo".to_owned(), "x".to_owned()), Until::Calls(1))?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    pipe.close()?;
    Ok(took)
}

/// The most private memory of some guards, in KiB.
fn private(programs: &Programs) -> anyhow::Result<f64> {
    let ids = Ids::default();
    let config = Config::of("guards", &render(programs, GUARDS, "auto"))?;
    let gateway = Gateway::start(programs, &config)?;
    let mut client = gateway.connect(&ids, 1)?;
    client::tools(&mut client[0], &ids, GUARDS)?;
    let guards: Vec<u32> = process::children(gateway.pid)?;
    anyhow::ensure!(guards.len() == GUARDS, "{} children are no {GUARDS} guards", guards.len());
    let mut most = 0;
    for guard in guards {
        most = most.max(process::private_kib(guard)?);
    }
    gateway.stop()?;
    Ok(most as f64)
}

fn render(programs: &Programs, count: usize, guard: &str) -> String {
    let server =
        |n| format!("[[servers]]\nname = \"u{n}\"\ncommand = {:?}\n", programs.echo.as_str());
    let servers: String = (0..count).map(server).collect();
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncontrol = false\n[telemetry]\nlog = \"error\"\n\
         [supervise]\nguard = \"{guard}\"\n{servers}"
    )
}
