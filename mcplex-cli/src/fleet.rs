//! Which upstreams there are: the router, and of every upstream the handle and the task.

use crate::{
    clock::TokioClock,
    desk::{Desk, Row, Seen},
    family::Family,
    remembered,
    tokens::Tokens,
    verdict, wire,
};
use mcplex_config::{Config, Difference, Gateway, Server, Telemetry};
use mcplex_proto::{
    attr,
    upstream::{BadName, UpstreamName},
};
use mcplex_router::{Router, UpstreamKey};
use mcplex_supervisor::{EraMemory, Handle, Host, ProcessMemory, Starts, supervise};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tracing::Span;

/// How much longer than its steps the end of an upstream may take, for a busy host.
const SLACK: Duration = Duration::from_secs(2);

/// Everything that runs behind the listeners; dropped, it takes all processes with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    router: Router,
    /// What all upstreams ask before they start.
    host: Host,
    /// What is running.
    config: Config,
    /// In the order of the configuration.
    upstreams: Vec<Running>,
    /// Those that are no longer in the configuration and not gone yet.
    leaving: Vec<Running>,
    roster: Roster,
    desk: Desk,
    /// One task per upstream.
    tasks: JoinSet<()>,
    /// The router's own, which never ends by itself.
    _upkeep: JoinSet<()>,
    /// Different for every upstream.
    next_seed: u64,
    /// What gets tokens for servers that run elsewhere.
    tokens: Tokens,
    /// Where is kept what outlives mcplex.
    state: Option<PathBuf>,
}

#[derive(Debug)]
struct Running {
    name: String,
    key: UpstreamKey,
    handle: Handle,
    /// Its other children.
    family: Family,
    seen: Seen,
    /// Which era it belongs to.
    verdicts: Arc<dyn EraMemory>,
    task: AbortHandle,
    /// Resolves when nothing of it is left.
    ended: Option<oneshot::Receiver<()>>,
    /// How long its end may take.
    longest_end: Duration,
}

/// The upstreams of this moment; cheap to clone, and every clone sees the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(Arc<Mutex<Arc<[Handle]>>>);

impl Fleet {
    /// Takes up every upstream of the configuration, and starts those that are enabled; what they
    /// list is remembered in this folder.
    pub(crate) fn start(
        config: Config,
        state: Option<PathBuf>,
        seed: u64,
        desk: Desk,
    ) -> Result<Self, BadName> {
        let names = names(&config)?;
        let router = Router::new(wire::router_options(&config), Arc::new(TokioClock));
        let mut upkeep = JoinSet::new();
        let running = router.clone();
        upkeep.spawn(async move { running.run().await });
        let mut fleet = Self {
            host: wire::host(&config, seed),
            router,
            config,
            upstreams: Vec::new(),
            leaving: Vec::new(),
            roster: Roster::default(),
            desk,
            tasks: JoinSet::new(),
            _upkeep: upkeep,
            next_seed: seed,
            tokens: Tokens::new(state.as_deref()),
            state,
        };
        // Disabled ones too: calls by their names get a reason.
        let servers = fleet.config.servers.clone();
        fleet.host.set_startup(Some(startup(&servers)));
        for (server, name) in servers.iter().zip(names) {
            fleet.add(server, name);
        }
        fleet.host.set_startup(None);
        fleet.show();
        Ok(fleet)
    }

    /// The one face of all upstreams.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The upstreams, for whoever looks after them.
    pub(crate) fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// The operators' view of it.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What is running.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Makes what differs so, and leaves everything else alone.
    ///
    /// It waits for no process: upstreams that leave or are replaced drain by themselves.
    ///
    /// # Errors
    /// When a name cannot be one; then nothing changes.
    pub(crate) async fn apply(&mut self, new: Config) -> Result<Difference, BadName> {
        let difference = Difference::between(&self.config, &new);
        let names = names(&new)?;
        self.desk.wait_for_restart(difference.needs_restart.clone());
        if difference.is_empty() {
            return Ok(difference);
        }
        self.collect();
        // What needs a restart stays as it runs, so that it is named again until then.
        let running = self.config.clone();
        let gateway = Gateway { watch: new.gateway.watch, ..running.gateway };
        let Config { auth, telemetry, history, host, .. } = running;
        let incoming_context = new.telemetry.incoming_context;
        let telemetry = Telemetry { incoming_context, ..telemetry };
        self.config = Config { gateway, auth, telemetry, history, host, ..new };
        let drain = self.config.gateway.drain;
        for name in &difference.removed {
            self.remove(name, drain).await;
        }
        for (server, name) in self.config.servers.clone().iter().zip(names) {
            if difference.added.contains(&server.name) {
                self.add(server, name);
            } else if difference.changed.contains(&server.name) {
                self.replace(server, name, drain).await;
            } else if difference.limits.contains(&server.name) {
                self.adjust(server, name, drain).await;
            }
        }
        let servers = &self.config.servers;
        self.upstreams.sort_by_key(|one| servers.iter().position(|server| server.name == one.name));
        let keys: Vec<_> = self.upstreams.iter().map(|one| one.key).collect();
        self.router.order(&keys);
        self.router.set_options(wire::router_options(&self.config));
        self.show();
        Ok(difference)
    }

    fn add(&mut self, server: &Server, name: UpstreamName) {
        let key = self.router.add(name.clone());
        let seen = Seen::default();
        let events = self.desk.listen_in(&name, None, &seen, self.router.events(key));
        let verdicts = self.verdicts(server);
        let parts = self.parts(&name, &verdicts);
        let mut spec = wire::spec(&self.config, server, name, parts, &self.host, self.next_seed);
        self.next_seed = self.next_seed.wrapping_add(1);
        // The children wait until nothing of before is left, the first like the others.
        let (waiting, gate) = watch::channel(());
        let family = Family::new(spec.clone(), self.config.gateway.drain, gate, self.desk.clone());
        if !self.remember(key, server) {
            learn(&mut spec.starts);
        }
        let (handle, task) = supervise(spec, events);
        self.router.propagate(key, wire::propagate(server));
        self.router.attach(key, Arc::new(handle.clone()));
        self.router.isolate(key, wire::isolation(&server.supervise), family.members());
        // One of this name that is leaving may still have a process; the last waits for the others.
        let of_this_name = |one: &&mut Running| one.name == server.name;
        let before = self.leaving.iter_mut().rfind(of_this_name).and_then(|one| one.ended.take());
        let (ends, ended) = oneshot::channel();
        let siblings = family.clone();
        let task = self.tasks.spawn(async move {
            if let Some(before) = before {
                // Nothing is ever sent: it is dropped with the task.
                let _has_ended = before.await.is_err();
            }
            drop(waiting);
            task.await;
            siblings.ended().await;
            drop(ends);
        });
        let longest_end = wire::longest_end(&server.supervise);
        let name = server.name.clone();
        let ended = Some(ended);
        self.upstreams.push(Running {
            name,
            key,
            handle,
            family,
            seen,
            verdicts,
            task,
            ended,
            longest_end,
        });
    }

    /// Has what a server lists remembered; `true` when lists of before are shown now. What is not
    /// started lists nothing.
    fn remember(&self, key: UpstreamKey, server: &Server) -> bool {
        let state = self.state.as_ref().filter(|_| server.enabled);
        state.is_some_and(|state| {
            self.router.remember(key, Arc::new(remembered::File::of(state, server)))
        })
    }

    /// Where is kept which era a server belongs to.
    fn verdicts(&self, server: &Server) -> Arc<dyn EraMemory> {
        match &self.state {
            Some(state) => Arc::new(verdict::File::of(state, server)),
            None => Arc::new(ProcessMemory::default()),
        }
    }

    /// What an upstream is given besides its entry.
    fn parts(&self, name: &UpstreamName, verdicts: &Arc<dyn EraMemory>) -> wire::Parts {
        let (log, verdicts) = (self.desk.log(name), Arc::clone(verdicts));
        wire::Parts { log, verdicts, tokens: self.tokens.clone() }
    }

    /// Puts other processes in the place of those of a server that stays.
    async fn replace(&mut self, server: &Server, name: UpstreamName, drain: Duration) {
        let verdicts = self.verdicts(server);
        let one = self.running(server);
        one.verdicts = Arc::clone(&verdicts);
        let (key, handle, family) = (one.key, one.handle.clone(), one.family.clone());
        let change = wire::change(server, name.clone(), self.parts(&name, &verdicts));
        let mut first = change.clone();
        // What is shown until then is what it listed before the change.
        if !self.remember(key, server) {
            learn(&mut first.starts);
        }
        self.router.propagate(key, wire::propagate(server));
        handle.replace(first, drain).await;
        family.replace(change, drain).await;
        self.router.isolate(key, wire::isolation(&server.supervise), family.members());
    }

    /// Gives new limits to a server that stays.
    async fn adjust(&mut self, server: &Server, name: UpstreamName, drain: Duration) {
        let one = self.running(server);
        let (key, handle, family) = (one.key, one.handle.clone(), one.family.clone());
        let verdicts = Arc::clone(&one.verdicts);
        let change = wire::change(server, name.clone(), self.parts(&name, &verdicts));
        self.router.propagate(key, wire::propagate(server));
        handle.adjust(change.clone()).await;
        family.adjust(change, drain).await;
        self.router.isolate(key, wire::isolation(&server.supervise), family.members());
    }

    async fn remove(&mut self, name: &str, drain: Duration) {
        let Some(index) = self.upstreams.iter().position(|one| one.name == name) else { return };
        let one = self.upstreams.remove(index);
        self.router.remove(one.key);
        let (handle, family) = (one.handle.clone(), one.family.clone());
        self.leaving.push(one);
        family.retire(drain).await;
        handle.retire(drain).await;
    }

    /// A server that stays, with its new limits noted.
    fn running(&mut self, server: &Server) -> &mut Running {
        let one = self.upstreams.iter_mut().find(|one| one.name == server.name);
        let one = one.expect("what is in both configurations runs");
        one.longest_end = one.longest_end.max(wire::longest_end(&server.supervise));
        one
    }

    /// Forgets what has ended.
    fn collect(&mut self) {
        self.leaving.retain(|one| !one.task.is_finished());
        while self.tasks.try_join_next().is_some() {}
    }

    fn show(&self) {
        self.roster.set(self.upstreams.iter().map(|one| one.handle.clone()).collect());
        let servers = &self.config.servers;
        let rows = self.upstreams.iter().filter_map(|one| {
            let server = servers.iter().find(|server| server.name == one.name)?;
            let parts = (one.key, one.handle.clone(), one.seen.clone(), one.family.view());
            Some(Row::new(server, parts, self.router.clone()))
        });
        self.desk.show(rows.collect(), self.config.fingerprint().to_string());
    }

    /// Ends all upstreams side by side; what is left after their time is killed.
    pub(crate) async fn end_all(mut self) {
        let all = || self.upstreams.iter().chain(&self.leaving);
        let limit = all().map(|one| one.longest_end).max().unwrap_or_default() + SLACK;
        let mut asking = JoinSet::new();
        for (handle, family) in all().map(|one| (one.handle.clone(), one.family.clone())) {
            asking.spawn(async move {
                family.shutdown().await;
                handle.shutdown().await;
            });
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

/// What nothing is known of is started once, also if it is lazy: no client calls what it does not
/// see.
fn learn(starts: &mut Starts) {
    if *starts == Starts::Lazy {
        *starts = Starts::Now;
    }
}

fn names(config: &Config) -> Result<Vec<UpstreamName>, BadName> {
    config.servers.iter().map(|server| UpstreamName::new(&server.name)).collect()
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

/// The span of the start; it ends when the first connects of all upstreams are settled.
fn startup(servers: &[Server]) -> Span {
    let is_started = |server: &&Server| server.enabled && !server.supervise.lazy;
    tracing::info_span!(
        target: attr::TARGET_STARTUP,
        parent: None,
        attr::STARTUP,
        { attr::OTEL_NAME } = attr::STARTUP,
        { attr::LIFECYCLE } = attr::LIFECYCLE_STARTUP,
        { attr::UPSTREAM_COUNT } = servers.iter().filter(is_started).count(),
    )
}
