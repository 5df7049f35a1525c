//! What is due, and what a gap in time does to it.

use super::{Driver, Phase, clock::Gap};
use crate::{cause::Cause, event::Event, probe::Verdict, state::Why, time::Time};
use mcplex_proto::{handshake::Handshake, method, upstream::Health};
use std::time::Duration;

/// Over how long the probes of all upstreams are spread after the host has slept.
const SPREAD: Duration = Duration::from_secs(10);

impl Driver {
    /// Moves every deadline by a time in which nothing ran.
    pub(super) fn look_for_gap(&mut self, has_waited: bool, before: Time) {
        let facts = self.spec.host.facts();
        let Some(gap) = self.clock.gap(has_waited, before, self.now, facts) else { return };
        let (moved, spread) = match gap {
            Gap::Late(late) => {
                tracing::warn!(upstream = %self.spec.name, member = self.spec.member.as_deref(), late_s = late.as_secs(),
                    "mcplex was halted; deadlines are moved");
                (late, Duration::ZERO)
            }
            Gap::Slept(slept) => {
                tracing::warn!(upstream = %self.spec.name, member = self.spec.member.as_deref(), slept_s = slept.as_secs(),
                    "the host slept; what is due now does not count");
                // The deadlines stood still with the clock.
                (Duration::ZERO, self.jitter.up_to(SPREAD))
            }
        };
        self.life.handle_event(Event::ClockJumped(moved), self.now);
        self.parked.skip(moved);
        self.skip_drain(moved);
        if let Some(since) = &mut self.quiet_since {
            *since = (*since + moved).min(self.now);
        }
        if let Phase::Open(open) = &mut self.phase {
            open.skip(moved, spread, self.now);
        }
    }

    pub(super) fn handle_timeout(&mut self) {
        if let Phase::Waiting(ask_at) = &mut self.phase {
            // The host is asked again with the next look.
            *ask_at = None;
        }
        while let Some(waiting) = self.parked.pop_overdue(self.now) {
            self.refuse(*waiting);
        }
        match self.life.poll_timeout() {
            Some((due, Why::Handshake)) if due <= self.now => {
                let limit = self.life.handshake_limit();
                let asks = match &self.phase {
                    Phase::Open(open) => open.handshake.as_ref().map(Handshake::asks),
                    Phase::Idle
                    | Phase::Waiting(_)
                    | Phase::Connecting(_)
                    | Phase::Closing { .. } => None,
                };
                self.die(&Cause::HandshakeTimeout(limit, asks.unwrap_or(method::INITIALIZE)));
            }
            Some((due, Why::Grant)) if due <= self.now => {
                self.die(&Cause::NotGranted(self.spec.options.start_wait));
            }
            _ => self.life.handle_timeout(self.now),
        }
        self.look_for_silence();
        self.look_after();
        if self.rests_at().is_some_and(|at| at <= self.now) {
            self.rest();
        }
    }

    /// Looks whether the open connection is as it should be.
    fn look_after(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        let incarnation = open.incarnation;
        if open.tick(self.spec.options.write_stall, self.now) {
            self.life.handle_event(Event::Heard(incarnation), self.now);
        }
        if let Some(cause) = open.overdue(self.spec.options.write_stall, self.now) {
            return self.die(&cause);
        }
        let in_flight = self.shared.in_flight();
        match open.probe.as_mut().map(|probe| probe.handle_timeout(in_flight, self.now)) {
            Some(Verdict::Ask) => self.send_probe(),
            Some(Verdict::Degraded) => {
                self.send_probe();
                self.life.handle_event(Event::Degraded(incarnation), self.now);
            }
            Some(Verdict::Hung) => self.die(&Cause::Hung),
            Some(Verdict::Wait) | None => {}
        }
    }

    /// When it has been unused for long enough to be ended.
    pub(super) fn rests_at(&self) -> Option<Time> {
        Some(self.quiet_since? + self.spec.options.idle_stop?)
    }

    /// Notes since when nobody uses it: no client's call is in flight or waits.
    pub(super) fn watch_rest(&mut self) {
        if self.spec.options.idle_stop.is_none() {
            return;
        }
        let is_up = matches!(self.life.health(), Health::Ready | Health::Degraded);
        let is_quiet = is_up && self.parked.is_empty() && self.shared.in_flight() == 0;
        self.quiet_since = is_quiet.then(|| self.quiet_since.unwrap_or(self.now));
    }
}
