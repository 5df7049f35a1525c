//! What the faults of one upstream do to the calls of another.
//!
//! Two gateways run side by side: behind one the neighbour of the good twin behaves, behind the
//! other it has its fault; `kinds.rs` holds every fault that an upstream can be in by itself. Calls
//! to the two twins take turns, in slices so short that a busy moment of the machine meets both.
//! Meanwhile somebody calls the neighbours, for many faults show only then. What a fault costs the
//! machine by itself (a server that floods uses a processor) is part of the figure.

mod kinds;

use self::kinds::{Call, KINDS, Kind, OF_NO_UPSTREAM, Start};
use super::{
    client::{self, Ask, Caller as _, Ids, PATIENCE, Until},
    gateway::{Config, Gateway, Programs},
    http::Http,
    report::{Question, Target},
    scenario::Effort,
    stats,
};
use anyhow::{Context as _, ensure};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
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

/// Slices of a round; each takes its turn with one of the other gateway.
const SLICES: u32 = 8;

/// Rounds of each kind. All kinds together are to take under four minutes.
const ROUNDS: usize = 3;

/// Rounds that are added where the first ones leave doubt; all of them count.
const MORE_ROUNDS: usize = 4;

/// A median above this leaves doubt: a round of a quiet machine differs by as much.
const DOUBT: f64 = 1.25;

/// How long the calls of a round to one of the twins take.
fn length(effort: Effort) -> Duration {
    effort.length * 4 / 15
}

/// Bytes of text in a call of the twin.
const SMALL: usize = 16;

/// The pause between two calls of a neighbour.
const PACE: Duration = Duration::from_millis(50);

/// How long one that calls a neighbour waits for the answer.
const GIVE_UP: Duration = Duration::from_secs(1);

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

/// How much longer the twin's slowest hundredth takes, in each round and for each fault.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let ids = Ids::default();
    let good = kinds::GOOD;
    let scene = Scene::start(programs, &good, &ids)?;
    KINDS.iter().map(|kind| with(programs, &scene, kind, effort, &ids).context(kind.name)).collect()
}

fn with(
    programs: &Programs,
    calm: &Scene,
    kind: &Kind,
    effort: Effort,
    ids: &Ids,
) -> anyhow::Result<Vec<f64>> {
    let stormy = Scene::start(programs, kind, ids)?;
    let is_over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        for scene in [calm, &stormy] {
            scope.spawn(|| scene.call_neighbour(ids, &is_over));
        }
        let rounds = rounds(&mut calm.twin(ids)?, &mut stormy.twin(ids)?, effort, ids);
        is_over.store(true, Ordering::Relaxed);
        rounds
    });
    let starts = stormy.starts();
    // Whoever still waits for an answer of the neighbour sees the end of it now.
    stormy.stop()?;
    let (rounds, own) = rounds?;
    eprintln!("  {}: {rounds:.2?}, p99 {own:.0?} µs without it, {starts} starts", kind.name);
    ensure!(starts >= kind.starts, "the neighbour was started {starts} times, so it was well");
    Ok(rounds)
}

type Rounds = (Vec<f64>, Vec<f64>);

/// The ratio of each round, and what the twin takes without the fault.
fn rounds(
    calm: &mut [Http],
    stormy: &mut [Http],
    effort: Effort,
    ids: &Ids,
) -> anyhow::Result<Rounds> {
    let until = Until::Elapsed(length(effort) / SLICES);
    let ask = Ask::Echo("twin__echo".to_owned(), "x".repeat(SMALL));
    // What is first warms caches and is not counted.
    client::run(calm, ids, &ask, until)?;
    client::run(stormy, ids, &ask, until)?;
    let (mut rounds, mut own) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + MORE_ROUNDS {
        if round >= ROUNDS && stats::median(&rounds).is_some_and(|middle| middle <= DOUBT) {
            break;
        }
        let (mut without, mut within) = (Vec::new(), Vec::new());
        for _ in 0..SLICES {
            without.extend(client::run(calm, ids, &ask, until)?.latencies);
            within.extend(client::run(stormy, ids, &ask, until)?.latencies);
        }
        own.push(p99(&without)?);
        rounds.push(p99(&within)? / p99(&without)?);
    }
    Ok((rounds, own))
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
    fn twin(&self, ids: &Ids) -> anyhow::Result<Vec<Http>> {
        let mut client = self.gateway.connect(ids, 1)?;
        let deadline = Instant::now() + PATIENCE;
        while !client::tools(&mut client[0], ids, 1)?.iter().any(|tool| tool == "twin__echo") {
            ensure!(Instant::now() < deadline, "the twin is never listed");
        }
        Ok(client)
    }

    /// Calls the neighbour until it is over, whatever comes of it.
    fn call_neighbour(&self, ids: &Ids, is_over: &AtomicBool) {
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
                .and_then(|()| open.call(id, self.call.request(id).as_bytes()))
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
    fn request(self, id: u64) -> String {
        let (tool, arguments) = match self {
            Self::Echo => ("echo", json!({ "text": "x".repeat(SMALL) })),
            Self::Long(bytes) => ("echo", json!({ "text": "x".repeat(bytes) })),
            Self::Big(bytes) => ("big", json!({ "bytes": bytes })),
            Self::Progress(steps) => ("progress", json!({ "steps": steps })),
            Self::Sleep(ms) => ("sleep", json!({ "ms": ms })),
        };
        let params = json!({
            "name": format!("neighbour__{tool}"),
            "arguments": arguments,
            "_meta": { "progressToken": id },
        });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
    }
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
         [[servers]]\nname = \"twin\"\ncommand = {:?}\n\
         [[servers]]\nname = \"neighbour\"\ncommand = {command:?}\nargs = {args:?}\n\
         [servers.supervise]\n{}",
        programs.echo.as_str(),
        kind.supervise,
    )
}
