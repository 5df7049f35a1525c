//! What others may know of a life.

use super::{Life, Options};
use crate::{
    breaker::TripCause,
    event::Failure,
    state::{Next, NextTrial, State},
    time::Time,
};
use mcplex_proto::upstream::{Health, Incarnation};
use std::time::Duration;

impl Life {
    /// How it is, in one word.
    ///
    /// What is still being ended is as good as what follows it.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.state {
            State::Ready { is_degraded: true, .. } => Health::Degraded,
            State::Ready { .. } => Health::Ready,
            State::Idle | State::Stopping { next: Next::Idle, .. } => Health::Idle,
            State::Stopped | State::Stopping { next: Next::Stopped, .. } => Health::Stopped,
            State::Open { .. } | State::Stopping { next: Next::Open { .. }, .. } => Health::Tripped,
            State::Starting { .. } | State::Backoff { .. } | State::Stopping { .. } => {
                Health::Recovering
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its limits.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How long the handshake of this life may take.
    #[must_use]
    pub fn handshake_limit(&self) -> Duration {
        let usual = self.options.handshake_timeout;
        match self.options.first_handshake_timeout {
            Some(first) if self.incarnation == Incarnation(1) => first.max(usual),
            Some(_) | None => usual,
        }
    }

    /// The current life or the last one; 0 before the first.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Deaths in the window that ends now.
    #[must_use]
    pub fn deaths(&self, now: Time) -> u32 {
        self.breaker.deaths(&self.options, now)
    }

    /// Lives in a row that ended before they were stable.
    #[must_use]
    pub fn run(&self) -> u32 {
        self.breaker.run()
    }

    /// Trips since the last stable life or reset.
    #[must_use]
    pub fn trips(&self) -> u32 {
        self.breaker.trips()
    }

    /// Why the breaker is open or on trial, if it is.
    #[must_use]
    pub fn tripped_by(&self) -> Option<TripCause> {
        self.breaker.open()
    }

    /// What kind of failure ended the last life that failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.last_failure
    }

    /// When a life may begin next, with or without a caller; none while there is one.
    #[must_use]
    pub fn retry_at(&self) -> Option<Time> {
        match self.state {
            State::Backoff { until } => Some(until),
            State::Open { trial: NextTrial::At(time) | NextTrial::OnDemand { from: time } } => {
                Some(time)
            }
            State::Open { trial: NextTrial::Never }
            | State::Stopped
            | State::Idle
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Stopping { .. } => None,
        }
    }
}
