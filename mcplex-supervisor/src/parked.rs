//! Calls that wait for the next life: few, in order, and not for long.

use crate::{handle::Waiting, time::Time};
use std::{collections::VecDeque, time::Duration};

/// The time of a call that has none but its caller's.
const HELD: Time = Time(u64::MAX);

#[derive(Debug)]
pub(crate) struct Parked {
    limit: usize,
    wait: Duration,
    calls: VecDeque<(Box<Waiting>, Time)>,
}

impl Parked {
    pub(crate) fn new(limit: usize, wait: Duration) -> Self {
        Self { limit, wait, calls: VecDeque::new() }
    }

    /// Changes the limits; whoever waits already waits no longer than the new one says.
    pub(crate) fn set_limits(&mut self, limit: usize, wait: Duration, now: Time) {
        (self.limit, self.wait) = (limit, wait);
        for (_, until) in &mut self.calls {
            *until = (*until).min(now + wait);
        }
    }

    /// Lets a call wait; gives it back when too many do already.
    pub(crate) fn push(&mut self, waiting: Box<Waiting>, now: Time) -> Result<(), Box<Waiting>> {
        if self.calls.len() >= self.limit {
            // Whoever gave up need not take the place of somebody who waits.
            self.calls.retain(|(waiting, _)| !waiting.reply.is_closed());
        }
        if self.calls.len() >= self.limit {
            return Err(waiting);
        }
        self.calls.push_back((waiting, now + self.wait));
        Ok(())
    }

    /// The call that waits longest, without those nobody waits for.
    pub(crate) fn pop(&mut self) -> Option<Box<Waiting>> {
        std::iter::from_fn(|| self.calls.pop_front())
            .map(|(waiting, _)| waiting)
            .find(|waiting| !waiting.reply.is_closed())
    }

    /// The next call whose time is over.
    pub(crate) fn pop_overdue(&mut self, now: Time) -> Option<Box<Waiting>> {
        let is_due = self.calls.front().is_some_and(|&(_, until)| until <= now);
        is_due.then(|| self.calls.pop_front()).flatten().map(|(waiting, _)| waiting)
    }

    /// When the next call's time is over.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.calls.front().map(|&(_, until)| until).filter(|until| *until < HELD)
    }

    /// Lets every call wait for as long as its caller does: it waits for other calls, not for a
    /// life.
    pub(crate) fn hold(&mut self) {
        for (_, until) in &mut self.calls {
            *until = HELD;
        }
    }

    /// Lets those that were held wait for the next life, and not for long.
    pub(crate) fn limit(&mut self, now: Time) {
        for (_, until) in &mut self.calls {
            if *until == HELD {
                *until = now + self.wait;
            }
        }
    }

    /// Moves every wait by a time in which nothing ran.
    pub(crate) fn skip(&mut self, gap: Duration) {
        for (_, until) in &mut self.calls {
            *until = *until + gap;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
