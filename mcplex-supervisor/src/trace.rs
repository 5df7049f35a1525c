//! Every span of a life: connect, spawn, death, respawn, trip, reset, stop; with a log line each.
//!
//! What is counted and measured of it is in `measure`.

use crate::{measure::Measure, time::Time};
use mcplex_proto::{
    attr,
    error::ErrorObject,
    handshake::{How, ServerInfo, title},
    peer::{Peer, Place, protocol_over},
    trace::{self, TraceContext},
    transport::{ConnectError, Transport},
    upstream::{Incarnation, UpstreamName},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tracing::{Span, field::Empty};

/// The span of a lifecycle step, with what all of them say.
macro_rules! lifecycle {
    (target: $target:expr, $self:ident, $name:expr, $step:expr, $incarnation:expr $(, $($rest:tt)*)?) => {
        tracing::info_span!(
            target: $target,
            parent: None,
            $name,
            { attr::OTEL_NAME } = format!("{} {}", $name, $self.upstream),
            { attr::LIFECYCLE } = $step,
            { attr::UPSTREAM_NAME } = $self.upstream.as_str(),
            { attr::UPSTREAM_MEMBER } = $self.member.as_deref(),
            { attr::UPSTREAM_INCARNATION } = $incarnation.0,
            { attr::UPSTREAM_TRANSPORT } = $self.transport,
            { attr::ERROR_TYPE } = Empty,
            { attr::OTEL_STATUS_CODE } = Empty,
            { attr::OTEL_STATUS_DESCRIPTION } = Empty,
            $($($rest)*)?
        )
    };
    ($self:ident, $($rest:tt)*) => { lifecycle!(target: attr::TARGET_LIFE, $self, $($rest)*) };
}

/// A log line of a lifecycle step, under its own name and with the trace where it is told at length.
macro_rules! event {
    ($self:ident, $level:ident, $name:expr, $context:expr, $($rest:tt)*) => {
        tracing::$level!(
            name: $name,
            upstream = %$self.upstream,
            { attr::EVENT } = $name,
            member = $self.member.as_deref(),
            trace_id = $context.map(TraceContext::trace_id_hex),
            span_id = $context.map(TraceContext::span_id_hex),
            $($rest)*
        )
    };
}

mod breaker;
mod ends;

pub(crate) use breaker::TripFacts;
pub(crate) use ends::DeathFacts;

/// Why a connect comes that follows a death.
const RESPAWN: &str = "respawn";

/// What is remembered between spans.
#[derive(Debug)]
pub(crate) struct Trace {
    upstream: UpstreamName,
    /// Which of its children, where it has several.
    member: Option<String>,
    transport: &'static str,
    /// The OpenTelemetry word for what carries the bytes.
    network: &'static str,
    place: Arc<Place>,
    connect: Option<Span>,
    /// The span that led to the next connect, with what kind it is.
    lead: Option<(Span, &'static str)>,
    /// Why the next connect comes, where no span led to it.
    why: Option<&'static str>,
    /// The request that waits for the next connect.
    caller: Option<TraceContext>,
    /// The operator's request that will be followed now.
    operator: Option<TraceContext>,
    /// The span of the stop under way; it ends when nothing is left.
    stop: Option<Span>,
    last_connect: Option<TraceContext>,
    deaths: VecDeque<(Time, TraceContext)>,
    pub(crate) last_death: Option<TraceContext>,
    pub(crate) last_trip: Option<TraceContext>,
    pub(crate) measure: Measure,
    /// The start of the process, until the first connect is settled.
    startup: Option<Span>,
    /// The question of the handshake that waits for its answer.
    question: Option<Span>,
}

/// Says on a span of a spawn how it failed.
pub(crate) fn not_spawned(span: &Span, error: &ConnectError, kind: &str) {
    fail(span, kind, &error.to_string());
}

fn fail(span: &Span, error: &str, description: &str) {
    span.record(attr::ERROR_TYPE, error);
    span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    span.record(attr::OTEL_STATUS_DESCRIPTION, description);
}

impl Trace {
    pub(crate) fn new(
        upstream: UpstreamName,
        member: Option<String>,
        reached: &dyn Transport,
    ) -> Self {
        let (network, place) = (reached.network(), Arc::new(reached.place()));
        Self {
            measure: Measure::new(upstream.clone(), network, Arc::clone(&place)),
            startup: None,
            question: None,
            upstream,
            member,
            transport: if network == "pipe" { "stdio" } else { "http" },
            network,
            place: Arc::clone(&place),
            connect: None,
            lead: None,
            why: None,
            caller: None,
            operator: None,
            stop: None,
            last_connect: None,
            deaths: VecDeque::new(),
            last_death: None,
            last_trip: None,
        }
    }

    /// Its first connect belongs to the start of the process.
    pub(crate) fn begins_with(&mut self, startup: Option<Span>) {
        self.startup = startup;
    }

    /// It is reached in another way from now on.
    pub(crate) fn is_reached_by(&mut self, transport: &dyn Transport) {
        self.place = Arc::new(transport.place());
        self.measure.is_at(Arc::clone(&self.place));
    }

    /// A question of the handshake is sent; gives what it may say of the trace.
    pub(crate) fn asks(
        &mut self,
        incarnation: Incarnation,
        method: &'static str,
        id: u64,
    ) -> Option<TraceContext> {
        self.measure.asks(method);
        let protocol = protocol_over(self.network);
        let span = tracing::info_span!(
            target: attr::TARGET_HANDSHAKE,
            parent: None,
            attr::CLIENT,
            { attr::OTEL_NAME } = method,
            { attr::OTEL_KIND } = attr::KIND_CLIENT,
            { attr::MCP_METHOD_NAME } = method,
            { attr::JSONRPC_REQUEST_ID } = %id,
            { attr::NETWORK_TRANSPORT } = self.network,
            { attr::NETWORK_PROTOCOL_NAME } = protocol.map(|(name, _)| name),
            { attr::NETWORK_PROTOCOL_VERSION } = protocol.map(|(_, version)| version),
            { attr::SERVER_ADDRESS } = self.place.host.as_deref(),
            { attr::SERVER_PORT } = self.place.port,
            { attr::UPSTREAM_NAME } = self.upstream.as_str(),
            { attr::UPSTREAM_INCARNATION } = incarnation.0,
            { attr::MCP_PROTOCOL_VERSION } = Empty,
            { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
            { attr::ERROR_TYPE } = Empty,
            { attr::OTEL_STATUS_CODE } = Empty,
            { attr::OTEL_STATUS_DESCRIPTION } = Empty,
        );
        if let Some(connect) = &self.last_connect {
            trace::set_parent(&span, connect);
        }
        let context = trace::context_of(&span);
        self.question = Some(span);
        context
    }

    /// It was answered, with this error if it was.
    pub(crate) fn is_answered(&mut self, error: Option<ErrorObject>) {
        self.measure.answered(None, (error.as_ref().map(|error| error.code), None));
        if let (Some(span), Some(ErrorObject { code, message, .. })) = (self.question.take(), error)
        {
            let code = code.to_string();
            span.record(attr::RPC_RESPONSE_STATUS_CODE, &*code);
            fail(&span, &code, &message);
        }
    }

    /// It was not answered in time.
    pub(crate) fn is_unanswered(&mut self) {
        self.measure.answered(None, (None, Some(attr::ERROR_TIMEOUT)));
        if let Some(span) = self.question.take() {
            fail(&span, attr::ERROR_TIMEOUT, "there was no answer in time");
        }
    }

    /// The death that is not got over before the next connect is done.
    pub(crate) fn recovers_from(&self) -> Option<&TraceContext> {
        self.last_death.as_ref().filter(|_| self.is_respawn())
    }

    fn is_respawn(&self) -> bool {
        self.lead.as_ref().is_some_and(|(_, kind)| *kind == RESPAWN)
    }

    /// Why the next connect will come.
    pub(crate) fn connects_for(&mut self, why: &'static str) {
        self.why = Some(why);
    }

    /// Which request waits for the next connect.
    pub(crate) fn is_waited_for(&mut self, caller: Option<TraceContext>) {
        self.caller = caller;
    }

    /// Which operator's request is followed from here on; none when that is done.
    pub(crate) fn is_asked(&mut self, operator: Option<TraceContext>) {
        self.operator = operator;
    }

    /// A connect begins.
    pub(crate) fn connecting(&mut self, incarnation: Incarnation, trial: bool) {
        self.measure.connecting();
        let (lead, why) = (self.lead.as_ref(), self.why.take());
        let reason = match (lead, why) {
            (Some((_, kind)), _) => *kind,
            (None, Some(why)) => why,
            (None, None) if trial => "trial",
            (None, None) => "startup",
        };
        let span = lifecycle!(
            self,
            attr::CONNECT,
            attr::LIFECYCLE_CONNECT,
            incarnation,
            { attr::CONNECT_REASON } = reason,
            { attr::CONNECT_TRIAL } = trial,
            { attr::CONNECT_WAIT_MS } = Empty,
            { attr::CONNECT_SPAWN_MS } = Empty,
            { attr::CONNECT_HANDSHAKE_MS } = Empty,
            { attr::MCP_PROTOCOL_VERSION } = Empty,
            { attr::TOOL_COUNT } = Empty,
            { attr::ERA } = Empty,
            { attr::ERA_VERDICT } = Empty,
            { attr::PROCESS_PID } = Empty,
        );
        // The call that waits, if nothing else led to it: it is what all this is for.
        let caller = self.caller.take();
        let parent = match lead {
            Some((span, _)) => trace::context_of(span),
            None => caller.or_else(|| self.startup.as_ref().and_then(trace::context_of)),
        };
        if let Some(parent) = parent {
            trace::set_parent(&span, &parent);
        }
        if let Some(previous) = &self.last_connect {
            trace::link(&span, previous, attr::LINK_PREVIOUS_CONNECT);
        }
        self.last_connect = trace::context_of(&span);
        self.connect = Some(span);
    }

    /// The host bears the start; gives the span of the spawn, where there is a process to start.
    pub(crate) fn granted(&self, incarnation: Incarnation, waited: Duration) -> Span {
        if let Some(span) = &self.connect {
            span.record(attr::CONNECT_WAIT_MS, ms(waited));
        }
        if self.transport != "stdio" {
            return Span::none();
        }
        let spawn = lifecycle!(
            target: attr::TARGET_SPAWN,
            self,
            attr::SPAWN,
            attr::LIFECYCLE_SPAWN,
            incarnation,
            { attr::PROCESS_EXECUTABLE_NAME } = self.place.program.as_deref(),
            { attr::PROCESS_PID } = Empty,
        );
        if let Some(context) = &self.last_connect {
            trace::set_parent(&spawn, context);
        }
        spawn
    }

    /// The process runs.
    pub(crate) fn spawned(&mut self, pid: Option<u32>, took: Duration) {
        if pid.is_some() {
            self.measure.has_child();
        }
        let Some(span) = &self.connect else { return };
        span.record(attr::CONNECT_SPAWN_MS, ms(took));
        if let Some(pid) = pid {
            span.record(attr::PROCESS_PID, pid);
        }
    }

    /// The session is open; gives the span of the connect, which ends when what belongs to it is
    /// done.
    pub(crate) fn connected(
        &mut self,
        incarnation: Incarnation,
        info: &ServerInfo,
        how: How,
        (took, handshake): (Duration, Duration),
    ) -> Option<Span> {
        self.measure.answered(Some(info.version), (None, None));
        self.measure.connected(info.version);
        let era = info.version.era();
        let connect = self.connect.take();
        if let Some(span) = &connect {
            span.record(attr::MCP_PROTOCOL_VERSION, info.version.as_str());
            span.record(attr::ERA, era.as_str());
            span.record(attr::ERA_VERDICT, how.as_str());
            span.record(attr::CONNECT_HANDSHAKE_MS, ms(handshake));
        }
        if let Some(question) = self.question.take() {
            question.record(attr::MCP_PROTOCOL_VERSION, info.version.as_str());
        }
        if self.is_respawn() {
            self.measure.respawned(None);
        }
        (self.lead, self.startup) = (None, None);
        event!(self, info, attr::EVENT_CONNECT, self.last_connect.as_ref(), incarnation = incarnation.0,
            server = title(info.implementation.as_str()), protocol = %info.version,
            %era, verdict = %how, took_ms = ms(took), "upstream connected");
        connect
    }

    /// The life that is open, for the spans, the numbers and the audit log of others.
    pub(crate) fn peer(
        &self,
        incarnation: Incarnation,
        info: &ServerInfo,
        session: Option<String>,
    ) -> Peer {
        Peer {
            incarnation,
            version: info.version,
            network: self.network,
            place: Arc::clone(&self.place),
            session: session.map(Into::into),
            connect: self.last_connect.clone(),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
