//! The beginning and the end of an incarnation: the host's consent, the connect, the close.

use super::{Driver, Phase};
use crate::{
    cause::{self, Cause},
    event::Event,
    garbage,
    host::Permit,
    open::{Incident, Open},
    trace,
    warden::{End, Report, Warden},
};
use mcplex_proto::{
    attr,
    transport::{ConnectError, Connection},
    upstream::Incarnation,
};
use tokio::sync::oneshot;

impl Driver {
    /// Asks the host whether it bears one more start.
    pub(super) fn connect(&mut self, incarnation: Incarnation, trial: bool) {
        self.connect_began = self.now;
        self.has_left = false;
        self.black_box.begin();
        self.trace.connecting(incarnation, trial);
        self.seat.ask();
        self.phase = Phase::Waiting(None);
    }

    /// It does: the handshake's time counts from now.
    pub(super) fn handle_granted(&mut self, permit: Permit) {
        self.permit = Some(permit);
        self.granted_at = self.now;
        let incarnation = self.life.incarnation();
        self.life.handle_event(Event::Granted(incarnation), self.now);
        let spawn = self.trace.granted(incarnation, self.now.since(self.connect_began));
        let transport = self.spec.transport.clone();
        self.phase = Phase::Connecting(Box::pin(async move {
            let result = transport.connect().await;
            match &result {
                Ok(connection) => {
                    connection.lifeline.pid().into_iter().for_each(|pid| {
                        spawn.record(attr::PROCESS_PID, pid);
                    });
                }
                Err(error) => trace::not_spawned(&spawn, error, cause::error_type_of(error)),
            }
            result
        }));
    }

    pub(super) fn handle_connected(&mut self, result: Result<Connection, ConnectError>) {
        let connection = match result {
            Ok(connection) => connection,
            Err(error) => {
                self.phase = Phase::Idle;
                self.die(&Cause::Connect(error));
                return;
            }
        };
        if let Some(permit) = &self.permit {
            permit.has_process();
        }
        let incarnation = self.life.incarnation();
        let Connection { outgoing, incoming, lifeline } = connection;
        let (pid, listener, session) = (lifeline.pid(), lifeline.listener(), lifeline.session());
        let may_install =
            self.spec.options.first_handshake_timeout.is_some() && incarnation == Incarnation(1);
        let installing = may_install.then(|| lifeline.listener()).flatten();
        self.shared.set_installing(installing.map(|words| (words, self.spec.transport.secrets())));
        let (order, ordered) = oneshot::channel();
        let warden = Warden { incarnation, lifeline, reports: self.reports_in.clone() };
        while self.wardens.try_join_next().is_some() {}
        self.wardens.spawn(warden.watch(ordered));
        let (handshake, hello, answer_by) = self.opening();
        let halves = (outgoing, incoming);
        let mut open = Open::new(incarnation, pid, self.now, halves, handshake, order);
        (open.listener, open.session) = (listener, session);
        open.answer_by = answer_by;
        self.trace.spawned(pid, self.now.since(self.granted_at));
        self.phase = Phase::Open(Box::new(open));
        self.ask(hello);
    }

    pub(super) fn handle_incident(&mut self, incident: Incident) {
        let Phase::Open(open) = &mut self.phase else { return };
        match incident {
            Incident::Heard(message, about) => self.hear(message, about),
            Incident::Garbage(bad) => {
                open.is_garbage(self.now);
                let is_too_much = open.garbage.take(self.now);
                let lines = open.garbage.lines;
                if lines.is_power_of_two() {
                    tracing::warn!(upstream = %self.spec.name, member = self.spec.member.as_deref(), lines, %bad,
                        "upstream writes lines to its output that are no messages; they are skipped");
                }
                if is_too_much {
                    let why = format!(
                        "for {} s it wrote little but lines that are no messages, {lines} so far",
                        garbage::SECONDS
                    );
                    self.die(&Cause::Broken(why.into()));
                }
            }
            Incident::Fault(cause) => {
                let cause = open.fault(cause, self.now);
                cause.into_iter().for_each(|cause| self.die(&cause));
            }
        }
    }

    pub(super) fn handle_report(&mut self, report: Report) {
        match report {
            Report::Ended { incarnation, ending, words, usage } => {
                if let Phase::Open(open) = &mut self.phase
                    && open.incarnation == incarnation
                {
                    open.evidence = Some((words, usage));
                    let cause = open.fault(Cause::Ended(ending), self.now);
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
                self.trace.closed(incarnation, &closed);
                self.life.handle_event(event, self.now);
            }
        }
    }

    pub(super) fn close(&mut self, incarnation: Incarnation) {
        // Given back undecided, if the start was given up.
        self.permit = None;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            phase @ (Phase::Idle | Phase::Waiting(_) | Phase::Connecting(_)) => {
                if let Phase::Waiting(_) = phase {
                    self.seat.leave();
                }
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
}
