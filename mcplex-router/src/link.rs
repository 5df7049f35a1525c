//! One upstream as the router sees it: its lists, its members, its subscribers.

use crate::{
    crew::Crew,
    isolation::{Isolation, MemberKey},
    lists::{Kind, Lists},
    memory::{self, Memory},
    router::{UpstreamKey, lock},
    session::SessionNumber,
    signal::Signal,
};
use mcplex_proto::upstream::UpstreamName;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: UpstreamKey,
    pub(crate) name: UpstreamName,
    pub(crate) crew: Mutex<Crew>,
    lists: Mutex<Arc<Lists>>,
    /// Where the lists are remembered, if anywhere.
    memory: Mutex<Option<Arc<dyn Memory>>>,
    /// The memory does not have the lists yet.
    is_unwritten: AtomicBool,
    subscribers: Mutex<BTreeMap<String, BTreeSet<SessionNumber>>>,
    /// Sessions that were asked to open a URL, to tell them when that is done.
    elicitations: Mutex<VecDeque<(String, SessionNumber)>>,
    stale: Mutex<Stale>,
    /// Lists that the upstream itself says have changed.
    said: Mutex<Stale>,
    /// Raised when something went stale.
    pub(crate) signal: Signal,
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
            crew: Mutex::default(),
            lists: Mutex::default(),
            memory: Mutex::default(),
            is_unwritten: AtomicBool::default(),
            subscribers: Mutex::default(),
            elicitations: Mutex::default(),
            stale: Mutex::default(),
            said: Mutex::default(),
            signal: Signal::default(),
        }
    }

    pub(crate) fn lists(&self) -> Arc<Lists> {
        lock(&self.lists).clone()
    }

    pub(crate) fn set_lists(&self, lists: Lists) {
        *lock(&self.lists) = Arc::new(lists);
    }

    /// Has the lists remembered from now on; `true` when there were none and it knows some.
    pub(crate) fn set_memory(&self, memory: Arc<dyn Memory>) -> bool {
        *lock(&self.memory) = Some(memory.clone());
        self.is_unwritten.store(true, Ordering::Release);
        if self.lists().info.is_some() {
            return false;
        }
        let Some(document) = memory.recall() else { return false };
        match memory::read(document) {
            Ok(lists) => {
                self.set_lists(lists);
                self.is_unwritten.store(false, Ordering::Release);
                true
            }
            Err(error) => {
                tracing::info!(upstream = %self.name, %error,
                    "what is remembered of an upstream cannot be used; it is asked again");
                false
            }
        }
    }

    /// Has the lists remembered as they are now, if they are others or nothing is remembered.
    pub(crate) fn remember(&self, is_new: bool) {
        let is_unwritten = self.is_unwritten.swap(false, Ordering::AcqRel);
        if !is_new && !is_unwritten {
            return;
        }
        let memory = lock(&self.memory).clone();
        if let (Some(memory), Some(document)) = (memory, memory::write(&self.lists())) {
            memory.remember(document);
        }
    }

    /// Notes that something must be read again, and wakes whoever does it.
    pub(crate) fn mark(&self, change: impl FnOnce(&mut Stale)) {
        change(&mut lock(&self.stale));
        self.signal.raise();
    }

    pub(crate) fn take_stale(&self) -> Stale {
        std::mem::take(&mut lock(&self.stale))
    }

    /// Notes that the upstream itself says that these lists have changed.
    pub(crate) fn hear(&self, kinds: &[Kind]) {
        let note = |lists: &mut Stale| kinds.iter().for_each(|&kind| lists[kind as usize] = true);
        note(&mut lock(&self.said));
        self.mark(note);
    }

    /// The lists that the upstream says have changed, once each.
    pub(crate) fn take_said(&self) -> Stale {
        std::mem::take(&mut lock(&self.said))
    }

    /// Adds a subscriber; `true` when it is the first of this URI in its member.
    pub(crate) fn subscribe(&self, uri: &str, session: SessionNumber) -> bool {
        let isolation = self.isolation();
        let mut subscribers = lock(&self.subscribers);
        let sessions = subscribers.entry(uri.to_owned()).or_default();
        let is_first = !has_neighbour(isolation, sessions, session);
        sessions.insert(session) && is_first
    }

    /// Removes a subscriber; `true` when it was the last of this URI in its member.
    pub(crate) fn unsubscribe(&self, uri: &str, session: SessionNumber) -> bool {
        let isolation = self.isolation();
        let mut subscribers = lock(&self.subscribers);
        let Some(sessions) = subscribers.get_mut(uri) else { return false };
        let was_last = sessions.remove(&session) && !has_neighbour(isolation, sessions, session);
        if sessions.is_empty() {
            subscribers.remove(uri);
        }
        was_last
    }

    /// Removes a subscriber everywhere; gives the URIs nobody in its member is left for.
    pub(crate) fn unsubscribe_all(&self, session: SessionNumber) -> Vec<String> {
        let uris: Vec<_> = lock(&self.subscribers).keys().cloned().collect();
        uris.into_iter().filter(|uri| self.unsubscribe(uri, session)).collect()
    }

    /// The URIs somebody subscribed to who is at home in this member.
    pub(crate) fn subscriptions(&self, member: MemberKey) -> Vec<String> {
        let isolation = self.isolation();
        let subscribers = lock(&self.subscribers);
        let is_here = |sessions: &BTreeSet<SessionNumber>| {
            sessions.iter().any(|&session| isolation.home(session) == member)
        };
        let here = subscribers.iter().filter(|(_, sessions)| is_here(sessions));
        here.map(|(uri, _)| uri.clone()).collect()
    }

    /// The subscribers of a resource, or of one that contains it, that are at home in this member.
    pub(crate) fn subscribers(&self, uri: &str, member: MemberKey) -> BTreeSet<SessionNumber> {
        let covers = |subscribed: &str| {
            uri.strip_prefix(subscribed).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['/', '?', '#']) || subscribed.ends_with('/')
            })
        };
        let isolation = self.isolation();
        let subscribers = lock(&self.subscribers);
        let found = subscribers.iter().filter(|(subscribed, _)| covers(subscribed));
        let sessions = found.flat_map(|(_, sessions)| sessions.iter().copied());
        sessions.filter(|&session| isolation.home(session) == member).collect()
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

/// Whether one of them is at home in the same member as this one.
fn has_neighbour(
    isolation: Isolation,
    sessions: &BTreeSet<SessionNumber>,
    session: SessionNumber,
) -> bool {
    let home = isolation.home(session);
    sessions.iter().any(|&other| isolation.home(other) == home)
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
        assert!(link.subscriptions(MemberKey::First).is_empty());
    }

    #[test]
    fn a_part_of_a_resource_reaches_the_subscribers_of_the_whole() {
        let link = Link::new(UpstreamKey(1), UpstreamName::new("a").unwrap());
        link.subscribe("x://dir", SessionNumber(1));
        let check = |uri: &str, expect: usize| {
            assert_eq!(link.subscribers(uri, MemberKey::First).len(), expect, "{uri}");
        };
        check("x://dir", 1);
        check("x://dir/file", 1);
        check("x://directory", 0);
        check("x://other", 0);
    }
}
