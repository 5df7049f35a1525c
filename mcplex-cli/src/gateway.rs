//! Runs the gateway: listeners in front, upstreams behind, signals above.
//!
//! | state | what runs | leaves by |
//! | --- | --- | --- |
//! | serving | listeners, upstreams, reloads | the first stop signal, or the client on stdin leaving |
//! | draining | calls in flight, upstreams | the last call, or the drain's end |
//! | ending | the ends of all upstreams | nothing being left |
//!
//! A second stop signal leaves any of them at once: every process group is killed.

use crate::{
    desk::Desk,
    doorman::TokenDoorman,
    exit::{Code, Failure},
    fleet::{Fleet, Roster},
    host,
    notify::Notify,
    panel::Panel,
    places::Places,
    reach::Reach,
    reload::{Keeper, Reloader},
    settings::Settings,
    signals::{Asked, Signals},
    wire,
};
use mcplex_admin::{
    audit::{Audit, AuditedDoorman},
    calls::Counting,
    control::Control,
    crashes::Crashes,
    logs::Logs,
    socket::Sockets,
    status::Instance,
    store::Store,
};
use mcplex_proto::{
    downstream::{Doorman, Gateway},
    upstream::{Health, Upstream as _},
};
use mcplex_router::Router;
use mcplex_transport_http::HttpListener;
use mcplex_transport_stdio::{Input, Left, Output, process_input, process_output, serve_stdio};
use std::{error::Error as _, fmt, path::Path, sync::Arc};
use tokio::{
    sync::{oneshot, watch},
    task::{JoinError, JoinSet},
};

/// What the gateway listens at.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) http: Option<HttpListener>,
    /// The one client of this process itself.
    pub(crate) stdio: Option<Client>,
    /// Where operators and clients of other processes come in.
    pub(crate) sockets: Option<Box<Sockets>>,
}

/// A client, by the two ends of what it says and hears.
pub(crate) struct Client {
    input: Input,
    output: Output,
}

impl Client {
    pub(crate) fn new(input: Input, output: Output) -> Self {
        Self { input, output }
    }

    /// The one that has started this process.
    pub(crate) fn of_this_process() -> Result<Self, Failure> {
        let unusable =
            |error| Failure::from_error(Code::Failed, "stdin or stdout is not usable", &error);
        Ok(Self::new(process_input().map_err(unusable)?, process_output().map_err(unusable)?))
    }

    /// Its two ends.
    pub(crate) fn into_parts(self) -> (Input, Output) {
        (self.input, self.output)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Serves until it is told to stop, and ends everything it started.
pub(crate) async fn run(
    settings: &Settings,
    front: Front,
    mut signals: Signals,
) -> Result<(), Failure> {
    let _upkeep = host::prepare();
    let doorman = doorman(settings, &front)?;
    let (manager, serving) = (manager(&front), serving(settings, &front));
    let (reloader, asks) = Reloader::new();
    let (desk, panel) = desk(settings, &front, reloader.clone())?;
    let (fleet, audit) = upstreams(settings, &desk)?;
    let doorman = doorman.map(|doorman| watched(doorman, audit));
    let (stop, stopping) = watch::channel(false);
    let (control, mut operators) = receive(panel, &desk, &stopping);
    let mut listeners =
        listen(settings, front, doorman, &fleet.router(), &desk, &control, &stopping);
    let roster = fleet.roster();
    let (end, ending) = oneshot::channel();
    let mut keeping = JoinSet::new();
    keeping.spawn(Keeper::new(fleet, settings.clone(), asks, manager.clone()).run(ending));
    manager.ready(&serving);
    let mut pulse = manager.pulse();
    // Serving: until a listener ends (the client on stdin left) or somebody asks for the end.
    let mut result = Ok(());
    let mut stays_for_others = false;
    loop {
        tokio::select! {
            Some(left) = listeners.join_next() => {
                result = left.unwrap_or_else(|error| Err(bug("a listener ended", &error)));
                let others = *desk.attached().borrow();
                if others == 0 {
                    break;
                }
                stays_for_others = true;
                tracing::info!(others, "other clients are attached; staying until they have left");
            }
            Some(left) = keeping.join_next() => {
                result = left.map_err(|error| bug("the upstreams were lost", &error));
                break;
            }
            () = desk.nobody_attached(), if stays_for_others => break,
            () = pulse.beat() => {}
            asked = signals.next() => match asked {
                Asked::Reset => reset(&roster).await,
                Asked::Reload => reloader.poke(),
                Asked::Stop(name, _) => {
                    tracing::info!(signal = name, "draining; a second signal ends at once");
                    break;
                }
            },
        }
    }
    manager.stopping();
    stop.send_replace(true);
    let all = async {
        while listeners.join_next().await.is_some() {}
        drop(end);
        while keeping.join_next().await.is_some() {}
        while operators.join_next().await.is_some() {}
    };
    tokio::select! {
        () = all => {
            desk.flush();
            result
        }
        // Dropping the tasks ends every process at once.
        code = second(&mut signals) => Err(Failure::new(code, String::new())),
        never = pulse.go_on() => match never {},
    }
}

fn bug(what: &str, error: &JoinError) -> Failure {
    Failure::from_error(Code::Failed, format!("{what} by a bug"), error)
}

/// Answers operators; those of the network in a task beside the listeners, because nobody stays for
/// them.
fn receive(
    panel: Option<Panel>,
    desk: &Desk,
    stopping: &watch::Receiver<bool>,
) -> (Arc<Control>, JoinSet<()>) {
    // Where numbers are kept there is at least a line that says whose they are.
    let numbers = Some(mcplex_telemetry::prometheus as fn() -> String);
    let control = Control::new(Arc::new(desk.clone()), desk.kept())
        .with_metrics(numbers.filter(|read| !read().is_empty()))
        .with_dashboard(panel.as_ref().map(Panel::link));
    let control = Arc::new(control);
    let mut operators = JoinSet::new();
    if let Some(panel) = panel {
        operators.spawn(panel.serve(Arc::clone(&control), stopped(stopping.clone())));
    }
    (control, operators)
}

/// Who may ask at all, where anybody can.
fn doorman(settings: &Settings, front: &Front) -> Result<Option<TokenDoorman>, Failure> {
    match &front.http {
        Some(http) => TokenDoorman::of(settings.config(), http.local_addr()),
        None => Ok(None),
    }
}

/// Refusals stand in the audit log, if there is one.
fn watched(doorman: TokenDoorman, audit: Option<Audit>) -> Arc<dyn Doorman> {
    let doorman = Arc::new(doorman);
    match audit {
        Some(audit) => Arc::new(AuditedDoorman::new(doorman, audit)),
        None => doorman,
    }
}

/// Whoever runs this as a service. A client that starts mcplex is none, whatever started it.
fn manager(front: &Front) -> Notify {
    let is_service = front.http.is_some() && front.stdio.is_none();
    if is_service { Notify::of_environment() } else { Notify::default() }
}

/// What it is told.
fn serving(settings: &Settings, front: &Front) -> String {
    let config = settings.config();
    let servers = config.servers.iter().filter(|server| server.enabled).count();
    let at = front.http.as_ref().map(|http| format!(" at http://{}", http.local_addr()));
    format!("serves {servers} upstreams{}{}", at.unwrap_or_default(), config.gateway.path)
}

fn listen(
    settings: &Settings,
    front: Front,
    doorman: Option<Arc<dyn Doorman>>,
    router: &Router,
    desk: &Desk,
    control: &Arc<Control>,
    stopping: &watch::Receiver<bool>,
) -> JoinSet<Result<(), Failure>> {
    let mut listeners = JoinSet::new();
    let gateway = face(settings, router, desk);
    if let Some(http) = front.http {
        let options = wire::http_options(settings.config());
        let http = match doorman {
            Some(doorman) => http.with_doorman(doorman),
            None => http,
        };
        let stop = stopped(stopping.clone());
        let gateway = Arc::clone(&gateway);
        listeners.spawn(async move {
            http.serve(gateway, options, stop).await;
            Ok(())
        });
    }
    if let Some(client) = front.stdio {
        let (input, output) = client.into_parts();
        let options = wire::stdio_options(settings.config());
        let stop = stopped(stopping.clone());
        let gateway = Arc::clone(&gateway);
        listeners.spawn(async move {
            let left = serve_stdio(gateway, input, output, options, stop).await;
            tracing::info!(?left, "the client on stdin has left");
            match left {
                Left::Broken(why) => Err(Failure::new(
                    Code::Failed,
                    format!("the client on stdin cannot be served any longer: {why}"),
                )),
                Left::InputEnded | Left::OutputClosed | Left::Stopped => Ok(()),
            }
        });
    }
    if let Some(sockets) = front.sockets {
        let reach = Reach::new(settings.config(), desk.clone(), Arc::clone(control), gateway);
        let stopping = stopping.clone();
        listeners.spawn(async move {
            reach.serve(*sockets, move || stopped(stopping.clone())).await;
            Ok(())
        });
    }
    listeners
}

/// What clients meet: the router, with its calls told where somebody may ever look at them, and from
/// the start: whoever looks wants to know what happened before.
fn face(settings: &Settings, router: &Router, desk: &Desk) -> Arc<dyn Gateway> {
    let gateway = Arc::new(router.clone());
    let config = settings.config();
    if config.admin.listen.is_none() && !config.gateway.control {
        return gateway;
    }
    let router = router.clone();
    let owner = move |tool: &str| Some(router.owner_of(tool)?.as_str().to_owned());
    Arc::new(Counting::new(gateway, desk.kept().calls, Arc::new(owner)))
}

/// The operators' view of what is about to start.
fn desk(
    settings: &Settings,
    front: &Front,
    reloader: Reloader,
) -> Result<(Desk, Option<Panel>), Failure> {
    let config = settings.config();
    let state = settings.places().state(config);
    let store = state.and_then(|path| match Store::open(&path) {
        Ok(store) => Some(store),
        Err(error) => {
            let cause = error.source().map(tracing::field::display);
            tracing::warn!(%error, cause, "logs and crash reports are kept in memory only");
            None
        }
    });
    let below = |name| store.as_ref().map(|store| store.path().join(name));
    let failed = |error| Failure::from_error(Code::Failed, "a thread cannot be started", &error);
    let logs = Logs::open(below("logs"), wire::log_limits(config)).map_err(failed)?;
    let crashes = Crashes::open(below("crashes"), wire::crash_limits(config)).map_err(failed)?;
    let panel = match (&front.http, &front.sockets) {
        (Some(_), _) => Panel::open(config, store.as_ref())?,
        // A client has started this process, and should not lose it for want of a port.
        (None, Some(_)) => Panel::open(config, store.as_ref()).unwrap_or_else(|failure| {
            tracing::warn!(error = failure.sentence(), "operators cannot come over a network");
            None
        }),
        // Another process of this configuration has the address.
        (None, None) => None,
    };
    let endpoint = front.http.as_ref();
    let instance = Instance {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration: settings.file.as_ref().map(|file| absolute(file)),
        endpoint: endpoint
            .map(|http| format!("http://{}{}", http.local_addr(), config.gateway.path)),
        admin: panel.as_ref().map(Panel::url),
        traces: config.admin.traces.clone(),
        state: store.as_ref().map(|store| store.path().display().to_string()),
        ..Instance::default()
    };
    let journals = settings.journals.clone();
    Ok((Desk::new(instance, crashes, logs, journals, store, reloader), panel))
}

fn absolute(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// Starts all upstreams of the configuration; where calls are audited, from the first one on.
fn upstreams(settings: &Settings, desk: &Desk) -> Result<(Fleet, Option<Audit>), Failure> {
    let audit = settings.journals.open_audit(settings)?;
    let state = Places::of(settings.file.as_deref()).state(settings.config());
    let fleet = Fleet::start(settings.config().clone(), state, seed(), desk.clone());
    let fleet = fleet.map_err(|error| {
        Failure::from_error(Code::Configuration, "a server cannot be started", &error)
    })?;
    if let Some(audit) = &audit {
        fleet.router().audit(Arc::new(audit.clone()));
    }
    Ok((fleet, audit))
}

/// Resolves when the end has begun.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end too.
    let _is_told = stopping.wait_for(|stop| *stop).await.is_ok();
}

async fn second(signals: &mut Signals) -> Code {
    loop {
        if let Asked::Stop(_, code) = signals.next().await {
            return code;
        }
    }
}

/// Starts every tripped upstream again.
async fn reset(roster: &Roster) {
    for handle in roster.handles().iter() {
        if handle.status().health == Health::Tripped {
            handle.reset().await;
        }
    }
}

/// Jitter of this start; the address of a fresh allocation and the process differ enough.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
