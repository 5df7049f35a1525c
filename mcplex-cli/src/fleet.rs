//! Which upstreams there are: the router, and of every upstream the handle and the task.

use crate::{clock::TokioClock, wire};
use mcplex_config::Config;
use mcplex_proto::upstream::{BadName, UpstreamName};
use mcplex_router::Router;
use mcplex_supervisor::{Handle, supervise};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// How much longer than its steps the end of an upstream may take, for a busy host.
const SLACK: Duration = Duration::from_secs(2);

/// Everything that runs behind the listeners; dropped, it takes all processes with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    router: Router,
    /// What is running.
    config: Config,
    roster: Roster,
    /// One task per upstream.
    tasks: JoinSet<()>,
    /// The router's own, which never ends by itself.
    _upkeep: JoinSet<()>,
}

/// The upstreams of this moment; cheap to clone, and every clone sees the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(Arc<Mutex<Arc<[Handle]>>>);

impl Fleet {
    /// Takes up every upstream of the configuration, and starts those that are enabled.
    pub(crate) fn start(config: Config, seed: u64) -> Result<Self, BadName> {
        // Disabled ones too: calls by their names get a reason.
        let names: Vec<_> = config
            .servers
            .iter()
            .map(|server| UpstreamName::new(&server.name))
            .collect::<Result<_, _>>()?;
        let router = Router::new(wire::router_options(&config), Arc::new(TokioClock));
        let mut tasks = JoinSet::new();
        let mut handles = Vec::with_capacity(names.len());
        for (index, (server, name)) in config.servers.iter().zip(names).enumerate() {
            let key = router.add(name.clone());
            let spec = wire::spec(&config, server, name, seed.wrapping_add(index as u64));
            let (handle, task) = supervise(spec, router.events(key));
            router.attach(key, Arc::new(handle.clone()));
            tasks.spawn(task);
            handles.push(handle);
        }
        let mut upkeep = JoinSet::new();
        let running = router.clone();
        upkeep.spawn(async move { running.run().await });
        let roster = Roster::default();
        roster.set(handles);
        Ok(Self { router, config, roster, tasks, _upkeep: upkeep })
    }

    /// The one face of all upstreams.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The upstreams, for whoever looks after them.
    pub(crate) fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Ends all upstreams side by side; what is left after their time is killed.
    pub(crate) async fn end_all(mut self) {
        let limit = wire::longest_end(&self.config) + SLACK;
        let mut asking = JoinSet::new();
        for handle in self.roster.handles().iter() {
            let handle = handle.clone();
            asking.spawn(async move { handle.shutdown().await });
        }
        let gone = async {
            while asking.join_next().await.is_some() {}
            while self.tasks.join_next().await.is_some() {}
        };
        if timeout(limit, gone).await.is_err() {
            tracing::error!("not every upstream could be ended in time; what is left is killed");
        }
    }
}

impl Roster {
    /// All upstreams, in the order of the configuration.
    pub(crate) fn handles(&self) -> Arc<[Handle]> {
        self.lock().clone()
    }

    fn set(&self, handles: Vec<Handle>) {
        *self.lock() = handles.into();
    }

    /// Locks for a moment, never over a wait; what it holds is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Arc<[Handle]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
