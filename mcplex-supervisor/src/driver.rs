//! The task that owns one upstream: the only part that reads a clock or opens a connection.
//!
//! It takes one input at a time, tells the [`Life`] of it, and does what the `Life` answers:
//!
//! | phase | holds | leaves by |
//! | --- | --- | --- |
//! | `Idle` | nothing | the life wants a connect |
//! | `Waiting` | a place in the [`Host`]'s queue | its turn |
//! | `Connecting` | a permit, and a connect under way | its end; dropped, it leaves nothing behind |
//! | `Open` | both halves, and a warden that watches the end | a fault, or a stop |
//! | `Closing` | a warden that brings about the end | the warden's last report |
//!
//! A call is in one place at any time: in the queue of commands, parked, or sent. Sent ones fail
//! once, when their incarnation does, and are never sent again.
//!
//! Nothing here is shared with another upstream but the [`Host`], which is asked before a connect
//! and never by a call.

use crate::{
    backoff::Jitter,
    blackbox::BlackBox,
    era::EraMemory,
    event::{Action, Event},
    handle::{COMMANDS, Command, Control, Handle, Shared},
    host::{Asked, Host, Permit, Seat},
    life::Life,
    open::{Incident, Open},
    options::Options,
    parked::Parked,
    state::State,
    time::Time,
    trace::Trace,
    warden::Report,
};
use clock::Clock;
use mcplex_proto::{
    raw::Raw,
    transport::{ConnectError, Connection, Transport},
    upstream::{Health, Incarnation, LastDeath, UpstreamEvents, UpstreamName},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{sync::mpsc, task::JoinSet, time::Sleep};

/// Everything an upstream needs to live.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: UpstreamName,
    /// Which of the upstream's children it is, where it has several, as `mail/2`; told in logs,
    /// spans and reports, and nothing is decided by it.
    pub member: Option<String>,
    /// How it is reached.
    pub transport: Arc<dyn Transport>,
    /// Its limits.
    pub options: Options,
    /// The `capabilities` it is told the client has.
    pub capabilities: Raw,
    /// The `clientInfo` it is told.
    pub client_info: Raw,
    /// When it is started for the first time.
    pub starts: Starts,
    /// Decides all jitter; different for every upstream and start.
    pub seed: u64,
    /// What it shares with the other upstreams of the process; the same for all of them.
    pub host: Host,
    /// Where is kept which era it belongs to.
    pub verdicts: Arc<dyn EraMemory>,
}

/// When an upstream is started for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// At once.
    Now,
    /// When the first call of a client is there.
    Lazy,
    /// When somebody starts it.
    Never,
}

/// A handle to an upstream, and the task that keeps it alive.
///
/// The upstream starts with the first poll. The task ends after [`Handle::shutdown`]; dropped
/// before, it takes the upstream's processes with it.
pub fn supervise(
    spec: Spec,
    events: Arc<dyn UpstreamEvents>,
) -> (Handle, impl Future<Output = ()> + Send) {
    let shared = Arc::new(Shared::new(spec.name.clone(), spec.options.call_timeout));
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let (control_in, control) = mpsc::channel(16);
    let handle = Handle { shared: shared.clone(), commands: commands_in, control: control_in };
    let startup = spec.host.startup().filter(|_| spec.starts == Starts::Now);
    let is_later = spec.starts == Starts::Now && spec.host.has_started();
    let task = async move {
        let mut driver = Driver::new(spec, shared, events, commands, control);
        driver.trace.begins_with(startup);
        if is_later {
            driver.trace.connects_for("reload");
        }
        driver.run().await;
    };
    (handle, task)
}

mod clock;

mod connect;

mod era;

mod hear;

mod calls;

mod control;

mod change;

mod deadlines;

mod deaths;

mod report;

pub(crate) use clock::GAP;

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

enum Phase {
    Idle,
    /// When to ask again, if it is not woken before.
    Waiting(Option<Time>),
    Connecting(Connecting),
    Open(Box<Open>),
    Closing {
        pid: Option<u32>,
    },
}

enum Input {
    Control(Control),
    Report(Report),
    Granted(Permit),
    Connected(Result<Connection, ConnectError>),
    Incident(Incident),
    Command(Command),
    Timeout,
}

/// What others are told of when it changes.
type News = (Health, Incarnation, Option<Arc<str>>, Option<u32>, Option<Time>);

struct Driver {
    spec: Spec,
    life: Life,
    clock: Clock,
    now: Time,
    phase: Phase,
    shared: Arc<Shared>,
    events: Arc<dyn UpstreamEvents>,
    commands: mpsc::Receiver<Command>,
    control: mpsc::Receiver<Control>,
    reports_in: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    wardens: JoinSet<()>,
    parked: Parked,
    trace: Trace,
    black_box: BlackBox,
    seat: Seat,
    /// Held from the host's consent to the end of the handshake.
    permit: Option<Permit>,
    jitter: Jitter,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    timer_at: Option<Time>,
    /// Why it is not ready, in one plain sentence.
    reason: Option<Arc<str>>,
    /// Whether the last life ended by itself and none follows before somebody asks.
    has_left: bool,
    /// How the last life ended, for those whose calls are refused.
    last: Option<Arc<LastDeath>>,
    /// The last death in one sentence, for the trip that may follow and for the status.
    last_death: Option<Arc<str>>,
    published: Option<News>,
    connect_began: Time,
    granted_at: Time,
    connected_at: Time,
    /// Since when no client has used it, while it is ready.
    quiet_since: Option<Time>,
    /// A change that waits for the calls in flight.
    draining: Option<change::Draining>,
    findings: era::Findings,
    is_shutting_down: bool,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

/// Dropped before a shutdown, or unwound by a bug, it leaves nobody waiting for an answer.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.set_health(Health::Stopped);
        self.fail_sent("nobody supervises it any more");
    }
}

impl Driver {
    fn new(
        spec: Spec,
        shared: Arc<Shared>,
        events: Arc<dyn UpstreamEvents>,
        commands: mpsc::Receiver<Command>,
        control: mpsc::Receiver<Control>,
    ) -> Self {
        let seat = spec.host.seat();
        let clock = Clock::start(spec.host.facts());
        // An end and its close are all that one incarnation says.
        let (reports_in, reports) = mpsc::channel(4);
        Self {
            life: Life::new(spec.options.clone(), spec.seed),
            now: clock.now(),
            phase: Phase::Idle,
            events,
            commands,
            control,
            reports_in,
            reports,
            wardens: JoinSet::new(),
            parked: Parked::new(spec.options.queue_limit, spec.options.queue_wait),
            trace: Trace::new(spec.name.clone(), spec.member.clone(), &*spec.transport),
            black_box: BlackBox::default(),
            seat,
            permit: None,
            jitter: Jitter::new(!spec.seed),
            timer: Box::pin(tokio::time::sleep_until(clock.instant(Time(0)))),
            timer_at: None,
            reason: None,
            has_left: false,
            last: None,
            last_death: None,
            published: None,
            connect_began: Time(0),
            granted_at: Time(0),
            connected_at: Time(0),
            quiet_since: None,
            draining: None,
            findings: era::Findings::default(),
            is_shutting_down: false,
            shared,
            clock,
            spec,
        }
    }

    /// Borrows, because what is moved into a task that waits is there twice.
    async fn run(&mut self) {
        match self.spec.starts {
            Starts::Now => self.life.handle_event(Event::Start, self.now),
            Starts::Lazy => self.life.handle_event(Event::Lazy, self.now),
            Starts::Never => self.reason = Some("it is disabled".into()),
        }
        loop {
            self.settle();
            if self.is_shutting_down && *self.life.state() == State::Stopped {
                break;
            }
            let (before, mut has_waited) = (self.now, false);
            self.clock.arm(None);
            let input = poll_fn(|cx| {
                if has_waited {
                    self.now = self.clock.now();
                }
                let polled = self.poll_input(cx);
                has_waited |= polled.is_pending();
                polled
            })
            .await;
            self.now = self.clock.now();
            self.look_for_gap(has_waited, before);
            self.handle(input);
        }
        // Every warden has said its last; they only have to be collected.
        while self.wardens.join_next().await.is_some() {}
    }

    /// The next thing to deal with; control first, and the end of a life before its messages.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if let Poll::Ready(Some(control)) = self.control.poll_recv(cx) {
            return Poll::Ready(Input::Control(control));
        }
        if let Poll::Ready(Some(report)) = self.reports.poll_recv(cx) {
            return Poll::Ready(Input::Report(report));
        }
        // The timer itself is asked last, so an upstream that never pauses would hide it.
        if self.next_due().is_some_and(|due| due <= self.now) {
            return Poll::Ready(Input::Timeout);
        }
        let takes_commands = match &mut self.phase {
            Phase::Open(open) => open.handshake.is_some() || open.poll_ready(cx),
            Phase::Idle | Phase::Waiting(_) | Phase::Connecting(_) | Phase::Closing { .. } => true,
        };
        if takes_commands && let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            return Poll::Ready(Input::Command(command));
        }
        match &mut self.phase {
            Phase::Waiting(ask_at) => match self.seat.poll(cx.waker()) {
                Asked::Granted(permit) => return Poll::Ready(Input::Granted(permit)),
                Asked::In(wait) => *ask_at = Some(self.now + wait),
                Asked::Later => *ask_at = None,
            },
            Phase::Connecting(connecting) => {
                if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(Input::Connected(result));
                }
            }
            Phase::Open(open) => {
                let polled = open.poll(cx);
                let (incarnation, stall) = (open.incarnation, self.spec.options.write_stall);
                if open.tick(stall, self.now) && self.life.health() == Health::Degraded {
                    self.life.handle_event(Event::Heard(incarnation), self.now);
                    self.publish();
                }
                if let Poll::Ready(incident) = polled {
                    return Poll::Ready(Input::Incident(incident));
                }
            }
            Phase::Idle | Phase::Closing { .. } => {}
        }
        self.poll_timer(cx)
    }

    /// When something has to be decided.
    fn next_due(&self) -> Option<Time> {
        let phase = match &self.phase {
            Phase::Open(open) => open.poll_timeout(),
            Phase::Waiting(ask_at) => *ask_at,
            Phase::Idle | Phase::Connecting(_) | Phase::Closing { .. } => None,
        };
        let life = self.life.poll_timeout().map(|(due, _)| due);
        let all = [phase, life, self.parked.poll_timeout(), self.drained_at(), self.rests_at()];
        all.into_iter().flatten().min()
    }

    /// Whether a gap in time could be taken for somebody's fault.
    fn is_measuring(&self) -> bool {
        let open = match &self.phase {
            Phase::Open(open) => open.is_measuring(),
            Phase::Waiting(_) | Phase::Connecting(_) | Phase::Closing { .. } => true,
            Phase::Idle => false,
        };
        open || self.parked.poll_timeout().is_some() || self.draining.is_some()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let Some(due) = self.next_due() else {
            self.timer_at = None;
            return Poll::Pending;
        };
        let wake = Clock::wake_at(due, self.is_measuring(), self.now);
        // One that comes too early costs less than setting it anew with every message.
        if self.timer_at.is_none_or(|at| at > wake || at <= self.now) {
            self.timer_at = Some(wake);
            let instant = self.clock.instant(wake);
            self.timer.as_mut().reset(instant);
        }
        self.clock.arm(self.timer_at);
        self.timer.as_mut().poll(cx).map(|()| Input::Timeout)
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Control(control) => self.handle_control(control),
            Input::Report(report) => self.handle_report(report),
            Input::Granted(permit) => self.handle_granted(permit),
            Input::Connected(result) => self.handle_connected(result),
            Input::Incident(incident) => self.handle_incident(incident),
            Input::Command(Command::Call(waiting)) => self.handle_call(waiting),
            Input::Command(Command::Send { to, message }) => self.handle_send(to, *message),
            Input::Command(Command::Freed) => self.quiet_since = None,
            Input::Timeout => self.handle_timeout(),
        }
    }

    /// Does all that the life wants, until it wants nothing more.
    fn settle(&mut self) {
        self.finish_drain();
        loop {
            while let Some(note) = self.life.poll_note() {
                self.take_note(note, false);
            }
            match self.life.poll_action() {
                Some(Action::Connect { incarnation, trial }) => self.connect(incarnation, trial),
                Some(Action::Close { incarnation }) => self.close(incarnation),
                None => break,
            }
        }
        self.publish();
        self.unpark();
        self.watch_rest();
    }
}
