//! What is measured, and how.
//!
//! Every scenario gives one value for each round and figure. Rounds of the paths that are
//! compared take turns, so that a busy moment of the machine meets all of them.

use super::{
    client::{self, Ask, Ids, Run, Until},
    gateway::{Config, Gateway, Programs},
    guard, independence, operators, process,
    report::{Question, Target},
    stats, telemetry,
};
use anyhow::Context as _;
use clap::ValueEnum;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Workers at once, as in the runs that the targets come from.
const WORKERS: usize = 16;
/// Upstreams in the scenarios with many.
const FLEET: usize = 50;
/// Bytes of text in a small call.
const SMALL: usize = 16;
/// Bytes of text in a big call.
const BIG: usize = 1 << 20;
/// Megabytes are a million bytes here, the stricter reading of the targets.
const MEGA: f64 = 1e6;

/// A group of figures that are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Calls per second over HTTP against direct stdio and `ping`; processor time per call.
    Rate,
    /// The median that `mcplex stdio` adds to one call at a time.
    Latency,
    /// 50 upstreams: the time until all are ready, and the memory afterwards.
    Fleet,
    /// Peak memory with 16 calls of 1 MiB in flight.
    Payload,
    /// What a guard adds to a start, and how much memory it holds.
    Guard,
    /// What the faults of one upstream do to the calls of another.
    Independence,
    /// What a call pays for spans that nobody wants, and for spans and numbers that are exported.
    Telemetry,
    /// What a call pays for its line in the audit log.
    Operators,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
    pub(crate) settle: Duration,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 5, length: Duration::from_secs(3), settle: Duration::from_secs(2) };
    pub(crate) const QUICK: Self =
        Self { rounds: 3, length: Duration::from_secs(1), settle: Duration::from_millis(500) };
}

static RATE: [Question; 3] = [
    Question {
        name: "http-vs-direct",
        what: "calls/s over HTTP, of direct stdio, 16 at once",
        target: Target::AtLeast(30.0),
        unit: "%",
        seed: "16–29 %",
    },
    Question {
        name: "http-vs-ping",
        what: "calls/s over HTTP, of mcplex's own ping, 16 at once",
        target: Target::AtLeast(75.0),
        unit: "%",
        seed: "51–62 %",
    },
    Question {
        name: "cpu-per-call",
        what: "processor time of the gateway per call",
        target: Target::AtMost(40.0),
        unit: "µs",
        seed: "49–95 µs",
    },
];

static LATENCY: [Question; 2] = [
    Question {
        name: "stdio-added",
        what: "median added by stdio to stdio, 1 at once",
        target: Target::AtMost(40.0),
        unit: "µs",
        seed: "",
    },
    Question {
        name: "stdio-added-one-cpu",
        what: "the same with all processes on one processor",
        target: Target::AtMost(40.0),
        unit: "µs",
        seed: "",
    },
];

static FLEET_QUESTIONS: [Question; 2] = [
    Question {
        name: "ready-50",
        what: "50 upstreams of 100 ms each are all listed",
        target: Target::Under(0.5),
        unit: "s",
        seed: "5.5 s",
    },
    Question {
        name: "resident-50",
        what: "resident memory with 50 idle upstreams",
        target: Target::Under(14.0),
        unit: "MB",
        seed: "",
    },
];

static PAYLOAD: [Question; 1] = [Question {
    name: "peak-16x1MiB",
    what: "peak memory with 16 calls of 1 MiB in flight",
    target: Target::Under(80.0),
    unit: "MB",
    seed: "171–186 MB",
}];

impl Scenario {
    /// The figures, in the order in which [`Scenario::measure`] gives them.
    pub(crate) fn questions(self) -> &'static [Question] {
        match self {
            Self::Rate => &RATE,
            Self::Latency => &LATENCY,
            Self::Fleet => &FLEET_QUESTIONS,
            Self::Payload => &PAYLOAD,
            Self::Guard => &guard::QUESTIONS,
            Self::Independence => &independence::QUESTIONS,
            Self::Telemetry => &telemetry::QUESTIONS,
            Self::Operators => &operators::QUESTIONS,
        }
    }

    /// The values of all rounds, for each figure.
    pub(crate) fn measure(
        self,
        programs: &Programs,
        effort: Effort,
        faults: &[String],
    ) -> anyhow::Result<Vec<Vec<f64>>> {
        match self {
            Self::Rate => rate(programs, effort),
            Self::Latency => latency(programs, effort),
            Self::Fleet => fleet(programs, effort),
            Self::Payload => payload(programs, effort),
            Self::Guard => guard::measure(programs, effort),
            Self::Independence => independence::measure(programs, effort, faults),
            Self::Telemetry => telemetry::measure(effort),
            Self::Operators => operators::measure(programs, effort),
        }
    }
}

fn rate(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let ids = Ids::default();
    let config = Config::write(&programs.echo, 1, &[])?;
    let gateway = Gateway::start(programs, &config)?;
    let mut over_http = gateway.connect(&ids, WORKERS)?;
    let tool = client::tools(&mut over_http[0], &ids, 1)?.swap_remove(0);
    let direct = programs.direct()?;
    let mut over_stdio = direct.workers(WORKERS);
    client::initialize(&mut over_stdio[0], &ids)?;

    let echo = |tool: &str| Ask::Echo(tool.to_owned(), "x".repeat(SMALL));
    let until = Until::Elapsed(effort.length);
    let mut rounds = vec![Vec::new(); RATE.len()];
    for round in 0..=effort.rounds {
        let direct = client::run(&mut over_stdio, &ids, &echo("echo"), until)?;
        let before = process::cpu(gateway.pid)?;
        let calls = client::run(&mut over_http, &ids, &echo(&tool), until)?;
        let cpu = process::cpu(gateway.pid)? - before;
        let ping = client::run(&mut over_http, &ids, &Ask::Ping, until)?;
        // The first round warms caches and is not counted.
        if round > 0 {
            tell(&direct, &calls, &ping);
            rounds[0].push(100.0 * calls.rate() / direct.rate());
            rounds[1].push(100.0 * calls.rate() / ping.rate());
            rounds[2].push(cpu.as_secs_f64() * 1e6 / calls.calls());
        }
    }
    direct.close()?;
    gateway.stop()?;
    Ok(rounds)
}

/// The absolute rates of a round; they stay on this screen.
fn tell(direct: &Run, calls: &Run, ping: &Run) {
    let [direct, calls, ping] = [direct, calls, ping].map(Run::rate);
    eprintln!("  round: direct {direct:.0}/s, over HTTP {calls:.0}/s, ping {ping:.0}/s");
}

/// What the way through mcplex adds: as the scheduler places the processes, and on one processor,
/// where no wake-up has to rouse another one.
fn latency(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let (mut free, mut on_one) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        free.push(latency_round(programs, effort)?);
        let everywhere = process::stay_on_one_processor()?;
        let round = latency_round(programs, effort);
        process::run_on(&everywhere)?;
        on_one.push(round?);
    }
    Ok(vec![free, on_one])
}

/// One round with processes of its own, because where they are placed at first they mostly stay.
fn latency_round(programs: &Programs, effort: Effort) -> anyhow::Result<f64> {
    let ids = Ids::default();
    let config = Config::write(&programs.echo, 1, &[])?;
    let (direct, through) = (programs.direct()?, programs.stdio(&config)?);
    let (mut short, mut long) = (direct.workers(1), through.workers(1));
    client::initialize(&mut short[0], &ids)?;
    client::initialize(&mut long[0], &ids)?;
    let tool = client::tools(&mut long[0], &ids, 1)?.swap_remove(0);

    let echo = |tool: &str| Ask::Echo(tool.to_owned(), "x".repeat(SMALL));
    let warm = Until::Elapsed(effort.length / 20);
    client::run(&mut short, &ids, &echo("echo"), warm)?;
    client::run(&mut long, &ids, &echo(&tool), warm)?;
    let until = Until::Elapsed(effort.length / 4);
    let middle = |run: Run| stats::median_micros(&run.latencies).context("no call ended");
    let before = middle(client::run(&mut short, &ids, &echo("echo"), until)?)?;
    let added = middle(client::run(&mut long, &ids, &echo(&tool), until)?)? - before;
    eprintln!("  round: direct {before:.0} µs, {added:.0} µs more through mcplex");
    direct.close()?;
    through.close()?;
    Ok(added)
}

fn fleet(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let config = Config::write(&programs.echo, FLEET, &["--init-delay", "100"])?;
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let ids = Ids::default();
        let began = Instant::now();
        let gateway = Gateway::start(programs, &config)?;
        let mut client = gateway.connect(&ids, 1)?;
        client::tools(&mut client[0], &ids, FLEET)?;
        ready.push(began.elapsed().as_secs_f64());
        // What the start needed may be given back before memory counts as that of idling.
        thread::sleep(effort.settle);
        resident.push(process::resident(gateway.pid)? as f64 / MEGA);
        gateway.stop()?;
    }
    Ok(vec![ready, resident])
}

fn payload(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    /// Calls that each worker makes in a round.
    const CALLS: usize = 4;
    let ids = Ids::default();
    let config = Config::write(&programs.echo, 1, &[])?;
    let gateway = Gateway::start(programs, &config)?;
    let mut workers = gateway.connect(&ids, WORKERS)?;
    let tool = client::tools(&mut workers[0], &ids, 1)?.swap_remove(0);
    let ask = Ask::Echo(tool, "x".repeat(BIG));
    let mut peaks = Vec::new();
    for _ in 0..effort.rounds {
        // Where the kernel refuses, the peak is that of all rounds so far, which is no less.
        drop(process::forget_peak(gateway.pid));
        client::run(&mut workers, &ids, &ask, Until::Calls(CALLS))?;
        peaks.push(process::peak(gateway.pid)? as f64 / MEGA);
    }
    gateway.stop()?;
    Ok(vec![peaks])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        let all = Scenario::value_variants().iter().flat_map(|one| one.questions());
        let mut names: Vec<_> = all.map(|question| question.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
