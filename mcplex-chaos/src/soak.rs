//! A long random mix of faults, and what must be flat and exact when it is over.
//!
//! One thread does harm, some threads call tools all the while, and every ten seconds a line says
//! how it stands. In the end everything is quiet, and what mcplex holds must be what it held.

mod harm;

mod load;

mod random;

use crate::{
    fault::{Case, Logs},
    gateway::Gateway,
    ground::Ground,
    patience,
    setup::Setup,
};
use anyhow::{Context as _, ensure};
use clap::Args;
use harm::Harm;
use load::Load;
use mcplex_testkit::census;
use random::Random;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Every so long a line.
const LINE: Duration = Duration::from_secs(10);

/// How much of the time memory may still grow in: caches, buffers, the allocator's own.
const WARM: f64 = 0.25;

/// How much larger than after that it may be in the end: an allocator gives back in steps.
const MARGIN: u64 = 16 << 20;

/// How many clients call all the time.
const CLIENTS: u64 = 4;

/// The servers, with what is wrong with each by itself, and its processes beside the server.
const SERVERS: &[(&str, &[&str], usize)] = &[
    ("plain1", &[], 0),
    ("plain2", &["--resources", "--prompts"], 0),
    ("plain3", &["--tools", "50"], 0),
    ("single", &["--single"], 0),
    ("wordy", &["--stderr-rate", "100000", "--garbage"], 0),
    ("slow", &["--read-slowly", "1"], 0),
    ("twice", &["--answer-twice"], 0),
    ("family", &["--daemon", "--grandchild", "--setsid-child"], 3),
    ("deaf", &["--ignore-sigterm"], 0),
];

/// They come back soon and are never given up, so that there is always something to harm.
const RULES: &str = "backoff_first = \"100ms\"\nbackoff_factor = 1\nmax_deaths = 100000\n\
                     max_run = 1000000\nprobe_every = \"2s\"\nprobe_timeout = \"1s\"\n\
                     write_stall = \"3s\"\nqueue_wait = \"3s\"\ncall_timeout = \"20s\"";

/// How long it is soaked.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// For so many minutes.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// What decides the harm; printed by a run without it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The mcplex to test; the one beside this program if not given.
    #[arg(long, value_name = "FILE")]
    mcplex: Option<PathBuf>,
}

/// Soaks for so long; whether everything is flat and exact.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let Options { minutes, seed, mcplex } = options;
    let time = Duration::try_from_secs_f64(minutes * 60.0).context("that is no time")?;
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ random::clock());
    println!("soaking for {minutes} min; repeat it with --seed {seed}");
    let ground = Arc::new(Ground::find(mcplex.clone())?);
    println!("{ground}");
    let cookie = format!("{}-soak", std::process::id());
    let logs = Logs::default();
    let case = Case { ground, cookie, logs };
    // Its clients come again and again without a goodbye, as no client of a person does.
    let mut setup =
        Setup::new(&case)?.head("[gateway]\nmax_sessions = 4096\nsession_idle = \"30s\"");
    for (name, flags, _) in SERVERS {
        setup = setup.server(name, flags, RULES);
    }
    let gateway = setup.start()?;
    for (name, _, _) in SERVERS {
        gateway.wait_event(name, "upstream connected")?;
    }
    let outcome = soak(gateway, time, Random::new(seed));
    match &outcome {
        Ok(seen) => println!("\npassed: {seen}"),
        Err(error) => println!("\nFAILED: {error:#}"),
    }
    Ok(outcome.is_ok())
}

fn soak(mut gateway: Gateway, time: Duration, mut random: Random) -> anyhow::Result<String> {
    let more = SERVERS.iter().map(|(_, _, more)| more).sum();
    let live = SERVERS.len() + 1;
    gateway.settles_with(live, more)?;
    let sockets_before = sockets(&gateway)?;
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let mut warm = 0;
    let seeds: Vec<_> = (0..CLIENTS).map(|_| random.next()).collect();
    let mut harm = Harm::new(&gateway, Random::new(random.next()))?;
    let (of, stopping) = (&gateway, &stop);
    let ended = thread::scope(|scope| {
        let loads: Vec<_> = seeds
            .iter()
            .map(|&seed| scope.spawn(move || Load::new(of, Random::new(seed))?.run(stopping)))
            .collect();
        let harming = scope.spawn(|| harm.run(stopping));
        let watched = watch(&gateway, began, time, &mut warm);
        stop.store(true, Ordering::Relaxed);
        let mut ended = vec![watched, joined(harming)];
        ended.extend(loads.into_iter().map(joined));
        ended
    });
    for end in ended {
        end?;
    }
    println!("{}", line(&gateway, began)?);
    println!("over; {}", harm.told());
    // Its last call would be open while the others are counted.
    let twin = gateway.twin_was_fine()?;
    let seen = gateway.settles_with(live, more)?;
    let sum = gateway.check_calls()?;
    let memory = census::resident(gateway.pid()?)?;
    ensure!(memory <= warm + MARGIN, "memory grew from {} to {} MiB", warm >> 20, memory >> 20);
    let least = patience::becomes(Duration::from_secs(20), || {
        // The twin's client is one, and it had one before.
        let now = sockets(&gateway)?;
        let told = format!("{now} sockets, {sockets_before} before");
        Ok(if now <= sockets_before { Ok(told) } else { Err(told) })
    })?;
    let end = gateway.end()?;
    let (calls, good) = (sum.calls, sum.good);
    Ok(format!(
        "{calls} calls, {good} good, 0 lost, 0 doubled; {seen}; {least}; {} MiB after {} MiB; {twin}; {end}",
        memory >> 20,
        warm >> 20
    ))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<()> {
    let Ok(ended) = thread.join() else { anyhow::bail!("a thread panicked") };
    ended.map(drop)
}

/// Prints a line every so often until the time is over; notes the memory once it is warm.
fn watch(gateway: &Gateway, began: Instant, time: Duration, warm: &mut u64) -> anyhow::Result<()> {
    let mut next = LINE;
    loop {
        let gone = began.elapsed();
        let memory = census::resident(gateway.pid().context("mcplex has ended")?)?;
        if gone < time.mul_f64(WARM).max(LINE) {
            *warm = (*warm).max(memory);
        }
        if gone >= time {
            return Ok(());
        }
        if gone >= next {
            println!("{}", line(gateway, began)?);
            next += LINE;
        }
        patience::nothing_happens_for(Duration::from_millis(100));
    }
}

fn line(gateway: &Gateway, began: Instant) -> anyhow::Result<String> {
    let sum = gateway.ledger.sum();
    let died = gateway.said.events(|event| event.value["message"] == "upstream died").len();
    Ok(format!(
        "{:>5} s  {} fds + {} sockets  {:>3} MiB  {} processes  {} zombies  {died} deaths  \
         {} calls: {} good, {} open, {} doubled",
        began.elapsed().as_secs(),
        gateway.fds()?,
        sockets(gateway)?,
        census::resident(gateway.pid()?)? >> 20,
        gateway.processes()?.len(),
        gateway.zombies()?,
        sum.calls,
        sum.good,
        sum.lost,
        sum.doubled
    ))
}

fn sockets(gateway: &Gateway) -> anyhow::Result<usize> {
    Ok(census::descriptors(gateway.pid()?)?.get("socket").copied().unwrap_or_default())
}
