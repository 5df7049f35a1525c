//! A running mcplex, seen from outside; nothing of it outlives this.

use crate::{
    client::Client,
    ledger::{self, Ledger},
    patience::{self, LONG},
    said::{Event, Said},
    setup::{COOKIE, Setup, UPSTREAM},
    twin::{TWIN, Twin},
};
use anyhow::{Context as _, bail, ensure};
use mcplex_testkit::census::{self, Process, Watch};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    process::{Child, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the machine may take to be quiet again after a fault.
const QUIET: Duration = Duration::from_secs(12);

/// How often descriptors are counted that something is measured by, and how long after each other.
const LOOKS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(50);

/// A running mcplex.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) setup: Setup,
    pub(crate) child: Child,
    pub(crate) said: Said,
    pub(crate) url: String,
    pub(crate) twin: Option<Twin>,
    pub(crate) ledger: Arc<Ledger>,
    /// Descriptors it holds on top of what others do, such as those of an exporter of spans; less
    /// than 0 where it lacks some.
    pub(crate) more_fds: isize,
}

/// What it says.
impl Gateway {
    /// The pid of mcplex itself, also when it was started through another program.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        let own = self.child.id();
        let is_mcplex = |pid| {
            fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe == self.setup.ground.mcplex)
        };
        if is_mcplex(own) {
            return Ok(own);
        }
        let below = census::descendants(own)?;
        let found = below.iter().find(|one| one.parent == own && is_mcplex(one.pid));
        found.map(|one| one.pid).context("mcplex does not run")
    }

    pub(crate) fn endpoint(&self, limit: Duration) -> anyhow::Result<String> {
        let line = self.said.wait_line("/mcp", limit)?;
        let start = line.find("http://").context("it names no endpoint")?;
        Ok(line[start..].split(['"', ' ']).next().unwrap_or_default().to_owned())
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.url, Arc::clone(&self.ledger))
    }

    /// A client that sees these tools.
    pub(crate) fn client_of(&self, tools: &[&str]) -> anyhow::Result<Client> {
        let mut client = self.client()?;
        client.wait_for_tools(tools)?;
        Ok(client)
    }

    pub(crate) fn events(&self, upstream: &str, message: &str) -> Vec<Event> {
        self.said.events(|event| event.is(upstream, message))
    }

    pub(crate) fn count(&self, upstream: &str, message: &str) -> usize {
        self.events(upstream, message).len()
    }

    /// Waits for the `count`th event about an upstream whose message begins so.
    pub(crate) fn wait_events(
        &self,
        upstream: &str,
        message: &str,
        count: usize,
        limit: Duration,
    ) -> anyhow::Result<Vec<Event>> {
        let what = format!("{upstream}: {message} (x{count})");
        self.said.wait_events(limit, &what, count, |event| event.is(upstream, message))
    }

    pub(crate) fn wait_event(&self, upstream: &str, message: &str) -> anyhow::Result<Event> {
        self.wait_nth(upstream, message, 1)
    }

    pub(crate) fn wait_nth(
        &self,
        upstream: &str,
        message: &str,
        n: usize,
    ) -> anyhow::Result<Event> {
        let mut events = self.wait_events(upstream, message, n, LONG)?;
        Ok(events.swap_remove(n - 1))
    }
}

/// What its operators see.
impl Gateway {
    /// The status of an upstream.
    pub(crate) fn status(&self, upstream: &str) -> anyhow::Result<Value> {
        let output = self.setup.mcplex(&["status", "--json"]).stderr(Stdio::null()).output()?;
        let all: Value = serde_json::from_slice(&output.stdout).context("there is no status")?;
        let mut found = all["upstreams"].as_array().into_iter().flatten();
        let found = found.find(|one| one["name"] == upstream);
        found.cloned().with_context(|| format!("there is no upstream {upstream}"))
    }
}

/// What it left in files.
impl Gateway {
    /// The lines of a file in the folder; none if it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let bytes = fs::read(self.setup.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// The pid of each start of a server.
    pub(crate) fn spawns(&self, name: &str) -> Vec<u32> {
        self.lines(&format!("spawns.{name}")).iter().filter_map(|line| line.parse().ok()).collect()
    }

    /// The pid of the newest start of a server.
    pub(crate) fn newest(&self, name: &str) -> anyhow::Result<u32> {
        self.spawns(name).pop().with_context(|| format!("{name} was never started"))
    }

    /// Every line that servers read is a whole message (I13); how many there were.
    fn check_input(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        for name in &self.setup.names {
            let bytes = fs::read(self.setup.file(&format!("in.{name}"))).unwrap_or_default();
            let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
            // What follows the last line break is what was cut by its own end.
            lines.pop();
            for line in lines {
                let is_whole = serde_json::from_slice::<Value>(line).is_ok();
                ensure!(is_whole, "{name} read half a message: {} bytes", line.len());
                count += 1;
            }
        }
        Ok(count)
    }

    /// The ledger of its clients against the call logs of its servers.
    pub(crate) fn check_calls(&self) -> anyhow::Result<ledger::Sum> {
        let calls = self.setup.names.iter().flat_map(|name| self.lines(&format!("calls.{name}")));
        self.ledger.check(&ledger::ran(&calls.collect::<Vec<_>>()))
    }
}

/// What it holds.
impl Gateway {
    /// Descriptors, without sockets: those are its clients'.
    pub(crate) fn fds(&self) -> anyhow::Result<usize> {
        let kinds = census::descriptors(self.pid()?)?;
        Ok(kinds.iter().filter(|(kind, _)| *kind != "socket").map(|(_, count)| count).sum())
    }

    /// Every process of its upstreams, wherever it went.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let (own, through) = (self.pid().unwrap_or_default(), self.child.id());
        let mut all = census::with_variable(COOKIE, &self.setup.cookie)?;
        all.retain(|one| one.pid != own && one.pid != through);
        Ok(all)
    }

    /// Every process of one upstream, wherever it went.
    pub(crate) fn processes_of(&self, name: &str) -> anyhow::Result<Vec<Process>> {
        let mut all = self.processes()?;
        let of_it = census::with_variable(UPSTREAM, name)?;
        all.retain(|one| of_it.iter().any(|other| other.pid == one.pid));
        Ok(all)
    }

    /// The process that holds a server's processes together, if there is one.
    pub(crate) fn guard_of(&self, name: &str) -> anyhow::Result<Option<u32>> {
        let is_guard = |one: &Process| {
            fs::read_link(format!("/proc/{}/exe", one.pid))
                .is_ok_and(|exe| exe == self.setup.ground.mcplex)
        };
        Ok(self.processes_of(name)?.iter().find(|one| is_guard(one)).map(|one| one.pid))
    }

    pub(crate) fn zombies(&self) -> anyhow::Result<usize> {
        let below = census::descendants(self.child.id())?;
        Ok(below.iter().filter(|one| one.is_zombie()).count())
    }

    /// Descriptors it holds while nothing happens: of several looks the fewest, because a log or a list
    /// that is just being written is open for a moment.
    pub(crate) fn resting_fds(&self) -> anyhow::Result<usize> {
        let mut fewest = self.fds()?;
        for _ in 0..LOOKS {
            patience::nothing_happens_for(BETWEEN);
            fewest = fewest.min(self.fds()?);
        }
        Ok(fewest)
    }

    /// Takes what it holds now, with so many live upstreams, for what is right.
    pub(crate) fn rebase(&mut self, live: usize) -> anyhow::Result<()> {
        let cost = self.setup.ground.cost;
        let due = cost.base_fds + cost.fds * live;
        self.more_fds = isize::try_from(self.resting_fds()?)? - isize::try_from(due)?;
        Ok(())
    }

    /// Waits until it holds what so many live upstreams cost, and not one thing more.
    pub(crate) fn settles(&self, live: usize) -> anyhow::Result<String> {
        self.settles_with(live, 0)
    }

    /// The same with processes more than those of plain servers.
    pub(crate) fn settles_with(&self, live: usize, more: usize) -> anyhow::Result<String> {
        let cost = self.setup.ground.cost;
        let fds_due = (cost.base_fds + cost.fds * live).saturating_add_signed(self.more_fds);
        let processes_due = cost.processes * live + more;
        patience::becomes(QUIET, || {
            let (fds, zombies) = (self.fds()?, self.zombies()?);
            let processes = self.processes()?;
            let seen = format!("{fds} fds, {} processes, {zombies} zombies", processes.len());
            if fds == fds_due && processes.len() == processes_due && zombies == 0 {
                return Ok(Ok(seen));
            }
            let names: Vec<_> =
                processes.iter().map(|one| format!("{} {}", one.pid, one.name)).collect();
            let kinds = census::descriptors(self.pid()?)?;
            Ok(Err(format!(
                "{seen}; {fds_due} fds and {processes_due} processes are due ({names:?} {kinds:?})"
            )))
        })
    }
}

/// How it ends.
impl Gateway {
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(census::signal(self.pid()?, signal)?)
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match patience::until(limit, || Ok(self.child.try_wait()?))? {
            Some(status) => Ok(status),
            None => bail!("mcplex does not end; its last words: {}", self.said.tail(4, " / ")),
        }
    }

    /// How the twin fared; nobody calls it any more.
    pub(crate) fn twin_was_fine(&mut self) -> anyhow::Result<String> {
        let Some(twin) = self.twin.take() else {
            return Ok("nobody calls the twin any more".to_owned());
        };
        let fared = twin.end()?;
        ensure!(self.spawns(TWIN).len() == 1, "the good twin was started again");
        Ok(format!("twin {} calls, p99 {} ms", fared.calls, fared.p99.as_millis()))
    }

    /// Waits until nothing of its upstreams is left.
    pub(crate) fn leaves_nothing(&self, limit: Duration) -> anyhow::Result<()> {
        let gone = patience::becomes(limit, || {
            let left = self.processes()?;
            let names: Vec<_> =
                left.iter().map(|one| format!("{} {}", one.pid, one.name)).collect();
            Ok(if left.is_empty() { Ok(String::new()) } else { Err(format!("{names:?} are left")) })
        });
        gone.map(drop)
    }

    /// Ends it politely, after all its clients: everything was answered once, nothing is left.
    pub(crate) fn end(mut self) -> anyhow::Result<String> {
        let twin = self.twin_was_fine()?;
        let began = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.ended(LONG)?;
        ensure!(status.success(), "mcplex ended with {status}: {}", self.said.tail(4, " / "));
        self.leaves_nothing(Duration::from_secs(7).saturating_sub(began.elapsed()))?;
        self.check_calls()?;
        let messages = self.check_input()?;
        Ok(format!("{twin}, {messages} whole lines read"))
    }

    /// The same, of one that has ended already.
    pub(crate) fn check_ended(mut self) -> anyhow::Result<String> {
        let _twin: anyhow::Result<String> = self.twin_was_fine();
        Ok(format!("{} whole lines read", self.check_input()?))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Most have ended already, and whatever fails here is swept below.
        let below = census::descendants(self.child.id()).unwrap_or_default();
        if let Ok(watch) = Watch::of(below.into_iter().map(|one| one.pid)) {
            watch.kill();
        }
        drop(self.child.kill());
        drop(self.child.wait());
        sweep(&self.setup.cookie);
        if let Some(twin) = self.twin.take() {
            drop(twin.end());
        }
    }
}

/// Kills everything that carries the cookie, until nothing does; tells how many there were.
pub(crate) fn sweep(cookie: &str) -> usize {
    let mut killed = 0;
    for _ in 0..200 {
        let left = census::with_variable(COOKIE, cookie).unwrap_or_default();
        if left.is_empty() {
            break;
        }
        for one in left {
            killed += usize::from(census::signal(one.pid, Signal::KILL).is_ok());
        }
        patience::nothing_happens_for(Duration::from_millis(10));
    }
    killed
}
