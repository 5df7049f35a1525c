//! Calls that were given up, and at which their upstream may still be at work.
//!
//! Who cancels a call is not told whether it ends: servers may go on, ask for it, and never answer it.
//! So its client stays among those that a question may be meant for, until the call is answered after
//! all, the life has ended, or so much time has gone by that nobody would have waited for the answer.

use crate::{
    router::{Shared, lock},
    session::{DownstreamSession, SessionNumber},
};
use futures_util::StreamExt as _;
use mcplex_proto::downstream::{Principal, Stay};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Calls that are told apart here per member, and clients of further ones: as many as may be suspended.
/// Still more count as some client's that is none of those who call.
const MAX: usize = 1024;

/// Who made a call, as far as two calls can be told to be of one client: of one proven principal, or
/// else of one session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Principal(Arc<str>),
    /// Everybody who proves nothing, where that is one person.
    Single,
    /// Who holds another pipe, or proves nothing, may be anybody.
    Session(SessionNumber),
    /// Somebody who came for one request and proved nothing, and so never comes again.
    Gone,
}

impl Who {
    pub(crate) fn of(session: &DownstreamSession) -> Self {
        match &session.arrival.principal {
            Principal::Known(name) => Self::Principal(name.clone()),
            Principal::Pipe | Principal::Anybody if session.is_single => Self::Single,
            Principal::Pipe | Principal::Anybody => Self::Session(session.number),
        }
    }

    /// The same for when the call is no longer there.
    fn of_past(session: &DownstreamSession) -> Self {
        match (Self::of(session), session.arrival.stay) {
            (Self::Session(_), Stay::Request) => Self::Gone,
            (who, _) => who,
        }
    }
}

/// Whose calls were given up, in two ages: what is of the older one is forgotten next.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    young: Age,
    old: Age,
}

#[derive(Debug, Default)]
struct Age {
    /// By the id that each has at the upstream.
    calls: BTreeMap<u64, Who>,
    /// Of those there was no room for; they are not told apart, and stay as long as they may.
    others: BTreeSet<Who>,
}

impl Age {
    fn add(&mut self, id: u64, who: Who) {
        if self.calls.len() < MAX {
            self.calls.insert(id, who);
        } else {
            let is_full = self.others.len() >= MAX;
            self.others.insert(if is_full { Who::Gone } else { who });
        }
    }

    fn whose(&self) -> impl Iterator<Item = &Who> {
        self.calls.values().chain(&self.others)
    }
}

impl Ghosts {
    /// One more call of this session was given up.
    pub(crate) fn add(&mut self, id: u64, session: &DownstreamSession) {
        self.young.add(id, Who::of_past(session));
    }

    /// The upstream has answered one after all, so it asks nothing more in it.
    pub(crate) fn rest(&mut self, id: u64) {
        self.young.calls.remove(&id);
        self.old.calls.remove(&id);
    }

    /// Whether all are of this client.
    pub(crate) fn are_of(&self, who: &Who) -> bool {
        self.young.whose().chain(self.old.whose()).all(|ghost| ghost == who)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets what is old; `true` when something is left.
    fn age(&mut self) -> bool {
        self.old = std::mem::take(&mut self.young);
        self.old.whose().next().is_some()
    }
}

/// Forgets calls that were given up long ago, until it is dropped; a second run does nothing.
pub(crate) async fn watch(shared: &Shared) {
    let Some(mut given_up) = shared.given_up.listen() else { return };
    while given_up.next().await.is_some() {
        let mut is_any = true;
        while is_any {
            shared.clock.sleep(shared.options().input_wait).await;
            is_any = false;
            for link in shared.catalog().links() {
                for member in link.members() {
                    is_any |= lock(&member.ghosts).age();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_forgotten_at_the_second_age() {
        let mut ghosts = Ghosts::default();
        let (one, two) = (Who::Session(SessionNumber(1)), Who::Session(SessionNumber(2)));
        ghosts.young.add(7, one.clone());
        assert!(ghosts.are_of(&one) && !ghosts.are_of(&two));
        assert!(ghosts.age());
        assert!(!ghosts.are_of(&two));
        assert!(!ghosts.age());
        assert!(ghosts.are_of(&two));
    }

    #[test]
    fn a_ghost_rests_once_it_is_answered() {
        let mut ghosts = Ghosts::default();
        let (one, two) = (Who::Session(SessionNumber(1)), Who::Session(SessionNumber(2)));
        ghosts.young.add(7, one.clone());
        ghosts.age();
        ghosts.young.add(8, one);
        ghosts.rest(9);
        ghosts.rest(7);
        assert!(!ghosts.are_of(&two));
        ghosts.rest(8);
        assert!(ghosts.are_of(&two));
    }

    #[test]
    fn of_more_than_can_be_told_apart_nobody_is_taken_for_another() {
        let mut ghosts = Ghosts::default();
        let who = |number: u64| Who::Session(SessionNumber(number));
        let many = u64::try_from(2 * MAX).unwrap();
        (0..many).for_each(|id| ghosts.young.add(id, who(1)));
        assert!(ghosts.are_of(&who(1)), "all of them are its own");
        (0..many).for_each(|id| ghosts.rest(id));
        assert!(!ghosts.are_of(&who(2)), "some were not noted by their ids");
        (many..2 * many).for_each(|id| ghosts.young.add(id, who(id)));
        assert!(ghosts.young.calls.len() + ghosts.young.others.len() <= 2 * MAX + 1);
    }
}
