//! What was seen of an upstream, and how it is seen: on the way of its reports to the router.

use super::{Desk, lock, ms, unix_ms, wall_clock};
use mcplex_admin::{
    events::{Event, Kind},
    logs::Log,
};
use mcplex_proto::{
    message::Message,
    report::CrashReport,
    upstream::{Health, Incarnation, Status, UpstreamEvents, UpstreamName},
};
use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tracing::Span;

/// What was seen of an upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(pub(super) Arc<Mutex<Past>>);

#[derive(Debug, Default)]
pub(super) struct Past {
    health: Option<Health>,
    pub(super) since_ms: u64,
    incarnation: Incarnation,
    /// Whether the log has the line that its life began.
    is_noted: bool,
    /// Whether the current life is the one that an open breaker lets through.
    pub(super) is_trial: bool,
}

/// Hands on what an upstream reports, and remembers what operators ask about.
pub(super) struct Tee {
    pub(super) desk: Desk,
    pub(super) upstream: UpstreamName,
    /// Which of several children it is.
    pub(super) member: Option<String>,
    pub(super) seen: Seen,
    pub(super) log: Log,
    pub(super) events: Arc<dyn UpstreamEvents>,
}

impl UpstreamEvents for Tee {
    fn message(&self, from: Incarnation, message: Message, about: Option<u64>) {
        self.events.message(from, message, about);
    }

    fn connected(&self, from: Incarnation, connect: Span) {
        self.events.connected(from, connect);
    }

    fn changed(&self, status: Status) {
        let now = wall_clock();
        for line in lock(&self.seen.0).take(&status, unix_ms(now)) {
            self.note(now, &line);
        }
        self.tell(Event {
            at_ms: unix_ms(now),
            kind: Kind::Changed,
            health: Some(status.health.as_str().to_owned()),
            incarnation: status.incarnation.0,
            pid: status.pid,
            deaths: status.deaths,
            trips: status.trips,
            what: status.reason.as_deref().map(str::to_owned),
            retry_after_ms: status.retry_after.map(ms),
            ..Event::default()
        });
        self.events.changed(status);
        self.desk.changed();
    }

    fn died(&self, report: Arc<CrashReport>) {
        let ended = format!("life {} ended: {}", report.incarnation, report.what);
        self.note(wall_clock(), &ended);
        self.tell(Event {
            at_ms: report.at_ms,
            kind: Kind::Died,
            incarnation: report.incarnation,
            deaths: report.deaths,
            what: Some(report.what.clone()),
            retry_after_ms: report.retry_after_ms,
            trace_id: report.trace_id.clone(),
            ..Event::default()
        });
        self.desk.0.crashes.take(Arc::clone(&report));
        self.events.died(report);
    }
}

impl Tee {
    /// Writes a line into the log; where several children share it, with which one it is of.
    fn note(&self, now: SystemTime, line: &str) {
        match &self.member {
            Some(member) => self.log.note(now, &format!("{member}: {line}")),
            None => self.log.note(now, line),
        }
    }

    fn tell(&self, event: Event) {
        let (upstream, member) = (self.upstream.as_str().to_owned(), self.member.clone());
        self.desk.0.events.tell(Event { upstream, member, ..event });
    }
}

impl Past {
    /// Takes in a status, and gives the lines that belong into the log.
    fn take(&mut self, status: &Status, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        if self.incarnation != status.incarnation {
            self.is_trial = self.health == Some(Health::Tripped) && status.trips > 0;
            self.is_noted = false;
        } else if self.health == Some(Health::Ready) && status.health == Health::Recovering {
            // The death of a trial would have tripped.
            self.is_trial = false;
        }
        if let (Some(pid), false) = (status.pid, self.is_noted)
            && matches!(status.health, Health::Recovering | Health::Ready)
        {
            lines.push(format!("life {} began: process {pid}", status.incarnation));
            self.is_noted = true;
        }
        if self.health != Some(status.health) {
            match (status.health, &status.reason) {
                (Health::Tripped, Some(reason)) => lines.push(format!("given up: {reason}")),
                (Health::Stopped, _) if self.health.is_some() => lines.push("stopped".to_owned()),
                _ => {}
            }
            self.since_ms = now_ms;
        }
        self.health = Some(status.health);
        self.incarnation = status.incarnation;
        lines
    }
}
