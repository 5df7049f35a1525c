//! What all upstreams share: the host they run on, and how many starts it bears.
//!
//! It is asked before a start and never by a call: nothing on the way of a message is shared
//! between two upstreams. Its lock is held for a few comparisons (and, at most once per start, for
//! counting descriptors); nobody waits for anything while holding it.

use crate::time::Time;
use facts::{HostFacts, ThisHost};
use gate::{Answer, Gate, Outcome};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread,
    time::Duration,
};
use tokio::time::Instant;
use tracing::Span;

pub(crate) mod facts;

mod gate;

/// How many starts a host bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// How many starts may be under way at once, from the spawn to the handshake's end, while no
    /// processor is idle.
    pub max_starts: usize,
    /// How many starts may begin per second, in the long run.
    pub starts_per_second: u32,
    /// How many may begin at once after a quiet time.
    pub starts_burst: u32,
    /// How many descriptors must stay free for a start to begin; 0 counts none.
    pub fd_reserve: usize,
}

impl HostOptions {
    /// Starts under way at once when nobody says otherwise: two per processor.
    ///
    /// 24 servers that started at once took 4.9 s each to answer, two at a time 0.5 s, and all of
    /// them the same total.
    #[must_use]
    pub fn starts_of_this_host() -> usize {
        2 * thread::available_parallelism().map_or(1, usize::from)
    }
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            max_starts: Self::starts_of_this_host(),
            // A start costs about 0.2 s of a processor; more than this is a loop, not a need.
            starts_per_second: 10,
            // Every upstream of a large configuration starts without a wait; of a loop of deaths
            // nothing is left of it after some seconds.
            starts_burst: 100,
            // A live upstream holds 4 descriptors and a session of a client 1 or 2: enough for the
            // clients to be served while nothing new starts.
            fd_reserve: 64,
        }
    }
}

/// The host, as all supervised upstreams of a process share it; cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    began: Instant,
    facts: Arc<dyn HostFacts>,
    state: Mutex<Waiting>,
}

struct Waiting {
    gate: Gate,
    next_seat: u64,
    wakers: BTreeMap<u64, Waker>,
    /// The span of the start of the process, while it takes up upstreams.
    startup: Option<Span>,
    /// It has taken up all that are started with it.
    has_started: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("facts", &self.0.facts).finish_non_exhaustive()
    }
}

impl Default for Host {
    /// This host with the default options.
    fn default() -> Self {
        Self::new(HostOptions::default(), Arc::new(ThisHost), 0)
    }
}

impl Host {
    /// A host; the seed decides how a wave of respawns is spread.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the host is a driver's clock for starts")]
    pub fn new(options: HostOptions, facts: Arc<dyn HostFacts>, seed: u64) -> Self {
        let gate = Gate::new(options, seed);
        let state = Waiting {
            gate,
            next_seat: 0,
            wakers: BTreeMap::new(),
            startup: None,
            has_started: false,
        };
        Self(Arc::new(Inner { began: Instant::now(), facts, state: Mutex::new(state) }))
    }

    /// Says that the upstreams made from now on are made at the start of the process; `None` ends
    /// that.
    ///
    /// The span closes when the first connect of the last of them is settled: each holds it so long.
    pub fn set_startup(&self, span: Option<Span>) {
        let mut state = self.lock();
        state.has_started = span.is_none();
        state.startup = span;
    }

    /// Whether what is made now belongs to a change of the configuration.
    pub(crate) fn has_started(&self) -> bool {
        self.lock().has_started
    }

    /// The span of the start, for an upstream that begins with it.
    pub(crate) fn startup(&self) -> Option<Span> {
        self.lock().startup.clone()
    }

    /// Takes up one more upstream.
    pub(crate) fn seat(&self) -> Seat {
        let mut state = self.lock();
        let id = state.next_seat;
        state.next_seat += 1;
        state.gate.enter(id);
        Seat { host: self.clone(), id }
    }

    pub(crate) fn facts(&self) -> &dyn HostFacts {
        &*self.0.facts
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and wakes whoever comes first then.
    fn change<T>(&self, change: impl FnOnce(&mut Gate, Time) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let result = change(&mut state.gate, now);
        let first = state.gate.first(now).and_then(|seat| state.wakers.remove(&seat));
        drop(state);
        first.into_iter().for_each(Waker::wake);
        result
    }
}

/// The place of one upstream.
#[derive(Debug)]
pub(crate) struct Seat {
    host: Host,
    id: u64,
}

/// What came of asking for a start.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It may begin; the start is under way as long as the permit lives.
    Granted(Permit),
    /// Ask again after so long, or when woken.
    In(Duration),
    /// Ask again when woken.
    Later,
}

impl Seat {
    /// Stands in the queue for a start.
    pub(crate) fn ask(&self) {
        let now = self.host.now();
        self.host.lock().gate.ask(self.id, now);
    }

    /// Whether the start may begin; if not, the waker is woken when that may have changed.
    pub(crate) fn poll(&self, waker: &Waker) -> Asked {
        let now = self.host.now();
        let mut state = self.host.lock();
        let answer = {
            let facts = &self.host.0.facts;
            let is_idle = || facts.has_idle_processor();
            state.gate.poll(self.id, now, is_idle, || facts.free_descriptors())
        };
        match answer {
            Answer::Go => {
                state.wakers.remove(&self.id);
                drop(state);
                // The next in the queue may be let through as well.
                self.host.change(|_, _| ());
                Asked::Granted(Permit { host: self.host.clone(), id: self.id, is_over: false })
            }
            Answer::At(at) => {
                state.wakers.insert(self.id, waker.clone());
                Asked::In(at.since(now).max(Duration::from_millis(1)))
            }
            Answer::Wait => {
                state.wakers.insert(self.id, waker.clone());
                Asked::Later
            }
        }
    }

    /// No longer wants to start.
    pub(crate) fn leave(&self) {
        self.host.change(|gate, _| gate.leave(self.id));
    }

    /// It is connected.
    pub(crate) fn up(&self) {
        self.host.change(|gate, _| gate.up(self.id));
    }

    /// It ended because somebody wanted it to.
    pub(crate) fn down(&self) {
        self.host.change(|gate, _| gate.down(self.id));
    }

    /// It died; says whether that is the death that makes a storm.
    pub(crate) fn died(&self) -> bool {
        self.host.change(|gate, now| gate.died(self.id, now))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.host.change(|gate, _| gate.forget(self.id));
        self.host.lock().wakers.remove(&self.id);
    }
}

/// The right to have a start under way.
#[derive(Debug)]
pub(crate) struct Permit {
    host: Host,
    id: u64,
    is_over: bool,
}

impl Permit {
    /// The start has its process; what comes now says nothing about the host.
    pub(crate) fn has_process(&self) {
        self.host.change(|gate, _| gate.borne(self.id));
    }

    /// The start is over and the host could bear it.
    pub(crate) fn borne(self) {
        self.end(Outcome::Borne);
    }

    /// The start failed because the host had run out of something.
    pub(crate) fn lacked(self) {
        self.end(Outcome::Lacked);
    }

    fn end(mut self, outcome: Outcome) {
        self.is_over = true;
        self.host.change(|gate, now| gate.over(self.id, outcome, now));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_over {
            self.host.change(|gate, now| gate.over(self.id, Outcome::Unknown, now));
        }
    }
}
