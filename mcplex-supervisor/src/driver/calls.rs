//! Calls: parked, sent, refused, lost.

use super::{Driver, Phase};
use crate::{
    event::Event,
    handle::{Sent, Waiting},
};
use mcplex_proto::{
    message::{Message, Request},
    method,
    trace::TraceContext,
    upstream::{Health, Incarnation, UpstreamError},
};
use std::time::Duration;

impl Driver {
    pub(super) fn handle_call(&mut self, waiting: Box<Waiting>) {
        if matches!(self.life.health(), Health::Tripped | Health::Idle) {
            self.life.handle_event(Event::Demand, self.now);
        }
        match self.life.health() {
            Health::Ready | Health::Degraded if !self.is_draining() => self.transmit(*waiting),
            Health::Ready | Health::Degraded | Health::Recovering | Health::Idle => {
                if let Err(waiting) = self.parked.push(waiting, self.now) {
                    let error = UpstreamError::QueueFull {
                        upstream: self.spec.name.clone(),
                        limit: self.spec.options.queue_limit,
                        retry_after: self.life.retry_at().map(|at| at.since(self.now)),
                    };
                    drop(waiting.reply.send(Err(error)));
                }
            }
            Health::Tripped | Health::Stopped => self.refuse(*waiting),
        }
    }

    pub(super) fn transmit(&mut self, waiting: Waiting) {
        let Phase::Open(open) = &mut self.phase else { return self.refuse(waiting) };
        let Waiting { call, reply } = waiting;
        let is_read = method::is_read(&call.method);
        let sent = Sent { reply, trace: call.trace, is_upkeep: call.is_upkeep, is_read };
        if self.shared.takes_off(call.id, sent) {
            let request = Request {
                id: call.id.into(),
                method: call.method,
                params: call.params,
                extra: call.extra,
            };
            open.send(request.into());
        }
    }

    pub(super) fn handle_send(&mut self, to: Option<Incarnation>, message: Message) {
        if let Phase::Open(open) = &mut self.phase
            && open.handshake.is_none()
            && to.is_none_or(|to| to == open.incarnation)
        {
            open.send(message);
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
            Health::Stopped => UpstreamError::Stopped { upstream },
            Health::Ready | Health::Degraded | Health::Idle | Health::Recovering => {
                let retry_after = retry_after.or(Some(Duration::ZERO));
                UpstreamError::Unavailable { upstream, reason: reason(), retry_after }
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
                while let Some(waiting) = self.parked.pop() {
                    self.transmit(*waiting);
                }
            }
            Health::Tripped | Health::Stopped => {
                while let Some(waiting) = self.parked.pop() {
                    self.refuse(*waiting);
                }
            }
            Health::Ready | Health::Degraded | Health::Recovering | Health::Idle => {}
        }
    }

    /// Fails a call that was sent.
    pub(super) fn lose(&self, sent: Sent, reason: &str, cause: Option<TraceContext>) {
        let error = UpstreamError::Died {
            upstream: self.spec.name.clone(),
            reason: reason.into(),
            safe_to_retry: sent.is_read,
            cause,
        };
        drop(sent.reply.send(Err(error)));
    }

    /// Fails what was sent, without a death to blame.
    pub(super) fn fail_sent(&self, reason: &str) {
        for (_, sent) in self.shared.take_sent() {
            self.lose(sent, reason, None);
        }
    }
}
