//! Calls: parked, sent, refused, lost.

use super::{Driver, Phase};
use crate::{
    blackbox,
    event::Event,
    handle::{Sent, Waiting},
};
use mcplex_proto::{
    message::{Message, Request},
    method,
    trace::TraceContext,
    upstream::{Health, Incarnation, UpstreamError},
    version::Era,
};
use std::time::Duration;

impl Driver {
    /// Takes a call: sends it, lets it wait, or refuses it.
    ///
    /// Only calls of clients start an idle upstream, try a tripped one, and keep one from being
    /// ended: what the gateway asks for itself, such as lists, is no use of it.
    pub(super) fn handle_call(&mut self, waiting: Box<Waiting>) {
        let is_upkeep = waiting.call.is_upkeep;
        if !is_upkeep {
            self.quiet_since = None;
            let health = self.life.health();
            if health == Health::Idle {
                self.trace.connects_for("lazy");
            }
            if matches!(health, Health::Tripped | Health::Idle) {
                self.life.handle_event(Event::Demand, self.now);
                let asked = waiting.call.trace.as_ref().and_then(|trace| trace.asked.clone());
                self.trace.is_waited_for(asked.filter(|_| self.life.health() != health));
            }
        }
        match self.life.health() {
            Health::Ready | Health::Degraded if self.has_room(is_upkeep) => self.transmit(*waiting),
            Health::Idle | Health::Tripped | Health::Stopped => self.refuse(*waiting),
            Health::Ready | Health::Degraded | Health::Recovering => self.park(waiting),
        }
    }

    /// Whether a call may be sent at once: it overtakes none that waits.
    fn has_room(&self, is_upkeep: bool) -> bool {
        !self.is_draining() && (is_upkeep || (self.parked.is_empty() && self.room() > 0))
    }

    /// How many more calls of clients may be in flight.
    fn room(&self) -> usize {
        match self.spec.options.max_concurrency {
            0 => usize::MAX,
            most => most.saturating_sub(self.shared.in_flight()),
        }
    }

    fn park(&mut self, waiting: Box<Waiting>) {
        if let Err(waiting) = self.parked.push(waiting, self.now) {
            let error = UpstreamError::QueueFull {
                upstream: self.spec.name.clone(),
                limit: self.spec.options.queue_limit,
                retry_after: self.life.retry_at().map(|at| at.since(self.now)),
            };
            drop(waiting.reply.send(Err(error)));
        }
    }

    pub(super) fn transmit(&mut self, waiting: Waiting) {
        let Phase::Open(_) = &self.phase else { return self.refuse(waiting) };
        let era = self.shared.info().map_or(Era::Legacy, |info| info.version.era());
        if waiting.call.era != era {
            let upstream = self.spec.name.clone();
            drop(waiting.reply.send(Err(UpstreamError::OtherEra { upstream, now: era })));
            return;
        }
        let Waiting { call, reply } = waiting;
        let sent = Sent {
            reply,
            trace: call.trace.map(|trace| trace.sent),
            is_upkeep: call.is_upkeep,
            is_read: method::is_read(&call.method),
            method: call.method.clone(),
            params: blackbox::kept(call.params.as_ref()),
            at: self.now,
            until: None,
        };
        if self.shared.takes_off(call.id, sent) {
            let request = Request {
                id: call.id.into(),
                method: call.method,
                params: call.params,
                extra: call.extra,
            };
            self.send(request.into());
        }
    }

    pub(super) fn handle_send(&mut self, to: Option<Incarnation>, message: Message) {
        if let Phase::Open(open) = &self.phase
            && open.handshake.is_none()
            && to.is_none_or(|to| to == open.incarnation)
        {
            self.send(message);
        }
    }

    pub(super) fn refuse(&self, waiting: Waiting) {
        let upstream = self.spec.name.clone();
        let reason = || self.reason.clone().unwrap_or_else(|| "it is starting".into());
        let retry_after = self.life.retry_at().map(|at| at.since(self.now));
        let error = match self.life.health() {
            Health::Tripped => UpstreamError::Tripped {
                upstream,
                reason: reason(),
                retry_after,
                trips: self.life.trips(),
                last: self.last.clone(),
                cause: self.trace.last_trip.clone(),
            },
            Health::Stopped => {
                let reason = self.reason.clone().filter(|_| self.has_left);
                UpstreamError::Stopped { upstream, reason }
            }
            Health::Ready | Health::Degraded | Health::Idle | Health::Recovering => {
                let retry_after = retry_after.or(Some(Duration::ZERO));
                let cause = self.trace.recovers_from().cloned();
                UpstreamError::Unavailable { upstream, reason: reason(), retry_after, cause }
            }
        };
        drop(waiting.reply.send(Err(error)));
    }

    /// Sends or refuses what has waited, if that is decided.
    pub(super) fn unpark(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        match self.life.health() {
            Health::Ready | Health::Degraded if !self.is_draining() => {
                while self.room() > 0
                    && let Some(waiting) = self.parked.pop()
                {
                    self.transmit(*waiting);
                }
                // The rest waits for those in flight, and each call for its own time.
                self.parked.hold();
            }
            Health::Tripped | Health::Stopped => {
                while let Some(waiting) = self.parked.pop() {
                    self.refuse(*waiting);
                }
            }
            Health::Ready | Health::Degraded | Health::Idle | Health::Recovering => {
                self.parked.limit(self.now);
            }
        }
    }

    /// Fails a call that was sent.
    pub(super) fn lose(
        &self,
        sent: Sent,
        reason: &str,
        is_suspect: bool,
        cause: Option<TraceContext>,
    ) {
        let error = UpstreamError::Died {
            upstream: self.spec.name.clone(),
            reason: reason.into(),
            // What it died of twice is not to be tried a third time.
            safe_to_retry: sent.is_read && !is_suspect,
            is_suspect,
            cause,
            from: Some(self.life.incarnation()),
        };
        drop(sent.reply.send(Err(error)));
    }

    /// Fails what was sent, without a death to blame.
    pub(super) fn fail_sent(&self, reason: &str) {
        for (_, sent) in self.shared.take_sent() {
            self.lose(sent, reason, false, None);
        }
    }
}
