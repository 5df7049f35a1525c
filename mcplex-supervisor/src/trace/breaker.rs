//! The spans of what the breaker decides: respawns, trips, resets.

use super::{RESPAWN, Trace, fail, ms};
use crate::{options::Options, time::Time};
use mcplex_proto::{
    attr,
    trace::{self, TraceContext},
    upstream::Incarnation,
};
use std::time::Duration;
use tracing::field::Empty;

/// What the span of a trip says.
#[derive(Debug)]
pub(crate) struct TripFacts<'a> {
    pub(crate) incarnation: Incarnation,
    pub(crate) sentence: &'a str,
    pub(crate) was_trial: bool,
    pub(crate) deaths: u32,
    pub(crate) cooldown: Option<Duration>,
}

impl Trace {
    /// A respawn follows after a wait.
    pub(crate) fn waiting(&mut self, incarnation: Incarnation, delay: Duration, attempt: u32) {
        let next = Incarnation(incarnation.0 + 1);
        let ms = ms(delay);
        let span = lifecycle!(
            self,
            attr::RESPAWN,
            attr::LIFECYCLE_RESPAWN,
            next,
            { attr::RESPAWN_ATTEMPT } = attempt,
            { attr::RESPAWN_BACKOFF_MS } = ms,
        );
        if let Some(death) = &self.last_death {
            trace::set_parent(&span, death);
        }
        if let Some(connect) = &self.last_connect {
            trace::link(&span, connect, attr::LINK_PREVIOUS_CONNECT);
        }
        let context = trace::context_of(&span);
        self.lead = Some((span, RESPAWN));
        event!(
            self,
            info,
            attr::EVENT_RESPAWN,
            context.as_ref(),
            backoff_ms = ms,
            attempt,
            "upstream will be started again"
        );
    }

    /// The breaker opened.
    pub(crate) fn tripped(&mut self, facts: &TripFacts<'_>, options: &Options, now: Time) {
        self.measure.tripped();
        let previous = if facts.was_trial { "half_open" } else { "closed" };
        let span = lifecycle!(
            self,
            attr::TRIP,
            attr::LIFECYCLE_TRIP,
            facts.incarnation,
            { attr::BREAKER_STATE } = "open",
            { attr::BREAKER_PREVIOUS_STATE } = previous,
            { attr::BREAKER_DEATHS_IN_WINDOW } = facts.deaths,
            { attr::BREAKER_THRESHOLD } = options.max_deaths,
            { attr::BREAKER_WINDOW_S } = options.window.as_secs_f64(),
            { attr::BREAKER_RETRY_AFTER_S } = facts.cooldown.map(|wait| wait.as_secs_f64()),
        );
        fail(&span, attr::ERROR_UPSTREAM_TRIPPED, facts.sentence);
        if let Some(death) = &self.last_death {
            trace::set_parent(&span, death);
        }
        for (at, death) in &self.deaths {
            if now.since(*at) <= options.window && Some(death) != self.last_death.as_ref() {
                trace::link(&span, death, attr::LINK_DEATH);
            }
        }
        self.last_trip = trace::context_of(&span);
        event!(
            self,
            error,
            attr::EVENT_TRIP,
            self.last_trip.as_ref(),
            reason = facts.sentence,
            retry_after_s = facts.cooldown.map(|wait| wait.as_secs()),
            "upstream tripped: it is not started again before the time is over or it is reset"
        );
    }

    /// The breaker closed: by hand, or because a trial went well.
    pub(crate) fn reset(&mut self, incarnation: Incarnation, reason: &'static str) {
        let span = lifecycle!(
            self,
            attr::RESET,
            attr::LIFECYCLE_RESET,
            incarnation,
            { attr::RESET_REASON } = reason,
            { attr::BREAKER_STATE } = "closed",
            { attr::BREAKER_PREVIOUS_STATE } = match (reason, &self.last_trip) {
                ("manual" | "config_reload", Some(_)) => "open",
                ("manual" | "config_reload", None) => "closed",
                _ => "half_open",
            },
        );
        if let Some(operator) = self.operator.take() {
            trace::set_parent(&span, &operator);
        }
        if let Some(trip) = self.last_trip.take() {
            trace::link(&span, &trip, attr::LINK_TRIP);
        }
        self.deaths.clear();
        let context = trace::context_of(&span);
        event!(
            self,
            info,
            attr::EVENT_RESET,
            context.as_ref(),
            reason,
            "upstream reset: its breaker is closed"
        );
        match reason {
            "half_open" => {}
            "config_reload" => self.lead = Some((span, "reload")),
            _ => self.lead = Some((span, "reset")),
        }
    }
}
