//! What operators want, and what everybody is told.

use super::{Driver, Phase, Starts};
use crate::{
    event::Event,
    handle::{Control, Published},
    state::State,
};
use mcplex_proto::upstream::{Health, Status};

impl Driver {
    pub(super) fn handle_control(&mut self, control: Control) {
        match control {
            Control::Start => self.life.handle_event(Event::Start, self.now),
            Control::Reset(operator) => {
                self.trace.is_asked(operator);
                self.life.handle_event(Event::Reset, self.now);
                while let Some(note) = self.life.poll_note() {
                    self.take_note(note, false);
                }
                self.trace.is_asked(None);
            }
            Control::Restart => self.restart(),
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
    pub(super) fn halt(&mut self, why: &str) {
        self.let_go(why);
        self.life.handle_event(Event::Stop, self.now);
    }

    fn restart(&mut self) {
        self.cut_drain();
        if self.is_shutting_down {
            return self.halt("somebody stopped it");
        }
        self.let_go("somebody restarted it");
        self.trace.connects_for("restart");
        self.life.handle_event(Event::Restart, self.now);
    }

    /// Nobody has used it for so long: it is ended until the next call.
    pub(super) fn rest(&mut self) {
        self.let_go("nobody used it; the next call starts it again");
        self.life.handle_event(Event::Rest, self.now);
    }

    fn let_go(&mut self, why: &str) {
        self.reason = Some(why.into());
        self.has_left = false;
        if let Phase::Open(open) = &self.phase {
            let uptime = self.now.since(open.since);
            self.trace.stopped(open.incarnation, open.pid, uptime);
        }
        self.seat.down();
        self.fail_sent(why);
    }

    /// Begins with a clean past what a changed configuration says, after it was halted.
    pub(super) fn begin_as_configured(&mut self) {
        match self.spec.starts {
            Starts::Now => self.begin_anew(),
            Starts::Lazy => {
                let was_stopped = *self.life.state() == State::Stopped;
                self.begin_anew();
                // The past is forgotten by a reset alone, which also begins; that is taken back.
                self.life.handle_event(Event::Stop, self.now);
                if was_stopped {
                    while self.life.poll_action().is_some() {}
                    let incarnation = self.life.incarnation();
                    self.life.handle_event(Event::Gone { incarnation }, self.now);
                }
                self.life.handle_event(Event::Lazy, self.now);
                self.reason = None;
            }
            Starts::Never => self.reason = Some("it is disabled".into()),
        }
    }

    /// Tells the others how the upstream is, if that is news.
    pub(super) fn publish(&mut self) {
        let health = self.life.health();
        let incarnation = self.life.incarnation();
        if health == Health::Ready {
            self.reason = None;
        }
        if health == Health::Degraded {
            self.reason =
                Some("it is idle and did not answer when it was asked; it may hang".into());
        }
        if health == Health::Idle && self.reason.is_none() {
            self.reason = Some("the first call starts it".into());
        }
        let pid = match &self.phase {
            Phase::Open(open) => open.pid,
            Phase::Closing { pid } => *pid,
            Phase::Idle | Phase::Waiting(_) | Phase::Connecting(_) => None,
        };
        let retry_at = self.life.retry_at();
        let news = (health, incarnation, self.reason.clone(), pid, retry_at);
        if self.published.as_ref() == Some(&news) {
            return;
        }
        self.published = Some(news);
        self.trace.measure.is(health);
        let is_up = matches!(health, Health::Ready | Health::Degraded);
        self.shared.set_status(Published {
            status: Status {
                deaths: self.life.deaths(self.now),
                trips: self.life.trips(),
                reason: self.reason.clone(),
                has_left: self.has_left,
                pid,
                last_error: self.last_death.clone(),
                last: self.last.clone(),
                trip: self.trace.last_trip.clone().filter(|_| health == Health::Tripped),
                death: self.trace.recovers_from().cloned(),
                ..Status::new(health, incarnation)
            },
            retry_at: retry_at.map(|at| self.clock.instant(at)),
            ready_since: is_up.then(|| self.clock.instant(self.connected_at)),
        });
        self.events.changed(self.shared.status());
    }

    /// Forgets why it was not ready.
    pub(super) fn clear_past(&mut self) {
        self.reason = None;
        self.last = None;
        self.last_death = None;
        self.black_box.forgive();
    }
}
