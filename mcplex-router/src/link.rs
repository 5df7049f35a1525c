//! One upstream as the router sees it: its lists, its calls in flight, its subscribers.

use crate::{
    lists::Lists,
    router::lock,
    session::{DownstreamSession, SessionNumber},
    signal::Signal,
};
use mcplex_proto::{
    id::Id,
    raw::Raw,
    upstream::{Incarnation, Upstream, UpstreamName},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, OnceLock},
};

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: UpstreamName,
    upstream: OnceLock<Arc<dyn Upstream>>,
    lists: Mutex<Arc<Lists>>,
    flights: Mutex<BTreeMap<u64, Flight>>,
    subscribers: Mutex<BTreeMap<String, BTreeSet<SessionNumber>>>,
    /// Sessions that were asked to open a URL, to tell them when that is done.
    elicitations: Mutex<VecDeque<(String, SessionNumber)>>,
    stale: Mutex<Stale>,
    /// Raised when something went stale.
    pub(crate) signal: Signal,
}

/// Elicitations by URL that are remembered per upstream, many more than people open at a time; the
/// oldest goes first.
const MAX_ELICITATIONS: usize = 256;

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

/// What is to be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) lists: [bool; 4],
    /// A new life began: it knows nothing of subscriptions and log levels.
    pub(crate) incarnation: Option<Incarnation>,
}

impl Link {
    pub(crate) fn new(name: UpstreamName) -> Self {
        Self {
            name,
            upstream: OnceLock::new(),
            lists: Mutex::default(),
            flights: Mutex::default(),
            subscribers: Mutex::default(),
            elicitations: Mutex::default(),
            stale: Mutex::default(),
            signal: Signal::default(),
        }
    }

    pub(crate) fn attach(&self, upstream: Arc<dyn Upstream>) {
        if self.upstream.set(upstream).is_err() {
            tracing::warn!(upstream = %self.name, "an upstream was attached twice");
        }
        self.signal.raise();
    }

    /// The upstream, once it is attached; before that nothing leads to it.
    pub(crate) fn upstream(&self) -> Option<&Arc<dyn Upstream>> {
        self.upstream.get()
    }

    pub(crate) fn lists(&self) -> Arc<Lists> {
        lock(&self.lists).clone()
    }

    pub(crate) fn set_lists(&self, lists: Lists) {
        *lock(&self.lists) = Arc::new(lists);
    }

    /// Notes that something must be read again, and wakes whoever does it.
    pub(crate) fn mark(&self, change: impl FnOnce(&mut Stale)) {
        change(&mut lock(&self.stale));
        self.signal.raise();
    }

    pub(crate) fn take_stale(&self) -> Stale {
        std::mem::take(&mut lock(&self.stale))
    }

    pub(crate) fn takes_off(&self, id: u64, flight: Flight) {
        lock(&self.flights).insert(id, flight);
    }

    pub(crate) fn lands(&self, id: u64) {
        lock(&self.flights).remove(&id);
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

    /// Adds a subscriber; `true` when it is the first of this URI.
    pub(crate) fn subscribe(&self, uri: &str, session: SessionNumber) -> bool {
        let mut subscribers = lock(&self.subscribers);
        let sessions = subscribers.entry(uri.to_owned()).or_default();
        let is_first = sessions.is_empty();
        sessions.insert(session);
        is_first
    }

    /// Removes a subscriber; `true` when it was the last of this URI.
    pub(crate) fn unsubscribe(&self, uri: &str, session: SessionNumber) -> bool {
        let mut subscribers = lock(&self.subscribers);
        let Some(sessions) = subscribers.get_mut(uri) else { return false };
        let was_last = sessions.remove(&session) && sessions.is_empty();
        if sessions.is_empty() {
            subscribers.remove(uri);
        }
        was_last
    }

    /// Removes a subscriber everywhere; gives the URIs nobody is left for.
    pub(crate) fn unsubscribe_all(&self, session: SessionNumber) -> Vec<String> {
        let uris: Vec<_> = lock(&self.subscribers).keys().cloned().collect();
        uris.into_iter().filter(|uri| self.unsubscribe(uri, session)).collect()
    }

    /// Whether anybody subscribed to this URI.
    pub(crate) fn is_subscribed(&self, uri: &str) -> bool {
        lock(&self.subscribers).contains_key(uri)
    }

    /// The URIs somebody subscribed to.
    pub(crate) fn subscriptions(&self) -> Vec<String> {
        lock(&self.subscribers).keys().cloned().collect()
    }

    /// The subscribers of a resource, or of one that contains it.
    pub(crate) fn subscribers(&self, uri: &str) -> BTreeSet<SessionNumber> {
        let covers = |subscribed: &str| {
            uri.strip_prefix(subscribed).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['/', '?', '#']) || subscribed.ends_with('/')
            })
        };
        let subscribers = lock(&self.subscribers);
        let found = subscribers.iter().filter(|(subscribed, _)| covers(subscribed));
        found.flat_map(|(_, sessions)| sessions.iter().copied()).collect()
    }

    pub(crate) fn elicits(&self, elicitation: String, session: SessionNumber) {
        let mut elicitations = lock(&self.elicitations);
        if elicitations.len() >= MAX_ELICITATIONS {
            elicitations.pop_front();
        }
        elicitations.push_back((elicitation, session));
    }

    pub(crate) fn elicited(&self, elicitation: &str) -> Option<SessionNumber> {
        let mut elicitations = lock(&self.elicitations);
        let at = elicitations.iter().position(|(name, _)| name == elicitation)?;
        elicitations.remove(at).map(|(_, session)| session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_subscriber_matter_to_the_upstream() {
        let link = Link::new(UpstreamName::new("a").unwrap());
        let (one, two) = (SessionNumber(1), SessionNumber(2));
        assert!(link.subscribe("x://1", one));
        assert!(!link.subscribe("x://1", two));
        assert!(!link.unsubscribe("x://1", one));
        assert!(!link.unsubscribe("x://1", one));
        assert_eq!(link.unsubscribe_all(two), ["x://1"]);
        assert!(link.subscriptions().is_empty());
    }

    #[test]
    fn a_part_of_a_resource_reaches_the_subscribers_of_the_whole() {
        let link = Link::new(UpstreamName::new("a").unwrap());
        link.subscribe("x://dir", SessionNumber(1));
        let check = |uri: &str, expect: usize| {
            assert_eq!(link.subscribers(uri).len(), expect, "{uri}");
        };
        check("x://dir", 1);
        check("x://dir/file", 1);
        check("x://directory", 0);
        check("x://other", 0);
    }
}
