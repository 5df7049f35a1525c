//! The harm that is done at random: to servers, to what guards them, to mcplex itself.

use super::{SERVERS, random::Random};
use crate::{gateway::Gateway, patience};
use anyhow::Context as _;
use mcplex_testkit::census;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The longest wait between two deeds.
const PAUSE_MS: u64 = 400;

/// How few descriptors a starving mcplex has.
const FEW: u64 = 8;

/// Does harm until it is stopped.
#[derive(Debug)]
pub(crate) struct Harm<'a> {
    gateway: &'a Gateway,
    random: Random,
    done: BTreeMap<&'static str, u64>,
    /// The configuration, and the same with one server changed.
    texts: [String; 2],
}

impl<'a> Harm<'a> {
    pub(crate) fn new(gateway: &'a Gateway, random: Random) -> anyhow::Result<Self> {
        let original = fs::read_to_string(gateway.setup.file("mcplex.toml"))?;
        let changed = original.replace("\"--tools\",\"50\"", "\"--tools\",\"51\"");
        Ok(Self { gateway, random, done: BTreeMap::new(), texts: [original, changed] })
    }

    /// What was done how often.
    pub(crate) fn told(&self) -> String {
        let all: Vec<_> =
            self.done.iter().map(|(deed, count)| format!("{count} x {deed}")).collect();
        all.join(", ")
    }

    /// Does one thing after another; in the end all is allowed to run again.
    pub(crate) fn run(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let (name, _, _) = self.random.one(SERVERS).context("there are servers")?;
            let deed = self.deed(name)?;
            *self.done.entry(deed).or_default() += 1;
            let pause = Duration::from_millis(self.random.below(PAUSE_MS));
            patience::nothing_happens_for(pause);
        }
        self.gateway.setup.replace(&self.texts[0])?;
        self.gateway.signal(Signal::HUP)
    }

    fn deed(&mut self, name: &str) -> anyhow::Result<&'static str> {
        Ok(match self.random.below(20) {
            0..=5 => self.send(name, Signal::KILL, "kill -9 of a server")?,
            6..=7 => self.send(name, Signal::TERM, "SIGTERM to a server")?,
            8..=9 => self.send(name, Signal::SEGV, "SIGSEGV to a server")?,
            10..=11 => {
                if let Some(guard) = self.gateway.guard_of(name)? {
                    // It may have ended in the moment between.
                    drop(census::signal(guard, Signal::KILL));
                }
                "kill -9 of a guard"
            }
            12..=14 => self.halt(name)?,
            15 => {
                for one in self.gateway.processes_of(name)? {
                    drop(census::signal(one.pid, Signal::KILL));
                }
                "kill -9 of all of a server's processes"
            }
            16 => self.starve()?,
            17 => {
                self.gateway.signal(Signal::STOP)?;
                patience::nothing_happens_for(Duration::from_millis(self.random.below(500)));
                self.gateway.signal(Signal::CONT)?;
                "SIGSTOP of mcplex"
            }
            18 => {
                let text = usize::try_from(self.random.below(2)).unwrap_or_default();
                self.gateway.setup.replace(&self.texts[text])?;
                self.gateway.signal(Signal::HUP)?;
                "reload"
            }
            _ => {
                self.gateway.signal(Signal::USR1)?;
                "reset of what is tripped"
            }
        })
    }

    /// Signals the newest process of a server, which may have ended already.
    fn send(&self, name: &str, signal: Signal, deed: &'static str) -> anyhow::Result<&'static str> {
        let pid = self.gateway.newest(name)?;
        let is_ours = self.gateway.processes_of(name)?.iter().any(|one| one.pid == pid);
        if is_ours {
            drop(census::signal(pid, signal));
        }
        Ok(deed)
    }

    /// Stops a server for a while; a stopped one that is ended meanwhile must end too.
    fn halt(&mut self, name: &str) -> anyhow::Result<&'static str> {
        self.send(name, Signal::STOP, "")?;
        patience::nothing_happens_for(Duration::from_millis(self.random.below(800)));
        self.send(name, Signal::CONT, "")?;
        Ok("SIGSTOP of a server")
    }

    /// Leaves mcplex no descriptor for a while.
    fn starve(&mut self) -> anyhow::Result<&'static str> {
        let raw = i32::try_from(self.gateway.pid()?)?;
        let pid = Pid::from_raw(raw).context("no pid")?;
        let text = fs::read_to_string(format!("/proc/{raw}/limits"))?;
        let line = text.lines().find(|line| line.starts_with("Max open files"));
        let mut words = line.context("no limit")?.split_whitespace().skip(3);
        let soft = words.next().and_then(|word| word.parse().ok());
        let hard = words.next().and_then(|word| word.parse().ok());
        let set = |current| prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum: hard });
        set(Some(FEW))?;
        patience::nothing_happens_for(Duration::from_millis(self.random.below(1_000)));
        set(soft)?;
        Ok("no descriptors left")
    }
}
