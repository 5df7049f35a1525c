//! Gives up on an upstream that keeps dying.

use crate::{
    backoff::{Jitter, grown},
    options::Options,
    time::Time,
};
use std::{collections::VecDeque, time::Duration};

/// Why the breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TripCause {
    /// Too many deaths in the window.
    TooManyDeaths {
        /// How many.
        deaths: u32,
        /// Within how long.
        window: Duration,
    },
    /// Too many lives in a row ended before they were stable.
    NeverStable {
        /// How many.
        run: u32,
    },
    /// The trial of an open breaker died.
    TrialFailed,
    /// Only a person can repair what is wrong.
    Permanent,
}

/// Counts deaths across incarnations; nothing but a stable life or a reset makes it forget.
///
/// The window alone never trips on lives longer than a few seconds, because the growing backoff
/// spreads their deaths; the run catches those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Breaker {
    /// The last deaths, oldest first; at most `max_deaths + 1`, more cannot change a verdict.
    deaths: VecDeque<Time>,
    run: u32,
    trips: u32,
    open: Option<TripCause>,
}

/// What a breaker has to know of a death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) was_permanent: bool,
    pub(crate) was_trial: bool,
    pub(crate) was_stable: bool,
}

impl Breaker {
    /// Counts a death and says whether it trips.
    pub(crate) fn count(
        &mut self,
        death: Death,
        options: &Options,
        now: Time,
    ) -> Option<TripCause> {
        let surplus = self.deaths.len().saturating_sub(options.max_deaths as usize);
        self.deaths.drain(..surplus);
        self.deaths.push_back(now);
        if !death.was_stable {
            self.run = self.run.saturating_add(1);
        }
        let deaths = self.deaths(options, now);
        let cause = if death.was_permanent {
            TripCause::Permanent
        } else if death.was_trial {
            TripCause::TrialFailed
        } else if deaths > options.max_deaths {
            TripCause::TooManyDeaths { deaths, window: options.window }
        } else if self.run > options.max_run {
            TripCause::NeverStable { run: self.run }
        } else {
            return None;
        };
        self.trips = self.trips.saturating_add(1);
        self.open = Some(cause);
        Some(cause)
    }

    /// How long to stay open after the last trip; `None` is for ever.
    pub(crate) fn cooldown(&self, options: &Options, jitter: &mut Jitter) -> Option<Duration> {
        if options.cooldown_never {
            return None;
        }
        let Options { cooldown_first, cooldown_factor, cooldown_max, .. } = options;
        let wait = if self.open == Some(TripCause::Permanent) {
            options.cooldown_permanent
        } else {
            grown(*cooldown_first, *cooldown_factor, self.trips.saturating_sub(1), *cooldown_max)
        };
        let wait = wait.max(options.window);
        let extra = wait.saturating_mul(options.cooldown_jitter) / 100;
        Some(wait.saturating_add(jitter.up_to(extra)))
    }

    /// Whether the next trial may start without a caller.
    pub(crate) fn tries_by_itself(&self, options: &Options) -> bool {
        self.trips <= options.auto_trials
    }

    /// Ends a trial that went well; the run and the trips stay until a life is stable.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Forgives everything but the window, which forgets by itself.
    pub(crate) fn forgive(&mut self) {
        self.run = 0;
        self.trips = 0;
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Moves the window by a gap in which nothing ran.
    pub(crate) fn skip(&mut self, gap: Duration, now: Time) {
        for death in &mut self.deaths {
            *death = (*death + gap).min(now);
        }
    }

    /// Why it is open, if it is.
    pub(crate) fn open(&self) -> Option<TripCause> {
        self.open
    }

    /// Deaths in the window; one that is exactly as old as the window is out of it.
    pub(crate) fn deaths(&self, options: &Options, now: Time) -> u32 {
        let recent = self.deaths.iter().filter(|death| now.since(**death) < options.window);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    /// Lives in a row that ended before they were stable.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// Trips since the last stable life or reset.
    pub(crate) fn trips(&self) -> u32 {
        self.trips
    }
}

#[cfg(test)]
mod tests;
