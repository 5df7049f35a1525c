//! One child of an upstream as the router sees it, and its calls in flight.
//!
//! The first member lasts from one attachment to the next. Incarnations are numbered per member, so
//! whatever goes back to a life goes by its member.

use crate::{isolation::MemberKey, router::lock, session::DownstreamSession};
use mcplex_proto::{
    id::Id,
    raw::Raw,
    upstream::{Health, Incarnation, Upstream},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) key: MemberKey,
    upstream: OnceLock<Arc<dyn Upstream>>,
    flights: Mutex<BTreeMap<u64, Flight>>,
    /// The last life that was seen ready.
    seen: Mutex<Incarnation>,
    /// A life began that knows nothing of subscriptions and log levels.
    is_fresh: AtomicBool,
}

/// One call on its way, by the id it has at the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) session: Arc<DownstreamSession>,
    /// The id the client gave it.
    pub(crate) about: Id,
    /// The client's progress token as JSON.
    pub(crate) token: Option<Raw>,
    /// The last progress that was passed on; later ones must be greater.
    pub(crate) progress: f64,
}

impl Member {
    pub(crate) fn new(key: MemberKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Gives it the upstream it speaks for; `false` when it has one.
    pub(crate) fn attach(&self, upstream: Arc<dyn Upstream>) -> bool {
        self.upstream.set(upstream).is_ok()
    }

    /// The upstream, once it is attached; before that nothing leads to it.
    pub(crate) fn upstream(&self) -> Option<&Arc<dyn Upstream>> {
        self.upstream.get()
    }

    /// How it is, once it is attached.
    pub(crate) fn health(&self) -> Option<Health> {
        self.upstream().map(|upstream| upstream.status().health)
    }

    /// Whether it runs and has said what it is.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.health(), Some(Health::Ready | Health::Degraded))
            && self.upstream().is_some_and(|upstream| upstream.server_info().is_some())
    }

    /// Whether this life was not seen ready before.
    pub(crate) fn sees(&self, incarnation: Incarnation) -> bool {
        std::mem::replace(&mut *lock(&self.seen), incarnation) != incarnation
    }

    /// Notes that its life must be told what clients want.
    pub(crate) fn freshen(&self) {
        self.is_fresh.store(true, Ordering::Release);
    }

    /// Whether its life must be told what clients want; once.
    pub(crate) fn take_fresh(&self) -> bool {
        self.is_fresh.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn takes_off(&self, id: u64, flight: Flight) {
        lock(&self.flights).insert(id, flight);
    }

    pub(crate) fn lands(&self, id: u64) {
        lock(&self.flights).remove(&id);
    }

    /// How many calls are in flight.
    pub(crate) fn flights(&self) -> usize {
        lock(&self.flights).len()
    }

    /// The newest call in flight, and whether all are of the same client; `None` without any.
    pub(crate) fn newest_flight(&self) -> Option<(Flight, bool)> {
        let flights = lock(&self.flights);
        let (_, newest) = flights.last_key_value()?;
        let is_one = flights.values().all(|flight| flight.session.number == newest.session.number);
        Some((newest.clone(), is_one))
    }

    /// The call a progress notification speaks of, if it may be passed on.
    pub(crate) fn progresses(&self, id: u64, progress: f64) -> Option<Flight> {
        let mut flights = lock(&self.flights);
        let flight = flights.get_mut(&id)?;
        if progress <= flight.progress {
            return None;
        }
        flight.progress = progress;
        Some(flight.clone())
    }
}
