//! A supervised upstream with everything around it.

use crate::{
    fake::{FakeTransport, Script},
    server::Server,
};
use mcplex_proto::{
    message::{Extra, Message},
    raw::Raw,
    report::CrashReport,
    upstream::{
        Call, Health, Incarnation, Reply, Status, Upstream as _, UpstreamError, UpstreamEvents,
        UpstreamName,
    },
    version::Era,
};
use mcplex_supervisor::{Handle, Host, Options, ProcessMemory, Spec, Starts, supervise};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

pub(crate) struct World {
    pub(crate) transport: FakeTransport,
    pub(crate) handle: Handle,
    pub(crate) events: Arc<Events>,
    pub(crate) verdicts: Arc<ProcessMemory>,
    tasks: JoinSet<()>,
}

pub(crate) type Answer = Result<Reply, UpstreamError>;

/// Everything the supervisor said.
#[derive(Debug)]
pub(crate) struct Events {
    statuses: Mutex<Vec<Status>>,
    messages: Mutex<Vec<(u64, String)>>,
    reports: Mutex<Vec<Arc<CrashReport>>>,
    newest: watch::Sender<Option<Status>>,
    /// Answers to give from inside the callback, as the router does.
    handle: Mutex<Option<Handle>>,
}

impl Events {
    /// The words and incarnations of every status so far.
    pub(crate) fn statuses(&self) -> Vec<(&'static str, u64)> {
        let statuses = self.statuses.lock().unwrap();
        statuses.iter().map(|status| (status.health.as_str(), status.incarnation.0)).collect()
    }

    /// The last reason an incarnation was not ready for.
    pub(crate) fn reason(&self, incarnation: u64) -> String {
        let statuses = self.statuses.lock().unwrap();
        let of_it = statuses.iter().filter(|status| status.incarnation.0 == incarnation);
        of_it.filter_map(|status| status.reason.as_deref()).next_back().unwrap().to_owned()
    }

    /// Every crash report so far.
    pub(crate) fn reports(&self) -> Vec<Arc<CrashReport>> {
        self.reports.lock().unwrap().clone()
    }

    pub(crate) fn take_messages(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }
}

impl UpstreamEvents for Events {
    fn message(&self, from: Incarnation, message: Message, _: Option<u64>) {
        let text = String::from_utf8(message.to_bytes().to_vec()).unwrap();
        self.messages.lock().unwrap().push((from.0, text));
        if let (Some(handle), Message::Request(request)) = (&*self.handle.lock().unwrap(), message)
        {
            let pong = mcplex_proto::message::Response::result(request.id, Raw::empty_object());
            handle.send(Some(from), pong.into());
        }
    }

    fn died(&self, report: Arc<CrashReport>) {
        let newest = self.newest.borrow().clone();
        let before = newest.map_or(0, |status| status.incarnation.0);
        assert!(before <= report.incarnation, "told before the status that follows");
        self.reports.lock().unwrap().push(report);
    }

    fn changed(&self, status: Status) {
        self.statuses.lock().unwrap().push(status.clone());
        if let Some(handle) = &*self.handle.lock().unwrap() {
            // What a callback may do: look, and send.
            assert_eq!(handle.status().health, status.health);
        }
        self.newest.send_replace(Some(status));
    }
}

/// Longer than any test's story; in jumping time it costs nothing.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

impl World {
    pub(crate) fn new(scripts: &[Script]) -> Self {
        Self::with(Options::default(), scripts)
    }

    pub(crate) fn with(options: Options, scripts: &[Script]) -> Self {
        Self::of(Host::default(), options, Starts::Now, 7, scripts)
    }

    /// One that waits for its first call.
    pub(crate) fn lazy(options: Options, scripts: &[Script]) -> Self {
        Self::of(Host::default(), options, Starts::Lazy, 7, scripts)
    }

    pub(crate) fn of(
        host: Host,
        options: Options,
        starts: Starts,
        seed: u64,
        scripts: &[Script],
    ) -> Self {
        let transport = FakeTransport::new(scripts);
        let verdicts = Arc::new(ProcessMemory::default());
        let spec = Spec {
            name: UpstreamName::new("up").unwrap(),
            member: None,
            transport: Arc::new(transport.clone()),
            options,
            capabilities: Raw::empty_object(),
            client_info: Raw::empty_object(),
            starts,
            seed,
            host,
            verdicts: verdicts.clone(),
        };
        let events = Arc::new(Events {
            statuses: Mutex::default(),
            messages: Mutex::default(),
            reports: Mutex::default(),
            newest: watch::Sender::new(None),
            handle: Mutex::default(),
        });
        let (handle, task) = supervise(spec, events.clone());
        *events.handle.lock().unwrap() = Some(handle.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        Self { transport, handle, events, verdicts, tasks }
    }

    /// A world whose upstream is ready.
    pub(crate) async fn ready() -> Self {
        let world = Self::new(&[Script::Works]);
        world.until(Health::Ready).await;
        world.server().take();
        world
    }

    pub(crate) fn server(&self) -> Server {
        self.transport.server()
    }

    /// Waits for a status of this health.
    pub(crate) async fn until(&self, health: Health) -> Status {
        self.until_that(|status| status.health == health).await
    }

    pub(crate) async fn until_that(&self, is_it: impl Fn(&Status) -> bool) -> Status {
        let mut newest = self.events.newest.subscribe();
        let found = newest.wait_for(|status| status.as_ref().is_some_and(&is_it));
        let found = timeout(FOREVER, found).await.expect("it comes some day").unwrap();
        found.clone().unwrap()
    }

    /// Begins a call; the task tells its end.
    pub(crate) fn call(&self, method: &'static str) -> tokio::task::JoinHandle<Answer> {
        self.call_within(method, None)
    }

    pub(crate) fn call_within(
        &self,
        method: &'static str,
        timeout: Option<Duration>,
    ) -> tokio::task::JoinHandle<Answer> {
        self.begin(method, timeout, false)
    }

    /// Begins a call of the gateway's own.
    pub(crate) fn upkeep(&self, method: &'static str) -> tokio::task::JoinHandle<Answer> {
        self.begin(method, None, true)
    }

    /// Begins a call with parameters.
    pub(crate) fn call_with(
        &self,
        method: &'static str,
        params: &str,
    ) -> tokio::task::JoinHandle<Answer> {
        self.begin_with(method, Some(Raw::parse(params.to_owned()).unwrap()), None, false)
    }

    fn begin(
        &self,
        method: &'static str,
        timeout: Option<Duration>,
        is_upkeep: bool,
    ) -> tokio::task::JoinHandle<Answer> {
        self.begin_with(method, None, timeout, is_upkeep)
    }

    #[expect(clippy::disallowed_methods, reason = "the test waits for its end")]
    fn begin_with(
        &self,
        method: &'static str,
        params: Option<Raw>,
        timeout: Option<Duration>,
        is_upkeep: bool,
    ) -> tokio::task::JoinHandle<Answer> {
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let call = Call {
                id: handle.mint(),
                method: method.into(),
                params,
                extra: Extra::default(),
                timeout,
                trace: None,
                is_upkeep,
                era: Era::Legacy,
            };
            handle.call(call).await
        })
    }

    /// Lets everything happen that needs no time.
    pub(crate) async fn settle(&self) {
        pass(Duration::from_millis(1)).await;
    }

    /// Drops the supervising task.
    pub(crate) async fn cut(&mut self) {
        self.tasks.shutdown().await;
        self.settle().await;
    }

    /// Waits for the end of the supervising task.
    pub(crate) async fn ended(&mut self) {
        let joined = timeout(FOREVER, self.tasks.join_next()).await.expect("it ends some day");
        joined.expect("there is one task").expect("it does not panic");
    }
}

pub(crate) async fn end(call: tokio::task::JoinHandle<Answer>) -> Answer {
    timeout(FOREVER, call).await.expect("it ends some day").unwrap()
}

pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(clippy::disallowed_methods, reason = "a test may look at the clock it stopped")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The id of the newest message a server was told, which must be this method's.
pub(crate) fn id_of(heard: &[String], method: &str) -> u64 {
    let text = heard.last().expect("it was told something");
    assert!(text.contains(&format!(r#""method":"{method}""#)), "{heard:?}");
    let (_, id) = text.split_once(r#""id":"#).unwrap();
    id.split(',').next().unwrap().parse().unwrap()
}

pub(crate) fn answer(id: u64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}
