//! What the faults of one upstream do to the calls of another.
//!
//! Two gateways run side by side: behind one the neighbour of the good twin behaves, behind the
//! other it has its fault; `kinds.rs` holds every fault that an upstream can be in by itself. The two
//! twins are called by turns, one call each, so that a busy moment of the machine meets both.
//! Meanwhile somebody calls the neighbours, for many faults show only then. What a fault costs the
//! machine by itself (a server that floods uses a processor) is part of the figure.
//!
//! Each round has processes of its own. Where the system has placed some of them at first they
//! mostly stay, and two gateways that are alike differ by half in the rounds of such a placing; so
//! rounds of the same processes would all say the same, and nothing of the fault. Which of the two
//! is started and called first changes from round to round.

mod kinds;

use self::kinds::{Call, KINDS, Kind, OF_NO_UPSTREAM, Start};
use super::{
    client::{self, Ask, Caller as _, Ids, PATIENCE},
    gateway::{Config, Gateway, Programs},
    http::Http,
    report::{Question, Target},
    scenario::Effort,
    stats,
};
use anyhow::{Context as _, ensure};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::{
    env,
    fmt::Write as _,
    fs, process,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Rounds of each kind. All kinds together are to take about five minutes.
const ROUNDS: usize = 3;

/// Rounds that are added where the first ones leave doubt; all of them count.
const MORE_ROUNDS: usize = 4;

/// A median above this leaves doubt: a round of a quiet machine differs by as much.
const DOUBT: f64 = 1.25;

/// How long a round takes.
fn length(effort: Effort) -> Duration {
    effort.length / 2
}

/// Bytes of text in a call of the twin.
const SMALL: usize = 16;

/// The pause between two calls of a neighbour.
const PACE: Duration = Duration::from_millis(50);

/// How long one that calls a neighbour waits for the answer.
const GIVE_UP: Duration = Duration::from_millis(300);

pub(crate) static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let question = |(n, kind): (usize, &Kind)| {
        let first = if n == 0 { "p99 of the twin, neighbour" } else { "the same, neighbour" };
        Question {
            name: kind.name,
            what: format!("{first} {}", kind.what).leak(),
            // The goal of the supervision: the twin's p99 stays within one and a half of its own.
            target: Target::AtMost(1.5),
            unit: "×",
            seed: "",
        }
    };
    KINDS.iter().enumerate().map(question).collect()
});

/// Which faults of the catalogue are measured as what, and which are not; for the page.
pub(crate) fn catalogue() -> String {
    let names = |faults: &[u8]| {
        faults.iter().map(|fault| format!("F{fault:02}")).collect::<Vec<_>>().join(" ")
    };
    let mut text = "The neighbour of the twin is in every fault of [the catalogue](design/chaos.md) \
                    that an upstream\ncan be in by itself, again and again, while somebody calls it:\
                    \n\n| neighbour | faults |\n| --- | --- |\n"
        .to_owned();
    for kind in &KINDS {
        writeln!(text, "| {} | {} |", kind.what, names(kind.covers)).expect("a string takes it");
    }
    text.push_str("\nThe other faults are none of one upstream:\n\n| faults | what they are |\n| --- | --- |\n");
    for (faults, why) in OF_NO_UPSTREAM {
        writeln!(text, "| {} | {why} |", names(faults)).expect("a string takes it");
    }
    text
}

/// Whether a fault is to be measured, of which these alone are if there are any.
pub(crate) fn is_wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|one| one == name)
}

/// How much longer the twin's slowest hundredth takes, in each round and for each wanted fault.
pub(crate) fn measure(
    programs: &Programs,
    effort: Effort,
    only: &[String],
) -> anyhow::Result<Vec<Vec<f64>>> {
    for name in only {
        ensure!(KINDS.iter().any(|kind| kind.name == name), "there is no fault named {name}");
    }
    let ids = Ids::default();
    let of_kind = |kind| {
        let measured = rounds(programs, kind, effort, &ids);
        // One that cannot be measured is shown as such, and takes none of the others along.
        measured.unwrap_or_else(|error| {
            eprintln!("  {}: not measured: {error:#}", kind.name);
            Vec::new()
        })
    };
    Ok(KINDS.iter().filter(|kind| is_wanted(kind.name, only)).map(of_kind).collect())
}

/// The ratio of each round.
fn rounds(programs: &Programs, kind: &Kind, effort: Effort, ids: &Ids) -> anyhow::Result<Vec<f64>> {
    let (mut rounds, mut own, mut starts) = (Vec::new(), Vec::new(), 0);
    for count in 0..ROUNDS + MORE_ROUNDS {
        if count >= ROUNDS && stats::median(&rounds).is_some_and(|middle| middle <= DOUBT) {
            break;
        }
        let round = Round::run(programs, kind, effort, ids, count % 2 == 1)?;
        own.push(round.without);
        rounds.push(round.within / round.without);
        starts += round.starts;
    }
    eprintln!("  {}: {rounds:.2?}, p99 {own:.0?} µs without it, {starts} starts", kind.name);
    ensure!(starts >= kind.starts, "the neighbour was started {starts} times, so it was well");
    Ok(rounds)
}

/// The slowest hundredth of both twins in microseconds, and how often the neighbour was started.
struct Round {
    without: f64,
    within: f64,
    starts: usize,
}

impl Round {
    fn run(
        programs: &Programs,
        kind: &Kind,
        effort: Effort,
        ids: &Ids,
        is_stormy_first: bool,
    ) -> anyhow::Result<Self> {
        let scene = |kind| Scene::start(programs, kind, ids);
        let (calm, stormy) = if is_stormy_first {
            let stormy = scene(kind)?;
            (scene(&kinds::GOOD)?, stormy)
        } else {
            (scene(&kinds::GOOD)?, scene(kind)?)
        };
        let is_over = AtomicBool::new(false);
        let measured = thread::scope(|scope| {
            for scene in [&calm, &stormy] {
                scope.spawn(|| scene.call_neighbour(ids, &is_over));
            }
            let measured = both(&calm, &stormy, effort, ids, is_stormy_first);
            is_over.store(true, Ordering::Relaxed);
            measured
        });
        let starts = stormy.starts();
        // Whoever still waits for an answer of the neighbour sees the end of it now.
        stormy.stop()?;
        calm.stop()?;
        let [without, within] = measured?;
        Ok(Self { without, within, starts })
    }
}

fn both(
    calm: &Scene,
    stormy: &Scene,
    effort: Effort,
    ids: &Ids,
    is_stormy_first: bool,
) -> anyhow::Result<[f64; 2]> {
    let (mut calm, mut stormy) = (calm.twin(ids)?, stormy.twin(ids)?);
    let mut measure = |length| {
        if is_stormy_first {
            let [within, without] = by_turns(&mut stormy, &mut calm, ids, length)?;
            return Ok([without, within]);
        }
        by_turns(&mut calm, &mut stormy, ids, length)
    };
    // What is first warms caches and is not counted.
    measure(length(effort) / 8)?;
    measure(length(effort))
}

/// The slowest hundredth of two clients that call by turns, in microseconds.
fn by_turns(
    first: &mut Http,
    second: &mut Http,
    ids: &Ids,
    length: Duration,
) -> anyhow::Result<[f64; 2]> {
    let ask = Ask::Echo("twin__echo".to_owned(), "x".repeat(SMALL));
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed() < length {
        of_first.push(client::one(first, ids, &ask)?);
        of_second.push(client::one(second, ids, &ask)?);
    }
    Ok([p99(&of_first)?, p99(&of_second)?])
}

fn p99(latencies: &[Duration]) -> anyhow::Result<f64> {
    stats::p99_micros(latencies).context("no call ended")
}

/// A gateway with the twin and a neighbour behind it.
struct Scene {
    gateway: Gateway,
    call: Call,
    /// One line for each start of the neighbour.
    log: Utf8PathBuf,
    _config: Config,
}

impl Scene {
    fn start(programs: &Programs, kind: &Kind, ids: &Ids) -> anyhow::Result<Self> {
        let folder = Utf8PathBuf::try_from(env::temp_dir())?;
        let log = folder.join(format!("mcplex-bench-{}-{}.starts", process::id(), kind.name));
        fs::write(&log, "")?;
        let config = Config::of(kind.name, &render(programs, kind, &log))?;
        let gateway = Gateway::start(programs, &config)?;
        let scene = Self { gateway, call: kind.call, log, _config: config };
        scene.twin(ids)?;
        Ok(scene)
    }

    /// A client that sees the twin's tool.
    fn twin(&self, ids: &Ids) -> anyhow::Result<Http> {
        let mut client = self.gateway.connect(ids, 1)?;
        let deadline = Instant::now() + PATIENCE;
        while !client::tools(&mut client[0], ids, 1)?.iter().any(|tool| tool == "twin__echo") {
            ensure!(Instant::now() < deadline, "the twin is never listed");
        }
        Ok(client.swap_remove(0))
    }

    /// Calls the neighbour until it is over, whatever comes of it.
    fn call_neighbour(&self, ids: &Ids, is_over: &AtomicBool) {
        let Some((tool, arguments)) = self.call.words() else { return };
        let mut client = None;
        while !is_over.load(Ordering::Relaxed) {
            let mut open = match client.take() {
                Some(open) => open,
                None => match self.gateway.connect(ids, 1) {
                    Ok(mut opened) => opened.swap_remove(0),
                    Err(_) => return,
                },
            };
            let id = ids.next();
            let is_answered = open
                .give_up_after(GIVE_UP)
                .and_then(|()| open.call(id, request(id, tool, &arguments).as_bytes()))
                .is_ok();
            // One that waits for an answer is left, as a client does that has lost patience.
            client = is_answered.then_some(open);
            thread::sleep(PACE);
        }
    }

    fn starts(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().lines().count()
    }

    fn stop(self) -> anyhow::Result<()> {
        // Nothing depends on its end.
        drop(fs::remove_file(&self.log));
        self.gateway.stop()
    }
}

impl Call {
    /// The tool and its arguments.
    fn words(self) -> Option<(&'static str, Value)> {
        Some(match self {
            Self::Nothing => return None,
            Self::Echo => ("echo", json!({ "text": "x".repeat(SMALL) })),
            Self::Long(bytes) => ("echo", json!({ "text": "x".repeat(bytes) })),
            Self::Big(bytes) => ("big", json!({ "bytes": bytes })),
            Self::Progress(steps) => ("progress", json!({ "steps": steps })),
            Self::Sleep(ms) => ("sleep", json!({ "ms": ms })),
        })
    }
}

fn request(id: u64, tool: &str, arguments: &Value) -> String {
    let params = json!({
        "name": format!("neighbour__{tool}"),
        "arguments": arguments,
        "_meta": { "progressToken": id },
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

fn render(programs: &Programs, kind: &Kind, log: &Utf8Path) -> String {
    let fake = programs.fake.as_str();
    let (command, args) = match kind.start {
        Start::Server => {
            let mut args = kind.flags.to_vec();
            args.extend(["--spawn-log", log.as_str()]);
            (fake, args.into_iter().map(str::to_owned).collect())
        }
        Start::Shell(script) => {
            let server = format!("'{fake}' {}", kind.flags.join(" "));
            let script = script.replace("{server}", &server);
            ("sh", vec!["-c".to_owned(), format!("echo >> '{log}'; {script}")])
        }
        Start::Nothing => ("/no/such/program", Vec::new()),
    };
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncontrol = false\ndrain = \"100ms\"\n\
         [router]\nnaming = \"prefix\"\n\
         [telemetry]\nlog = \"error\"\n\
         [supervise]\ngrace_eof = \"100ms\"\ngrace_term = \"100ms\"\n\
         [[servers]]\nname = \"twin\"\ncommand = {:?}\n\
         [[servers]]\nname = \"neighbour\"\ncommand = {command:?}\nargs = {args:?}\n\
         [servers.supervise]\n{}",
        programs.echo.as_str(),
        kind.supervise,
    )
}
