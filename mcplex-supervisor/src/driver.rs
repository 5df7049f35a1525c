//! The task that owns one upstream: the only part that reads a clock or opens a connection.
//!
//! It takes one input at a time, tells the [`Life`] of it, and does what the `Life` answers:
//!
//! | phase | holds | leaves by |
//! | --- | --- | --- |
//! | `Idle` | nothing | the life wants a connect |
//! | `Connecting` | a connect under way | its end; dropped, it leaves nothing behind |
//! | `Open` | both halves, and a warden that watches the end | a fault, or a stop |
//! | `Closing` | a warden that brings about the end | the warden's last report |
//!
//! A call is in one place at any time: in the queue of commands, parked until the next life, or
//! sent. Sent ones fail once, when their incarnation does, and are never sent again.

use crate::{
    cause::Cause,
    event::{Action, Event},
    handle::{COMMANDS, Command, Control, Handle, Shared},
    life::Life,
    open::{Incident, Open},
    options::Options,
    parked::Parked,
    probe::Probe,
    state::State,
    time::Time,
    trace::Trace,
    warden::{End, Report, Warden},
};
use mcplex_proto::{
    handshake::{Handshake, Step},
    message::Message,
    raw::Raw,
    transport::{ConnectError, Connection, Transport},
    upstream::{Health, Incarnation, LastDeath, Reply, Status, UpstreamEvents, UpstreamName},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, Sleep},
};

/// Requests an upstream may send before it has answered `initialize`: only pings make sense then, one
/// or two; more would fill memory if it does not read.
const MAX_ASKED: u32 = 1000;

/// Everything an upstream needs to live.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: UpstreamName,
    /// How it is reached.
    pub transport: Arc<dyn Transport>,
    /// Its limits.
    pub options: Options,
    /// The `capabilities` it is told the client has.
    pub capabilities: Raw,
    /// The `clientInfo` it is told.
    pub client_info: Raw,
    /// Whether it is started at once; if not, it is stopped until somebody starts it.
    pub starts: bool,
    /// Decides all jitter; different for every upstream and start.
    pub seed: u64,
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
    let task = async move {
        Driver::new(spec, shared, events, commands, control).run().await;
    };
    (handle, task)
}

mod calls;
mod change;
mod deaths;

struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self, time: Time) -> Instant {
        // Past a year nothing is waited for; it keeps the sum within what a clock can say.
        const YEAR_MS: u64 = 366 * 24 * 3600 * 1000;
        let ahead = time.0.min(self.now().0.saturating_add(YEAR_MS));
        self.0 + Duration::from_millis(ahead)
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

enum Phase {
    Idle,
    Connecting(Connecting),
    Open(Box<Open>),
    Closing { pid: Option<u32> },
}

enum Input {
    Control(Control),
    Report(Report),
    Connected(Result<Connection, ConnectError>),
    Incident(Incident),
    Command(Command),
    Timeout,
}

/// What others are told of when it changes.
type News = (Health, Incarnation, Option<Arc<str>>, Option<u32>);

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
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    due: Option<Time>,
    /// Why it is not ready, in one plain sentence.
    reason: Option<Arc<str>>,
    /// How the last life ended, for those whose calls are refused.
    last: Option<Arc<LastDeath>>,
    /// The last death in one sentence, for the trip that may follow.
    last_death: String,
    published: Option<News>,
    connect_began: Time,
    /// A change that waits for the calls in flight.
    draining: Option<change::Draining>,
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
        let clock = Clock::start();
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
            trace: Trace::new(spec.name.clone(), spec.transport.network()),
            timer: Box::pin(tokio::time::sleep_until(clock.0)),
            due: None,
            reason: None,
            last: None,
            last_death: String::new(),
            published: None,
            connect_began: Time(0),
            draining: None,
            is_shutting_down: false,
            shared,
            clock,
            spec,
        }
    }

    async fn run(mut self) {
        if self.spec.starts {
            self.life.handle_event(Event::Start, self.now);
        } else {
            self.reason = Some("it is disabled".into());
        }
        loop {
            self.settle();
            if self.is_shutting_down && *self.life.state() == State::Stopped {
                break;
            }
            let input = poll_fn(|cx| self.poll_input(cx)).await;
            self.now = self.clock.now();
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
        if let Some(due) = self.next_due().filter(|due| *due <= self.now) {
            self.due = Some(due);
            return Poll::Ready(Input::Timeout);
        }
        let takes_commands = match &mut self.phase {
            Phase::Open(open) => open.handshake.is_some() || open.poll_ready(cx),
            Phase::Idle | Phase::Connecting(_) | Phase::Closing { .. } => true,
        };
        if takes_commands && let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            return Poll::Ready(Input::Command(command));
        }
        match &mut self.phase {
            Phase::Connecting(connecting) => {
                if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(Input::Connected(result));
                }
            }
            Phase::Open(open) => {
                if let Poll::Ready(incident) = open.poll(cx) {
                    return Poll::Ready(Input::Incident(incident));
                }
                if open.tick(self.now) && self.life.health() == Health::Degraded {
                    self.life.handle_event(Event::Heard(open.incarnation), self.now);
                    self.publish();
                }
            }
            Phase::Idle | Phase::Closing { .. } => {}
        }
        self.poll_timer(cx)
    }

    /// When something has to be decided.
    fn next_due(&self) -> Option<Time> {
        let open = match &self.phase {
            Phase::Open(open) => open.poll_timeout(&self.spec.options),
            Phase::Idle | Phase::Connecting(_) | Phase::Closing { .. } => None,
        };
        let life = self.life.poll_timeout().map(|(due, _)| due);
        [open, life, self.parked.poll_timeout(), self.drained_at()].into_iter().flatten().min()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let Some(next) = self.next_due() else {
            self.due = None;
            return Poll::Pending;
        };
        if self.due != Some(next) {
            self.due = Some(next);
            let instant = self.clock.instant(next);
            self.timer.as_mut().reset(instant);
        }
        self.timer.as_mut().poll(cx).map(|()| Input::Timeout)
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Control(control) => self.handle_control(control),
            Input::Report(report) => self.handle_report(report),
            Input::Connected(result) => self.handle_connected(result),
            Input::Incident(incident) => self.handle_incident(incident),
            Input::Command(Command::Call(waiting)) => self.handle_call(waiting),
            Input::Command(Command::Send { to, message }) => self.handle_send(to, message),
            Input::Timeout => self.handle_timeout(),
        }
    }

    fn handle_control(&mut self, control: Control) {
        match control {
            Control::Start => self.life.handle_event(Event::Start, self.now),
            Control::Reset => self.life.handle_event(Event::Reset, self.now),
            Control::Stop => {
                self.cut_drain();
                self.halt("somebody stopped it");
            }
            Control::Shutdown => {
                self.cut_drain();
                self.is_shutting_down = true;
                self.halt("somebody stopped it");
            }
            Control::Adjust(change) => self.adjust(change),
            Control::Replace(change, drain) => self.replace(change, drain),
            Control::Retire(drain) => self.retire(drain),
        }
    }

    /// Ends what runs, because somebody wants it.
    fn halt(&mut self, why: &str) {
        self.reason = Some(why.into());
        if let Phase::Open(open) = &self.phase {
            let uptime = self.now.since(open.since);
            self.trace.stopped(open.incarnation, open.pid, uptime);
        }
        self.fail_sent(why);
        self.life.handle_event(Event::Stop, self.now);
    }

    fn handle_report(&mut self, report: Report) {
        match report {
            Report::Ended { incarnation, ending, words } => {
                if let Phase::Open(open) = &mut self.phase
                    && open.incarnation == incarnation
                {
                    let cause = open.fault(Cause::Ended(ending, words), self.now);
                    cause.into_iter().for_each(|cause| self.die(&cause));
                }
            }
            Report::Closed { incarnation, closed } => {
                let event = if closed.is_gone {
                    self.phase = Phase::Idle;
                    Event::Gone { incarnation }
                } else {
                    Event::NotGone { incarnation }
                };
                self.life.handle_event(event, self.now);
            }
        }
    }

    fn handle_connected(&mut self, result: Result<Connection, ConnectError>) {
        let connection = match result {
            Ok(connection) => connection,
            Err(error) => {
                self.phase = Phase::Idle;
                self.die(&Cause::Connect(error));
                return;
            }
        };
        let incarnation = self.life.incarnation();
        let Connection { outgoing, incoming, lifeline } = connection;
        let pid = lifeline.pid();
        let (order, ordered) = oneshot::channel();
        let warden = Warden { incarnation, lifeline, reports: self.reports_in.clone() };
        while self.wardens.try_join_next().is_some() {}
        self.wardens.spawn(warden.watch(ordered));
        let id = self.shared.mint();
        let (handshake, hello) =
            Handshake::begin(id, &self.spec.capabilities, &self.spec.client_info);
        let mut open =
            Open::new(incarnation, pid, self.now, (outgoing, incoming), handshake, order);
        open.send(hello);
        self.trace.spawned(pid);
        self.phase = Phase::Open(Box::new(open));
    }

    fn handle_incident(&mut self, incident: Incident) {
        let Phase::Open(open) = &mut self.phase else { return };
        match incident {
            Incident::Heard(message) => self.hear(message),
            Incident::Garbage(bad) => {
                open.garbage += 1;
                if open.garbage.is_power_of_two() {
                    tracing::warn!(upstream = %self.spec.name, lines = open.garbage, %bad,
                        "upstream writes lines to its output that are no messages; they are skipped");
                }
            }
            Incident::Fault(cause) => {
                let cause = open.fault(cause, self.now);
                cause.into_iter().for_each(|cause| self.die(&cause));
            }
        }
    }

    fn hear(&mut self, message: Message) {
        let Phase::Open(open) = &mut self.phase else { return };
        let from = open.incarnation;
        let message = match &open.handshake {
            None => message,
            Some(handshake) => match handshake.handle(message) {
                Ok(Step::Done(info, initialized)) => {
                    open.handshake = None;
                    open.send(initialized);
                    open.probe =
                        self.spec.options.probe.map(|options| Probe::new(options, self.now));
                    let took = self.now.since(self.connect_began);
                    self.trace.connected(from, &info, took);
                    self.shared.set_info(*info);
                    self.life.handle_event(Event::Connected(from), self.now);
                    return;
                }
                Ok(Step::Reply(_)) if open.asked >= MAX_ASKED => {
                    let why = "it asks and asks instead of answering initialize";
                    return self.die(&Cause::Broken(why.into()));
                }
                Ok(Step::Reply(reply)) => {
                    open.asked += 1;
                    return open.send(reply);
                }
                Ok(Step::Other(Message::Response(_))) => return,
                Ok(Step::Other(message)) => message,
                Err(error) => return self.die(&Cause::Handshake(error)),
            },
        };
        match message {
            Message::Response(response) => {
                let id = response.id.as_ref().and_then(mcplex_proto::id::Id::minted);
                // Nobody waits for the answers to pings, and for those that were given up.
                if let Some(sent) = id.and_then(|id| self.shared.lands(id)) {
                    let reply = Reply { outcome: response.outcome, extra: response.extra, from };
                    drop(sent.reply.send(Ok(reply)));
                }
            }
            other @ (Message::Request(_) | Message::Notification(_)) => {
                self.events.message(from, other);
            }
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
    }

    fn connect(&mut self, incarnation: Incarnation, trial: bool) {
        self.connect_began = self.now;
        self.life.handle_event(Event::Granted(incarnation), self.now);
        let spawn = self.trace.connecting(incarnation, trial);
        let transport = self.spec.transport.clone();
        self.phase = Phase::Connecting(Box::pin(async move {
            let result = transport.connect().await;
            if let Ok(connection) = &result
                && let Some(pid) = connection.lifeline.pid()
            {
                spawn.record(mcplex_proto::attr::PROCESS_PID, pid);
            }
            result
        }));
    }

    fn close(&mut self, incarnation: Incarnation) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle | Phase::Connecting(_) => {
                self.life.handle_event(Event::Gone { incarnation }, self.now);
            }
            Phase::Open(open) => {
                let Open { order, pid, .. } = *open;
                // Refused means that the warden has ended, which only the runtime's end does.
                let _has_ended: Result<(), End> = order.send(End {
                    grace: self.spec.options.grace,
                    recheck: self.spec.options.recheck(),
                });
                self.phase = Phase::Closing { pid };
            }
            closing @ Phase::Closing { .. } => self.phase = closing,
        }
    }

    /// Tells the others how the upstream is, if that is news.
    fn publish(&mut self) {
        let health = self.life.health();
        let incarnation = self.life.incarnation();
        if health == Health::Ready {
            self.reason = None;
        }
        let pid = match &self.phase {
            Phase::Open(open) => open.pid,
            Phase::Closing { pid } => *pid,
            Phase::Idle | Phase::Connecting(_) => None,
        };
        let news = (health, incarnation, self.reason.clone(), pid);
        if self.published.as_ref() == Some(&news) {
            return;
        }
        self.published = Some(news);
        let status = Status {
            deaths: self.life.deaths(self.now),
            trips: self.life.trips(),
            reason: self.reason.clone(),
            retry_after: self.life.retry_at().map(|at| at.since(self.now)),
            pid,
            ..Status::new(health, incarnation)
        };
        self.shared.set_status(status.clone());
        self.events.changed(status);
    }
}
