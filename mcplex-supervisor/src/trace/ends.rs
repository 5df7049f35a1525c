//! The spans of ends: deaths, ends that are none, stops.

use super::{Trace, fail};
use crate::{cause::Cause, options::Options, time::Time};
use mcplex_proto::{
    attr,
    handshake::How,
    trace::{self, TraceContext},
    transport::{CloseStep, Closed, Usage, signal_name},
    upstream::Incarnation,
};
use std::time::Duration;
use tracing::field::Empty;

/// Calls a death links to.
const MAX_CALL_LINKS: usize = 8;
/// Deaths that are remembered for the trip that may follow.
const MAX_DEATH_LINKS: usize = 16;

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
    /// What it wrote last, where that may be told.
    pub(crate) stderr: Option<String>,
}

impl Trace {
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
        // A link to what is not recorded leads nowhere.
        let calls = facts.in_flight.iter().filter(|call| call.is_sampled());
        for call in calls.take(MAX_CALL_LINKS) {
            trace::link(&span, call, attr::LINK_IN_FLIGHT);
        }
        if let Some(stderr) = &facts.stderr {
            trace::event(&span, attr::SPAN_EVENT_STDERR, (attr::STDERR_TEXT, stderr));
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
        self.measure.answered(None, (None, None));
        // What follows is still the start of the process.
        (self.lead, self.question) = (None, None);
        self.why = Some("era");
        tracing::info!(upstream = %self.upstream, member = self.member.as_deref(), incarnation = facts.incarnation.0,
            reason = facts.sentence,
            "upstream ended when it was asked whether it speaks 2026-07-28; it is started again without asking");
    }

    fn fail_connect(&mut self, facts: &DeathFacts<'_>) {
        self.measure.answered(None, (None, Some(facts.cause.error_type())));
        self.measure.ended(Some(facts.cause.error_type()));
        if self.is_respawn() {
            self.measure.respawned(Some(facts.cause.error_type()));
        }
        let (lead, question) = (self.lead.take(), self.question.take());
        self.startup = None;
        for span in
            self.connect.take().iter().chain(lead.iter().map(|(span, _)| span)).chain(&question)
        {
            fail(span, facts.cause.error_type(), facts.sentence);
        }
    }

    /// Somebody asked for the end.
    pub(crate) fn stopped(&mut self, incarnation: Incarnation, pid: Option<u32>, uptime: Duration) {
        self.measure.answered(None, (None, Some(attr::ERROR_CANCELLED)));
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
