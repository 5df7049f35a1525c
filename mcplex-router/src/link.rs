//! One upstream as the router sees it: its lists, who speaks for it, its subscribers.

use crate::{
    lists::Lists,
    member::Member,
    router::{UpstreamKey, lock},
    session::SessionNumber,
    signal::Signal,
};
use mcplex_proto::upstream::{Upstream, UpstreamName};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: UpstreamKey,
    pub(crate) name: UpstreamName,
    members: Mutex<Members>,
    lists: Mutex<Arc<Lists>>,
    subscribers: Mutex<BTreeMap<String, BTreeSet<SessionNumber>>>,
    /// Sessions that were asked to open a URL, to tell them when that is done.
    elicitations: Mutex<VecDeque<(String, SessionNumber)>>,
    stale: Mutex<Stale>,
    /// Raised when something went stale.
    pub(crate) signal: Signal,
}

#[derive(Debug, Default)]
struct Members {
    /// Whom calls go to.
    current: Arc<Member>,
    /// Whom they go to after the next attachment; its events may come before that.
    next: Option<Arc<Member>>,
}

/// Elicitations by URL that are remembered per upstream, many more than people open at a time; the
/// oldest goes first.
const MAX_ELICITATIONS: usize = 256;

/// Lists that are to be read again.
pub(crate) type Stale = [bool; 4];

impl Link {
    pub(crate) fn new(key: UpstreamKey, name: UpstreamName) -> Self {
        Self {
            key,
            name,
            members: Mutex::default(),
            lists: Mutex::default(),
            subscribers: Mutex::default(),
            elicitations: Mutex::default(),
            stale: Mutex::default(),
            signal: Signal::default(),
        }
    }

    /// Whom calls go to.
    pub(crate) fn member(&self) -> Arc<Member> {
        lock(&self.members).current.clone()
    }

    /// Whether calls go to this member.
    pub(crate) fn is_current(&self, member: &Arc<Member>) -> bool {
        Arc::ptr_eq(&lock(&self.members).current, member)
    }

    /// The member that the next attachment is for.
    pub(crate) fn prepare(&self) -> Arc<Member> {
        let mut members = lock(&self.members);
        if members.current.upstream().is_none() {
            return members.current.clone();
        }
        members.next.get_or_insert_default().clone()
    }

    /// Gives the prepared member its upstream, and all calls from now on.
    pub(crate) fn attach(&self, upstream: Arc<dyn Upstream>) {
        let member = self.prepare();
        member.attach(upstream);
        let is_replaced = {
            let mut members = lock(&self.members);
            members.next = None;
            let before = std::mem::replace(&mut members.current, member.clone());
            !Arc::ptr_eq(&before, &member)
        };
        // A life that was ready before it was attached was not noted: it was not the current one.
        if is_replaced {
            member.freshen();
            self.mark(|stale| *stale = [true; 4]);
        } else {
            self.signal.raise();
        }
    }

    /// Ends what keeps it up to date.
    pub(crate) fn close(&self) {
        self.signal.close();
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
        let link = Link::new(UpstreamKey(1), UpstreamName::new("a").unwrap());
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
        let link = Link::new(UpstreamKey(1), UpstreamName::new("a").unwrap());
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
