//! What most faults must end in: one death, counted once, and everything else as before.

use crate::{client::Client, gateway::Gateway, patience::LONG, said::Event};
use anyhow::ensure;
use mcplex_testkit::census::Watch;
use std::time::{Duration, Instant};

/// How long a group may take to be gone: end of input, SIGTERM, SIGKILL, 2 s each.
pub(crate) const GONE: Duration = Duration::from_secs(6);

/// How it was before a fault.
#[derive(Debug)]
pub(crate) struct Before {
    name: String,
    processes: Watch,
    tools: Vec<String>,
    died: usize,
    connected: usize,
    began: Instant,
}

impl Before {
    /// Looks at a live upstream.
    pub(crate) fn of(gateway: &Gateway, client: &mut Client, name: &str) -> anyhow::Result<Self> {
        let processes = gateway.processes_of(name)?;
        Ok(Self {
            name: name.to_owned(),
            processes: Watch::of(processes.into_iter().map(|one| one.pid))?,
            tools: client.tools()?,
            died: gateway.count(name, "upstream died"),
            connected: gateway.count(name, "upstream connected"),
            began: Instant::now(),
        })
    }

    /// Waits for its death, and for what follows; `live` upstreams are there in the end.
    pub(crate) fn ends(
        &self,
        gateway: &Gateway,
        client: &mut Client,
        live: usize,
    ) -> anyhow::Result<(Event, String)> {
        self.ends_with(gateway, client, (live, 0), LONG)
    }

    /// The same of an upstream that is more processes than a server alone.
    pub(crate) fn ends_with_more(
        &self,
        gateway: &Gateway,
        client: &mut Client,
        live: usize,
        more: usize,
    ) -> anyhow::Result<(Event, String)> {
        self.ends_with(gateway, client, (live, more), LONG)
    }

    /// The same of a death that comes within so long.
    pub(crate) fn ends_within(
        &self,
        gateway: &Gateway,
        client: &mut Client,
        live: usize,
        limit: Duration,
    ) -> anyhow::Result<(Event, String)> {
        self.ends_with(gateway, client, (live, 0), limit)
    }

    fn ends_with(
        &self,
        gateway: &Gateway,
        client: &mut Client,
        (live, more): (usize, usize),
        limit: Duration,
    ) -> anyhow::Result<(Event, String)> {
        let Self { name, died, connected, .. } = self;
        let mut deaths = gateway.wait_events(name, "upstream died", died + 1, limit)?;
        let death = deaths.swap_remove(*died);
        let took = death.at.duration_since(self.began);
        let left = self.processes.left_after(GONE)?;
        ensure!(left.is_empty(), "{left:?} of {} live on after its death", self.processes.len());
        let gone = death.at.elapsed();
        ensure!(client.tools()? == self.tools, "the tools changed while it was down");
        gateway.wait_events(name, "upstream connected", connected + 1, LONG)?;
        let settled = gateway.settles_with(live, more)?;
        let times = gateway.count(name, "upstream died") - died;
        ensure!(times == 1, "one death was counted {times} times");
        let (took, gone) = (took.as_millis(), gone.as_millis());
        Ok((death, format!("1 death after {took} ms, gone {gone} ms later, {settled}")))
    }
}

/// The death must be told in these words.
pub(crate) fn says(death: &Event, words: &[&str]) -> anyhow::Result<()> {
    let reason = death.reason();
    for word in words {
        ensure!(reason.contains(word), "its reason lacks «{word}»: {reason}");
    }
    Ok(())
}
