//! Where the programs are, and what one upstream costs while nothing is wrong.

use crate::{run, setup::Setup};
use std::{fmt, path::PathBuf};

/// What every showing stands on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The gateway under test.
    pub(crate) mcplex: PathBuf,
    /// The server that misbehaves.
    pub(crate) server: PathBuf,
    /// What a gateway without upstreams holds, and what each live one adds.
    pub(crate) cost: Cost,
}

/// Descriptors (without sockets, which belong to clients) and processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) base_fds: usize,
    pub(crate) fds: usize,
    pub(crate) processes: usize,
}

impl Ground {
    /// Finds the programs, and measures with one upstream and with two.
    pub(crate) fn find(mcplex: Option<PathBuf>) -> anyhow::Result<Self> {
        let mcplex = mcplex.map_or_else(|| run::beside("mcplex"), Ok)?;
        let server = run::beside("fake-server")?;
        let mut ground = Self { mcplex, server, cost: Cost::default() };
        let one = ground.measure(&["a"])?;
        let two = ground.measure(&["a", "b"])?;
        let fds = two.0.saturating_sub(one.0);
        let processes = two.1.saturating_sub(one.1);
        ground.cost = Cost { base_fds: one.0.saturating_sub(fds), fds, processes };
        Ok(ground)
    }

    /// Descriptors and processes of a gateway with these upstreams.
    fn measure(&self, upstreams: &[&str]) -> anyhow::Result<(usize, usize)> {
        let cookie = format!("{}-ground", std::process::id());
        let mut setup = Setup::bare(self, &cookie)?;
        for name in upstreams {
            setup = setup.server(name, &[], "");
        }
        let gateway = setup.start_bare()?;
        for name in upstreams {
            gateway.wait_event(name, "upstream connected")?;
        }
        let figures = (gateway.resting_fds()?, gateway.processes()?.len());
        gateway.end()?;
        Ok(figures)
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { base_fds, fds, processes } = self.cost;
        write!(
            f,
            "mcplex holds {base_fds} descriptors without upstreams (sockets not counted); each live \
             one adds {fds} descriptors and {processes} processes"
        )
    }
}
