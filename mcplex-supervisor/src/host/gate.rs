//! When one more start is borne: pure, with the time passed in.
//!
//! Whoever wants to start stands in one queue. Its first is let through when every rule allows it:
//!
//! | rule | else it waits |
//! | --- | --- |
//! | fewer than `max_starts` are under way, or a processor has nothing to do | until one of them ends, or has taken so long that it waits for something else than a processor |
//! | the breaker for lack of resources is closed, or this is its trial | until the breaker's time, or the trial's end |
//! | the bucket has a token | until there is one |
//! | enough descriptors are free | a moment |
//! | its turn in the wave after a storm has come | until then; others may pass |
//! | it has not begun too many starts itself of late | until its own next one; others may pass |

use super::HostOptions;
use crate::{backoff::Jitter, time::Time};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Deaths so near to each other are one storm: an out-of-memory kill, a lost network or a full
/// disk reaches all within seconds.
const STORM_WINDOW: Duration = Duration::from_secs(5);
/// Fewer deaths are no storm: two upstreams that die together are a coincidence.
const STORM_LEAST: usize = 3;
/// The shared pause after a storm: what ended them all is seldom over in the same moment.
const WAVE_PAUSE: Duration = Duration::from_secs(1);
/// Over how long the starts of a wave are spread, at least and at most; with the pause it stays
/// below the 5 s for which calls wait.
const WAVE_SPREAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));
/// How long the breaker stays open at first and at most.
const LACK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How soon free descriptors are counted again.
const RECOUNT: Duration = Duration::from_secs(1);
/// How soon an idle processor is looked for again: a start that waits for something else than a
/// processor, as most do for some time, is no reason to wait.
const RELOOK: Duration = Duration::from_millis(10);
/// How long a start holds its place at most. One that takes longer waits for a network or for ever,
/// and others must not wait with it; a start that is busy takes less.
const HOLD: Duration = Duration::from_secs(10);
/// Starts of one upstream that may follow each other at once: its first, a second one where its era
/// is asked, an operator's restarts, a trial.
const OWN_BURST: u64 = 5;
/// How far apart the starts of one upstream are in the long run: what its first respawn waits at most
/// by default. Whatever makes it start more often (callers who come whenever it has just gone to
/// rest), it has no more than its share of the host: of all starts that there may be, others keep
/// more than half, and a start costs others' calls the same few milliseconds however it came about.
const OWN_PAUSE: Duration = Duration::from_millis(250);
/// Descriptors that one start may hold at once: three pipes, both ends, a pidfd, one to spare.
const PER_START: usize = 8;

/// What a waiting start is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may begin.
    Go,
    /// Not before this moment; ask again then.
    At(Time),
    /// Somebody else comes first; it is woken when that has changed.
    Wait,
}

/// How a start that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The host could bear it, whatever became of the upstream.
    Borne,
    /// The host had run out of something.
    Lacked,
    /// It was given up before that was known.
    Unknown,
}

/// Whether the host has shown that it lacks resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    None,
    /// Nothing starts before.
    Until {
        until: Time,
        wait: Duration,
    },
    /// One start tries for all, or may.
    Trial {
        by: Option<u64>,
        wait: Duration,
    },
}

/// What is known of one upstream.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    is_up: bool,
    died: Option<Time>,
    /// When all its starts will have been paid for.
    paid: Time,
}

impl Place {
    /// When it may start again.
    fn next_start(&self) -> Time {
        let ahead = u64::try_from(OWN_PAUSE.as_millis()).unwrap_or(u64::MAX) * (OWN_BURST - 1);
        Time(self.paid.0.saturating_sub(ahead))
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    seat: u64,
    from: Time,
}

#[derive(Clone, Copy, Debug)]
struct Wave {
    begins: Time,
    spread: Duration,
}

/// All rules about starts that concern more than one upstream.
#[derive(Debug)]
pub(crate) struct Gate {
    options: HostOptions,
    places: BTreeMap<u64, Place>,
    /// At most one entry per seat.
    queue: VecDeque<Waiter>,
    /// Since when.
    starting: BTreeMap<u64, Time>,
    /// When the bucket would be full again, in microseconds.
    full_at: u64,
    lack: Lack,
    wave: Option<Wave>,
    jitter: Jitter,
}

impl Gate {
    pub(crate) fn new(options: HostOptions, seed: u64) -> Self {
        Self {
            options,
            places: BTreeMap::new(),
            queue: VecDeque::new(),
            starting: BTreeMap::new(),
            full_at: 0,
            lack: Lack::None,
            wave: None,
            jitter: Jitter::new(seed),
        }
    }

    /// Takes up an upstream.
    pub(crate) fn enter(&mut self, seat: u64) {
        self.places.insert(seat, Place::default());
    }

    /// Forgets an upstream, and whatever it wanted.
    pub(crate) fn forget(&mut self, seat: u64) {
        self.leave(seat);
        self.places.remove(&seat);
    }

    /// An upstream wants to start.
    pub(crate) fn ask(&mut self, seat: u64, now: Time) {
        self.leave(seat);
        let turn = match self.wave {
            Some(wave) if now < wave.begins + wave.spread => self.turn(wave),
            Some(_) | None => now,
        };
        let own = self.places.get(&seat).map_or(now, Place::next_start);
        self.queue.push_back(Waiter { seat, from: turn.max(own) });
    }

    /// It no longer does.
    pub(crate) fn leave(&mut self, seat: u64) {
        self.queue.retain(|waiter| waiter.seat != seat);
    }

    /// Whether it may begin now; `is_idle` looks for an idle processor, and `free` counts
    /// descriptors and is asked last.
    pub(crate) fn poll(
        &mut self,
        seat: u64,
        now: Time,
        is_idle: impl FnOnce() -> bool,
        free: impl FnOnce() -> Option<usize>,
    ) -> Answer {
        let Some(own) = self.queue.iter().find(|waiter| waiter.seat == seat).copied() else {
            return Answer::Wait;
        };
        if own.from > now {
            return Answer::At(own.from);
        }
        if self.first(now) != Some(seat) {
            return Answer::Wait;
        }
        let holds = |since: &&Time| now.since(**since) < HOLD;
        let is_full =
            self.starting.values().filter(holds).count() >= self.options.max_starts.max(1);
        if is_full && !is_idle() {
            let oldest = self.starting.values().filter(holds).min();
            let given_away = oldest.map_or(now, |since| *since + HOLD);
            return Answer::At(given_away.min(now + RELOOK));
        }
        if let Lack::Until { until, wait } = self.lack {
            if now < until {
                return Answer::At(until);
            }
            self.lack = Lack::Trial { by: None, wait };
        }
        if let Lack::Trial { by: Some(_), .. } = self.lack {
            return Answer::Wait;
        }
        if let Some(at) = self.token_at(now) {
            return Answer::At(at);
        }
        let needed = self.options.fd_reserve + PER_START * self.starting.len();
        if self.options.fd_reserve > 0 && free().is_some_and(|free| free < needed) {
            return Answer::At(now + RECOUNT);
        }
        self.full_at = self.full_at.max(micros(now)).saturating_add(self.token());
        if let Some(place) = self.places.get_mut(&seat) {
            place.paid = place.paid.max(now) + OWN_PAUSE;
        }
        if let Lack::Trial { by, .. } = &mut self.lack {
            *by = Some(seat);
        }
        self.leave(seat);
        self.starting.insert(seat, now);
        Answer::Go
    }

    /// A start that was let through has its process: the host lacks nothing.
    pub(crate) fn borne(&mut self, seat: u64) {
        if matches!(self.lack, Lack::Trial { by: Some(by), .. } if by == seat) {
            self.lack = Lack::None;
        }
    }

    /// A start that was let through is over.
    pub(crate) fn over(&mut self, seat: u64, outcome: Outcome, now: Time) {
        if self.starting.remove(&seat).is_none() {
            return;
        }
        self.lack = match (self.lack, outcome) {
            (Lack::None, Outcome::Lacked) => Lack::Until { until: now + LACK.0, wait: LACK.0 },
            (Lack::Trial { by: Some(by), wait }, outcome) if by == seat => match outcome {
                Outcome::Borne => Lack::None,
                Outcome::Unknown => Lack::Trial { by: None, wait },
                Outcome::Lacked => {
                    let wait = (wait * 2).min(LACK.1);
                    Lack::Until { until: now + wait, wait }
                }
            },
            // Starts from before the lack was known say nothing new.
            (lack @ (Lack::None | Lack::Until { .. } | Lack::Trial { .. }), _) => lack,
        };
    }

    /// An upstream is connected.
    pub(crate) fn up(&mut self, seat: u64) {
        let place = self.places.entry(seat).or_default();
        *place = Place { is_up: true, died: None, ..*place };
    }

    /// An upstream has ended because somebody wanted it to.
    pub(crate) fn down(&mut self, seat: u64) {
        if let Some(place) = self.places.get_mut(&seat) {
            place.is_up = false;
        }
    }

    /// An upstream has died; only those that were connected can make a storm. Says whether it is
    /// one that nobody knew of.
    pub(crate) fn died(&mut self, seat: u64, now: Time) -> bool {
        let Some(place) = self.places.get_mut(&seat).filter(|place| place.is_up) else {
            return false;
        };
        *place = Place { is_up: false, died: Some(now), ..*place };
        let is_recent = |place: &&Place| place.died.is_some_and(|at| now.since(at) <= STORM_WINDOW);
        let dead = self.places.values().filter(is_recent).count();
        let alive = self.places.values().filter(|place| place.is_up).count();
        let is_known = self.wave.is_some_and(|wave| now < wave.begins + wave.spread);
        if is_known || dead < STORM_LEAST || dead < alive {
            return false;
        }
        let each = Duration::from_micros(self.token());
        let all = each.saturating_mul(u32::try_from(dead).unwrap_or(u32::MAX));
        let spread = all.clamp(WAVE_SPREAD.0, WAVE_SPREAD.1);
        let wave = Wave { begins: now + WAVE_PAUSE, spread };
        self.wave = Some(wave);
        for index in 0..self.queue.len() {
            // The wave begins later than anybody's own next start.
            self.queue[index].from = self.turn(wave);
        }
        true
    }

    /// Who is to be woken because it may be its turn.
    pub(crate) fn first(&self, now: Time) -> Option<u64> {
        self.queue.iter().find(|waiter| waiter.from <= now).map(|waiter| waiter.seat)
    }

    fn turn(&mut self, wave: Wave) -> Time {
        wave.begins + self.jitter.up_to(wave.spread)
    }

    /// How long one token takes to come, in microseconds.
    fn token(&self) -> u64 {
        1_000_000 / u64::from(self.options.starts_per_second.max(1))
    }

    /// When there is a token, if there is none now.
    fn token_at(&self, now: Time) -> Option<Time> {
        let spare = self.token() * u64::from(self.options.starts_burst.max(1) - 1);
        let at = self.full_at.saturating_sub(spare);
        (at > micros(now)).then(|| Time(at.div_ceil(1000)))
    }
}

fn micros(time: Time) -> u64 {
    time.0.saturating_mul(1000)
}

#[cfg(test)]
mod tests;
