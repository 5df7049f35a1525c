//! Who wants to hear of which resource of an upstream.
//!
//! An upstream hears of a resource's first subscriber in a member and of its last, whatever era they
//! belong to: a session that subscribed, and a stateless listener beside it, count alike.

use crate::{
    isolation::{Isolation, MemberKey, Place},
    link::Link,
    router::lock,
    session::SessionNumber,
};
use mcplex_proto::id::Id;
use std::collections::{BTreeMap, BTreeSet};

/// Subscribers by the URI they named.
pub(crate) type Subscribers = BTreeMap<String, BTreeSet<Subscriber>>;

/// One who subscribed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionNumber,
    /// The `subscriptions/listen` that it was, if it was one.
    pub(crate) listen: Option<Id>,
    pub(crate) place: Place,
}

impl Link {
    /// Adds a subscriber; `true` when it is the first of this URI in its member.
    pub(crate) fn subscribe(&self, uri: &str, subscriber: &Subscriber) -> bool {
        let isolation = self.isolation();
        let mut subscribers = lock(&self.subscribers);
        let all = subscribers.entry(uri.to_owned()).or_default();
        let is_first = !has_neighbour(isolation, all, subscriber);
        all.insert(subscriber.clone()) && is_first
    }

    /// Removes a subscriber; `true` when it was the last of this URI in its member.
    pub(crate) fn unsubscribe(&self, uri: &str, subscriber: &Subscriber) -> bool {
        let isolation = self.isolation();
        let mut subscribers = lock(&self.subscribers);
        let Some(all) = subscribers.get_mut(uri) else { return false };
        let was_last = all.remove(subscriber) && !has_neighbour(isolation, all, subscriber);
        if all.is_empty() {
            subscribers.remove(uri);
        }
        was_last
    }

    /// Removes everything a session subscribed to; gives the URIs nobody in its member is left for.
    pub(crate) fn unsubscribe_all(&self, session: SessionNumber) -> Vec<String> {
        let of_session = |(uri, all): (&String, &BTreeSet<Subscriber>)| {
            let own = all.iter().filter(|subscriber| subscriber.session == session);
            own.map(|subscriber| (uri.clone(), subscriber.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = lock(&self.subscribers).iter().flat_map(of_session).collect();
        let is_last = |(uri, subscriber): &(String, Subscriber)| self.unsubscribe(uri, subscriber);
        all.into_iter().filter(is_last).map(|(uri, _)| uri).collect()
    }

    /// The URIs somebody subscribed to who is at home in this member.
    pub(crate) fn subscriptions(&self, member: MemberKey) -> BTreeSet<String> {
        let isolation = self.isolation();
        let subscribers = lock(&self.subscribers);
        let is_here = |all: &BTreeSet<Subscriber>| {
            all.iter().any(|subscriber| isolation.home(subscriber.place) == member)
        };
        let here = subscribers.iter().filter(|(_, all)| is_here(all));
        here.map(|(uri, _)| uri.clone()).collect()
    }

    /// Those who named this very resource and are at home in this member.
    pub(crate) fn subscribers_of(&self, uri: &str, member: MemberKey) -> Vec<Subscriber> {
        let isolation = self.isolation();
        let subscribers = lock(&self.subscribers);
        let all = subscribers.get(uri).into_iter().flatten();
        all.filter(|subscriber| isolation.home(subscriber.place) == member).cloned().collect()
    }

    /// The subscribers of a resource, or of one that contains it, that are at home in this member.
    pub(crate) fn subscribers(&self, uri: &str, member: MemberKey) -> BTreeSet<Subscriber> {
        let covers = |subscribed: &str| {
            uri.strip_prefix(subscribed).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['/', '?', '#']) || subscribed.ends_with('/')
            })
        };
        let isolation = self.isolation();
        let subscribers = lock(&self.subscribers);
        let found = subscribers.iter().filter(|(subscribed, _)| covers(subscribed));
        let all = found.flat_map(|(_, all)| all);
        all.filter(|subscriber| isolation.home(subscriber.place) == member).cloned().collect()
    }
}

/// Whether one of them is at home in the same member as this one.
fn has_neighbour(
    isolation: Isolation,
    all: &BTreeSet<Subscriber>,
    subscriber: &Subscriber,
) -> bool {
    let home = isolation.home(subscriber.place);
    all.iter().any(|other| isolation.home(other.place) == home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::UpstreamKey;
    use mcplex_proto::upstream::UpstreamName;

    fn subscriber(number: u64, listen: Option<u64>) -> Subscriber {
        let session = SessionNumber(number);
        Subscriber { session, listen: listen.map(Id::from), place: Place(number) }
    }

    fn link() -> Link {
        Link::new(UpstreamKey(1), UpstreamName::new("a").unwrap())
    }

    #[test]
    fn only_the_first_and_the_last_subscriber_matter_to_the_upstream() {
        let link = link();
        let (one, two) = (subscriber(1, None), subscriber(2, Some(7)));
        assert!(link.subscribe("x://1", &one));
        assert!(!link.subscribe("x://1", &two));
        assert!(!link.unsubscribe("x://1", &one));
        assert!(!link.unsubscribe("x://1", &one));
        assert_eq!(link.unsubscribe_all(two.session), ["x://1"]);
        assert!(link.subscriptions(MemberKey::First).is_empty());
    }

    #[test]
    fn several_listeners_of_one_session_leave_together() {
        let link = link();
        assert!(link.subscribe("x://1", &subscriber(1, Some(7))));
        assert!(!link.subscribe("x://1", &subscriber(1, Some(8))));
        assert_eq!(link.unsubscribe_all(SessionNumber(1)), ["x://1"]);
    }

    #[test]
    fn a_part_of_a_resource_reaches_the_subscribers_of_the_whole() {
        let link = link();
        link.subscribe("x://dir", &subscriber(1, None));
        let check = |uri: &str, expect: usize| {
            assert_eq!(link.subscribers(uri, MemberKey::First).len(), expect, "{uri}");
        };
        check("x://dir", 1);
        check("x://dir/file", 1);
        check("x://directory", 0);
        check("x://other", 0);
    }
}
