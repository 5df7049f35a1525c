//! What a changed configuration does to an upstream that is there.
//!
//! New limits hold from now on. Another process takes the place of the one that runs only after
//! the calls in flight are done or their drain is over; calls that come meanwhile wait as for any
//! next life. Of several changes the last counts, so each costs one start at most.

use super::{Driver, Phase, Starts, era::Findings};
use crate::{
    event::{Event, Note},
    handle::Change,
    probe::Probe,
    time::Time,
};
use mcplex_proto::upstream::Health;
use std::time::Duration;

/// What waits for the calls in flight.
#[derive(Debug)]
pub(super) struct Draining {
    until: Time,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Replace(Box<Change>),
    Shutdown,
}

impl Driver {
    /// Takes new limits; what runs goes on.
    pub(super) fn adjust(&mut self, change: Box<Change>) {
        if change.options.probe != self.spec.options.probe
            && let Phase::Open(open) = &mut self.phase
            && open.handshake.is_none()
        {
            open.probe = change.options.probe.map(|options| Probe::new(options, self.now));
        }
        let is_wanted_now = self.spec.starts == Starts::Lazy && change.starts == Starts::Now;
        match &mut self.draining {
            // What it waits for is this one now.
            Some(Draining { then: Then::Replace(pending), .. }) => {
                self.life.set_options(change.options.clone());
                *pending = change;
            }
            Some(Draining { then: Then::Shutdown, .. }) | None => self.take(*change),
        }
        if is_wanted_now && self.life.health() == Health::Idle {
            self.life.handle_event(Event::Start, self.now);
        }
    }

    /// Puts another process in the place of the one that runs, once its calls are done.
    pub(super) fn replace(&mut self, change: Box<Change>, drain: Duration) {
        self.drain(Then::Replace(change), drain);
    }

    /// Ends for good once the calls in flight are done.
    pub(super) fn retire(&mut self, drain: Duration) {
        self.drain(Then::Shutdown, drain);
    }

    fn drain(&mut self, then: Then, drain: Duration) {
        let until = self.now + drain;
        // A drain under way is not made longer by the next change.
        let until = self.draining.as_ref().map_or(until, |draining| draining.until.min(until));
        self.draining = Some(Draining { until, then });
    }

    /// Whether calls have to wait although the upstream is ready.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Nothing ran for so long, so nothing was drained either.
    pub(super) fn skip_drain(&mut self, gap: Duration) {
        if let Some(draining) = &mut self.draining {
            draining.until = draining.until + gap;
        }
    }

    pub(super) fn drained_at(&self) -> Option<Time> {
        self.draining.as_ref().map(|draining| draining.until)
    }

    /// Does what waited for the calls in flight, if there are none any more.
    pub(super) fn finish_drain(&mut self) {
        let is_serving = matches!(self.life.health(), Health::Ready | Health::Degraded);
        let is_due = |draining: &mut Draining| {
            draining.until <= self.now || !is_serving || self.shared.in_flight() == 0
        };
        let Some(Draining { then, .. }) = self.draining.take_if(is_due) else { return };
        match then {
            Then::Replace(change) => {
                self.take(*change);
                self.findings = Findings::default();
                self.halt("its configuration changed");
                self.begin_as_configured();
            }
            Then::Shutdown => {
                self.is_shutting_down = true;
                self.halt("it is no longer in the configuration");
            }
        }
    }

    /// An operator's stop does not wait, and nothing starts after it; what changed is kept.
    pub(super) fn cut_drain(&mut self) {
        match self.draining.take() {
            Some(Draining { then: Then::Replace(change), .. }) => self.take(*change),
            Some(Draining { then: Then::Shutdown, .. }) => self.is_shutting_down = true,
            None => {}
        }
    }

    fn take(&mut self, change: Change) {
        let Change { transport, options, starts, verdicts } = change;
        self.parked.set_limits(options.queue_limit, options.queue_wait, self.now);
        self.shared.set_call_timeout(options.call_timeout);
        self.life.set_options(options.clone());
        self.trace.is_reached_by(&*transport);
        self.spec.transport = transport;
        self.spec.options = options;
        self.spec.starts = starts;
        self.spec.verdicts = verdicts;
    }

    /// A new server deserves a clean slate: the past was another's.
    pub(super) fn begin_anew(&mut self) {
        self.life.handle_event(Event::Reset, self.now);
        while let Some(note) = self.life.poll_note() {
            if note == Note::WasReset {
                self.black_box.forgive();
                self.trace.reset(self.life.incarnation(), "config_reload");
            } else {
                self.take_note(note, false);
            }
        }
    }
}
