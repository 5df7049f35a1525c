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

/// How long a trial has to stay ready before its trouble is over: the window in which deaths count.
const STEADY_MS: u64 = 60_000;

/// What was seen of an upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(pub(super) Arc<Mutex<Past>>);

#[derive(Debug, Default)]
pub(super) struct Past {
    health: Option<Health>,
    pub(super) since_ms: u64,
    /// Since when it has not been well; what it says may be over, see `trouble_since`.
    trouble_ms: Option<u64>,
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
    /// Since when it has trouble, unless that is over. A trip or a trial is another health and the
    /// same trouble; so is each life of a loop, however often it is ready in between.
    pub(super) fn trouble_since(&self, status: &Status, now_ms: u64) -> Option<u64> {
        match status.health {
            Health::Idle | Health::Stopped => None,
            Health::Ready if status.deaths == 0 && self.is_steady(now_ms) => None,
            Health::Ready | Health::Degraded | Health::Recovering | Health::Tripped => {
                self.trouble_ms
            }
        }
    }

    /// Whether a life that is ready is one to count on. The breaker of a trial has forgotten the deaths
    /// before it, which does not mean that they are over.
    fn is_steady(&self, now_ms: u64) -> bool {
        !self.is_trial || now_ms.saturating_sub(self.since_ms) >= STEADY_MS
    }

    /// Takes in what a status means for it.
    fn worry(&mut self, status: &Status, now_ms: u64) {
        match status.health {
            Health::Idle | Health::Stopped => self.trouble_ms = None,
            Health::Ready => {}
            Health::Degraded | Health::Recovering | Health::Tripped => {
                // The first death that counts, after a life in which none did.
                let was_well = self.health == Some(Health::Ready) && self.is_steady(now_ms);
                let is_new = was_well && status.deaths <= 1;
                if is_new || self.trouble_ms.is_none() {
                    self.trouble_ms = Some(now_ms);
                }
            }
        }
    }

    /// Takes in a status, and gives the lines that belong into the log.
    fn take(&mut self, status: &Status, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        self.worry(status, now_ms);
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

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Idle, Ready, Recovering, Stopped, Tripped};

    #[test]
    fn trouble_goes_on_through_lives_and_trials_until_it_is_over() {
        let mut past = Past::default();
        // When, in seconds; which life, how it is, deaths that count; since when it has trouble.
        let steps = [
            (0, 1, Recovering, 0, Some(0)),
            (1, 1, Ready, 0, None),
            (100, 1, Recovering, 1, Some(100)),
            (101, 2, Ready, 1, Some(100)),
            (103, 2, Recovering, 2, Some(100)),
            (104, 2, Tripped, 3, Some(100)),
            (170, 3, Recovering, 0, Some(100)),
            // A trial that lasts a moment is no end of it, and its death no other trouble.
            (171, 3, Ready, 0, Some(100)),
            (175, 3, Tripped, 1, Some(100)),
            (300, 4, Recovering, 0, Some(100)),
            (301, 4, Ready, 0, Some(100)),
            (361, 4, Ready, 0, None),
            (900, 4, Recovering, 1, Some(900)),
            (901, 4, Idle, 0, None),
            (950, 5, Recovering, 0, Some(950)),
            (951, 5, Stopped, 0, None),
        ];
        for (second, life, health, deaths, expect) in steps {
            let now_ms = second * 1_000;
            let status = Status { deaths, ..Status::new(health, Incarnation(life)) };
            let status = Status { trips: u32::from(life > 2), ..status };
            past.take(&status, now_ms);
            let since = past.trouble_since(&status, now_ms).map(|ms| ms / 1_000);
            assert_eq!(since, expect, "after {second} s");
        }
    }
}
