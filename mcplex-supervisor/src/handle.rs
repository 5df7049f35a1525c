//! What others hold of a supervised upstream.

use crate::{
    driver::{GAP, Starts},
    era::EraMemory,
    life::SETTLE,
    options::Options,
    time::Time,
};
use async_trait::async_trait;
use mcplex_proto::{
    edit,
    handshake::ServerInfo,
    message::{Message, Notification},
    method,
    peer::Peer,
    raw::Raw,
    redact::Secrets,
    trace::TraceContext,
    transport::{LastWords, Transport},
    upstream::{Call, Health, Incarnation, Reply, Status, Upstream, UpstreamError, UpstreamName},
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

/// Messages on their way to the task; a full queue means that the upstream does not read.
pub(crate) const COMMANDS: usize = 1024;

/// Something to send.
#[derive(Debug)]
pub(crate) enum Command {
    Call(Box<Waiting>),
    Send {
        to: Option<Incarnation>,
        /// Seldom, and large; the queue of every upstream has room for 32 of these.
        message: Box<Message>,
    },
    /// Somebody gave up a call that was sent: there is room for another.
    Freed,
}

/// A call and whoever waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) call: Call,
    pub(crate) reply: Answer,
}

pub(crate) type Answer = oneshot::Sender<Result<Reply, UpstreamError>>;

/// A call that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) reply: Answer,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) is_upkeep: bool,
    /// Whether sending it again could do no harm.
    pub(crate) is_read: bool,
    /// What it was, for the black box.
    pub(crate) method: Cow<'static, str>,
    pub(crate) params: Option<Raw>,
    pub(crate) at: Time,
    /// Until when it may take, where that is not the time that it began with.
    pub(crate) until: Option<Instant>,
}

/// What an operator asks for.
#[derive(Debug)]
pub(crate) enum Control {
    Start,
    Stop,
    /// For this request, where an operator's is traced.
    Reset(Option<TraceContext>),
    Restart,
    /// Stop, and let the task end.
    Shutdown,
    /// New limits for what runs.
    Adjust(Box<Change>),
    /// Drain for at most so long, then put another process in the place of the one that runs.
    Replace(Box<Change>, Duration),
    /// Drain for at most so long, then shut down.
    Retire(Duration),
}

/// What a changed configuration says of an upstream that is there.
#[derive(Clone, Debug)]
pub struct Change {
    /// How it is reached from its next life on.
    pub transport: Arc<dyn Transport>,
    /// Its limits.
    pub options: Options,
    /// When it is started; only heeded when it is replaced.
    pub starts: Starts,
    /// Where is kept which era it belongs to.
    pub verdicts: Arc<dyn EraMemory>,
}

/// What is known of an upstream, with moments that become durations when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) status: Status,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) ready_since: Option<Instant>,
}

/// The calls that were sent and not answered.
#[derive(Debug, Default)]
struct Ledger {
    calls: BTreeMap<u64, Sent>,
    /// How many of them are clients'.
    clients: usize,
}

/// What the task and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: UpstreamName,
    call_timeout: Mutex<Duration>,
    status: Mutex<Published>,
    info: Mutex<Option<Arc<ServerInfo>>>,
    peer: Mutex<Option<Arc<Peer>>>,
    sent: Mutex<Ledger>,
    next_id: AtomicU64,
    installing: Installing,
}

/// Listens to what an installer writes while it works, at the first start; asked when somebody
/// wants to know how it is.
#[derive(Default)]
struct Installing(Mutex<Option<(LastWords, Secrets)>>);

impl fmt::Debug for Installing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installing").finish_non_exhaustive()
    }
}

/// A supervised upstream; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) control: mpsc::Sender<Control>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Handle {
    /// Starts the upstream if it is stopped.
    pub async fn start(&self) {
        self.tell(Control::Start).await;
    }

    /// Ends the upstream; it stays stopped until it is started or reset.
    pub async fn stop(&self) {
        self.tell(Control::Stop).await;
    }

    /// Forgets all deaths, closes the breaker, and starts at once.
    pub async fn reset(&self) {
        self.tell(Control::Reset(None)).await;
    }

    /// The same for an operator's request, whose span is the parent of what follows.
    pub async fn reset_for(&self, operator: Option<TraceContext>) {
        self.tell(Control::Reset(operator)).await;
    }

    /// Ends the upstream if it runs, and starts it at once; the past is kept, an open breaker too.
    pub async fn restart(&self) {
        self.tell(Control::Restart).await;
    }

    /// Ends the upstream for good; the supervising task returns when nothing of it is left.
    pub async fn shutdown(&self) {
        self.tell(Control::Shutdown).await;
    }

    /// Gives new limits to the upstream; what runs goes on, and so do its calls.
    ///
    /// They hold at once, but for what is under way: a start, a waiting call and a cool-down keep
    /// the time they were given. The transport is used from the next life on.
    pub async fn adjust(&self, change: Change) {
        self.tell(Control::Adjust(Box::new(change))).await;
    }

    /// Puts another process in the place of the one that runs, with a clean past.
    ///
    /// Calls in flight have the drain's time; calls that come meanwhile wait for the new process,
    /// as for any next life. Of several changes the last counts.
    pub async fn replace(&self, change: Change, drain: Duration) {
        self.tell(Control::Replace(Box::new(change), drain)).await;
    }

    /// Lets calls in flight finish for the drain's time, then ends like [`shutdown`](Self::shutdown).
    pub async fn retire(&self, drain: Duration) {
        self.tell(Control::Retire(drain)).await;
    }

    async fn tell(&self, control: Control) {
        // Refused means that the task has ended, and with it the upstream.
        let _has_ended: Result<(), _> = self.control.send(control).await;
    }
}

#[async_trait]
impl Upstream for Handle {
    fn name(&self) -> &UpstreamName {
        &self.shared.name
    }

    fn mint(&self) -> u64 {
        self.shared.mint()
    }

    fn status(&self) -> Status {
        self.shared.status()
    }

    fn server_info(&self) -> Option<Arc<ServerInfo>> {
        self.shared.info()
    }

    fn peer(&self) -> Option<Arc<Peer>> {
        lock(&self.shared.peer).clone()
    }

    async fn call(&self, call: Call) -> Result<Reply, UpstreamError> {
        let limit = call.timeout.unwrap_or_else(|| self.shared.call_timeout());
        let forget = Forget { shared: &self.shared, commands: &self.commands, id: call.id };
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let command = Command::Call(Box::new(Waiting { call, reply }));
            self.commands.send(command).await.map_err(|_| self.shared.stopped())?;
            answer.await.unwrap_or_else(|_| Err(self.shared.stopped()))
        };
        tokio::pin!(asked);
        let sleep = time::sleep(limit);
        tokio::pin!(sleep);
        let mut deadline = sleep.deadline();
        // Each turn takes as long as somebody has given it since the one before.
        loop {
            tokio::select! {
                biased;
                answer = &mut asked => return answer,
                () = &mut sleep => {}
            }
            match self.shared.until(forget.id).filter(|until| *until > deadline) {
                // It may have been given less again meanwhile.
                Some(until) => deadline = until.min(deadline + limit),
                None => break,
            }
            sleep.as_mut().reset(deadline);
        }
        // A deadline that passed while nothing ran here says nothing about the upstream.
        if was_gap(deadline)
            && let Ok(answer) = time::timeout(SETTLE, asked).await
        {
            return answer;
        }
        let params = edit::object([
            ("requestId", &*forget.id.to_string()),
            ("reason", Raw::of("it took too long").as_str()),
        ]);
        self.send(None, Notification::new(method::CANCELLED, Some(params)).into());
        let from = self.shared.life_with(forget.id);
        Err(UpstreamError::Timeout { upstream: self.shared.name.clone(), timeout: limit, from })
    }

    fn renew(&self, id: u64, at_least: Duration) {
        self.shared.renew(id, at_least);
    }

    fn send(&self, to: Option<Incarnation>, message: Message) {
        if !matches!(lock(&self.shared.status).status.health, Health::Ready | Health::Degraded) {
            return;
        }
        if self.commands.try_send(Command::Send { to, message: Box::new(message) }).is_err() {
            tracing::warn!(upstream = %self.shared.name,
                "a message was dropped, because too many wait for the upstream to read");
        }
    }
}

impl Shared {
    pub(crate) fn new(name: UpstreamName, call_timeout: Duration) -> Self {
        let status = Status::new(Health::Stopped, Incarnation(0));
        let published = Published { status, retry_at: None, ready_since: None };
        Self {
            name,
            call_timeout: Mutex::new(call_timeout),
            status: Mutex::new(published),
            info: Mutex::default(),
            peer: Mutex::default(),
            sent: Mutex::default(),
            next_id: AtomicU64::new(1),
            installing: Installing::default(),
        }
    }

    fn call_timeout(&self) -> Duration {
        *lock(&self.call_timeout)
    }

    pub(crate) fn set_call_timeout(&self, timeout: Duration) {
        *lock(&self.call_timeout) = timeout;
    }

    pub(crate) fn mint(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn stopped(&self) -> UpstreamError {
        UpstreamError::Stopped { upstream: self.name.clone(), reason: None }
    }

    pub(crate) fn set_status(&self, published: Published) {
        *lock(&self.status) = published;
    }

    /// How it is at this very moment.
    #[expect(clippy::disallowed_methods, reason = "durations of a status are those of the look")]
    pub(crate) fn status(&self) -> Status {
        let Published { status, retry_at, ready_since } = lock(&self.status).clone();
        let now = Instant::now();
        let is_starting = status.health == Health::Recovering && status.reason.is_none();
        let installing = || is_starting.then(|| self.installing()).flatten();
        Status {
            reason: status.reason.clone().or_else(installing),
            retry_after: retry_at.map(|at| at.saturating_duration_since(now)),
            uptime: ready_since.map(|since| now.saturating_duration_since(since)),
            in_flight: self.in_flight(),
            ..status
        }
    }

    /// Whom to ask what an installer does; nobody once it is done.
    pub(crate) fn set_installing(&self, listener: Option<(LastWords, Secrets)>) {
        *lock(&self.installing.0) = listener;
    }

    /// What an installer does that has written something.
    fn installing(&self) -> Option<Arc<str>> {
        let installing = lock(&self.installing.0);
        let (listen, secrets) = installing.as_ref()?;
        let words = listen();
        let last = secrets.redact(&words.last()?.text);
        Some(format!("it is installing, and says: {last}").into())
    }

    pub(crate) fn set_health(&self, health: Health) {
        let mut published = lock(&self.status);
        published.status.health = health;
        (published.retry_at, published.ready_since) = (None, None);
    }

    pub(crate) fn info(&self) -> Option<Arc<ServerInfo>> {
        lock(&self.info).clone()
    }

    pub(crate) fn set_info(&self, info: ServerInfo) {
        *lock(&self.info) = Some(Arc::new(info));
    }

    pub(crate) fn set_peer(&self, peer: Peer) {
        *lock(&self.peer) = Some(Arc::new(peer));
    }

    /// Notes a call that is being sent; `false` when nobody waits for it any more.
    pub(crate) fn takes_off(&self, id: u64, sent: Sent) -> bool {
        let mut ledger = lock(&self.sent);
        // Asked under the lock that `Forget` takes: whoever goes later finds the entry.
        if sent.reply.is_closed() {
            return false;
        }
        ledger.clients += usize::from(!sent.is_upkeep);
        ledger.calls.insert(id, sent);
        true
    }

    /// Which life has a call; nothing while the call waits for one.
    fn life_with(&self, id: u64) -> Option<Incarnation> {
        let is_sent = lock(&self.sent).calls.contains_key(&id);
        lock(&self.peer).as_ref().filter(|_| is_sent).map(|peer| peer.incarnation)
    }

    pub(crate) fn lands(&self, id: u64) -> Option<Sent> {
        let mut ledger = lock(&self.sent);
        let sent = ledger.calls.remove(&id)?;
        ledger.clients -= usize::from(!sent.is_upkeep);
        Some(sent)
    }

    /// Gives a call its time anew.
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of a call is its caller's, not a life's"
    )]
    fn renew(&self, id: u64, at_least: Duration) {
        let until = Instant::now() + self.call_timeout().max(at_least);
        if let Some(sent) = lock(&self.sent).calls.get_mut(&id) {
            sent.until = Some(until);
        }
    }

    /// Until when a call may take that was given its time anew.
    fn until(&self, id: u64) -> Option<Instant> {
        lock(&self.sent).calls.get(&id)?.until
    }

    /// All calls that were sent and not answered.
    pub(crate) fn take_sent(&self) -> BTreeMap<u64, Sent> {
        std::mem::take(&mut *lock(&self.sent)).calls
    }

    /// How many calls of clients were sent and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.sent).clients
    }
}

/// Takes a call out of the table when nobody waits for it any more.
struct Forget<'a> {
    shared: &'a Shared,
    commands: &'a mpsc::Sender<Command>,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.shared.lands(self.id).is_some() {
            // A full queue means that the task will look after its calls anyway.
            let _is_told: Result<(), _> = self.commands.try_send(Command::Freed);
        }
    }
}

/// Whether a deadline was noticed so late that nothing can have run meanwhile.
#[expect(clippy::disallowed_methods, reason = "only a clock tells how late it is")]
fn was_gap(deadline: Instant) -> bool {
    Instant::now().saturating_duration_since(deadline) > GAP
}

/// Locks for a moment, never over a wait; a panic elsewhere leaves whole tables behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
