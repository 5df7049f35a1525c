//! Every span of a life: connect, spawn, death, respawn, trip, reset, stop; with a log line each.
//!
//! What is counted and measured of it is in `measure`.

use crate::{cause::Cause, measure::Measure, options::Options, time::Time};
use mcplex_proto::{
    attr,
    handshake::{How, ServerInfo, title},
    trace::{self, TraceContext},
    transport::{CloseStep, Closed, Usage, signal_name},
    upstream::{Incarnation, UpstreamName},
};
use std::{collections::VecDeque, time::Duration};
use tracing::{Span, field::Empty};

/// Deaths a trip links to.
const MAX_DEATH_LINKS: usize = 16;
/// Calls a death links to.
const MAX_CALL_LINKS: usize = 8;

/// What is remembered between spans.
#[derive(Debug)]
pub(crate) struct Trace {
    upstream: UpstreamName,
    /// Which of its children, where it has several.
    member: Option<String>,
    transport: &'static str,
    connect: Option<Span>,
    /// The span that led to the next connect, with what kind it is.
    lead: Option<(Span, &'static str)>,
    /// Why the next connect comes, where no span led to it.
    why: Option<&'static str>,
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

/// What the span of a death says.
#[derive(Debug)]
pub(crate) struct DeathFacts<'a> {
    pub(crate) incarnation: Incarnation,
    pub(crate) cause: &'a Cause,
    pub(crate) sentence: &'a str,
    pub(crate) probable_cause: Option<&'a str>,
    pub(crate) pid: Option<u32>,
    pub(crate) uptime: Duration,
    pub(crate) usage: Option<Usage>,
    pub(crate) in_flight: Vec<TraceContext>,
    pub(crate) calls: usize,
    /// Method and target of a call that was there at an earlier death too.
    pub(crate) suspect: Option<(String, Option<String>)>,
    pub(crate) deaths: u32,
}

/// What the span of a trip says.
#[derive(Debug)]
pub(crate) struct TripFacts<'a> {
    pub(crate) incarnation: Incarnation,
    pub(crate) sentence: &'a str,
    pub(crate) was_trial: bool,
    pub(crate) deaths: u32,
    pub(crate) cooldown: Option<Duration>,
}

macro_rules! lifecycle {
    ($self:ident, $name:expr, $step:expr, $incarnation:expr $(, $($rest:tt)*)?) => {
        tracing::info_span!(
            target: attr::TARGET_LIFECYCLE,
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

fn fail(span: &Span, error: &str, description: &str) {
    span.record(attr::ERROR_TYPE, error);
    span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    span.record(attr::OTEL_STATUS_DESCRIPTION, description);
}

impl Trace {
    pub(crate) fn new(
        upstream: UpstreamName,
        member: Option<String>,
        network: &'static str,
    ) -> Self {
        Self {
            measure: Measure::new(upstream.clone(), network),
            startup: None,
            question: None,
            upstream,
            member,
            transport: if network == "pipe" { "stdio" } else { "http" },
            connect: None,
            lead: None,
            why: None,
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

    /// A question of the handshake is sent.
    pub(crate) fn asks(&mut self, incarnation: Incarnation, method: &'static str) {
        let span = tracing::info_span!(
            target: attr::TARGET_REQUEST,
            parent: None,
            attr::CLIENT,
            { attr::OTEL_NAME } = method,
            { attr::OTEL_KIND } = attr::KIND_CLIENT,
            { attr::MCP_METHOD_NAME } = method,
            { attr::UPSTREAM_NAME } = self.upstream.as_str(),
            { attr::UPSTREAM_INCARNATION } = incarnation.0,
            { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
            { attr::ERROR_TYPE } = Empty,
            { attr::OTEL_STATUS_CODE } = Empty,
            { attr::OTEL_STATUS_DESCRIPTION } = Empty,
        );
        if let Some(connect) = &self.last_connect {
            trace::set_parent(&span, connect);
        }
        self.question = Some(span);
    }

    /// It was answered, with an error of this code if it was.
    pub(crate) fn is_answered(&mut self, code: Option<i64>) {
        if let (Some(span), Some(code)) = (self.question.take(), code) {
            let code = code.to_string();
            span.record(attr::RPC_RESPONSE_STATUS_CODE, &*code);
            fail(&span, &code, "the server answered with an error");
        }
    }

    /// It was not answered in time.
    pub(crate) fn is_unanswered(&mut self) {
        if let Some(span) = self.question.take() {
            fail(&span, attr::ERROR_TIMEOUT, "there was no answer in time");
        }
    }

    /// Why the next connect will come.
    pub(crate) fn connects_for(&mut self, why: &'static str) {
        self.why = Some(why);
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
            { attr::ERA } = Empty,
            { attr::ERA_VERDICT } = Empty,
            { attr::PROCESS_PID } = Empty,
        );
        let lead = lead.map(|(span, _)| span).or(self.startup.as_ref());
        if let Some(context) = lead.and_then(trace::context_of) {
            trace::set_parent(&span, &context);
        }
        if let Some(previous) = &self.last_connect {
            trace::link(&span, previous, attr::LINK_PREVIOUS_CONNECT);
        }
        self.last_connect = trace::context_of(&span);
        self.connect = Some(span);
    }

    /// The host bears the start; gives the span of the spawn.
    pub(crate) fn granted(&self, incarnation: Incarnation, waited: Duration) -> Span {
        if let Some(span) = &self.connect {
            span.record(attr::CONNECT_WAIT_MS, ms(waited));
        }
        let spawn =
            lifecycle!(self, attr::SPAWN, "spawn", incarnation, { attr::PROCESS_PID } = Empty,);
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

    /// The session is open.
    pub(crate) fn connected(
        &mut self,
        incarnation: Incarnation,
        info: &ServerInfo,
        how: How,
        (took, handshake): (Duration, Duration),
    ) {
        self.measure.connected(info.version);
        let era = info.version.era();
        if let Some(span) = self.connect.take() {
            span.record(attr::MCP_PROTOCOL_VERSION, info.version.as_str());
            span.record(attr::ERA, era.as_str());
            span.record(attr::ERA_VERDICT, how.as_str());
            span.record(attr::CONNECT_HANDSHAKE_MS, ms(handshake));
        }
        self.question = None;
        (self.lead, self.startup) = (None, None);
        event!(self, info, attr::EVENT_CONNECT, self.last_connect.as_ref(), incarnation = incarnation.0,
            server = title(info.implementation.as_str()), protocol = %info.version,
            %era, verdict = %how, took_ms = ms(took), "upstream connected");
    }

    /// An incarnation ended that nobody asked to end.
    pub(crate) fn died(&mut self, facts: &DeathFacts<'_>, options: &Options, now: Time) {
        let cause = facts.cause;
        self.measure.died(cause.reason());
        self.fail_connect(facts);
        let span = lifecycle!(
            self,
            attr::DEATH,
            attr::LIFECYCLE_DEATH,
            facts.incarnation,
            { attr::DEATH_REASON } = cause.reason(),
            { attr::DEATH_PROBABLE_CAUSE } = facts.probable_cause,
            { attr::SUSPECT_METHOD } = facts.suspect.as_ref().map(|(method, _)| method.as_str()),
            { attr::SUSPECT_NAME } = facts.suspect.as_ref().and_then(|(_, name)| name.as_deref()),
            { attr::PROCESS_PID } = facts.pid,
            { attr::PROCESS_EXIT_CODE } = cause.exit_code(),
            { attr::PROCESS_EXIT_SIGNAL } = cause.signal().map(signal_name),
            { attr::PROCESS_PEAK_MEMORY } = facts.usage.map(|usage| usage.peak_memory),
            { attr::PROCESS_CPU_S } = facts.usage.map(|usage| usage.cpu.as_secs_f64()),
            { attr::PROCESS_OUT_OF_MEMORY } = facts.usage.map(|usage| usage.out_of_memory),
            { attr::UPSTREAM_UPTIME_S } = facts.uptime.as_secs_f64(),
            { attr::REQUESTS_IN_FLIGHT } = facts.calls,
            { attr::BREAKER_DEATHS_IN_WINDOW } = facts.deaths,
            { attr::BREAKER_THRESHOLD } = options.max_deaths,
            { attr::BREAKER_WINDOW_S } = options.window.as_secs_f64(),
        );
        fail(&span, cause.error_type(), facts.sentence);
        if let Some(connect) = &self.last_connect {
            trace::link(&span, connect, attr::LINK_CONNECT);
        }
        for call in facts.in_flight.iter().take(MAX_CALL_LINKS) {
            trace::link(&span, call, attr::LINK_IN_FLIGHT);
        }
        self.last_death = trace::context_of(&span);
        if let Some(context) = self.last_death.clone() {
            self.deaths.push_back((now, context));
            while self.deaths.len() > MAX_DEATH_LINKS {
                self.deaths.pop_front();
            }
        }
        event!(
            self,
            warn,
            attr::EVENT_DEATH,
            self.last_death.as_ref(),
            incarnation = facts.incarnation.0,
            reason = facts.sentence,
            deaths_in_window = facts.deaths,
            calls_lost = facts.calls,
            "upstream died"
        );
    }

    /// An incarnation ended in a way that is no death: the host's fault, or an end it may choose.
    pub(crate) fn spared(&mut self, facts: &DeathFacts<'_>) {
        self.fail_connect(facts);
        tracing::warn!(upstream = %self.upstream, member = self.member.as_deref(), incarnation = facts.incarnation.0,
            reason = facts.sentence, calls_lost = facts.calls,
            "upstream ended; it does not count as a death");
    }

    /// An incarnation ended when it was asked which era it belongs to: no failure, but an answer.
    pub(crate) fn ended_when_asked(&mut self, facts: &DeathFacts<'_>) {
        if let Some(span) = self.connect.take() {
            span.record(attr::ERA_VERDICT, How::Ended.as_str());
        }
        // What follows is still the start of the process.
        (self.lead, self.question) = (None, None);
        self.why = Some("era");
        tracing::info!(upstream = %self.upstream, member = self.member.as_deref(), incarnation = facts.incarnation.0,
            reason = facts.sentence,
            "upstream ended when it was asked whether it speaks 2026-07-28; it is started again without asking");
    }

    fn fail_connect(&mut self, facts: &DeathFacts<'_>) {
        self.measure.ended(Some(facts.cause.error_type()));
        let (lead, question) = (self.lead.take(), self.question.take());
        self.startup = None;
        for span in
            self.connect.take().iter().chain(lead.iter().map(|(span, _)| span)).chain(&question)
        {
            fail(span, facts.cause.error_type(), facts.sentence);
        }
    }

    /// A respawn follows after a wait.
    pub(crate) fn waiting(&mut self, incarnation: Incarnation, delay: Duration, attempt: u32) {
        self.measure.respawns();
        let next = Incarnation(incarnation.0 + 1);
        let ms = ms(delay);
        let span = lifecycle!(
            self,
            attr::RESPAWN,
            attr::LIFECYCLE_RESPAWN,
            next,
            { attr::RESPAWN_ATTEMPT } = attempt,
            { attr::RESPAWN_BACKOFF_MS } = ms,
        );
        if let Some(death) = &self.last_death {
            trace::set_parent(&span, death);
        }
        if let Some(connect) = &self.last_connect {
            trace::link(&span, connect, attr::LINK_PREVIOUS_CONNECT);
        }
        let context = trace::context_of(&span);
        self.lead = Some((span, "respawn"));
        event!(
            self,
            info,
            attr::EVENT_RESPAWN,
            context.as_ref(),
            backoff_ms = ms,
            attempt,
            "upstream will be started again"
        );
    }

    /// The breaker opened.
    pub(crate) fn tripped(&mut self, facts: &TripFacts<'_>, options: &Options, now: Time) {
        self.measure.tripped();
        let previous = if facts.was_trial { "half_open" } else { "closed" };
        let span = lifecycle!(
            self,
            attr::TRIP,
            attr::LIFECYCLE_TRIP,
            facts.incarnation,
            { attr::BREAKER_STATE } = "open",
            { attr::BREAKER_PREVIOUS_STATE } = previous,
            { attr::BREAKER_DEATHS_IN_WINDOW } = facts.deaths,
            { attr::BREAKER_THRESHOLD } = options.max_deaths,
            { attr::BREAKER_WINDOW_S } = options.window.as_secs_f64(),
            { attr::BREAKER_RETRY_AFTER_S } = facts.cooldown.map(|wait| wait.as_secs_f64()),
        );
        fail(&span, attr::ERROR_UPSTREAM_TRIPPED, facts.sentence);
        if let Some(death) = &self.last_death {
            trace::set_parent(&span, death);
        }
        for (at, death) in &self.deaths {
            if now.since(*at) <= options.window && Some(death) != self.last_death.as_ref() {
                trace::link(&span, death, attr::LINK_DEATH);
            }
        }
        self.last_trip = trace::context_of(&span);
        event!(
            self,
            error,
            attr::EVENT_TRIP,
            self.last_trip.as_ref(),
            reason = facts.sentence,
            retry_after_s = facts.cooldown.map(|wait| wait.as_secs()),
            "upstream tripped: it is not started again before the time is over or it is reset"
        );
    }

    /// The breaker closed: by hand, or because a trial went well.
    pub(crate) fn reset(&mut self, incarnation: Incarnation, reason: &'static str) {
        let span = lifecycle!(
            self,
            attr::RESET,
            attr::LIFECYCLE_RESET,
            incarnation,
            { attr::RESET_REASON } = reason,
            { attr::BREAKER_STATE } = "closed",
            { attr::BREAKER_PREVIOUS_STATE } = match (reason, &self.last_trip) {
                ("manual" | "config_reload", Some(_)) => "open",
                ("manual" | "config_reload", None) => "closed",
                _ => "half_open",
            },
        );
        if let Some(trip) = self.last_trip.take() {
            trace::link(&span, &trip, attr::LINK_TRIP);
        }
        self.deaths.clear();
        let context = trace::context_of(&span);
        event!(
            self,
            info,
            attr::EVENT_RESET,
            context.as_ref(),
            reason,
            "upstream reset: its breaker is closed"
        );
        if reason != "half_open" {
            self.lead = Some((span, "reset"));
        }
    }

    /// Somebody asked for the end.
    pub(crate) fn stopped(&mut self, incarnation: Incarnation, pid: Option<u32>, uptime: Duration) {
        self.measure.ended(None);
        let span = lifecycle!(
            self,
            attr::STOP,
            attr::LIFECYCLE_STOP,
            incarnation,
            { attr::PROCESS_PID } = pid,
            { attr::UPSTREAM_UPTIME_S } = uptime.as_secs_f64(),
            { attr::STOP_STAGE } = Empty,
        );
        if let Some(connect) = &self.last_connect {
            trace::link(&span, connect, attr::LINK_CONNECT);
        }
        self.stop = Some(span);
        (self.connect, self.lead, self.question, self.startup) = (None, None, None, None);
        tracing::info!(upstream = %self.upstream, member = self.member.as_deref(), incarnation = incarnation.0, "upstream stopped");
    }

    /// An end that was ordered was tried.
    pub(crate) fn closed(&mut self, incarnation: Incarnation, closed: &Closed) {
        let stage = match closed.step {
            CloseStep::Ended => "ended",
            CloseStep::Eof => "eof",
            CloseStep::Term => "term",
            CloseStep::Kill => "kill",
        };
        if closed.is_gone {
            self.measure.has_no_child();
        }
        if closed.is_gone
            && let Some(span) = self.stop.take()
        {
            span.record(attr::STOP_STAGE, stage);
        }
        tracing::debug!(upstream = %self.upstream, member = self.member.as_deref(), incarnation = incarnation.0, stage,
            is_gone = closed.is_gone, "the end of an upstream was brought about");
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
