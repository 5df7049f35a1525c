//! Runs faults side by side, each within its limit, and leaves nothing behind.

use crate::{
    fault::{Case, Fault, Logs},
    faults, gateway,
    ground::Ground,
    soak,
    table::{self, Shown},
};
use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use std::{
    collections::VecDeque,
    io,
    os::unix::process::CommandExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Instant,
};

/// How many lines of mcplex's log are shown for a failure.
const TAIL: usize = 12;

/// Shows what comes of every way a server is known to fail.
#[derive(Debug, Parser)]
#[command(name = "mcplex-chaos", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    faults: Faults,
}

/// What it does instead of showing faults.
#[derive(Debug, Subcommand)]
enum Other {
    /// Does harm at random for some minutes, and wants everything flat and exact.
    Soak(soak::Options),
    /// Ends what a run of this pid left behind, once stdin is closed.
    #[command(hide = true)]
    Sweep { pid: u32 },
}

/// Which faults are shown, and how.
#[derive(Debug, Args)]
struct Faults {
    /// Only the faults of this number, such as F36, of this group, such as `tree`, or with this in
    /// their name; several are all shown.
    names: Vec<String>,
    /// Only those that take few seconds: what every run of the gate shows.
    #[arg(long)]
    quick: bool,
    /// Lists the faults and what is expected, and runs none.
    #[arg(long)]
    list: bool,
    /// Prints one JSON document instead of the table.
    #[arg(long)]
    json: bool,
    /// How many are shown at once.
    #[arg(long, default_value_t = 4, value_name = "N")]
    at_once: usize,
    /// The mcplex to test; the one beside this program if not given.
    #[arg(long, value_name = "FILE")]
    mcplex: Option<PathBuf>,
}

/// Runs what was asked for; whether all of it is as expected.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    match &arguments.other {
        Some(Other::Sweep { pid }) => Ok(sweep_once_it_is_gone(*pid)),
        Some(Other::Soak(options)) => {
            let _sweeper = Sweeper::start()?;
            soak::run(options)
        }
        None => show_chosen(&arguments.faults),
    }
}

fn show_chosen(arguments: &Faults) -> anyhow::Result<bool> {
    let wanted = choose(arguments)?;
    if arguments.list {
        for fault in &wanted {
            let how = if fault.is_simulated { "simulated" } else { "real" };
            let quick = if fault.is_quick { "quick" } else { "" };
            println!(
                "{} {:<24} {:<6} {how:<9} {quick:<5} {}",
                fault.id, fault.name, fault.group, fault.expected
            );
        }
        return Ok(true);
    }
    let _sweeper = Sweeper::start()?;
    let began = Instant::now();
    let ground = Arc::new(Ground::find(arguments.mcplex.clone())?);
    println!("{ground}");
    let (alone, together): (Vec<_>, Vec<_>) = wanted.iter().partition(|fault| fault.is_alone);
    let mut shown = show_all(&ground, together, arguments.at_once.max(1));
    shown.extend(show_all(&ground, alone, 1));
    shown.sort_by_key(|one| one.fault.id);
    if arguments.json {
        table::print_json(&shown, began.elapsed());
    } else {
        println!();
        table::print(&shown, began.elapsed());
    }
    Ok(shown.iter().all(|one| one.outcome.is_ok()))
}

/// A process that ends everything of a run when the run is gone, however that was ended.
#[derive(Debug)]
struct Sweeper(Child);

impl Sweeper {
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["sweep", &std::process::id().to_string()]);
        // A Ctrl-C in a terminal is for the run, not for what cleans up after it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        Ok(Self(command.spawn().context("failed to start what cleans up")?))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // Nothing is left to sweep, and it says so by its end.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn sweep_once_it_is_gone(pid: u32) -> bool {
    // Nobody ever writes: it ends with the other end.
    let _end = io::copy(&mut io::stdin(), &mut io::sink());
    let showings = faults::all().into_iter().map(|fault| fault.id);
    for showing in showings.chain(["ground", "soak"]) {
        gateway::sweep(&format!("{pid}-{showing}"));
    }
    true
}

fn choose(arguments: &Faults) -> anyhow::Result<Vec<Fault>> {
    let all = faults::all();
    for name in &arguments.names {
        if !all.iter().any(|fault| fault.fits(name)) {
            bail!("no fault is called {name}; --list names them all");
        }
    }
    let is_named =
        |fault: &Fault| arguments.names.is_empty() || arguments.names.iter().any(|n| fault.fits(n));
    let is_wanted = |fault: &Fault| is_named(fault) && (fault.is_quick || !arguments.quick);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// Shows them, so many at once; the longest begin first, so that none is waited for alone.
fn show_all(ground: &Arc<Ground>, mut faults: Vec<Fault>, at_once: usize) -> Vec<Shown> {
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.limit));
    let queue = Mutex::new(VecDeque::from(faults));
    let shown = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    // In a `while let` the queue would stay locked while a fault is shown.
                    let next = lock(&queue).pop_front();
                    let Some(fault) = next else { return };
                    let one = show(ground, fault);
                    println!("{}", one.line());
                    lock(&shown).push(one);
                }
            });
        }
    });
    shown.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows one on a thread of its own, which loses everything it started when its time is over.
fn show(ground: &Arc<Ground>, fault: Fault) -> Shown {
    let began = Instant::now();
    let case = Case {
        ground: Arc::clone(ground),
        cookie: format!("{}-{}", std::process::id(), fault.id),
        logs: Logs::default(),
    };
    let (done, doing) = mpsc::channel();
    let own = case.clone();
    thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| (fault.show)(&own)));
        // Nobody waits for it any more if its time was over.
        let _is_heard = done.send(outcome);
    });
    let outcome = match doing.recv_timeout(fault.limit) {
        Ok(Ok(Ok(seen))) => Ok(seen),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(panic)) => Err(format!("it panicked: {}", words(&*panic))),
        Err(_) => Err(format!("it took longer than {} s", fault.limit.as_secs())),
    };
    let left = gateway::sweep(&case.cookie);
    let outcome = match (outcome, left) {
        (Ok(_), left) if left > 0 => Err(format!("{left} processes were left at the very end")),
        (outcome, _) => outcome,
    };
    if outcome.is_err()
        && let Some(said) = lock(&case.logs).last()
    {
        eprintln!("{} failed; the last words of mcplex:\n{}", fault.id, said.tail(TAIL, "\n"));
    }
    Shown { fault, outcome, took: began.elapsed() }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a word")
}

/// Finds a program beside this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let mut file = std::env::current_exe().context("this program has no path")?;
    file.set_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !file.is_file() {
        bail!("{} is missing; `cargo xtask chaos` builds it", file.display());
    }
    Ok(file)
}
