//! Deaths, and the deadlines that bring them.

use super::{Driver, Phase};
use crate::{
    cause::{Cause, trip_sentence},
    event::{Event, Note},
    probe::Verdict,
    state::Why,
    trace::{DeathFacts, TripFacts},
};
use mcplex_proto::{message::Request, method};
use std::{sync::Arc, time::Duration};

/// A timer that fires so late means that the host slept or this process was halted.
const CLOCK_GAP: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) fn handle_timeout(&mut self) {
        let late = self.due.take().map_or(Duration::ZERO, |due| self.now.since(due));
        if late > CLOCK_GAP {
            tracing::warn!(upstream = %self.spec.name, late_s = late.as_secs(),
                "time stood still; deadlines are moved");
            self.life.handle_event(Event::ClockJumped(late), self.now);
            if let Phase::Open(open) = &mut self.phase {
                open.skip(late, self.now);
            }
        }
        while let Some(waiting) = self.parked.pop_overdue(self.now) {
            self.refuse(*waiting);
        }
        match self.life.poll_timeout() {
            Some((due, Why::Handshake)) if due <= self.now => {
                let limit = self.spec.options.handshake_timeout;
                self.die(&Cause::HandshakeTimeout(limit));
            }
            _ => self.life.handle_timeout(self.now),
        }
        self.look_after();
    }

    /// Looks whether the open connection is as it should be.
    pub(super) fn look_after(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.tick(self.now) {
            self.life.handle_event(Event::Heard(open.incarnation), self.now);
        }
        if let Some(cause) = open.overdue(&self.spec.options, self.now) {
            return self.die(&cause);
        }
        let in_flight = self.shared.in_flight();
        match open.probe.as_mut().map(|probe| probe.handle_timeout(in_flight, self.now)) {
            Some(Verdict::Ask) => {
                open.send(Request::new(self.shared.mint(), method::PING, None).into());
            }
            Some(Verdict::Degraded) => {
                let incarnation = open.incarnation;
                open.send(Request::new(self.shared.mint(), method::PING, None).into());
                self.life.handle_event(Event::Degraded(incarnation), self.now);
            }
            Some(Verdict::Hung) => self.die(&Cause::Hung),
            Some(Verdict::Wait) | None => {}
        }
    }

    /// The current incarnation ended and nobody asked for it.
    pub(super) fn die(&mut self, cause: &Cause) {
        let incarnation = self.life.incarnation();
        self.last = Some(Arc::new(cause.last_death()));
        self.last_death = cause.sentence();
        self.reason = Some(self.last_death.as_str().into());
        let (pid, since) = match &self.phase {
            Phase::Open(open) => (open.pid, open.since),
            Phase::Idle | Phase::Connecting(_) | Phase::Closing { .. } => (None, self.now),
        };
        let was_trial = self.life.tripped_by().is_some();
        let failure = cause.failure();
        self.life.handle_event(Event::Failed { incarnation, failure }, self.now);
        let sent = self.shared.take_sent();
        while let Some(note) = self.life.poll_note() {
            if let Note::Died { deaths, .. } = note {
                let facts = DeathFacts {
                    incarnation,
                    cause,
                    sentence: &self.last_death,
                    pid,
                    uptime: self.now.since(since),
                    in_flight: sent.values().filter_map(|sent| sent.trace.clone()).collect(),
                    calls: sent.len(),
                    deaths,
                };
                self.trace.died(&facts, &self.spec.options, self.now);
            } else {
                self.take_note(note, was_trial);
            }
        }
        for (_, sent) in sent {
            let cause = self.trace.last_death.clone();
            self.lose(sent, &self.last_death, cause);
        }
    }

    pub(super) fn take_note(&mut self, note: Note, was_trial: bool) {
        match note {
            Note::Tripped { incarnation, cause, cooldown, .. } => {
                let sentence = trip_sentence(cause, &self.last_death);
                let deaths = self.life.deaths(self.now);
                let facts =
                    TripFacts { incarnation, sentence: &sentence, was_trial, deaths, cooldown };
                self.trace.tripped(&facts, &self.spec.options, self.now);
                self.reason = Some(sentence.into());
            }
            Note::Waiting { delay, attempt } => {
                self.trace.waiting(self.life.incarnation(), delay, attempt);
            }
            Note::BreakerClosed => self.trace.reset(self.life.incarnation(), "half_open"),
            Note::WasReset => {
                self.reason = None;
                self.trace.reset(self.life.incarnation(), "manual");
            }
            Note::Unkillable { incarnation } => {
                tracing::error!(upstream = %self.spec.name, incarnation = incarnation.0,
                    "a process of the upstream cannot be killed; nothing is started over it");
            }
            Note::Stable => tracing::debug!(upstream = %self.spec.name, "upstream is stable"),
            Note::Degraded { incarnation } => tracing::warn!(upstream = %self.spec.name,
                incarnation = incarnation.0, "upstream is idle and did not answer: it may hang"),
            Note::Recovered { incarnation } => tracing::info!(upstream = %self.spec.name,
                incarnation = incarnation.0, "upstream is heard again"),
            Note::Rested { incarnation } => tracing::info!(upstream = %self.spec.name,
                incarnation = incarnation.0, "upstream is not used and ends until the next call"),
            Note::Retired { incarnation, is_idle } => tracing::info!(upstream = %self.spec.name,
                incarnation = incarnation.0, is_idle, "upstream ended and is not started again"),
            Note::Died { .. } => {}
        }
    }
}
